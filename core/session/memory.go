package session

import (
	"context"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// memoryPatience bounds how long a count of kills may hold up a turn's stream.
const memoryPatience = 2 * time.Second

// MemoryCounter is a Sandbox that knows how many of its processes the kernel killed because it was out of memory. It fails when it can't
// know.
type MemoryCounter interface {
	OOMKills(ctx context.Context) (int64, error)
}

// memoryWatch tells when a failure in a turn was one of memory, which a tool's "exit 137" does not say. A nil one never does.
type memoryWatch struct {
	counter MemoryCounter
	// limit is how the sandbox's memory is limited, in words.
	limit string
	// ready is closed when before is the count at the turn's beginning, or known says that there is none.
	ready  chan struct{}
	before int64
	known  bool
}

// watchMemory begins to count; it does not hold up the turn.
func watchMemory(ctx context.Context, t *turn, b *box) *memoryWatch {
	counter, ok := b.Sandbox.(MemoryCounter)
	if !ok {
		return nil
	}
	w := &memoryWatch{counter: counter, limit: agent.Line(b.Info().Limits["memory"]), ready: make(chan struct{})}
	t.asking.Go(func() {
		defer close(w.ready)
		n, err := w.count(ctx)
		w.before, w.known = n, err == nil
	})
	return w
}

func (w *memoryWatch) count(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, memoryPatience)
	defer cancel()
	return w.counter.OOMKills(ctx)
}

// explain returns the error that explains d, when d is a failure and processes were killed since the last one. The turn goes on. It is
// called from one goroutine at a time.
func (w *memoryWatch) explain(ctx context.Context, d event.Data) (event.Error, bool) {
	if w == nil || !maybeOfMemory(d) {
		return event.Error{}, false
	}
	select {
	case <-w.ready:
	case <-ctx.Done():
		return event.Error{}, false
	}
	if !w.known {
		return event.Error{}, false
	}
	n, err := w.count(ctx)
	if err != nil || n <= w.before {
		return event.Error{}, false
	}
	w.before = n
	message := "a process was killed because the sandbox was out of memory"
	if w.limit != "" {
		message += "; the limit is " + w.limit
	}
	return event.Error{Code: "out_of_memory", Message: message}, true
}

// maybeOfMemory says whether d is what a process that was killed looks like.
func maybeOfMemory(d event.Data) bool {
	switch d := d.(type) {
	case event.ToolResult:
		return d.IsError
	case event.Error:
		return d.Code == "agent_exited"
	default:
		return false
	}
}
