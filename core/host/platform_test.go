package host_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

type checked struct {
	Verdict, By, Reason string
	Steps               []struct{ By, Verdict string }
}

func (r *rig) check(question map[string]any) checked {
	r.t.Helper()
	var c checked
	r.request(http.MethodPost, "/api/policies/check", question).into(r.t, http.StatusOK, &c)
	return c
}

func (r *rig) counts() map[string]int64 {
	r.t.Helper()
	var list struct {
		Policies []struct {
			Name     string
			Verdicts struct{ Allow, Deny, Ask int64 }
		}
	}
	r.request(http.MethodGet, "/api/policies", nil).into(r.t, http.StatusOK, &list)
	all := map[string]int64{}
	for _, p := range list.Policies {
		all[p.Name] = p.Verdicts.Allow + p.Verdicts.Deny + p.Verdicts.Ask
	}
	return all
}

func TestADryRunSaysWhatASessionIsTold(t *testing.T) {
	r := newRig(t, options{})
	bash := func(command string) map[string]any {
		return map[string]any{"config_id": "code-assistant", "gate": "tool.call", "tool": "Bash", "arguments": map[string]any{"command": command}}
	}
	narrow := func(command string) map[string]any {
		q := bash(command)
		delete(q, "config_id")
		q["config"] = inline(func(c map[string]any) {
			only := []string{"/workspace/src/**"}
			c["policies"] = []map[string]any{{"name": "path", "params": map[string]any{"read": only, "write": only}}}
		})
		return q
	}
	for name, c := range map[string]struct {
		question    map[string]any
		verdict, by string
	}{
		"a command":                               {bash("ls -l"), "allow", ""},
		"one that leaves":                         {bash("git push origin main"), "ask", "policy:tools"},
		"one that is forbidden":                   {bash("sudo ls"), "deny", "policy:tools"},
		"a hook":                                  {bash("echo x > /workspace/.git/hooks/pre-commit"), "deny", "policy:path"},
		"a hook, named from where the agent is":   {bash("echo x > .git/hooks/pre-commit"), "deny", "policy:path"},
		"a hook, after a cd":                      {bash("cd .git && cat > hooks/pre-commit"), "deny", "policy:path"},
		"a hook, as a word":                       {bash("cp x .git/hooks/"), "deny", "policy:path"},
		"a hook, by a way around":                 {bash("tee ./x/../.git/hooks/pre-commit"), "deny", "policy:path"},
		"work with slashes":                       {bash("sed -i s/a/b/ a/b && go test ./... && git checkout feature/x && grep -r foo/bar . > out.txt"), "allow", ""},
		"slashes that are none, in narrow bounds": {narrow("sed s/a/b/ src/x; go test ./...; git checkout feature/x; grep foo/bar < src/y; curl https://example.org/x"), "allow", ""},
		"a target out of narrow bounds":           {narrow("echo x > out.txt"), "deny", "policy:path"},
		"a target in narrow bounds":               {narrow("cd src && echo x > out.txt"), "allow", ""},
		"a tool that is not there": {
			map[string]any{"config_id": "research-agent", "gate": "tool.call", "tool": "Bash", "arguments": map[string]any{"command": "ls"}}, "deny", "host",
		},
		"a path":                  {map[string]any{"config_id": "code-assistant", "gate": "path.access", "op": "write", "path": "/etc/passwd"}, "deny", "policy:path"},
		"a path in it":            {map[string]any{"config_id": "code-assistant", "gate": "path.access", "op": "write", "path": "a/b"}, "allow", ""},
		"a host":                  {map[string]any{"config_id": "code-assistant", "gate": "network.connect", "host": "example.org"}, "allow", ""},
		"an address of one's own": {map[string]any{"config_id": "code-assistant", "gate": "network.connect", "host": "127.0.0.1"}, "deny", "host:egress"},
		"a closed network": {
			map[string]any{"config": map[string]any{"network": map[string]any{"egress": "none"}}, "gate": "network.connect", "host": "example.org"}, "deny", "host:egress",
		},
	} {
		got := r.check(c.question)
		if got.Verdict != c.verdict || got.By != c.by || (got.Reason == "") == (c.verdict != "allow") || len(got.Steps) == 0 {
			t.Errorf("%s: got %+v, want %s by %q", name, got, c.verdict, c.by)
		}
	}
	for name, n := range r.counts() {
		if n != 0 {
			t.Errorf("dry runs were counted: %s has %d verdicts", name, n)
		}
	}
	// The same question in a session.
	id := r.launch("code-assistant")
	r.turn(id, "run: sudo ls").denied("tool.call")
	if n := r.counts(); n["tools"] == 0 {
		t.Errorf("what a session asks is not counted: %v", n)
	}
}

func TestConfigurationsOfOnesOwnSurviveTheHost(t *testing.T) {
	r := newRig(t, options{})
	own := inline(func(c map[string]any) { c["id"], c["name"] = "my-own", "My own" })
	r.request(http.MethodPost, "/api/configs/custom", own).into(t, http.StatusCreated, nil)
	if again := r.request(http.MethodPost, "/api/configs/custom", own); again.status != http.StatusConflict {
		t.Errorf("a second one: %v", again)
	}
	own["id"] = "../../etc/x"
	if p := r.request(http.MethodPost, "/api/configs/custom", own); p.status != 422 || !strings.Contains(p.problem(), "[body.id: must be 1 to 64 characters") {
		t.Errorf("an id that climbs: %v", p)
	}
	if p := r.request(http.MethodDelete, "/api/configs/custom/..%2f..%2fagcluster.db", nil); p.status != 422 || !strings.Contains(p.problem(), "[path.config_id: ") {
		t.Errorf("a path that climbs: %v", p)
	}
	r.stop(syscall.SIGKILL)
	// One that names a policy that is gone keeps no host from starting.
	if err := os.WriteFile(filepath.Join(r.data, "configs", "gone.yaml"), []byte("id: gone\nname: x\npolicies: [{name: vanished}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start()
	var list struct {
		Configs []struct {
			ID     string
			Custom bool
		}
		Broken []struct{ ID, Error string }
	}
	r.request(http.MethodGet, "/api/configs/custom/list", nil).into(t, http.StatusOK, &list)
	if len(list.Configs) != 1 || list.Configs[0].ID != "my-own" || !list.Configs[0].Custom || len(list.Broken) != 1 || !strings.Contains(list.Broken[0].Error, "vanished") {
		t.Errorf("got %+v", list)
	}
	id := r.launch("my-own")
	r.turn(id, "run: echo mine").says("mine")
	if a := r.request(http.MethodDelete, "/api/configs/custom/my-own", nil); a.status != http.StatusNoContent {
		t.Errorf("%v", a)
	}
	// The session keeps what it was launched with.
	r.turn(id, "run: echo still").says("still")
	if a := r.request(http.MethodGet, "/api/configs/my-own", nil); a.status != http.StatusNotFound {
		t.Errorf("%v", a)
	}
}

func TestThePlatformIsTold(t *testing.T) {
	r := newRig(t, options{})
	var about struct {
		GoVersion         string `json:"go_version"`
		ClaudeCodeVersion string `json:"claude_code_version"`
		Provider          string
	}
	r.request(http.MethodGet, "/api/about", nil).into(t, http.StatusOK, &about)
	if !strings.HasPrefix(about.GoVersion, "go1.") || about.ClaudeCodeVersion == "" || about.Provider != "local" {
		t.Errorf("got %+v", about)
	}
	var providers struct {
		Providers []struct {
			Name               string
			Default, Available bool
			Reason             string
			Capabilities       []string
		}
	}
	r.request(http.MethodGet, "/api/providers", nil).into(t, http.StatusOK, &providers)
	for _, p := range providers.Providers {
		if p.Name == "local" && (!p.Default || !p.Available || !slices.Contains(p.Capabilities, "stats")) || !p.Available && p.Reason == "" {
			t.Errorf("got %+v", p)
		}
	}
	var settings struct {
		Settings []struct{ Key, Source, From string }
	}
	r.request(http.MethodGet, "/api/settings", nil).into(t, http.StatusOK, &settings)
	if !slices.ContainsFunc(settings.Settings, func(s struct{ Key, Source, From string }) bool {
		return s.Key == "api.port" && s.Source == "env" && s.From == "API_PORT"
	}) {
		t.Errorf("got %+v", settings.Settings)
	}
	var plugins struct {
		Plugins []struct {
			ID, State string
			PID       int
		}
	}
	r.request(http.MethodGet, "/api/plugins", nil).into(t, http.StatusOK, &plugins)
	if !slices.ContainsFunc(plugins.Plugins, func(p struct {
		ID, State string
		PID       int
	},
	) bool {
		return p.ID == "provider-local" && p.State == "running" && p.PID > 0
	}) {
		t.Errorf("got %+v", plugins.Plugins)
	}
	r.request(http.MethodGet, "/api/plugins/provider-local/logs", nil).into(t, http.StatusOK, nil)
	if a := r.request(http.MethodPost, "/api/agents/launch", map[string]any{}, "Origin", "https://evil.example"); a.status != http.StatusForbidden {
		t.Errorf("another site's request: %v", a)
	}
}

func TestAgClusterContainersUICanChat(t *testing.T) {
	r := newRig(t, options{})
	id := r.launch(inline(nil))
	a := r.request(http.MethodPost, "/api/agents/chat", map[string]any{
		"messages": []map[string]string{{"role": "user", "content": "run: echo from the seed"}}, "sessionId": id,
	})
	for _, want := range []string{
		`"msg_type":"tool_use"`, `"tool_name":"Bash"`, `"output":"from the seed"`, `"msg_type":"content"`, `"msg_type":"metadata"`, `{"type":"complete","status":"success"`, "data: [DONE]",
	} {
		if a.status != http.StatusOK || !strings.Contains(string(a.body), want) {
			t.Errorf("no %s in %v", want, a)
		}
	}
	if other := r.requestAs("sk-ant-api03-somebody-else-0000", http.MethodPost, "/api/agents/chat", map[string]any{
		"messages": []map[string]string{{"role": "user", "content": "x"}}, "sessionId": id,
	}); other.status != http.StatusForbidden {
		t.Errorf("another key: %v", other)
	}
}
