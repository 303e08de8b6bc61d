package host_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/agcluster/agcluster/core/event"
)

// lastModel is the model that the newest request to the upstream named, of those that are the agent's own.
func (r *rig) lastModel() string {
	r.t.Helper()
	log := r.model.Log()
	for i := len(log) - 1; i >= 0; i-- {
		var body struct {
			Model string            `json:"model"`
			Tools []json.RawMessage `json:"tools"`
		}
		if err := json.Unmarshal(log[i].Body, &body); err == nil && len(body.Tools) > 0 {
			return body.Model
		}
	}
	r.t.Fatal("the agent has not asked the model")
	return ""
}

func jobSettingsHoldNowAndLater(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(func(c map[string]any) { c["model"] = "claude-first-1" }))
	r.turn(id, "my name is Ada").ended(event.CompleteOK)
	if got := r.lastModel(); got != "claude-first-1" {
		t.Fatalf("it begins with %s", got)
	}
	change := func(body map[string]string) {
		t.Helper()
		var out struct {
			Config struct {
				Model          string `json:"model"`
				PermissionMode string `json:"permission_mode"`
			} `json:"config"`
			Policies []struct{ Name, Digest string } `json:"policies"`
			Title    string                          `json:"title"`
			LastLine string                          `json:"last_line"`
		}
		r.request(http.MethodPatch, "/api/agents/sessions/"+id, body).into(t, 200, &out)
		if want, ok := body["model"]; ok && out.Config.Model != want {
			t.Errorf("the session has %+v", out)
		}
		if want, ok := body["permission_mode"]; ok && out.Config.PermissionMode != want {
			t.Errorf("the session has %+v", out)
		}
		if len(out.Policies) != 3 || out.Policies[0].Name != "tools" || out.Title != "my name is Ada" || out.LastLine == "" {
			t.Errorf("details %+v", out)
		}
	}
	change(map[string]string{"model": "claude-second-1"})
	r.turn(id, "what did I say?").ended(event.CompleteOK).says("my name is Ada")
	if got := r.lastModel(); got != "claude-second-1" {
		t.Errorf("after the switch the model is %s", got)
	}
	var list struct {
		Commands []struct{ Name, Description string } `json:"commands"`
		Total    int                                  `json:"total"`
	}
	r.request(http.MethodGet, "/api/agents/"+id+"/commands", nil).into(t, 200, &list)
	if list.Total == 0 || len(list.Commands) != list.Total {
		t.Errorf("commands %+v", list)
	}
	change(map[string]string{"permission_mode": "plan"})
	var told []event.Settings
	for _, e := range r.history(id) {
		if s, ok := e.Data.(event.Settings); ok {
			told = append(told, s)
		}
	}
	if len(told) != 2 || told[1] != (event.Settings{Model: "claude-second-1", PermissionMode: "plan"}) {
		t.Errorf("told %+v", told)
	}
	// The next start, even of another host, has them.
	r.stop(syscall.SIGTERM)
	r.start()
	x := r.turn(id, "what did I say?").ended(event.CompleteOK).says("my name is Ada")
	if inits := of[event.Init](x.events); len(inits) != 1 || inits[0].PermissionMode != "plan" || !inits[0].Resumed {
		t.Errorf("after a restart: %s", describe(x.events))
	}
	if got := r.lastModel(); got != "claude-second-1" {
		t.Errorf("after a restart the model is %s", got)
	}
}

// TestALaunchIsRefusedByPolicy rules permission modes out for all sessions.
func TestALaunchIsRefusedByPolicy(t *testing.T) {
	r := newRig(t, options{env: []string{
		`AGCLUSTER_GUARD_POLICIES=[{"name":"tools","params":{"permission_modes":["plan"]}}]`, "AGCLUSTER_POOL_SIZE=1", "AGCLUSTER_POOL_PRESETS=code-assistant",
	}})
	eventually(t, "a spare is ready", func() bool { p := r.pool(); return p.Ready == 1 && p.Starting == 0 })
	in := func(mode string) map[string]any {
		return inline(func(c map[string]any) { c["permission_mode"] = mode })
	}
	for name, body := range map[string]map[string]any{
		"a preset that has a spare": {"config_id": "code-assistant"}, "an inline configuration": {"config": in("bypassPermissions")},
	} {
		body["api_key"] = key
		for _, accept := range []string{"application/json", "text/event-stream"} {
			a := r.requestAs("", http.MethodPost, "/api/agents/launch", body, "Accept", accept)
			if why := a.problem(); a.status != 403 || !strings.HasPrefix(why, "denied by policy:tools: the permission mode ") || !strings.HasSuffix(why, "is not allowed here; plan are (tools policy)") {
				t.Errorf("%s: %v", name, a)
			}
		}
		delete(body, "api_key")
		body["gate"] = "agent.launch"
		if got := r.check(body); got.Verdict != "deny" || got.By != "policy:tools" || len(got.Steps) == 0 {
			t.Errorf("%s, tried: %+v", name, got)
		}
	}
	if p := r.pool(); p.Ready != 1 || p.Warm != 0 || p.Cold != 0 {
		t.Errorf("a launch that was refused left the pool with %+v", p)
	}
	var list struct{ Total int }
	if r.request(http.MethodGet, "/api/agents/sessions", nil).into(t, 200, &list); list.Total != 0 || len(r.volumes()) != 1 {
		t.Errorf("%d sessions, volumes %v", list.Total, r.volumes())
	}
	if n := r.counts()["tools"]; n != 4 {
		t.Errorf("4 launches were refused, %d verdicts are counted", n)
	}

	if got := r.check(map[string]any{"config": in("plan"), "gate": "agent.launch"}); got.Verdict != "allow" {
		t.Errorf("what may be launched, tried: %+v", got)
	}
	id := r.launch(in("plan"))
	// What may not be launched is not come by later.
	if a := r.request(http.MethodPatch, "/api/agents/sessions/"+id, map[string]string{"permission_mode": "bypassPermissions"}); a.status != 403 || !strings.Contains(a.problem(), "policy:tools") {
		t.Errorf("a change to a mode that is ruled out: %v", a)
	}
	r.request(http.MethodPatch, "/api/agents/sessions/"+id, map[string]string{"model": "opus"}).into(t, 200, nil)
	x := turn{t, r.history(id)}
	if v := x.denied("agent.launch"); v.By != "policy:tools" || len(of[event.Settings](x.events)) != 1 {
		t.Errorf("told %s", describe(x.events))
	}
}
