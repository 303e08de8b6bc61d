package session

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

func idle(c *Config) { c.IdleTimeout, c.CleanupInterval = 30*time.Minute, 5*time.Minute }

func TestIdleSandboxesAreFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, idle)
		id := h.launched(polite)
		h.end(id, h.send(id, "hi").Number)
		time.Sleep(29 * time.Minute) // on the bubble's clock
		synctest.Wait()
		if h.boxes.open() != 1 || h.status(id) != StatusRunning {
			t.Errorf("freed too early: %d, %s", h.boxes.open(), h.status(id))
		}
		time.Sleep(10 * time.Minute) // on the bubble's clock
		synctest.Wait()
		if h.boxes.open() != 0 || h.status(id) != StatusAsleep {
			t.Errorf("not freed: %d, %s", h.boxes.open(), h.status(id))
		}
		// The next message wakes it with all that it knew.
		turn := h.send(id, "again")
		h.end(id, turn.Number)
		first, second := h.boxes.all[0].agent.specs[0], h.boxes.all[1].agent.specs[0]
		if !second.Resume || second.TranscriptID != first.TranscriptID || h.boxes.all[1].spec.Volume != h.boxes.all[0].spec.Volume {
			t.Errorf("it woke with %+v", second)
		}
		if h.status(id) != StatusRunning {
			t.Errorf("it is %s", h.status(id))
		}
		var states []string
		h.wait(id, func(e event.Event) bool {
			if s, ok := e.Data.(event.Status); ok {
				states = append(states, s.Status+" "+s.Reason)
			}
			return e.Turn == turn.Number && e.Data.Type() == event.TypeComplete
		})
		if len(states) != 3 || states[1] != "asleep idle" || states[2] != "running " {
			t.Errorf("its log says %q", states)
		}
	})
}

func TestUsedSandboxesAreNotFreed(t *testing.T) {
	const long = 5 * time.Hour
	for _, tc := range []struct {
		name string
		use  func(t *testing.T, h *harness, id string) (end func())
	}{
		{"in a turn", func(t *testing.T, h *harness, id string) func() {
			turn := h.send(id, "hi")
			return func() {
				if err := h.Interrupt(context.Background(), id); err != nil {
					t.Error(err)
				}
				h.end(id, turn.Number)
			}
		}},
		{"with an approval open", func(_ *testing.T, h *harness, id string) func() {
			h.guard.call = rules(Judgement{Ruling: RulingAsk})
			h.boxes.last().agent.script = asker(make(chan agent.Answer, 1), call("a"))
			turn := h.send(id, "hi")
			return func() {
				h.approve(id, Decision{Allow: true})
				h.end(id, turn.Number)
			}
		}},
		{"with a lease", func(t *testing.T, h *harness, id string) func() {
			release, err := h.Acquire(context.Background(), id)
			if err != nil {
				t.Fatal(err)
			}
			return func() {
				release()
				release() // twice is once
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, idle, func(c *Config) { c.ApprovalTimeout = 2 * long })
				id := h.launched(busy)
				end := tc.use(t, h, id)
				time.Sleep(long) // on the bubble's clock
				synctest.Wait()
				if h.boxes.open() != 1 {
					t.Fatal("freed in use")
				}
				end()
				time.Sleep(29 * time.Minute) // on the bubble's clock
				synctest.Wait()
				if h.boxes.open() != 1 {
					t.Error("freed too early after the use")
				}
				time.Sleep(10 * time.Minute) // on the bubble's clock
				synctest.Wait()
				if h.boxes.open() != 0 {
					t.Error("never freed")
				}
			})
		})
	}
}

func TestWithoutIdleTimeoutNothingIsFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.launched(polite)
		time.Sleep(1000 * time.Hour) // on the bubble's clock
		synctest.Wait()
		if h.boxes.open() != 1 {
			t.Error("freed")
		}
	})
}

// TestASlowStartDoesNotHoldUpTheSweep: one session's provider hangs, the others' idle sandboxes are freed all the same.
func TestASlowStartDoesNotHoldUpTheSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, idle, func(c *Config) { c.LaunchTimeout = 100 * time.Hour })
		slow, quick := h.launched(polite), h.launched(polite)
		// Idle as it is, somebody holds its gate.
		l, err := h.live(context.Background(), slow)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.lock(context.Background()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // on the bubble's clock
		synctest.Wait()
		if h.status(quick) != StatusAsleep || h.status(slow) != StatusRunning {
			t.Errorf("%s, %s", h.status(quick), h.status(slow))
		}
		l.unlock()
	})
}

func TestAcquireWakesWithoutTheAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(polite)
		h.sleep(id)
		release, err := h.Acquire(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		if h.boxes.open() != 1 || len(h.boxes.last().agent.specs) != 0 || h.status(id) != StatusRunning {
			t.Errorf("%d sandboxes, specs %+v", h.boxes.open(), h.boxes.last().agent.specs)
		}
		// A turn starts the agent in the same sandbox.
		h.end(id, h.send(id, "hi").Number)
		if h.boxes.count() != 2 || len(h.boxes.last().agent.specs) != 1 {
			t.Errorf("%d sandboxes, specs %+v", h.boxes.count(), h.boxes.last().agent.specs)
		}
	})
}

func TestALostSandboxIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(polite)
		h.boxes.last().lose("out of memory")
		synctest.Wait()
		rec, err := h.Get(context.Background(), id)
		if err != nil || rec.Status != StatusAsleep || rec.Reason != "sandbox lost: out of memory" {
			t.Errorf("got %+v, %v", rec, err)
		}
		if kept, _ := h.mem.record(t, id); kept.Status != StatusAsleep {
			t.Errorf("kept %+v", kept)
		}
		if h.boxes.open() != 0 {
			t.Error("what is left of it was not removed")
		}
		h.end(id, h.send(id, "hi").Number)
	})
}

// TestALostSandboxWithAProviderThatFails must not look as if it were running.
func TestALostSandboxAndNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(polite)
		h.boxes.on(func(context.Context, SandboxSpec) error { return errFake })
		l, err := h.live(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		// The message comes before the watcher does.
		if err := l.lock(context.Background()); err != nil {
			t.Fatal(err)
		}
		h.boxes.last().lose("exited")
		turn := h.send(id, "hi")
		l.unlock()
		if complete, _ := h.end(id, turn.Number); complete.Status != event.CompleteFailed {
			t.Errorf("got %+v", complete)
		}
		synctest.Wait()
		if h.status(id) != StatusAsleep {
			t.Errorf("it is %s without a sandbox", h.status(id))
		}
	})
}
