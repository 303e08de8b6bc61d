package sandbox

import (
	"context"
	"errors"
	"testing"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// watched is a provider that can measure and tell, and knows one sandbox.
type watched struct {
	sdk.Provider
	id    string
	kills int64
}

func (w watched) Stats(_ context.Context, req sdk.StatsRequest, fn func(sdk.Stats) error) error {
	if req.ID != w.id {
		return sdk.ErrNotFound
	}
	return fn(sdk.Stats{PIDs: 3, OOMKills: w.kills})
}

func (w watched) Logs(_ context.Context, req sdk.LogsRequest, fn func(sdk.LogLine) error) error {
	if req.ID != w.id || req.Tail != 7 || !req.Follow {
		return sdk.ErrNotFound
	}
	return fn(sdk.LogLine{Text: "hello"})
}

func TestASessionsSandboxIsObserved(t *testing.T) {
	p := &Pool{boxes: map[string]*Sandbox{
		"one":  {id: "sb-1", provider: watched{id: "sb-1", kills: 4}},
		"mute": {id: "sb-2", provider: struct{ sdk.Provider }{}},
	}}
	var pids int64
	if err := p.Stats(t.Context(), "one", 0, func(s sdk.Stats) error { pids = s.PIDs; return nil }); err != nil || pids != 3 {
		t.Errorf("%d, %v", pids, err)
	}
	var text string
	if err := p.Logs(t.Context(), "one", sdk.LogsRequest{Tail: 7, Follow: true}, func(l sdk.LogLine) error { text = l.Text; return nil }); err != nil ||
		text != "hello" {
		t.Errorf("%q, %v", text, err)
	}
	if n, err := p.boxes["one"].OOMKills(t.Context()); err != nil || n != 4 {
		t.Errorf("%d kills, %v", n, err)
	}
	for id, want := range map[string]error{"mute": sdk.ErrUnimplemented, "none": ErrNoSandbox} {
		if err := p.Stats(t.Context(), id, 0, func(sdk.Stats) error { return nil }); !errors.Is(err, want) {
			t.Errorf("Stats of %s: %v", id, err)
		}
		if err := p.Logs(t.Context(), id, sdk.LogsRequest{}, func(sdk.LogLine) error { return nil }); !errors.Is(err, want) {
			t.Errorf("Logs of %s: %v", id, err)
		}
	}
}
