package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk"
)

func steps(t Trial) string {
	lines := []string{}
	for _, s := range t.Steps {
		lines = append(lines, fmt.Sprintf("%s %s %s", s.By, s.Verdict, s.Reason))
	}
	return strings.Join(lines, "|")
}

func running(command string) Question {
	input, _ := json.Marshal(map[string]string{"command": command}) // a string is always JSON
	return Question{Gate: policy.GateToolCall, Tool: "Bash", Input: input}
}

func TestTryTellsWhoDecidesAndWhoWasAsked(t *testing.T) {
	for name, c := range map[string]struct {
		operator, own []preset.Policy
		filters       map[string]*filter
		q             Question
		want          Trial
		steps         string
	}{
		"nobody minds": {
			operator: []preset.Policy{puppet("puppet")}, q: running("ls"), want: Trial{Verdict: policy.Allow}, steps: "policy:puppet allow ",
		},
		"a policy denies": {
			operator: []preset.Policy{puppet("puppet")}, own: []preset.Policy{puppet("other", `{"gate":"tool.call","contains":"rm","verdict":"deny","reason":"no rm"}`)},
			q: running("rm x"), want: Trial{Verdict: policy.Deny, By: "policy:other", Reason: "no rm"}, steps: "policy:puppet allow |policy:other deny no rm",
		},
		"a policy denies a path that a command names": {
			own: []preset.Policy{puppet("other", `{"gate":"path.access","contains":"/etc/","verdict":"deny","reason":"not there"}`)},
			q:   running("cat /etc/x"), want: Trial{Verdict: policy.Deny, By: "policy:other", Reason: "not there"}, steps: "policy:other allow |policy:other deny not there",
		},
		"a policy asks": {
			own: []preset.Policy{puppet("other", `{"gate":"tool.call","verdict":"ask","reason":"sure?"}`)},
			q:   running("ls"), want: Trial{Verdict: policy.Ask, By: "policy:other", Reason: "sure?"}, steps: "policy:other ask sure?",
		},
		"a filter rewrites": {
			own: []preset.Policy{puppet("other")}, filters: map[string]*filter{"f": rewriting(`{"command":"ls -l"}`)}, q: running("ls"),
			want:  Trial{Verdict: policy.Rewrite, By: "filter:f", Reason: "rewritten", Rewrite: json.RawMessage(`{"command":"ls -l"}`)},
			steps: "policy:other allow |filter:f rewrite rewritten|policy:other allow ",
		},
		"a filter fails": {
			filters: map[string]*filter{"f": answering(sdk.Outcome{}, sdk.ErrPluginExited)}, q: running("ls"),
			want: Trial{Verdict: policy.Deny, By: "filter:f", Reason: "the filter failed: its process ended"}, steps: "filter:f deny the filter failed: its process ended",
		},
		"the host denies": {
			q:    Question{Gate: policy.GateToolCall, Tool: "WebSearch", Input: json.RawMessage(`{}`)},
			want: Trial{Verdict: policy.Deny, By: "host", Reason: "the agent may not use WebSearch: it is not among its allowed tools"}, steps: "host deny the agent may not use WebSearch: it is not among its allowed tools",
		},
		"a path": {
			own: []preset.Policy{puppet("puppet", `{"gate":"path.access","contains":"\"path\":\"/workspace/a\"","verdict":"deny","reason":"a is closed"}`)},
			q:   Question{Gate: policy.GatePathAccess, Op: "write", Path: "b/../a"}, want: Trial{Verdict: policy.Deny, By: "policy:puppet", Reason: "a is closed"}, steps: "policy:puppet deny a is closed",
		},
		"a path that is fine": {
			own: []preset.Policy{puppet("puppet")}, q: Question{Gate: policy.GatePathAccess, Op: "read", Path: "/etc/x"}, want: Trial{Verdict: policy.Allow}, steps: "policy:puppet allow ",
		},
		"a connection": {
			own:   []preset.Policy{puppet("puppet", `{"gate":"network.connect","contains":"\"host\":\"evil.example\",\"port\":443","verdict":"ask","reason":"hm"}`)},
			q:     Question{Gate: policy.GateNetworkConnect, Connection: Connection{Host: "evil.example", Port: 443, Scheme: "connect"}},
			want:  Trial{Verdict: policy.Deny, By: "policy:puppet", Reason: "the policy answers ask, which a connection can't follow"},
			steps: "policy:puppet ask hm|policy:puppet deny the policy answers ask, which a connection can't follow",
		},
		"a connection that is fine": {
			q: Question{Gate: policy.GateNetworkConnect, Connection: Connection{Host: "a.example", Port: 443}}, want: Trial{Verdict: policy.Allow},
		},
		"a launch": {
			own: []preset.Policy{puppet("puppet", `{"gate":"agent.launch","contains":"\"config_id\":\"inline-dry-run\"","verdict":"deny","reason":"presets only"}`)},
			q:   Question{Gate: policy.GateAgentLaunch, Source: session.SourceInline, Provider: "local"}, want: Trial{Verdict: policy.Deny, By: "policy:puppet", Reason: "presets only"},
			steps: "policy:puppet deny presets only",
		},
		"a launch that is fine": {
			own: []preset.Policy{puppet("puppet", `{"gate":"agent.launch","contains":"\"source\":\"inline\"","verdict":"deny"}`)},
			q:   Question{Gate: policy.GateAgentLaunch, Source: session.SourceCustom, Provider: "local"}, want: Trial{Verdict: policy.Allow}, steps: "policy:puppet allow ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Policies: c.operator}
			for f := range c.filters {
				cfg.Filters = append(cfg.Filters, f)
			}
			g := newRig(t, cfg, c.filters)
			config := scope("", c.own...).Config
			got, err := g.Try(t.Context(), config, c.q)
			if err != nil || got.Verdict != c.want.Verdict || got.By != c.want.By || got.Reason != c.want.Reason || string(got.Rewrite) != string(c.want.Rewrite) || steps(got) != c.steps {
				t.Errorf("%v\ngot  %s %s %q %s [%s]\nwant %s %s %q %s [%s]", err, got.Verdict, got.By, got.Reason, got.Rewrite, steps(got), c.want.Verdict, c.want.By, c.want.Reason, c.want.Rewrite, c.steps)
			}
			if len(g.Counts()) != 0 || len(g.states.kept) != 0 {
				t.Errorf("a dry run left something: %v %v", g.Counts(), g.states.kept)
			}
		})
	}
	g := newRig(t, Config{}, nil)
	if _, err := g.Try(t.Context(), preset.Config{}, Question{Gate: policy.GateArchiveEntry}); err == nil || !strings.Contains(err.Error(), "archive.entry") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Try(ctx, scope("").Config, running("ls")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestTryDecidesAsASessionDoes puts the same calls to both.
func TestTryDecidesAsASessionDoes(t *testing.T) {
	own := []preset.Policy{
		puppet("puppet", `{"gate":"tool.call","contains":"push","verdict":"ask","reason":"sure?"}`, `{"gate":"path.access","contains":"/root","verdict":"deny","reason":"closed"}`),
		puppet("other", `{"gate":"tool.call","contains":"sudo","verdict":"rewrite","rewrite":{"command":"ls"}}`),
	}
	g := newRig(t, Config{}, nil)
	for _, command := range []string{"ls", "git push", "cat /root/x", "sudo ls", "sudo git push", "if"} {
		q := running(command)
		ask := fetch("")
		ask.Tool, ask.Input = q.Tool, q.Input
		j := g.Call(t.Context(), scope("s", own...), ask)
		got, err := g.Try(t.Context(), scope("", own...).Config, q)
		ruling := map[policy.Decision]session.Ruling{policy.Allow: session.RulingAllow, policy.Rewrite: session.RulingAllow, policy.Ask: session.RulingAsk, policy.Deny: session.RulingDeny}
		if err != nil || ruling[got.Verdict] != j.Ruling || string(got.Rewrite) != string(j.Rewrite) {
			t.Errorf("%s: a session %s %s, the dry run %s %s (%v)", command, j.Ruling, j.Rewrite, got.Verdict, got.Rewrite, err)
		}
	}
}

func TestVerdictsAreCounted(t *testing.T) {
	g := newRig(t, Config{Policies: []preset.Policy{
		puppet("puppet", `{"gate":"tool.call","contains":"ask","verdict":"ask"}`, `{"gate":"tool.call","contains":"deny","verdict":"deny"}`,
			`{"gate":"tool.call","contains":"rewrite","verdict":"rewrite","rewrite":{"url":"ask"}}`),
	}}, nil)
	for _, url := range []string{"a", "b", "ask", "deny", "rewrite"} {
		g.Call(t.Context(), scope("s"), fetch(url))
	}
	if got, want := g.Counts()["puppet"], (Counts{Allow: 2, Ask: 2, Deny: 1, Rewrite: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := g.Operator(); len(got) != 1 || got[0].Name != "puppet" {
		t.Errorf("got %v", got)
	}
}
