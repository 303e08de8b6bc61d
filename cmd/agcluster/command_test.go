package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/core/api"
	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/preset"
)

// keep is an answer that remembers what was asked.
func (h *fakeHost) keep(call, body string) {
	h.instead[call] = func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			h.t.Error(err)
		}
		h.mu.Lock()
		h.bodies[call] = b
		h.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}
}

const (
	launchCall = "POST /api/agents/launch"
	launched   = `{"session_id":"` + conv + `","agent_id":"agent-0f1e2d3c4b5a","config_id":"code-assistant","status":"running"}`
)

func write(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLaunch(t *testing.T) {
	file := write(t, "mine.yaml", "name: Mine\nallowed_tools: [Bash]\nsystem_prompt:\n  type: preset\n  preset: claude_code\nmax_turns: 5\n")
	tests := []struct {
		args []string
		in   string
		body string
	}{
		{args: []string{"code-assistant"}, body: `{"api_key":"KEY","config_id":"code-assistant"}`},
		{
			args: []string{"x", "--provider", "docker", "--mcp-env", "github.TOKEN=a=b", "--mcp-env", "github.OTHER", "--mcp-env", "s.EMPTY="},
			body: `{"api_key":"KEY","config_id":"x","provider":"docker","mcp_env":{"github":{"OTHER":"from here","TOKEN":"a=b"},"s":{"EMPTY":""}}}`,
		},
		{
			args: []string{"--config", file},
			body: `{"api_key":"KEY","config":{"allowed_tools":["Bash"],"max_turns":5,"name":"Mine","system_prompt":{"preset":"claude_code","type":"preset"}}}`,
		},
		{args: []string{"--config", "-"}, in: "name: Piped", body: `{"api_key":"KEY","config":{"name":"Piped"}}`},
	}
	for _, test := range tests {
		h := newHost(t)
		h.keep(launchCall, launched)
		c := newCLI(t, h)
		c.env["OTHER"] = "from here"
		c.in = strings.NewReader(test.in)
		r := c.run(append([]string{"launch"}, test.args...)...)
		if r.out != conv+"\n" || r.err != "" || r.code != 0 {
			t.Errorf("%q: %+v", test.args, r)
		}
		if got := strings.ReplaceAll(string(h.bodies[launchCall]), testKey, "KEY"); got != test.body {
			t.Errorf("%q sent %s, want %s", test.args, got, test.body)
		}
		if r := newCLI(t, h).run("launch", "x", "--json"); r.out != launched+"\n" {
			t.Errorf("as JSON: %+v", r)
		}
	}
}

func TestLaunchWithAFirstMessage(t *testing.T) {
	h := newHost(t)
	h.keep(launchCall, launched)
	h.script = tell(event.Text{Content: "hi"}, event.Complete{Status: "failed"})
	newCLI(t, h).run("launch", "code-assistant", "-m", "hello").want(t, 1, conv+"\nhi\n\nfailed", "")
	r := newCLI(t, h).run("launch", "code-assistant", "-m", "hello", "--json")
	if !strings.HasPrefix(r.out, launched+"\n{") || !strings.Contains(r.out, `"type":"complete"`) {
		t.Errorf("as JSON: %+v", r)
	}
}

func TestLaunchRefusesWhatCanNotWork(t *testing.T) {
	h := newHost(t)
	c := newCLI(t, h)
	for _, test := range []struct {
		args string
		code int
		err  string
	}{
		{"", 2, "give the id of a configuration, or --config"},
		{"a b", 2, "give the id"},
		{"a --config x.yaml", 2, "give the id"},
		{"--nonsense", 2, "unknown flag"},
		{"x --mcp-env github", 2, "--mcp-env github: must be SERVER.VAR=VALUE"},
		{"x --mcp-env github=secret-value", 2, "--mcp-env github=…: must be"},
		{"x --mcp-env github.TOKEN", 2, "TOKEN is not set in the environment"},
		{"x --mcp-env g.T=secret-value --mcp-env g.T=2", 2, "given twice"},
		{"--config /nowhere.yaml", 1, "no such file"},
		{"--config " + write(t, "bad.yaml", "name: 5\nallowed_tool: []\n"), 1, "\n  line 2: allowed_tool:"},
	} {
		r := c.run(append([]string{"launch"}, strings.Fields(test.args)...)...)
		r.want(t, test.code, "", test.err)
		if strings.Contains(r.err, "secret-value") {
			t.Errorf("a credential is shown: %s", r.err)
		}
	}
	if len(h.calls) > 0 {
		t.Errorf("requests: %q", h.calls)
	}
}

func TestProblemsAreReadable(t *testing.T) {
	h := newHost(t)
	h.instead[launchCall] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"title":"Unprocessable Entity","status":422,"detail":"validation failed","errors":[
			{"message":"unknown tool","location":"body.config.allowed_tools[0]"},{"message":"config_id or config is needed\u001b[2J\n","location":"body"},
			{"message":"holds `+testKey+`","location":"body.api_key"}]}`)
	}
	r := newCLI(t, h).run("launch", "x")
	want := "agcluster: validation failed\n  config.allowed_tools[0]: unknown tool\n  config_id or config is needed\n  api_key: holds ***\n"
	if r.err != want || r.code != 1 {
		t.Errorf("got %q, want %q", r.err, want)
	}
}

func TestHostsThatAreNone(t *testing.T) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String()
	_ = l.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/configs/":
			w.Header().Set("Location", "http://elsewhere.example/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		case "/api/agents/sessions":
			_, _ = io.WriteString(w, "<html>hello</html>")
		default:
			http.NotFound(w, r)
		}
	}))
	defer page.Close()
	for _, test := range []struct {
		args []string
		code int
		err  string
	}{
		{[]string{"configs", "--url", nobody}, 1, "agcluster: no host answers at " + nobody + "; start one with: agcluster serve\n"},
		{[]string{"configs", "--url", "http://no.such.host.invalid"}, 1, "reaching http://no.such.host.invalid"},
		{[]string{"configs", "--url", page.URL}, 1, "307 Temporary Redirect and points to http://elsewhere.example/"},
		{[]string{"sessions", "--url", page.URL}, 1, "200 OK with text/html; is it an AgCluster host?"},
		{[]string{"configs", "x", "--url", page.URL + "/"}, 1, "404 Not Found with text/plain; is it an AgCluster host?"},
		{[]string{"configs", "--url", "localhost:8000"}, 2, "--url must be like http://127.0.0.1:8000"},
		{[]string{"configs", "--url", "ftp://x"}, 2, "--url must be like"},
		{[]string{"configs", "--url", "http://me:secret-value@x"}, 2, "--url must not hold a name or password"},
	} {
		r := newCLI(t, nil).run(test.args...)
		r.want(t, test.code, "", test.err)
		if strings.Contains(r.err, "secret-value") || unsafe(r.err) {
			t.Errorf("%q: %q", test.args, r.err)
		}
	}
	c := newCLI(t, nil)
	c.env["AGCLUSTER_URL"] = "nonsense"
	c.run("configs").want(t, 2, "", "AGCLUSTER_URL must be like")
}

func TestKeyComesFromTheEnvironment(t *testing.T) {
	h := newHost(t)
	for _, test := range []struct {
		own, anthropic string
		code           int
		err            string
	}{
		{testKey, "", 0, ""},
		{"", testKey, 0, ""},
		{testKey + "\n", "sk-another", 0, ""},
		{"sk-another", testKey, 1, "is needed, not Bearer ***"},
		{"", "", 1, "no key: set AGCLUSTER_API_KEY or ANTHROPIC_API_KEY"},
		{"  ", "", 1, "AGCLUSTER_API_KEY: the key is empty"},
		{"", "sk-a b", 1, "ANTHROPIC_API_KEY: a key is printable ASCII without spaces"},
		{"sk-ä", "", 1, "AGCLUSTER_API_KEY: a key is printable"},
	} {
		c := newCLI(t, h)
		c.env["AGCLUSTER_API_KEY"], c.env["ANTHROPIC_API_KEY"] = test.own, test.anthropic
		r := c.run("sessions", "--json")
		r.want(t, test.code, "", test.err)
		for _, key := range []string{test.own, test.anthropic} {
			if len(key) > 3 && strings.Contains(r.out+r.err, strings.TrimSpace(key)) {
				t.Errorf("%+v: the key is shown: %+v", test, r)
			}
		}
	}
	c := newCLI(t, h)
	delete(c.env, "AGCLUSTER_API_KEY")
	h.keep("GET /api/configs/", `{"configs":[],"total":0}`)
	c.run("configs").want(t, 0, "", "no configurations") // needs none
	if flags := sessionsCommand(c.globals(nil, nil, nil)).Flags(); flags.Lookup("key") != nil || flags.Lookup("api-key") != nil {
		t.Error("there is a flag for the key")
	}
}

func TestUnencryptedKeyIsWarnedOf(t *testing.T) {
	c := newCLI(t, nil)
	c.run("sessions", "--url", "http://no.such.host.invalid:80").want(t, 1, "", "warning: the key goes to no.such.host.invalid:80 unencrypted")
}

func TestSessions(t *testing.T) {
	h := newHost(t)
	golden(t, "session", newCLI(t, h).run("sessions", "0f1e").out)
	second := h.list[0]
	second.SessionID, second.ConfigID, second.Status, second.Activity, second.Reason = other, "inline-\x1b[2J1", "failed", "waiting", "the sandbox\x1b[2J was lost"
	h.list = append(h.list, second)
	r := newCLI(t, h).run("sessions")
	golden(t, "sessions", r.out)
	newCLI(t, h).run("sessions", other).want(t, 0, "failed: the sandbox was lost\n", "")
	if unsafe(r.out) {
		t.Errorf("it steers the terminal: %q", r.out)
	}
	for given, test := range map[string]struct {
		code int
		err  string
	}{
		"0f1e":                                  {1, "2 sessions begin with \"0f1e\": " + conv + ", " + other},
		"conv-0f1e2d3c4b5a":                     {1, "2 sessions begin with"},
		"0f1e2d3c4b5a6":                         {0, ""},
		other:                                   {0, ""},
		"beef":                                  {1, `none of your 2 sessions begins with "beef"`},
		"":                                      {2, "the session's id is empty"},
		"conv-00000000000000000000000000000000": {1, "there is no such session"},
	} {
		newCLI(t, h).run("sessions", given, "--json").want(t, test.code, "", test.err)
	}
	h.list = nil
	newCLI(t, h).run("sessions").want(t, 0, "", "launch one with: agcluster launch code-assistant")
	newCLI(t, h).run("sessions", "--json").want(t, 0, `{"sessions":null,"total":0}`+"\n", "")
	newCLI(t, h).run("sessions", "a", "b").want(t, 2, "", "usage: agcluster sessions [SESSION]")
}

func TestShortIDsStayDifferent(t *testing.T) {
	list := []api.Session{{SessionID: conv}, {SessionID: other}}
	short := shortener(list)
	if a, b := short(conv), short(other); a == b || len(a) != len("conv-")+13 {
		t.Errorf("%s and %s", a, b)
	}
	if a := shortener(list[:1])(conv); a != "conv-0f1e2d3c4b5a" {
		t.Error(a)
	}
}

func TestStop(t *testing.T) {
	h := newHost(t)
	newCLI(t, h).run("stop", conv, other).want(t, 0, "stopped "+conv+"\nstopped "+other+"\n", "")
	newCLI(t, h).run("stop", "--all", "--json").want(t, 0, `{"session_id":"`+conv+`","status":"stopped"}`+"\n", "")
	h.instead["DELETE /api/agents/sessions/"+conv] = func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusForbidden, "the session was launched with another key")
	}
	newCLI(t, h).run("stop", conv, other).want(t, 1, "stopped "+other, conv+": the session was launched with another key")
	newCLI(t, h).run("stop").want(t, 2, "", "give sessions, or --all")
	newCLI(t, h).run("stop", "--all", conv).want(t, 2, "", "give sessions, or --all")
}

func TestInterruptAndApprove(t *testing.T) {
	h := newHost(t)
	newCLI(t, h).run("interrupt", conv).want(t, 1, "", "no turn is running")
	h.open = true
	newCLI(t, h).run("interrupt", conv).want(t, 0, "interrupting "+conv, "")
	newCLI(t, h).run("approve", conv, "ask-1", "allow", "--session").want(t, 0, "allowed", "")
	newCLI(t, h).run("approve", conv, "ask-2", "deny", "--reason", "not now", "--json").want(t, 0, `{"ask":"ask-2","decision":"deny"}`, "")
	newCLI(t, h).run("approve", conv, "ask-2", "deny").want(t, 1, "", "there is no open approval ask-2")
	newCLI(t, h).run("approve", conv, "ask-2", "perhaps").want(t, 2, "", "the answer is allow or deny")
	newCLI(t, h).run("approve", conv, "ask-2", "deny", "--session").want(t, 2, "", "--session goes with allow")
	want := "map[ask-1:{allow  session} ask-2:{deny not now }]"
	if got := fmt.Sprint(h.answers); got != want {
		t.Errorf("answers %s, want %s", got, want)
	}
}

func TestConfigs(t *testing.T) {
	h := newHost(t)
	list := api.ConfigList{Configs: []preset.Summary{
		{ID: "code-assistant", Description: "Writes code\nand tests it", AllowedTools: []string{"Bash", "Read"}, PermissionMode: "acceptEdits"},
		{ID: "fullstack-team", Name: "Full stack", AllowedTools: []string{"Task"}, HasSubAgents: true, HasMCPServers: true, PermissionMode: "plan"},
	}, Total: 2}
	b, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	h.keep("GET /api/configs/", string(b))
	golden(t, "configs", newCLI(t, h).run("configs").out)
	config := `{"id":"x","name":"true","version":"1.0","allowed_tools":["Bash","mcp__g__t"],"system_prompt":{"type":"preset","preset":"claude_code","append":"Line one.\nLine two."},
		"agents":{"rev":{"description":"Reviews","prompt":"p\u001b[2J"}},"resource_limits":{"cpu_quota":200000,"memory_limit":"4g"},"max_turns":100,"env":{},"policies":[{"name":"path","params":{"deny":["/etc/**"]}}]}`
	h.keep("GET /api/configs/x", config)
	r := newCLI(t, h).run("configs", "x")
	golden(t, "config", r.out)
	if _, err := preset.ParseYAML([]byte(r.out)); err != nil {
		t.Errorf("the YAML is none of ours: %v", err)
	}
	if r := newCLI(t, h).run("configs", "x", "--json"); strings.Count(r.out, "\n") != 1 || !strings.HasPrefix(r.out, `{"id":"x","name":"true",`) {
		t.Errorf("as JSON: %s", r.out)
	}
	newCLI(t, h).run("configs", "").want(t, 2, "", "id is empty")
}
