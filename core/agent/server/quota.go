package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// slack is how much a turn may add, in bytes, that begins over the limit: its own transcript grows, too.
const slack = 1 << 20

// quota holds one turn to the storage limit: it ends the turn when a tool call takes it over. Calls of a turn that is over already are
// the host's to judge, by what each ask says.
type quota struct {
	storage   *storage
	interrupt func()

	mu sync.Mutex
	// allowed is what may be stored in this turn: the limit, or what was there before, with some slack. 0 is not known yet.
	allowed int64
	// running are the tool calls that have no result yet.
	running map[string]struct{}
	passed  *agent.Disk
}

func newQuota(s *storage, interrupt func()) *quota {
	return &quota{storage: s, interrupt: interrupt, running: map[string]struct{}{}}
}

// watch looks at the storage until stop is called, which waits for it.
func (q *quota) watch(ctx context.Context) (stop func()) {
	if q.storage.limit == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			q.storage.count(ctx)
			q.look(q.storage.now())
			select {
			case <-ctx.Done():
				return
			case <-time.After(q.storage.pause()):
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// ask is what an ask tells the host, nil without a limit.
func (q *quota) ask(ctx context.Context, stage agent.Stage) *agent.Disk {
	if q.storage.limit == 0 {
		return nil
	}
	if stage == agent.StageResult {
		// Whatever the tool did, it has done it by now.
		q.storage.touch(0)
	}
	d := q.storage.judged(ctx)
	q.look(d)
	return &d
}

// event notes which tool calls run.
func (q *quota) event(d event.Data) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch d := d.(type) {
	case event.ToolUse:
		q.running[d.ID] = struct{}{}
	case event.ToolResult:
		delete(q.running, d.ID)
	}
}

// look ends the turn when a tool call has passed what is allowed.
func (q *quota) look(d agent.Disk) {
	q.mu.Lock()
	if q.allowed == 0 {
		q.allowed = d.Limit
		if d.Over() {
			q.allowed = d.Used + slack
		}
	}
	over := d.Used > q.allowed && len(q.running) > 0 && q.passed == nil
	if over {
		q.passed = &d
	}
	q.mu.Unlock()
	if over {
		q.interrupt()
	}
}

// exceeded is the turn's error when it was ended here.
func (q *quota) exceeded() (event.Error, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.passed == nil {
		return event.Error{}, false
	}
	return event.Error{
		Code: "storage_exceeded", Message: fmt.Sprintf("the turn was ended because it stored too much: %s; delete files to go on", q.passed),
	}, true
}
