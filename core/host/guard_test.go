package host_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/policy/policytest"
)

func jobApprovals(t *testing.T, on string) {
	r := newRig(t, options{on: on, env: []string{"AGCLUSTER_SESSION_APPROVAL_TIMEOUT=2s"}})
	id := r.launch(inline(func(c map[string]any) {
		c["policies"] = []map[string]any{{"name": "tools", "params": map[string]any{"ask": []string{"Bash(touch *)"}}}, {"name": "path"}, {"name": "archive"}}
	}))
	open := func(command string) (*stream, event.ApprovalRequired) {
		s := r.send(t.Context(), id, "run: "+command)
		e := s.until("an approval", func(e event.Event) bool { return e.Data.Type() == event.TypeApprovalRequired })
		a, _ := e.Data.(event.ApprovalRequired)
		if a.Tool != "Bash" || a.Input != command || a.Reason == "" {
			t.Errorf("approval %+v", a)
		}
		return s, a
	}
	exists := func(name string) bool {
		return r.request(http.MethodGet, "/api/files/"+id+"/"+name+"?raw=true", nil).status == 200
	}
	t.Run("allowed", func(t *testing.T) {
		s, a := open("touch allowed.txt && echo made")
		if act := r.session(id).Activity; act != "waiting" {
			t.Errorf("activity %q while an approval is open", act)
		}
		r.request(http.MethodPost, "/api/agents/"+id+"/approvals/"+a.Ask, map[string]string{"decision": "allow"}).into(t, 200, nil)
		turn{t, s.rest()}.ended(event.CompleteOK).says("made")
		if !exists("allowed.txt") {
			t.Error("the allowed call did not run")
		}
		if again := r.request(http.MethodPost, "/api/agents/"+id+"/approvals/"+a.Ask, map[string]string{"decision": "deny"}); again.status != 409 {
			t.Errorf("a second answer: %v", again)
		}
	})
	t.Run("denied", func(t *testing.T) {
		s, a := open("touch denied.txt")
		r.request(http.MethodPost, "/api/agents/"+id+"/approvals/"+a.Ask,
			map[string]string{"decision": "deny", "reason": "not today"}).into(t, 200, nil)
		x := turn{t, s.rest()}.ended(event.CompleteOK).says("not today")
		if v := x.denied("tool.call"); v.By != "person" || v.Reason != "not today" {
			t.Errorf("verdict %+v", v)
		}
		if exists("denied.txt") {
			t.Error("the denied call ran")
		}
	})
	t.Run("unanswered", func(t *testing.T) {
		s, _ := open("touch unanswered.txt")
		x := turn{t, s.rest()}.ended(event.CompleteOK)
		if v := x.denied("tool.call"); v.By != "host" || !strings.Contains(v.Reason, "in time") {
			t.Errorf("verdict %+v", v)
		}
		if exists("unanswered.txt") {
			t.Error("the unanswered call ran")
		}
	})
	t.Run("interrupted while it waits", func(t *testing.T) {
		s, _ := open("touch interrupted.txt")
		r.request(http.MethodPost, "/api/agents/sessions/"+id+"/interrupt", nil).into(t, 200, nil)
		turn{t, s.rest()}.ended(event.CompleteInterrupted)
		if exists("interrupted.txt") {
			t.Error("the call of an interrupted turn ran")
		}
	})
	t.Run("allowed for the session", func(t *testing.T) {
		s, a := open("touch often.txt")
		r.request(http.MethodPost, "/api/agents/"+id+"/approvals/"+a.Ask,
			map[string]string{"decision": "allow", "scope": "session"}).into(t, 200, nil)
		turn{t, s.rest()}.ended(event.CompleteOK)
		// The rule was answered for, not the one command.
		x := r.turn(id, "run: touch another.txt").ended(event.CompleteOK)
		if n := len(of[event.ApprovalRequired](x.events)); n != 0 {
			t.Errorf("asked again: %s", describe(x.events))
		}
		if !exists("often.txt") || !exists("another.txt") {
			t.Error("an allowed call did not run")
		}
	})
}

func jobSecretsNeverReachTheModel(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(nil))
	// Put together here, so that no scanner finds one in this repository.
	secret := "ghp_" + "Zq7RkT2vXb9LmN4pWc8YdF3hJs6GaE1uQt5K"
	leak := "printf 'token=%s%s\\n' ghp_ Zq7RkT2vXb9LmN4pWc8YdF3hJs6GaE1uQt5K"
	for name, command := range map[string]string{
		"in a result": leak, "on a failure": leak + "; exit 3", "on stderr": leak + " >&2", "in a file": leak + " > deploy.env; echo done",
	} {
		x := r.turn(id, "run: "+command).ended(event.CompleteOK)
		if strings.Contains(describe(x.events), secret) {
			t.Errorf("%s: the secret is in an event: %s", name, describe(x.events))
		}
		if name == "in a file" {
			continue
		}
		var found bool
		for _, v := range of[event.Verdict](x.events) {
			found = found || (v.Gate == "tool.result" && v.By == "filter:secrets" && v.Decision == "rewrite")
		}
		if !found {
			t.Errorf("%s: no verdict: %s", name, describe(x.events))
		}
	}
	x := r.turn(id, "read /workspace/deploy.env").ended(event.CompleteOK)
	if strings.Contains(describe(x.events), secret) {
		t.Errorf("the secret is in an event: %s", describe(x.events))
	}
	seen := 0
	for _, e := range r.model.Log() {
		if strings.Contains(string(e.Body), secret) {
			t.Errorf("the model saw the secret in: %.3000s", e.Body)
		}
		seen += strings.Count(string(e.Body), "token=")
	}
	if seen == 0 {
		t.Error("the model saw no result at all; this test proves nothing")
	}
	for _, e := range r.history(id) {
		if strings.Contains(describe([]event.Event{e}), secret) {
			t.Errorf("the secret is in the history: %s", describe([]event.Event{e}))
		}
	}
}

// copyOf is a folder with everything of build/kind, to put more into.
func copyOf(t testing.TB, kind string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(built(t, kind))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func jobPluginKilledInACallDeniesIt(t *testing.T, on string) {
	plugins := copyOf(t, "plugins")
	if out, err := exec.Command("go", "build", "-o", filepath.Join(plugins, "filter-slow"), "./testdata/slowfilter").CombinedOutput(); err != nil {
		t.Fatalf("building the filter: %v\n%s", err, out)
	}
	r := newRig(t, options{on: on, env: []string{
		"AGCLUSTER_PLUGINS_DIR=" + plugins,
		`AGCLUSTER_PLUGINS_OPTIONS={"provider-local":{"agent_dir":"` + built(t, "agent") + `"}}`,
	}})
	id := r.launch(inline(func(c map[string]any) { c["filters"] = []string{"slow"} }))
	r.turn(id, "run: echo passes").ended(event.CompleteOK).says("passes")

	s := r.send(t.Context(), id, "run: echo hang-in-filter; touch ran.txt")
	s.until("the call", func(e event.Event) bool { return e.Data.Type() == event.TypeToolUse })
	victim := r.find(filepath.Join(plugins, "filter-slow"))
	if len(victim) != 1 {
		t.Fatalf("filter processes: %+v", victim)
	}
	if err := syscall.Kill(victim[0].pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	x := turn{t, s.rest()}.ended(event.CompleteOK)
	if v := x.denied("tool.call"); v.By != "filter:slow" {
		t.Errorf("verdict %+v", v)
	}
	if a := r.request(http.MethodGet, "/api/files/"+id+"/ran.txt?raw=true", nil); a.status != 404 {
		t.Errorf("the denied call ran: %v", a)
	}
	r.turn(id, "run: echo passes again").ended(event.CompleteOK).says("passes again")
	var health struct {
		Plugins []struct {
			Name, State string
			Restarts    int
		}
	}
	r.request(http.MethodGet, "/health", nil).into(t, 200, &health)
	for _, p := range health.Plugins {
		if p.Name == "slow" && (p.Restarts != 1 || p.State != "running") {
			t.Errorf("the plugin's state: %+v", p)
		}
	}
	// A filter is no way around the policies: what it rewrites is judged again.
	if v := r.turn(id, "run: cat rewrite-me").ended(event.CompleteOK).denied("path.access"); v.By != "policy:path" {
		t.Errorf("verdict %+v", v)
	}
}

func jobHostilePolicyDeniesWithinItsLimits(t *testing.T, on string) {
	policies := copyOf(t, "policies")
	if err := policytest.Build(filepath.Join(policies, "hostile.wasm"), "../policy/testdata/hostile"); err != nil {
		t.Fatal(err)
	}
	manifest := "name: hostile\nversion: 1.0.0\ndescription: bad\ngates: [tool.call]\nparams: {type: object, properties: {do: {type: string}}}\n"
	if err := os.WriteFile(filepath.Join(policies, "hostile.yaml"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, options{on: on, env: []string{"AGCLUSTER_POLICIES_DIR=" + policies, "AGCLUSTER_POLICY_TIMEOUT=300ms"}})
	healthy := r.launch(inline(nil))
	for _, do := range []string{"loop", "hog", "panic"} {
		t.Run(do, func(t *testing.T) {
			id := r.launch(inline(func(c map[string]any) {
				c["policies"] = []map[string]any{{"name": "hostile", "params": map[string]string{"do": do}}}
			}))
			began := time.Now()
			x := r.turn(id, "run: touch ran.txt").ended(event.CompleteOK)
			t.Logf("a turn with a policy that does %q took %v", do, time.Since(began))
			if v := x.denied("tool.call"); v.By != "policy:hostile" || strings.Contains(v.Reason, "secret words") {
				t.Errorf("verdict %+v", v)
			}
			if a := r.request(http.MethodGet, "/api/files/"+id+"/ran.txt?raw=true", nil); a.status != 404 {
				t.Errorf("the denied call ran: %v", a)
			}
			r.turn(healthy, "run: echo fine").ended(event.CompleteOK).says("fine")
			r.request(http.MethodDelete, "/api/agents/sessions/"+id, nil).into(t, 200, nil)
		})
	}
}

// A sandbox sees nothing of the host and has no way out.
func jobSandboxIsClosed(t *testing.T, on string) {
	secret := filepath.Join(t.TempDir(), "host-file")
	if err := os.WriteFile(secret, []byte("of the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, options{on: on})
	// No policy stands in the way here: the sandbox alone must hold.
	id := r.launch(inline(func(c map[string]any) { c["policies"], c["filters"] = []any{}, []any{} }))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for name, c := range map[string]struct{ command, want, never string }{
		"host files":  {"cat " + secret + " || echo absent", "absent", "of the host"},
		"root's home": {"ls /root 2>&1 || echo absent", "absent", ""},
		"data folder": {"ls " + r.data + " 2>&1 || echo absent", "absent", ""},
		"interfaces":  {"ls /sys/class/net 2>/dev/null; cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '", "lo", "eth"},
		"upstream":    {"python3 -c 'import socket; socket.create_connection((\"1.1.1.1\", 443), 3)' 2>&1 | tail -1; echo tried", "unreachable", ""},
		"processes":   {"cat /proc/[0-9]*/cmdline | tr '\\0' ' '", "/opt/agent/claude", "agcluster serve"},
		"user":        {"id -u", "10001", ""},
		"read-only":   {"touch /usr/x 2>&1; touch /opt/x 2>&1; echo tried", "Read-only", ""},
		"placeholder": {"env", "HOME=/home/agent", key},
	} {
		s := r.send(ctx, id, "run: "+c.command)
		x := turn{t, s.rest()}
		out := ""
		for _, res := range of[event.ToolResult](x.events) {
			out += res.Output
		}
		if !strings.Contains(out, c.want) || (c.never != "" && strings.Contains(out, c.never)) {
			t.Errorf("%s: want %q and never %q in: %s", name, c.want, c.never, out)
		}
	}
}
