package preset_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/config/strict"
	"github.com/agcluster/agcluster/core/preset"
)

const everything = `
id: all-of-it
name: All of it
description: Every key there is.
version: 1.2.3
allowed_tools: [Bash, Task, mcp__github__create_issue]
system_prompt: {type: preset, preset: claude_code, append: Be brief.}
mcp_servers:
  github: {command: npx, args: [-y, server], env: {LOG: "1"}}
  docs: {type: http, url: "https://docs.example/mcp", headers: {X-Token: abc}}
permission_mode: plan
agents:
  helper: {description: Helps., prompt: Help., tools: [Read], model: haiku}
resource_limits: {cpu_quota: 150000, memory_limit: 2g, storage_limit: 5g}
max_turns: 20
model: claude-sonnet-4-5
cwd: /workspace/app
env: {MODE: test}
setting_sources: [user, project, local]
network: {egress: allowlist, allow: ["*.example.org:443"]}
policies:
  - name: path
    params: {read: [/workspace/**], n: 1.50, big: 9007199254740993}
  - name: tools
filters: [secrets]
`

func everythingConfig() preset.Config {
	return preset.Config{
		ID: "all-of-it", Name: "All of it", Description: "Every key there is.", Version: "1.2.3",
		AllowedTools: []string{"Bash", "Task", "mcp__github__create_issue"},
		SystemPrompt: preset.SystemPrompt{Preset: true, Append: "Be brief."},
		MCPServers: map[string]agent.MCPServer{
			"github": {Command: "npx", Args: []string{"-y", "server"}, Env: map[string]string{"LOG": "1"}},
			"docs":   {Type: "http", URL: "https://docs.example/mcp", Headers: map[string]string{"X-Token": "abc"}},
		},
		PermissionMode: "plan",
		Agents:         map[string]agent.SubAgent{"helper": {Description: "Helps.", Prompt: "Help.", Tools: []string{"Read"}, Model: "haiku"}},
		ResourceLimits: preset.ResourceLimits{CPUQuota: 150000, MemoryLimit: "2g", StorageLimit: "5g"},
		MaxTurns:       20, Model: "claude-sonnet-4-5", Cwd: "/workspace/app", Env: map[string]string{"MODE": "test"},
		SettingSources: []string{"user", "project", "local"},
		Network:        preset.Network{Egress: "allowlist", Allow: []string{"*.example.org:443"}},
		Policies: []preset.Policy{
			{Name: "path", Params: json.RawMessage(`{"big":9007199254740993,"n":1.5,"read":["/workspace/**"]}`)}, {Name: "tools"},
		},
		Filters: []string{"secrets"},
	}
}

func TestParseYAML(t *testing.T) {
	got, err := preset.ParseYAML([]byte(everything))
	if err != nil {
		t.Fatal(err)
	}
	if want := everythingConfig(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if err := preset.Validate(got, preset.Known{}); err != nil {
		t.Errorf("it is not valid: %v", err)
	}
	// The sample must stay complete.
	v := reflect.ValueOf(got)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the test has no %s", v.Type().Field(i).Name)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, c := range []preset.Config{everythingConfig(), {ID: "x", Name: "x", AllowedTools: []string{}, SystemPrompt: preset.SystemPrompt{Text: "Hi"}}} {
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		fromJSON, err := preset.ParseJSON(text)
		if err != nil || !reflect.DeepEqual(fromJSON, c) {
			t.Errorf("JSON: %v\ngot  %+v\nwant %+v", err, fromJSON, c)
		}
		// JSON is YAML.
		fromYAML, err := preset.ParseYAML(text)
		if err != nil || !reflect.DeepEqual(fromYAML, c) {
			t.Errorf("YAML: %v\ngot  %+v\nwant %+v", err, fromYAML, c)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ name, yaml, want string }{
		{"empty", "", "is empty"},
		{"only a comment", "# x\n", "is empty"},
		{"a list", "- id: x\n", "must be an object, got a list"},
		{"unknown key", "id: x\nallowed_tolls: [Bash]\n", "line 2: allowed_tolls: unknown key; did you mean allowed_tools?"},
		{"unknown key of a sub-agent", "id: x\nagents:\n  a:\n    promt: p\n", "line 4: agents.a.promt: unknown key; did you mean prompt?"},
		{"unknown key of a server", "mcp_servers:\n  s: {cmd: x}\n", "line 2: mcp_servers.s.cmd: unknown key"},
		{"unknown key of limits", "resource_limits: {memory: 4g}\n", "line 1: resource_limits.memory: unknown key"},
		{"unknown key of a policy", "policies:\n  - {name: path, parms: {}}\n", "line 2: policies[0].parms: unknown key; did you mean params?"},
		{"unknown key of a prompt", "system_prompt: {type: preset, preset: claude_code, apend: x}\n", "line 1: system_prompt.apend: unknown key; did you mean append?"},
		{"another prompt preset", "system_prompt:\n  type: preset\n  preset: other\n", `line 3: system_prompt.preset: must be "claude_code"`},
		{"a prompt without type", "system_prompt:\n  preset: claude_code\n", `line 1: system_prompt.type: must be "preset"`},
		{"a prompt that is a list", "system_prompt: [x]\n", "line 1: system_prompt: must be a string or an object with type, preset and append, got a list"},
		{"a prompt that is nothing", "system_prompt:\n", "line 1: system_prompt: must be a string or an object with type, preset and append, got nothing"},
		{"an append that is a number", "system_prompt: {type: preset, preset: claude_code, append: 1}\n", "line 1: system_prompt.append: must be a string, got a number"},
		{"key given twice", "id: x\nid: y\n", "line 2: id: is given twice"},
		{"version as a number", "version: 1.0\n", "line 1: version: must be a string, got a number; put it in quotes"},
		{"tools as a string", "allowed_tools: Bash\n", "line 1: allowed_tools: must be a list, got a string"},
		{"memory as a number", "resource_limits:\n  memory_limit: 4\n", "line 2: resource_limits.memory_limit: must be a string, got a number; put it in quotes"},
		{"turns as a string", "max_turns: \"5\"\n", "line 1: max_turns: must be a whole number, got a string"},
		{"an alias", "id: &x y\nname: *x\n", "line 1: id: anchors and aliases are not allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := preset.ParseYAML([]byte(tt.yaml))
			if _, ok := errors.AsType[preset.Errors](err); !ok || err.Error() != tt.want && !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	_, err := preset.ParseJSON([]byte(`{"id": "x", "agents": {"a": {"promt": "p"}}, "max_turns": 1.5}`))
	if want := "agents.a.promt: unknown key; did you mean prompt?; max_turns: must be a whole number, got 1.5"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	for _, text := range []string{"", "null", "{", `{"id":"a","id":"b"}`} {
		if _, err := preset.ParseJSON([]byte(text)); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestSystemPromptReadsAsItIsWritten(t *testing.T) {
	for text, want := range map[string]preset.SystemPrompt{
		`""`:      {},
		`"hello"`: {Text: "hello"},
		`{"type":"preset","preset":"claude_code"}`:                            {Preset: true},
		`{"type":"preset","preset":"claude_code","append":"tests \"first\""}`: {Preset: true, Append: `tests "first"`},
	} {
		var got preset.SystemPrompt
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		c, err := preset.ParseYAML([]byte("system_prompt: " + text))
		if err != nil || c.SystemPrompt != want {
			t.Errorf("%s as YAML: %+v, %v", text, c.SystemPrompt, err)
		}
		if back, err := json.Marshal(want); err != nil || string(back) != text {
			t.Errorf("%+v is written as %s, want %s", want, back, text)
		}
	}
	if (preset.SystemPrompt{}).IsZero() == false || (preset.SystemPrompt{Preset: true}).IsZero() {
		t.Error("IsZero")
	}
	for _, text := range []string{`1`, `[]`, `{}`, `{"type":"preset"}`, `{"type":"preset","preset":"claude_code","x":1}`, `{"type":"text","preset":"claude_code"}`} {
		var got preset.SystemPrompt
		if err := json.Unmarshal([]byte(text), &got); err == nil || !strings.Contains(err.Error(), "system_prompt") {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
}

func TestLoad(t *testing.T) {
	valid := func(id string) *fstest.MapFile { return &fstest.MapFile{Data: []byte("id: " + id + "\nname: X\n")} }
	configs, err := preset.Load(fstest.MapFS{
		"b.yaml": valid("b"), "a.yml": valid("a"), "README.md": {Data: []byte("no preset")}, "sub/c.yaml": valid("c"), "d.yaml/e": {},
	}, preset.Known{})
	if err != nil || len(configs) != 2 || configs[0].ID != "a" || configs[1].ID != "b" {
		t.Errorf("got %v, %v", configs, err)
	}
	for _, tt := range []struct {
		name  string
		fsys  fstest.MapFS
		known preset.Known
		want  []string
	}{
		{"errors of all files", fstest.MapFS{"a.yaml": {Data: []byte("id: A\nname: x\n")}, "b.yaml": {Data: []byte("nme: x\n")}}, preset.Known{}, []string{
			"preset a.yaml: line 1: id: must be 1 to 64 characters", "preset b.yaml: line 1: nme: unknown key; did you mean name?",
		}},
		{"two with one id", fstest.MapFS{"a.yaml": valid("x"), "b.yml": valid("x")}, preset.Known{}, []string{`preset b.yml: id: "x" is also the id of a.yaml`}},
		{"the line of a nested field", fstest.MapFS{"a.yaml": {Data: []byte("id: x\nname: x\nallowed_tools:\n  - Bash\n  - Raed\n")}}, preset.Known{}, []string{
			`preset a.yaml: line 5: allowed_tools[1]: unknown tool "Raed"; did you mean Read?`,
		}},
		{"the line of what is missing is that around it", fstest.MapFS{"a.yaml": {Data: []byte("id: x\nname: x\nallowed_tools: [Task]\nagents:\n  a:\n    description: x\n")}}, preset.Known{}, []string{
			"preset a.yaml: line 5: agents.a.prompt: must not be empty",
		}},
		{
			"an unknown policy and filter",
			fstest.MapFS{"a.yaml": {Data: []byte("id: x\nname: x\npolicies:\n  - name: pth\nfilters:\n  - secret\n")}},
			preset.Known{Policies: []string{"path", "tools"}, Filters: []string{"secrets"}},
			[]string{
				`line 4: policies[0].name: unknown policy "pth"; did you mean path?`, `line 6: filters[0]: unknown filter "secret"; did you mean secrets?`,
			},
		},
		{"too large", fstest.MapFS{"a.yaml": {Data: make([]byte, strict.MaxBytes+1)}}, preset.Known{}, []string{"preset a.yaml: has 1048577 bytes, more than 1048576"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := preset.Load(tt.fsys, tt.known)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
			}
		})
	}
}

func FuzzParseYAML(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte("id: x\nname: y\nsystem_prompt: z\n"))
	f.Add([]byte("policies: [{name: a, params: {b: [1, 1.5, ~, {c: d}]}}]"))
	f.Add([]byte("resource_limits: {memory_limit: 1.5g}\nenv: {PATH: x}\ncwd: /workspace/.."))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := preset.ParseYAML(text)
		if err != nil {
			if _, ok := errors.AsType[preset.Errors](err); !ok {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		valid := preset.Validate(c, preset.Known{})
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if len(out) > strict.MaxBytes {
			return
		}
		again, err := preset.ParseJSON(out)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		// What is valid must stay so on its way through the store.
		if valid == nil && preset.Validate(again, preset.Known{}) != nil {
			t.Errorf("%s is no longer valid", out)
		}
		if back, err := json.Marshal(again); err != nil || string(back) != string(out) {
			t.Errorf("%s became %s, %v", out, back, err)
		}
	})
}
