package guard

import (
	"context"
	"errors"
	"testing"

	"github.com/agcluster/agcluster/core/preset"
)

func TestConnectionsAreJudged(t *testing.T) {
	g := newRig(t, Config{Policies: []preset.Policy{puppet("puppet",
		`{"gate":"network.connect","contains":"{\"host\":\"bad.example\",\"port\":443,\"scheme\":\"connect\"}","verdict":"deny","reason":"not there"}`,
		`{"gate":"network.connect","contains":"\"scheme\":\"http\",\"method\":\"PUT\",\"address\":\"192.0.2.1\"","verdict":"deny"}`,
		`{"gate":"network.connect","contains":"dear","verdict":"ask","reason":"sure?"}`,
		`{"gate":"network.connect","contains":"turn","verdict":"rewrite","rewrite":{}}`,
		`{"gate":"network.connect","contains":"loop","loop":true}`,
		`{"gate":"tool.call","verdict":"deny"}`)}}, nil)
	for name, c := range map[string]struct {
		in     Connection
		by     string
		reason string
	}{
		"allowed":    {in: Connection{Host: "good.example", Port: 443, Scheme: "connect"}},
		"denied":     {Connection{Host: "bad.example", Port: 443, Scheme: "connect"}, "policy:puppet", "not there"},
		"a method":   {Connection{Host: "192.0.2.1", Port: 80, Scheme: "http", Method: "PUT", Address: "192.0.2.1"}, "policy:puppet", "denied by the policy"},
		"a question": {Connection{Host: "dear.example", Port: 443, Scheme: "connect"}, "policy:puppet", "the policy answers ask, which a connection can't follow"},
		"a rewrite":  {Connection{Host: "turn.example", Port: 443, Scheme: "connect"}, "policy:puppet", "policy puppet: it rewrites at the gate network.connect"},
		"no answer":  {Connection{Host: "loop.example", Port: 443, Scheme: "connect"}, "policy:puppet", "policy puppet: no answer within 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sessions{}
			err := NewNetwork(g.Guard, s).Connect(t.Context(), "s", c.in)
			if len(s.recorded) != 0 {
				t.Errorf("recorded %+v: that is the caller's", s.recorded)
			}
			if c.by == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var denied *DeniedError
			if !errors.As(err, &denied) {
				t.Fatalf("got %v", err)
			}
			if gate, by, reason := denied.Denied(); gate != "network.connect" || by != c.by || reason != c.reason {
				t.Errorf("got %s %s %q", gate, by, reason)
			}
		})
	}
}

func TestAConnectionThatCanNotBeJudgedIsNotAllowed(t *testing.T) {
	g := newRig(t, Config{}, nil)
	gone := errors.New("gone")
	if err := NewNetwork(g.Guard, &sessions{scopeErr: gone}).Connect(t.Context(), "s", Connection{}); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g = newRig(t, Config{Policies: []preset.Policy{puppet("puppet", `{"gate":"network.connect","verdict":"allow"}`)}}, nil)
	if err := NewNetwork(g.Guard, &sessions{}).Connect(ctx, "s", Connection{Host: "a.example"}); err == nil {
		t.Error("a connection whose client has gone was allowed")
	}
}
