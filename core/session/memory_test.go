package session

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// countingBox is a sandbox that counts kills.
type countingBox struct {
	*fakeBox
	kills atomic.Int64
	fails atomic.Bool
}

func (b *countingBox) OOMKills(ctx context.Context) (int64, error) {
	if b.fails.Load() {
		return 0, errors.New("nobody knows")
	}
	return b.kills.Load(), ctx.Err()
}

// countingBoxes gives out countingBoxes.
type countingBoxes struct {
	*boxes
	last *countingBox
}

func (c *countingBoxes) Start(ctx context.Context, spec SandboxSpec) (Sandbox, error) {
	sb, err := c.boxes.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	b, ok := sb.(*fakeBox)
	if !ok {
		return sb, nil
	}
	c.last = &countingBox{fakeBox: b}
	c.last.kills.Store(7) // of an earlier turn
	return c.last, nil
}

func TestAFailureForWantOfMemorySaysSo(t *testing.T) {
	failed := event.ToolResult{ID: "t", Tool: "Bash", Output: "Exit code 137", IsError: true}
	for name, c := range map[string]struct {
		happens []event.Data
		kills   int64
		fails   bool
		want    []event.Type
	}{
		"a tool was killed":              {[]event.Data{failed}, 1, false, []event.Type{event.TypeToolResult, event.TypeError}},
		"a tool failed":                  {[]event.Data{failed}, 0, false, []event.Type{event.TypeToolResult}},
		"nobody noticed":                 {[]event.Data{event.ToolResult{ID: "t"}}, 1, false, []event.Type{event.TypeToolResult}},
		"it is said once":                {[]event.Data{failed, failed}, 1, false, []event.Type{event.TypeToolResult, event.TypeError, event.TypeToolResult}},
		"the agent was killed":           {[]event.Data{event.Error{Code: "agent_exited"}}, 1, false, []event.Type{event.TypeError, event.TypeError}},
		"another error":                  {[]event.Data{event.Error{Code: "model_error"}}, 1, false, []event.Type{event.TypeError}},
		"what the sandbox does not know": {[]event.Data{failed}, 1, true, []event.Type{event.TypeToolResult}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				counting := &countingBoxes{boxes: h.boxes}
				h.Service.boxes = counting
				id := h.launched(func(_ context.Context, _ *fakeAgent, _ agent.TurnRequest, fn func(agent.Frame) error) error {
					synctest.Wait() // the count at the beginning was taken
					counting.last.kills.Add(c.kills)
					return emit(fn, append(slices.Clone(c.happens), completed())...)
				})
				counting.last.fails.Store(c.fails)
				turn := h.send(id, "hi")
				h.end(id, turn.Number)
				var got []event.Type
				for _, e := range h.wait(id, func(e event.Event) bool { return e.Data.Type() == event.TypeComplete }) {
					if d, ok := e.Data.(event.Error); ok && d.Code == "out_of_memory" &&
						d.Message != "a process was killed because the sandbox was out of memory; the limit is not enforced" {
						t.Errorf("it says %q", d.Message)
					}
					if _, ok := e.Data.(event.ToolResult); ok || e.Data.Type() == event.TypeError {
						got = append(got, e.Data.Type())
					}
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("got %v, want %v", got, c.want)
				}
			})
		})
	}
}
