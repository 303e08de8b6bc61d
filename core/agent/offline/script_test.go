package offline

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestScriptErrorsNameTheirPlace(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"nothing":               {"", "it is empty"},
		"no YAML":               {"rules: [", "reading the script"},
		"two documents":         {"rules: []\n---\nrules: []\n", "more than one document"},
		"an unknown key":        {"rulez: []", "field rulez not found"},
		"an unknown match":      {"rules: [{match: {usr: x}, reply: [{text: x}]}]", "field usr not found"},
		"no reply":              {"rules: [{name: a, reply: [{text: x}]}, {name: b}]", "rule 2 (b): reply: at least one block"},
		"a bad expression":      {"rules: [{name: a, match: {user: '('}, reply: [{text: x}]}]", "rule 1 (a): match.user: error parsing regexp"},
		"a bad system":          {"rules: [{match: {system: '['}, reply: [{text: x}]}]", "match.system"},
		"a bad model":           {"rules: [{match: {model: '['}, reply: [{text: x}]}]", "match.model"},
		"a bad result":          {"rules: [{match: {result: '['}, reply: [{text: x}]}]", "match.result"},
		"a bad template":        {"rules: [{name: a, reply: [{text: x}, {text: '{{'}]}]", "rule 1 (a): reply[1]: template \"{{\""},
		"a bad function":        {"rules: [{reply: [{thinking: '{{lower .User}}'}]}]", `function "lower" not defined`},
		"a bad tool template":   {"rules: [{reply: [{tool: {name: Bash, input: {a: [{b: '{{'}]}}}]}]", "reply[0]: tool.input: template"},
		"an empty block":        {"rules: [{reply: [{}]}]", "exactly one of text, thinking, tool, delay and error"},
		"two in one block":      {"rules: [{reply: [{text: a, thinking: b}]}]", "exactly one of"},
		"an error with more":    {"rules: [{reply: [{text: a}, {error: {status: 429}}]}]", "error must be the only block"},
		"a low status":          {"rules: [{reply: [{error: {status: 200}}]}]", "error.status must be from 400 to 599"},
		"a high status":         {"rules: [{reply: [{error: {status: 600}}]}]", "error.status must be"},
		"a tool without a name": {"rules: [{reply: [{tool: {input: {}}}]}]", "tool.name is needed"},
		"no duration":           {"rules: [{reply: [{delay: soon}]}]", "line 1"},
		"a negative duration":   {"rules: [{reply: [{delay: -1s}]}]", "exactly one of"},
		"a negative retry":      {"rules: [{reply: [{error: {status: 429, retry_after: -1s}}]}]", "retry_after must not be negative"},
		"a negative chunk":      {"chunk_size: -1\nrules: []", "chunk_size must not be negative"},
		"a negative pause":      {"chunk_delay: -1s\nrules: []", "chunk_delay must not be negative"},
		"a negative step":       {"rules: [{match: {step: -1}, reply: [{text: x}]}]", "match.step must not be negative"},
		"a negative count":      {"rules: [{times: -1, reply: [{text: x}]}]", "times must not be negative"},
		"an unknown stop":       {"rules: [{stop_reason: done, reply: [{text: x}]}]", `stop_reason "done" is not one of end_turn`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(strings.NewReader(c.script)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "script.yaml")
	if _, err := Load(path); err == nil {
		t.Error("want an error")
	}
	if err := os.WriteFile(path, []byte(conversation), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Load(path); err != nil || s.String() != "8 rules" {
		t.Errorf("got %v, %v", s, err)
	}
}

// turn is one message of a conversation in a test.
type turn struct {
	role string
	// text is said; tool and result are a call and what it returned.
	text, tool, result string
	isList             bool
}

// talk is a request with the whole conversation so far.
func talk(t *testing.T, turns ...turn) string {
	t.Helper()
	var messages []any
	for i, m := range turns {
		id := fmt.Sprintf("toolu_%d", i-i%2)
		switch {
		case m.tool != "":
			messages = append(messages, map[string]any{"role": "assistant", "content": []any{
				map[string]any{"type": "text", "text": "let me see"}, map[string]any{"type": "tool_use", "id": "id of " + m.tool, "name": m.tool, "input": map[string]any{}},
			}})
			messages = append(messages, map[string]any{"role": "user", "content": []any{
				map[string]any{"type": "tool_result", "tool_use_id": "id of " + m.tool, "content": []any{map[string]any{"type": "text", "text": m.result}}},
				map[string]any{"type": "text", "text": "<system-reminder>be good</system-reminder>"},
			}})
		case m.isList:
			messages = append(messages, map[string]any{"role": m.role, "content": []any{
				map[string]any{"type": "text", "text": "<system-reminder>do not say demo</system-reminder>"}, map[string]any{"type": "text", "text": m.text, "id": id},
			}})
		default:
			messages = append(messages, map[string]any{"role": m.role, "content": m.text})
		}
	}
	b, err := json.Marshal(map[string]any{
		"model": "claude-x", "system": []any{map[string]any{"type": "text", "text": "You are a pirate."}}, "tools": []any{map[string]any{"name": "Bash"}}, "messages": messages,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRulesMatch(t *testing.T) {
	script := `
rules:
  - {name: step, match: {user: steps, step: 2}, reply: [{text: 'second {{.Result}}'}]}
  - {name: result, match: {result: 'exit (\d+)'}, reply: [{text: 'code {{index .Match 1}}'}]}
  - {name: tool, match: {tool: Read}, reply: [{text: read}]}
  - {name: system, match: {user: ahoy, system: pirate}, reply: [{text: aye}]}
  - {name: other system, match: {user: ahoy, system: parrot}, reply: [{text: squawk}]}
  - {name: model, match: {user: who, model: ^claude}, reply: [{text: claude}]}
  - {name: once, match: {user: once}, times: 1, reply: [{text: first}]}
  - {name: groups, match: {user: '(?i)say (\w+) and (\w+)'}, reply: [{text: '{{index .Match 2}} {{index .Match 1}}'}]}
  - {name: history, match: {user: history}, reply: [{text: '{{join (last .History 2) "|"}}'}]}
`
	s, url := model(t, script, nil)
	user := func(text string) turn { return turn{role: "user", text: text} }
	for _, c := range []struct {
		name, rule, text string
		turns            []turn
	}{
		{"the last word counts", "groups", "b a", []turn{user("ahoy"), {role: "assistant", text: "aye"}, user("Say a and b")}},
		{"in a list, reminders aside", "groups", "d c", []turn{{role: "user", text: "say c and d", isList: true}}},
		{"a reminder is nobody's word", "echo", "You said: hello", []turn{{role: "user", text: "hello", isList: true}}},
		{"the system prompt", "system", "aye", []turn{user("ahoy")}},
		{"the model", "model", "claude", []turn{user("who")}},
		{"a result", "result", "code 7", []turn{user("x"), {tool: "Bash", result: "exit 7"}}},
		{"a result of a tool", "tool", "read", []turn{user("x"), {tool: "Read", result: "nothing"}}},
		{"a rule without result is not for results", "echo", "The tool returned: fine", []turn{user("who"), {tool: "Bash", result: "fine"}}},
		{"the second step", "step", "second b", []turn{user("steps"), {tool: "Bash", result: "a"}, {tool: "Bash", result: "b"}}},
		{"the first step", "echo", "The tool returned: a", []turn{user("steps"), {tool: "Bash", result: "a"}}},
		{"steps begin anew", "echo", "The tool returned: b", []turn{user("steps"), {tool: "Bash", result: "a"}, {role: "assistant", text: "ok"}, user("steps"), {tool: "Bash", result: "b"}}},
		{"once", "once", "first", []turn{user("once")}},
		{"and not again", "echo", "You said: once", []turn{user("once")}},
		{"history", "history", "b|history", []turn{user("a"), {role: "assistant", text: "x"}, user("b"), {role: "assistant", text: "x"}, user("history")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, b := post(t, url+"/v1/messages", talk(t, c.turns...))
			var m answered
			if err := json.Unmarshal(b, &m); err != nil || len(m.Content) == 0 {
				t.Fatalf("got %s, %v", b, err)
			}
			kept := s.Log()
			if rule := kept[len(kept)-1].Rule; rule != c.rule || m.Content[0]["text"] != c.text {
				t.Errorf("rule %q answers %q", rule, m.Content[0]["text"])
			}
		})
	}
}

// TestSmallQuestionsGetHarmlessAnswers: the CLI asks for a title and the like without tools; a rule meant for the agent must not answer.
func TestSmallQuestionsGetHarmlessAnswers(t *testing.T) {
	s, url := model(t, "rules:\n- {name: any, reply: [{text: x}]}\n- {name: titles, match: {system: title}, reply: [{text: T}]}\n", nil)
	for body, rule := range map[string]string{
		`{"model":"m","messages":[{"role":"user","content":"x"}]}`:                         "side request",
		`{"model":"m","system":"make a title","messages":[{"role":"user","content":"x"}]}`: "titles",
	} {
		post(t, url+"/v1/messages", body)
		kept := s.Log()
		if got := kept[len(kept)-1].Rule; got != rule {
			t.Errorf("%s: got %q, want %q", body, got, rule)
		}
	}
}

// TestTheDemoStory plays the agent: it answers each tool call as a host with the shipped policies would. It is told twice, because one
// model serves many demos.
func TestTheDemoStory(t *testing.T) {
	script, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	s := New(script, nil, nil)
	var said []turn
	for range 2 {
		said = append(said, turn{role: "user", text: "demo"})
		var tools []string
		for range 12 {
			reply := ask(t, s, talk(t, said...))
			var call map[string]any
			for _, c := range reply.Content {
				if c["type"] == "tool_use" {
					call = c
				}
			}
			if call == nil {
				if *reply.StopReason != "end_turn" || !strings.HasPrefix(reply.Content[0]["text"].(string), "Done:") {
					t.Errorf("it ends with %+v", reply)
				}
				break
			}
			name := call["name"].(string)
			input, err := json.Marshal(call["input"])
			if err != nil {
				t.Fatal(err)
			}
			tools = append(tools, name)
			said = append(said, turn{tool: name, result: result(name, string(input))})
		}
		if got := strings.Join(tools, " "); got != "TodoWrite Write Bash Bash Bash TodoWrite" {
			t.Errorf("the story is %s", got)
		}
		said = append(said, turn{role: "assistant", text: "Done."})
	}
}

// result is what a tool returns in the demo.
func result(name, input string) string {
	switch {
	case name == "TodoWrite":
		return "Todos have been modified successfully."
	case name == "Write":
		return "File created successfully at: /workspace/hello.py"
	case strings.Contains(input, "hello.py"):
		return "Hello from a real agent in a real sandbox\n285"
	case strings.Contains(input, "/etc/passwd"):
		return "reading /etc/passwd is outside of the allowed paths (path policy)"
	default:
		return "token=[redacted: github-pat]"
	}
}

func TestTheVerbsOfTheDefaultScript(t *testing.T) {
	script, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	s := New(script, nil, nil)
	for text, want := range map[string]string{
		"run: ls -la\nid":      `Bash {"command":"ls -la\nid","description":"Run what was asked"}`,
		"read /etc/passwd":     `Read {"file_path":"/etc/passwd"}`,
		"write a.txt some\nth": `Write {"content":"some\nth","file_path":"a.txt"}`,
		"fetch https://x.test": `WebFetch {"prompt":"What does it say?","url":"https://x.test"}`,
		"ask frontend: hello":  `Task {"description":"Ask frontend","prompt":"hello","subagent_type":"frontend"}`,
		"run {{.User}}":        `Bash {"command":"{{.User}}","description":"Run what was asked"}`,
	} {
		reply := ask(t, s, talk(t, turn{role: "user", text: text}))
		call := reply.Content[len(reply.Content)-1]
		input, err := json.Marshal(call["input"])
		if got := fmt.Sprint(call["name"], " ", string(input)); err != nil || got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	if reply := ask(t, s, talk(t, turn{role: "user", text: "x"}, turn{role: "assistant", text: "y"}, turn{role: "user", text: "What did I say?"})); reply.Content[0]["text"] != "You said: x | What did I say?" {
		t.Errorf("got %v", reply.Content)
	}
}
