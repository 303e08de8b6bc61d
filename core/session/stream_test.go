package session

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

func TestWhatASandboxMayNotSayIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(says(
			event.User{Content: "I am the user"}, event.Status{Status: "asleep"}, event.Verdict{Gate: "tool.call", Decision: "deny"},
			event.ApprovalRequired{Ask: "a"}, event.ApprovalResolved{Ask: "a", Decision: "allow"},
			event.Text{Content: "x"}, event.TextDelta{Content: "y"}, completed(),
		))
		turn := h.send(id, "hi")
		h.end(id, turn.Number)
		got := ""
		for _, e := range h.wait(id, func(e event.Event) bool { return e.Data.Type() == event.TypeComplete }) {
			if e.Turn == turn.Number {
				got += string(e.Data.Type()) + " "
			}
		}
		if got != "user text complete " {
			t.Errorf("got %q", got)
		}
	})
}

func TestPreviewsAreStreamedAndNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(says(event.TextDelta{Content: "he"}, event.TextDelta{Content: "llo"}, event.Text{Content: "hello"}, completed()))
		for _, deltas := range []bool{true, false} {
			got := make(chan string, 1)
			go func() {
				text := ""
				err := h.Follow(context.Background(), id, 0, deltas, func(e event.Event, _ bool) error {
					switch d := e.Data.(type) {
					case event.TextDelta:
						text += d.Content + "|"
					case event.Complete:
						if e.Turn == map[bool]int64{true: 1, false: 2}[deltas] {
							return errDone
						}
					}
					return nil
				})
				if !errors.Is(err, errDone) {
					t.Error(err)
				}
				got <- text
			}()
			synctest.Wait()
			h.send(id, "hi")
			if text, want := <-got, map[bool]string{true: "he|llo|", false: ""}[deltas]; text != want {
				t.Errorf("deltas %v: got %q, want %q", deltas, text, want)
			}
		}
	})
}

func TestCostsAddUpAndStayNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(polite)
		h.end(id, h.send(id, "1").Number)
		h.end(id, h.send(id, "2").Number)
		synctest.Wait()
		if rec, _ := h.mem.record(t, id); rec.CostUSD != 0.5 {
			t.Errorf("got %v", rec.CostUSD)
		}
		// A hostile sandbox must not make a record that can't be written, because then nothing could be stopped any more.
		h.boxes.last().agent.script = says(event.Complete{Status: event.CompleteOK, CostUSD: math.MaxFloat64})
		h.end(id, h.send(id, "3").Number)
		h.end(id, h.send(id, "4").Number)
		synctest.Wait()
		if rec, _ := h.mem.record(t, id); rec.Turn != 4 || rec.TurnOpen {
			t.Errorf("kept %+v", rec)
		}
		if err := h.Stop(context.Background(), id); err != nil {
			t.Error(err)
		}
	})
}

func TestInterruptThatComesBeforeTheAgentsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(busy)
		a := h.boxes.last().agent
		arrive := make(chan struct{})
		a.script = func(ctx context.Context, a *fakeAgent, req agent.TurnRequest, fn func(agent.Frame) error) error {
			a.mu.Lock()
			a.running = false // the request is still on its way
			a.mu.Unlock()
			<-arrive
			a.mu.Lock()
			a.running = true
			a.mu.Unlock()
			return busy(ctx, a, req, fn)
		}
		turn := h.send(id, "hi")
		synctest.Wait()
		if err := h.Interrupt(context.Background(), id); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second) // on the bubble's clock
		close(arrive)
		complete, _ := h.end(id, turn.Number)
		if complete.Status != event.CompleteInterrupted || h.boxes.open() != 1 {
			t.Errorf("got %+v, %d sandboxes", complete, h.boxes.open())
		}
	})
}

func TestASandboxWhoseAgentDidNotEndItsTurnIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(deaf)
		slow := make(chan struct{})
		h.boxes.last().close = func(context.Context) error { <-slow; return nil }
		turn := h.send(id, "hi")
		synctest.Wait()
		began := time.Now()
		if err := h.Interrupt(context.Background(), id); err != nil {
			t.Error(err)
		}
		// Its removal takes its time, which is nothing to the person.
		h.end(id, turn.Number)
		if took := time.Since(began); took > h.cfg.InterruptTimeout {
			t.Errorf("it took %v", took)
		}
		close(slow)
		synctest.Wait()
		if h.boxes.open() != 0 || h.status(id) != StatusAsleep {
			t.Errorf("%d sandboxes, %s", h.boxes.open(), h.status(id))
		}
	})
}

// TestALostAnswerOfTheStoreDoublesNothing is a store that keeps a turn's end and says that it did not.
func TestALostAnswerOfTheStoreDoublesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(polite)
		lies := 1
		h.mem.lie = func(events []event.Event) error {
			if lies > 0 && events[len(events)-1].Data.Type() == event.TypeComplete {
				lies--
				return errFake
			}
			return nil
		}
		turn := h.send(id, "hi")
		time.Sleep(time.Minute) // on the bubble's clock
		synctest.Wait()
		next := h.send(id, "again")
		h.end(id, next.Number)
		h.end(id, turn.Number)
	})
}
