package guard

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
)

// launching is a session that is to be, of a configuration with all there is.
func launching(id string, policies ...preset.Policy) session.Scope {
	return session.Scope{SessionID: id, ConfigID: "mine", Source: session.SourceCustom, Provider: "docker", Config: preset.Config{
		ID: "other", Name: "Mine", Model: "opus", PermissionMode: "plan", AllowedTools: []string{"Bash"}, Policies: policies,
		Env: map[string]string{"TOKEN": "hunter2"},
		MCPServers: map[string]agent.MCPServer{
			"web":   {Type: "http", URL: "https://example.org/hunter2", Headers: map[string]string{"Authorization": "hunter2"}},
			"local": {Command: "serve", Args: []string{"hunter2"}, Env: map[string]string{"TOKEN": "hunter2"}},
		},
		Agents: map[string]agent.SubAgent{
			"b": {Description: "d", Prompt: "hunter2"}, "a": {Tools: []string{"Read"}, Model: "haiku"},
		},
		ResourceLimits: preset.ResourceLimits{CPUQuota: 200000, MemoryLimit: "4g"},
		Network:        preset.Network{Egress: "allowlist", Allow: []string{"example.org"}}, SettingSources: []string{"project"},
	}}
}

func TestALaunchIsToldWithoutItsSecrets(t *testing.T) {
	for name, c := range map[string]struct {
		scope  session.Scope
		change bool
		want   string
	}{
		"all there is": {launching("s"), false, `{"source":"custom","config_id":"mine","name":"Mine","provider":"docker","model":"opus",` +
			`"permission_mode":"plan","tools":["Bash"],"agents":[{"name":"a","tools":["Read"],"model":"haiku"},{"name":"b","tools":[],"model":""}],` +
			`"mcp_servers":[{"name":"local","type":"stdio"},{"name":"web","type":"http"}],"limits":{"cpu_quota":200000,"memory":4294967296,"storage":0},` +
			`"egress":"allowlist","setting_sources":["project"]}`},
		"nothing": {session.Scope{}, true, `{"change":true,"source":"","config_id":"","name":"","provider":"","model":"","permission_mode":"acceptEdits","tools":[],` +
			`"agents":[],"mcp_servers":[],"limits":{"cpu_quota":0,"memory":0,"storage":0},"egress":"","setting_sources":[]}`},
	} {
		input, err := launchOf(c.scope, c.change)
		got, marshalErr := json.Marshal(input)
		if err := errors.Join(err, marshalErr); err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, got, c.want)
		}
	}
}

func TestALaunchIsAllowedOrRefused(t *testing.T) {
	for name, c := range map[string]struct {
		operator, own []preset.Policy
		change        bool
		// by and reason are of the refusal; none allows.
		by, reason string
	}{
		"nobody knows the gate":      {},
		"all policies allow":         {operator: []preset.Policy{puppet("puppet")}, own: []preset.Policy{puppet("other")}},
		"the operator's refuses":     {operator: []preset.Policy{puppet("puppet", `{"gate":"agent.launch","verdict":"deny","reason":"no"}`)}, by: "policy:puppet", reason: "no"},
		"the configuration's does":   {operator: []preset.Policy{puppet("puppet")}, own: []preset.Policy{puppet("other", `{"gate":"agent.launch","contains":"\"plan\"","verdict":"deny","reason":"no plans"}`)}, by: "policy:other", reason: "no plans"},
		"a refusal without words":    {own: []preset.Policy{puppet("other", `{"gate":"agent.launch","verdict":"deny"}`)}, by: "policy:other", reason: "denied by the policy"},
		"nobody can be asked":        {own: []preset.Policy{puppet("other", `{"gate":"agent.launch","verdict":"ask"}`)}, by: "policy:other", reason: "answers ask, which a launch can't follow"},
		"it can't be rewritten":      {own: []preset.Policy{puppet("other", `{"gate":"agent.launch","verdict":"rewrite","rewrite":{}}`)}, by: "policy:other", reason: "rewrites at the gate agent.launch"},
		"a module that loops":        {own: []preset.Policy{puppet("other", `{"gate":"agent.launch","loop":true}`)}, by: "policy:other", reason: "no answer within"},
		"an answer that is none":     {own: []preset.Policy{puppet("other", `{"gate":"agent.launch","verdict":"maybe"}`)}, by: "policy:other", reason: "no known verdict"},
		"a policy that is not there": {own: []preset.Policy{puppet("gone")}, by: "host", reason: "can't be resolved"},
		"a change, to one who minds changes": {
			own: []preset.Policy{puppet("other", `{"gate":"agent.launch","contains":"\"change\":true","verdict":"deny","reason":"stays"}`)}, change: true, by: "policy:other", reason: "stays",
		},
		"a launch, to one who minds changes": {own: []preset.Policy{puppet("other", `{"gate":"agent.launch","contains":"\"change\":true","verdict":"deny","reason":"stays"}`)}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, Config{Policies: c.operator}, nil)
			err := g.Launch(t.Context(), launching("s", c.own...), c.change)
			var denied *DeniedError
			switch {
			case c.by == "":
				if err != nil {
					t.Error(err)
				}
			case !errors.As(err, &denied) || denied.Gate != string(policy.GateAgentLaunch) || denied.By != c.by || !strings.Contains(denied.Reason, c.reason):
				t.Errorf("got %v, want %s: %s", err, c.by, c.reason)
			}
		})
	}
}

func TestLaunchesAreCountedAndKeepState(t *testing.T) {
	g := newRig(t, Config{}, nil)
	once := puppet("other", `{"gate":"agent.launch","contains":"\"change\":true","verdict":"deny"}`, `{"gate":"agent.launch","verdict":"allow","count":true}`)
	if err := g.Launch(t.Context(), launching("s", once), false); err != nil {
		t.Error(err)
	}
	if err := g.Launch(t.Context(), launching("s", once), true); err == nil {
		t.Error("the change was allowed")
	}
	if got, want := g.Counts()["other"], (Counts{Allow: 1, Deny: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := string(g.states.kept["s other/0"]); got != "1" {
		t.Errorf("kept %q", got)
	}
	g.states.put = errors.New("the disk is full")
	var denied *DeniedError
	if err := g.Launch(t.Context(), launching("s", once), false); !errors.As(err, &denied) || !strings.Contains(denied.Reason, "state can't be kept") {
		t.Errorf("got %v", err)
	}
}
