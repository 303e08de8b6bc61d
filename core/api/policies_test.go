package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/guard"
	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
)

// trials notes what it is asked.
type trials struct {
	config preset.Config
	asked  guard.Question
	trial  guard.Trial
}

func (g *trials) Try(_ context.Context, c preset.Config, q guard.Question) (guard.Trial, error) {
	g.config, g.asked = c, q
	return g.trial, nil
}

func (*trials) Counts() map[string]guard.Counts {
	return map[string]guard.Counts{"path": {Allow: 5, Deny: 1}}
}

func (*trials) Operator() []preset.Policy {
	return []preset.Policy{{Name: "path", Params: json.RawMessage(`{"deny":["/x"]}`)}}
}

func serveTrials(t *testing.T, g *trials) string {
	t.Helper()
	_, h := New(Config{Provider: "default"}, Deps{Catalog: configs{[]preset.Config{{ID: "x", Cwd: "/workspace/x"}, {ID: "mine"}}}, Trials: g, Status: &host{}}, zap.NewNop())
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s.URL + "/api/policies"
}

func TestPoliciesTellHowTheyHaveJudged(t *testing.T) {
	status, body := send(t, http.MethodGet, serveTrials(t, &trials{}), "")
	const want = `{"policies":[{"name":"path","version":"","description":"Paths.","digest":"","gates":[],` +
		`"params_schema":{"type":"object","properties":{"deny":{"type":"array"}}},"operator":true,"params":{"deny":["/x"]},` +
		`"verdicts":{"allow":5,"deny":1,"ask":0,"rewrite":0}}],"total":1}` + "\n"
	if status != http.StatusOK || body != want {
		t.Errorf("%d\ngot  %swant %s", status, body, want)
	}
}

func TestADryRunPutsTheQuestionOfItsGate(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want guard.Question
		id   string
	}{
		"a call": {
			`{"config_id":"x","gate":"tool.call","tool":"Bash","arguments":{"command":"ls"}}`,
			guard.Question{Gate: policy.GateToolCall, Tool: "Bash", Input: json.RawMessage(`{"command":"ls"}`)},
			"x",
		},
		"a call without arguments": {
			`{"config":{"id":"inline"},"gate":"tool.call","tool":"TodoWrite"}`,
			guard.Question{Gate: policy.GateToolCall, Tool: "TodoWrite", Input: json.RawMessage(`{}`)},
			"inline",
		},
		"a path":     {`{"config_id":"x","gate":"path.access","path":"a"}`, guard.Question{Gate: policy.GatePathAccess, Op: "read", Path: "a"}, "x"},
		"a deletion": {`{"config_id":"x","gate":"path.access","op":"delete","path":"/a"}`, guard.Question{Gate: policy.GatePathAccess, Op: "delete", Path: "/a"}, "x"},
		"a name": {
			`{"config_id":"x","gate":"network.connect","host":"Example.ORG."}`,
			guard.Question{Gate: policy.GateNetworkConnect, Connection: guard.Connection{Host: "example.org", Port: 443, Scheme: "connect"}},
			"x",
		},
		"a launch": {
			`{"config_id":"x","gate":"agent.launch","provider":"local"}`,
			guard.Question{Gate: policy.GateAgentLaunch, Source: session.SourcePreset, Provider: "local"},
			"x",
		},
		"a launch of an own configuration with the host's provider": {
			`{"config_id":"mine","gate":"agent.launch"}`,
			guard.Question{Gate: policy.GateAgentLaunch, Source: session.SourceCustom, Provider: "default"},
			"mine",
		},
		"a launch of what came along": {
			`{"config":{"id":"x"},"gate":"agent.launch"}`,
			guard.Question{Gate: policy.GateAgentLaunch, Source: session.SourceInline, Provider: "default"},
			"x",
		},
		"an address": {
			`{"config_id":"x","gate":"network.connect","host":"::ffff:10.0.0.1","port":80}`,
			guard.Question{Gate: policy.GateNetworkConnect, Connection: guard.Connection{Host: "10.0.0.1", Port: 80, Scheme: "connect", Address: "10.0.0.1"}},
			"x",
		},
	} {
		g := &trials{trial: guard.Trial{
			Verdict: policy.Rewrite, By: "filter:f", Reason: "r", Rewrite: json.RawMessage(`{"a":1}`),
			Steps: []guard.Step{{By: "policy:path", Verdict: policy.Allow}, {By: "filter:f", Verdict: policy.Rewrite, Reason: "r"}},
		}}
		status, body := send(t, http.MethodPost, serveTrials(t, g)+"/check", c.body)
		asked, wanted := g.asked, c.want
		if string(asked.Input) != string(wanted.Input) || asked.Gate != wanted.Gate || asked.Tool != wanted.Tool || asked.Op != wanted.Op || asked.Path != wanted.Path ||
			asked.Connection != wanted.Connection || asked.Source != wanted.Source || asked.Provider != wanted.Provider || g.config.ID != c.id {
			t.Errorf("%s: asked %+v of %q, want %+v", name, asked, g.config.ID, wanted)
		}
		const want = `{"verdict":"rewrite","by":"filter:f","reason":"r","rewrite":{"a":1},"steps":[{"by":"policy:path","verdict":"allow","reason":""},` +
			`{"by":"filter:f","verdict":"rewrite","reason":"r"}]}` + "\n"
		if status != http.StatusOK || body != want {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

func TestADryRunRefusesHalfAQuestion(t *testing.T) {
	for body, want := range map[string]string{
		`{"config_id":"x","gate":"tool.call"}`:                               `"location":"body.tool"`,
		`{"config_id":"x","gate":"tool.call","tool":"Bash","arguments":[1]}`: `"location":"body.arguments"`,
		`{"config_id":"x","gate":"path.access"}`:                             `"location":"body.path"`,
		`{"config_id":"x","gate":"path.access","path":"a","op":"eat"}`:       `"location":"body.op"`,
		`{"config_id":"x","gate":"network.connect"}`:                         `"location":"body.host"`,
		`{"config_id":"x","gate":"network.connect","host":"a","port":70000}`: `"location":"body.port"`,
		`{"config_id":"x","gate":"archive.entry"}`:                           `"location":"body.gate"`,
		`{"config_id":"x","gate":"agent.launch","provider":"nowhere"}`:       `"location":"body.provider"`,
		`{"gate":"tool.call","tool":"x"}`:                                    `config_id or config is needed`,
		`{"config":{"max_turns":"x"},"gate":"tool.call","tool":"x"}`:         `"location":"body.config.max_turns"`,
	} {
		if status, got := send(t, http.MethodPost, serveTrials(t, &trials{})+"/check", body); status != 422 || !strings.Contains(got, want) {
			t.Errorf("%s: %d %s", body, status, got)
		}
	}
	if status, got := send(t, http.MethodPost, serveTrials(t, &trials{})+"/check", `{"config_id":"none","gate":"tool.call","tool":"x"}`); status != 404 {
		t.Errorf("%d %s", status, got)
	}
}
