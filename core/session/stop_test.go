package session

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

func TestStopTakesEverything(t *testing.T) {
	for _, asleep := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t)
			id := h.launched(polite)
			h.end(id, h.send(id, "hi").Number)
			if asleep {
				h.sleep(id)
			}
			followed := make(chan error, 1)
			go func() {
				followed <- h.Follow(context.Background(), id, 0, false, func(event.Event, bool) error { return nil })
			}()
			synctest.Wait()
			if err := h.Stop(context.Background(), id); err != nil {
				t.Error(err)
			}
			if err := <-followed; err != nil {
				t.Errorf("its stream ended with %v", err)
			}
			if _, ok := h.mem.record(t, id); ok || len(h.mem.events[id]) > 0 || len(h.boxes.volumes) > 0 || h.boxes.open() > 0 {
				t.Error("something is left")
			}
			for name, call := range map[string]func() error{
				"get":       func() error { _, err := h.Get(context.Background(), id); return err },
				"authorize": func() error { _, err := h.Authorize(context.Background(), id, userKey); return err },
				"send":      func() error { _, err := h.Send(context.Background(), id, "x"); return err },
				"stop":      func() error { return h.Stop(context.Background(), id) },
				"interrupt": func() error { return h.Interrupt(context.Background(), id) },
				"acquire":   func() error { _, err := h.Acquire(context.Background(), id); return err },
				"approve":   func() error { return h.Approve(context.Background(), id, "ask-1", Decision{}) },
				"history":   func() error { _, err := h.History(context.Background(), id, 0, 1); return err },
				"record":    func() error { return h.Record(context.Background(), id, event.Verdict{}) },
				"follow":    func() error { return h.Follow(context.Background(), id, 0, false, nil) },
			} {
				if err := call(); !errors.Is(err, ErrNotFound) {
					t.Errorf("%s: got %v", name, err)
				}
			}
			if key, ok := h.Key(id); ok {
				t.Errorf("the key is still there: %q", key)
			}
		})
	}
}

func TestStopAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(busy)
		h.send(id, "hi")
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if err := h.Stop(context.Background(), id); err != nil && !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// TestStopGoesOnWithoutItsClient is a client that goes away while the sandbox is being removed.
func TestStopGoesOnWithoutItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(polite)
		release := make(chan struct{})
		h.boxes.last().close = func(context.Context) error { <-release; return nil }
		ctx, cancel := context.WithCancel(context.Background())
		stopped := make(chan error, 1)
		go func() { stopped <- h.Stop(ctx, id) }()
		synctest.Wait()
		cancel()
		if err := <-stopped; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if h.status(id) != StatusStopping {
			t.Errorf("it is %s", h.status(id))
		}
		if _, err := h.Send(context.Background(), id, "x"); !errors.Is(err, ErrStopping) {
			t.Errorf("send: %v", err)
		}
		if _, err := h.Acquire(context.Background(), id); !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrStopping) {
			t.Errorf("acquire: %v", err)
		}
		close(release)
		synctest.Wait()
		if _, ok := h.mem.record(t, id); ok {
			t.Error("it was not removed")
		}
	})
}

func TestAStopThatFailsCanBeRepeated(t *testing.T) {
	for _, tc := range []struct {
		name string
		// breakIt makes the stop fail, mend lets the next one succeed.
		breakIt, mend func(h *harness)
	}{
		{
			"the volume can't be removed",
			func(h *harness) { h.boxes.onRemove(func(context.Context) error { return errFake }) },
			func(h *harness) { h.boxes.onRemove(nil) },
		},
		{
			"the removal of the volume hangs",
			func(h *harness) { h.boxes.onRemove(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }) },
			func(h *harness) { h.boxes.onRemove(nil) },
		},
		{
			"the record can't be deleted",
			func(h *harness) {
				h.mem.failing(func(op string, _ []event.Event) error {
					if op == "delete" {
						return errFake
					}
					return nil
				})
			},
			func(h *harness) { h.mem.failing(nil) },
		},
	} {
		for _, restart := range []bool{false, true} {
			name := tc.name
			if restart {
				name += ", by a restart"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newHarness(t)
					id := h.launched(busy)
					h.send(id, "hi")
					tc.breakIt(h)
					began := time.Now()
					if err := h.Stop(context.Background(), id); err == nil || time.Since(began) > removeTimeout {
						t.Errorf("got %v after %v", err, time.Since(began))
					}
					if h.boxes.open() != 0 {
						t.Error("the sandbox still runs")
					}
					if rec, ok := h.mem.record(t, id); !ok || rec.Status != StatusStopping {
						t.Errorf("kept %+v", rec)
					}
					if restart {
						if err := h.Close(context.Background()); err != nil {
							t.Error(err)
						}
						h.log.Close()
						tc.mend(h)
						h.up()
					} else {
						tc.mend(h)
						if err := h.Stop(context.Background(), id); err != nil {
							t.Error(err)
						}
					}
					if _, ok := h.mem.record(t, id); ok {
						t.Error("it is still there")
					}
				})
			})
		}
	}
}

// TestStopWorksWhenTheStoreDoesNot: that nothing can be written is no reason to let an agent run on.
func TestStopWorksWhenTheStoreDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(deaf)
		h.send(id, "hi")
		synctest.Wait()
		h.mem.failing(func(string, []event.Event) error { return errFake })
		if err := h.Stop(context.Background(), id); !errors.Is(err, errFake) {
			t.Errorf("got %v", err)
		}
		if h.boxes.open() != 0 {
			t.Error("the agent runs on")
		}
		h.mem.failing(nil)
		if err := h.Stop(context.Background(), id); err != nil {
			t.Error(err)
		}
		delete(h.mem.ever, id) // its turn's end could not be kept, and need not be any more
	})
}

// TestStopOfATurnThatDoesNotEnd is a turn stuck in something that does not care for its context.
func TestStopOfATurnThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		hang := make(chan struct{})
		id := h.launched(func(context.Context, *fakeAgent, agent.TurnRequest, func(agent.Frame) error) error {
			<-hang
			return agent.ErrGone
		})
		h.send(id, "hi")
		synctest.Wait()
		began := time.Now()
		if err := h.Stop(context.Background(), id); err != nil || time.Since(began) > h.cfg.InterruptTimeout {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		close(hang)
		synctest.Wait()
		if _, ok := h.mem.record(t, id); ok {
			t.Error("the turn brought the record back")
		}
		delete(h.mem.ever, id) // its turn has no end, because there is no log for it any more
	})
}

func TestASandboxThatCannotBeRemovedDoesNotHoldUpStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(polite)
		h.boxes.last().close = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		began := time.Now()
		if err := h.Stop(context.Background(), id); err != nil || time.Since(began) > freeTimeout {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

func TestCloseReturnsWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		hang := make(chan struct{})
		id := h.launched(func(context.Context, *fakeAgent, agent.TurnRequest, func(agent.Frame) error) error {
			<-hang
			return agent.ErrGone
		})
		h.send(id, "hi")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		began := time.Now()
		if err := h.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		close(hang)
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestAFollowerThatComesLateEnds puts Follow at every moment of a removal.
func TestAFollowerThatComesLateEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(polite)
		l, err := h.live(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Stop(context.Background(), id); err != nil {
			t.Fatal(err)
		}
		// As if the session had been looked up a moment before it went.
		h.mu.Lock()
		h.sessions[id] = l
		h.mu.Unlock()
		if err := h.Follow(context.Background(), id, 0, false, func(event.Event, bool) error { return nil }); err != nil {
			t.Errorf("got %v", err)
		}
		if err := h.keep(context.Background(), l); !errors.Is(err, ErrNotFound) {
			t.Errorf("a late write: %v", err)
		}
		h.mu.Lock()
		delete(h.sessions, id)
		h.mu.Unlock()
	})
}

// TestAReadDuringARemovalBringsNothingBack looks a session up in the store just before it is deleted there.
func TestAReadDuringARemovalBringsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(polite)
		if err := h.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		h.log.Close()
		h.up()
		rec, _ := h.mem.record(t, id)
		// What the slow reader has read, it registers after the removal.
		h.mu.Lock()
		drops := h.drops
		h.mu.Unlock()
		if err := h.Stop(context.Background(), id); err != nil {
			t.Error(err)
		}
		if l := h.register(rec, drops); l != nil {
			t.Error("a removed session is live again")
		}
		if _, err := h.Get(context.Background(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func TestUnknownSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		if err := h.Stop(context.Background(), "conv-none"); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
		h.Meter("conv-none", event.Usage{InputTokens: 1})
		if _, err := New(Config{Secret: []byte("short")}, h.mem, h.log, h.guard, h.boxes, nil); err == nil || !strings.Contains(err.Error(), "32 bytes") {
			t.Errorf("got %v", err)
		}
	})
}

// TestAStoppedSessionDoesNotWakeUp is a sandbox that is ready just after its session was stopped.
func TestAStoppedSessionDoesNotWakeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(polite)
		h.sleep(id)
		started, remove := make(chan struct{}), make(chan struct{})
		h.boxes.on(func(context.Context, SandboxSpec) error { <-started; return nil })
		h.boxes.onRemove(func(context.Context) error { <-remove; return nil })
		acquired := make(chan error, 1)
		go func() {
			_, err := h.Acquire(context.Background(), id)
			acquired <- err
		}()
		synctest.Wait()
		stopped := make(chan error, 1)
		go func() { stopped <- h.Stop(context.Background(), id) }()
		synctest.Wait()
		close(started)
		if err := <-acquired; !errors.Is(err, ErrStopping) {
			t.Errorf("acquire: got %v", err)
		}
		synctest.Wait()
		if h.status(id) != StatusStopping {
			t.Errorf("it is %s", h.status(id))
		}
		if _, err := h.Send(context.Background(), id, "hi"); !errors.Is(err, ErrStopping) {
			t.Errorf("send: got %v", err)
		}
		close(remove)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

// TestALeaseThatComesTooLateIsGivenBack, or the sandbox would never be idle again.
func TestALeaseThatComesTooLateIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, idle)
		id := h.launched(polite)
		h.sleep(id)
		started := make(chan struct{})
		h.boxes.on(func(context.Context, SandboxSpec) error { <-started; return nil })
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := h.Acquire(ctx, id); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		h.boxes.on(nil)
		close(started)
		time.Sleep(time.Hour) // on the bubble's clock
		synctest.Wait()
		if h.boxes.open() != 0 {
			t.Error("its sandbox is never freed")
		}
	})
}
