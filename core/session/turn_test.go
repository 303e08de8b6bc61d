package session

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// TestEveryTurnEndsOnce is the table of all the ways in which a turn can end. Whichever it is, its stream gets one Complete within
// bounded time, and the session takes the next message.
func TestEveryTurnEndsOnce(t *testing.T) {
	interrupt := func(t *testing.T, h *harness, id string) {
		if err := h.Interrupt(context.Background(), id); err != nil {
			t.Error(err)
		}
	}
	var hang chan struct{} // what a provider waits for that cares for nothing else
	for _, tc := range []struct {
		name   string
		script script
		// asleep frees the sandbox before the message, so that the turn has to wake it.
		asleep bool
		start  func(context.Context, SandboxSpec) error
		// prepare changes the box that the turn gets.
		prepare func(b *fakeBox)
		store   func(op string, events []event.Event) error
		act     func(t *testing.T, h *harness, id string)
		status  string
		code    string
		message string
		within  time.Duration
		// fresh says that the next turn gets another sandbox.
		fresh bool
	}{
		{name: "by itself", script: polite, status: event.CompleteOK},
		{name: "waking first", script: polite, asleep: true, status: event.CompleteOK, fresh: true},
		{
			name:   "failing by itself",
			script: says(event.Error{Code: "model_error", Message: "m"}, event.Complete{Status: event.CompleteFailed}),
			status: event.CompleteFailed, code: "model_error",
		},
		{
			name:   "out of round trips",
			script: says(event.Complete{Status: event.CompleteMaxTurns}), status: event.CompleteMaxTurns,
		},
		{
			name: "stream broken", script: func(context.Context, *fakeAgent, agent.TurnRequest, func(agent.Frame) error) error {
				return agent.ErrGone
			}, status: event.CompleteFailed, code: "sandbox_lost", message: "sandbox unreachable", fresh: true,
		},
		{name: "stream ends early", script: says(event.Text{Content: "x"}), status: event.CompleteFailed, code: "sandbox_lost", fresh: true},
		{
			name: "empty frame", script: func(_ context.Context, _ *fakeAgent, _ agent.TurnRequest, fn func(agent.Frame) error) error {
				return fn(agent.Frame{})
			}, status: event.CompleteFailed, code: "sandbox_lost", message: "empty frame", fresh: true,
		},
		{
			name: "sandbox lost, its stream silent", script: deaf,
			act:    func(_ *testing.T, h *harness, _ string) { h.boxes.last().lose("out of memory") },
			status: event.CompleteFailed, code: "sandbox_lost", message: "out of memory", fresh: true,
		},
		{name: "interrupted", script: busy, act: interrupt, status: event.CompleteInterrupted},
		{
			name: "interrupted, the agent deaf", script: deaf, act: interrupt, status: event.CompleteInterrupted,
			within: 10 * time.Second, fresh: true,
		},
		{
			name: "interrupted, the request refused", script: deaf, prepare: func(b *fakeBox) {
				b.agent.interrupt = func(context.Context) error { return errFake }
			}, act: interrupt, status: event.CompleteInterrupted, fresh: true,
		},
		{
			name: "interrupted, the request hanging", script: deaf, prepare: func(b *fakeBox) {
				b.agent.interrupt = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
			}, act: interrupt, status: event.CompleteInterrupted, within: 10 * time.Second, fresh: true,
		},
		{
			name: "interrupted, then lost", script: deaf, act: func(t *testing.T, h *harness, id string) {
				interrupt(t, h, id)
				synctest.Wait()
				h.boxes.last().lose("exited")
			}, status: event.CompleteInterrupted, fresh: true,
		},
		{
			name: "interrupted while waking", script: polite, asleep: true,
			start: func(ctx context.Context, _ SandboxSpec) error { <-ctx.Done(); return ctx.Err() },
			act:   interrupt, status: event.CompleteInterrupted, fresh: true,
		},
		{
			name: "interrupted while waking, the provider hanging", script: polite, asleep: true,
			start: func(context.Context, SandboxSpec) error { <-hang; return nil },
			act:   interrupt, status: event.CompleteInterrupted,
		},
		{
			name: "the provider hanging and nobody there", script: polite, asleep: true,
			start:  func(context.Context, SandboxSpec) error { <-hang; return nil },
			status: event.CompleteFailed, code: "sandbox_unavailable", within: time.Minute,
		},
		{
			name: "no sandbox", script: polite, asleep: true, start: func(context.Context, SandboxSpec) error { return errFake },
			status: event.CompleteFailed, code: "sandbox_unavailable", message: errFake.Error(), fresh: true,
		},
		{
			name: "no agent", script: polite, asleep: true, prepare: func(b *fakeBox) {
				b.agent.configure = func(context.Context) error { return errFake }
			}, status: event.CompleteFailed, code: "sandbox_unavailable", message: "starting Claude Code", fresh: true,
		},
		{
			name: "an event that can't be kept", script: polite, store: failOn(event.TypeText, 1),
			status: event.CompleteFailed, code: "host_error", fresh: true,
		},
		{
			name: "an end that can't be kept at first", script: polite, store: failOn(event.TypeComplete, 2),
			status: event.CompleteOK, within: time.Second,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hang = make(chan struct{})
				h := newHarness(t)
				h.boxes.preparing(func(b *fakeBox) {
					b.agent.script = tc.script
					if tc.prepare != nil && (!tc.asleep || len(h.boxes.all) == 1) {
						tc.prepare(b)
					}
				})
				id := h.launch().ID
				if tc.asleep {
					h.sleep(id)
				}
				h.boxes.on(tc.start)
				h.mem.failing(tc.store)
				began, boxes := time.Now(), h.boxes.count()
				turn := h.send(id, "hi")
				synctest.Wait()
				if tc.act != nil {
					tc.act(t, h, id)
				}
				complete, failure := h.end(id, turn.Number)
				if took := time.Since(began); took > tc.within {
					t.Errorf("it took %v", took)
				}
				if complete.Status != tc.status {
					t.Errorf("status %q, want %q", complete.Status, tc.status)
				}
				switch {
				case failure == nil && tc.code != "":
					t.Errorf("no error, want %q", tc.code)
				case failure != nil && (failure.Code != tc.code || !strings.Contains(failure.Message, tc.message)):
					t.Errorf("error %+v, want %q, %q", failure, tc.code, tc.message)
				}
				// Who has seen the end may send at once.
				close(hang)
				h.boxes.on(nil)
				h.mem.failing(nil)
				h.boxes.preparing(nil)
				if !tc.fresh {
					h.boxes.last().agent.script = polite
				}
				next := h.send(id, "again")
				if next.Number != turn.Number+1 {
					t.Errorf("the next turn is %d after %d", next.Number, turn.Number)
				}
				if complete, failure := h.end(id, next.Number); complete.Status != event.CompleteOK {
					t.Errorf("the next turn: %+v, %+v", complete, failure)
				}
				if fresh := h.boxes.count() > boxes; fresh != tc.fresh && tc.start == nil {
					t.Errorf("another sandbox: %v, want %v", fresh, tc.fresh)
				}
			})
		})
	}
}

// says is an agent that sends these and returns.
func says(data ...event.Data) script {
	return func(_ context.Context, _ *fakeAgent, _ agent.TurnRequest, fn func(agent.Frame) error) error {
		return emit(fn, data...)
	}
}

// failOn fails the first n appends that hold an event of type t.
func failOn(t event.Type, n int) func(string, []event.Event) error {
	return func(_ string, events []event.Event) error {
		for _, e := range events {
			if e.Data.Type() == t && n > 0 {
				n--
				return errFake
			}
		}
		return nil
	}
}

func TestStopAndCloseEndTheTurn(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(h *harness, id string) error
		code string
	}{
		{"stop", func(h *harness, id string) error { return h.Stop(context.Background(), id) }, "session_stopped"},
		{"close", func(h *harness, _ string) error { return h.Close(context.Background()) }, "host_stopped"},
	} {
		for _, s := range []struct {
			name   string
			script script
		}{{"busy", busy}, {"deaf", deaf}} {
			t.Run(tc.name+", the agent "+s.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := newHarness(t)
					id := h.launched(s.script)
					turn := h.send(id, "hi")
					followed := make(chan []event.Event, 1)
					go func() {
						followed <- h.wait(id, func(e event.Event) bool { return e.Data.Type() == event.TypeComplete })
					}()
					synctest.Wait()
					began := time.Now()
					if err := tc.end(h, id); err != nil {
						t.Error(err)
					}
					if took := time.Since(began); took > 0 {
						t.Errorf("it took %v", took)
					}
					complete, failure := ending(<-followed, turn.Number)
					if complete.Status != event.CompleteFailed || failure == nil || failure.Code != tc.code {
						t.Errorf("got %+v, %+v", complete, failure)
					}
				})
			})
		}
	}
}

func TestOneTurnAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(busy)
		turn := h.send(id, "one")
		if _, err := h.Send(context.Background(), id, "two"); !errors.Is(err, ErrTurnRunning) {
			t.Errorf("got %v", err)
		}
		if rec, err := h.Get(context.Background(), id); err != nil || rec.Activity != ActivityWorking || rec.Turn != 1 {
			t.Errorf("got %+v, %v", rec, err)
		}
		if err := h.Interrupt(context.Background(), id); err != nil {
			t.Error(err)
		}
		h.end(id, turn.Number)
		synctest.Wait()
		if err := h.Interrupt(context.Background(), id); !errors.Is(err, ErrNoTurn) {
			t.Errorf("got %v", err)
		}
	})
}

func TestTheMessageIsKeptBeforeSendReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(busy)
		// The client goes away at once; the turn goes on without it.
		ctx, cancel := context.WithCancel(context.Background())
		turn, err := h.Send(ctx, id, "hi")
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		kept, err := h.mem.ReadEvents(context.Background(), id, turn.After-1, 1)
		if err != nil || len(kept) != 1 || kept[0].Data != (event.User{Content: "hi"}) || kept[0].Turn != turn.Number {
			t.Errorf("got %+v, %v", kept, err)
		}
		if rec, ok := h.mem.record(t, id); !ok || rec.Turn != 1 || !rec.TurnOpen {
			t.Errorf("the record says %+v", rec)
		}
		synctest.Wait()
		if rec, err := h.Get(context.Background(), id); err != nil || rec.Activity != ActivityWorking {
			t.Errorf("the turn ended with its client: %+v, %v", rec, err)
		}
	})
}

func TestSendThatCannotBeKept(t *testing.T) {
	for _, tc := range []struct {
		name string
		fail func(string, []event.Event) error
	}{
		{"record", func(op string, _ []event.Event) error {
			if op == "put" {
				return errFake
			}
			return nil
		}},
		{"event", failOn(event.TypeUser, 1)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				id := h.launched(polite)
				h.mem.failing(tc.fail)
				if _, err := h.Send(context.Background(), id, "hi"); !errors.Is(err, errFake) {
					t.Errorf("got %v", err)
				}
				h.mem.failing(nil)
				turn := h.send(id, "again")
				if complete, _ := h.end(id, turn.Number); complete.Status != event.CompleteOK {
					t.Errorf("got %+v", complete)
				}
				if got := h.boxes.last().agent.turns; len(got) != 1 || got[0].Message != "again" {
					t.Errorf("the agent got %+v", got)
				}
			})
		})
	}
}

// TestATurnWithoutAnEndGetsOneLater is a store that is down for longer than a turn's end is tried.
func TestATurnWithoutAnEndGetsOneLater(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(map[bool]string{false: "at the next message", true: "after a restart"}[restart], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				id := h.launched(polite)
				h.mem.failing(failOn(event.TypeComplete, 1000))
				turn := h.send(id, "hi")
				time.Sleep(time.Minute) // on the bubble's clock
				synctest.Wait()
				if rec, err := h.Get(context.Background(), id); err != nil || rec.Activity != ActivityIdle {
					t.Errorf("the session is stuck: %+v, %v", rec, err)
				}
				if restart {
					if err := h.Close(context.Background()); err != nil {
						t.Error(err)
					}
					h.log.Close()
					h.mem.failing(nil)
					h.up()
					if _, err := h.Authorize(context.Background(), id, userKey); err != nil {
						t.Error(err)
					}
				}
				h.mem.failing(nil)
				next := h.send(id, "again")
				h.end(id, next.Number)
				if complete, failure := h.end(id, turn.Number); complete.Status != event.CompleteFailed || failure == nil {
					t.Errorf("got %+v, %+v", complete, failure)
				}
			})
		})
	}
}

// TestAMessageWaitsForTheLastWordsOfTheTurnBefore: who has seen a turn's Complete may send, though the turn is still being put away.
func TestAMessageWaitsForTheLastWordsOfTheTurnBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(polite)
		l, err := h.live(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		ending := &turn{number: 1, ending: true, done: make(chan struct{})}
		l.mu.Lock()
		l.turn, l.rec.Turn = ending, 1
		l.mu.Unlock()
		impatient, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := h.Send(impatient, id, "hi"); !errors.Is(err, ErrTurnRunning) {
			t.Errorf("got %v", err)
		}
		sent := make(chan Turn, 1)
		go func() { sent <- h.send(id, "hi") }()
		synctest.Wait()
		l.mu.Lock()
		l.turn = nil
		l.mu.Unlock()
		close(ending.done)
		if turn := <-sent; turn.Number != 2 {
			t.Errorf("got %+v", turn)
		}
	})
}
