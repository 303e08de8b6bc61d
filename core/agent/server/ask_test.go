package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/claude"
	"github.com/agcluster/agcluster/core/event"
)

// asking is an agent that asks once and reports what became of it.
func asking(verdicts chan<- error, answers chan<- agent.Answer) script {
	return func(ctx context.Context, _ string, interrupt <-chan struct{}, sink claude.Sink) event.Complete {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-interrupt:
				cancel()
			case <-ctx.Done():
			}
		}()
		a, err := sink.Ask(ctx, agent.Ask{Stage: agent.StageCall, Tool: "Bash", ToolUseID: "t1", Input: []byte(`{"command":"ls"}`)})
		verdicts <- err
		answers <- a
		return event.Complete{Status: event.CompleteOK}
	}
}

func TestAsks(t *testing.T) {
	verdicts, answers := make(chan error, 1), make(chan agent.Answer, 1)
	r := newRig(t, asking(verdicts, answers), nil).configure(t)
	t.Run("an answer reaches the agent, once", func(t *testing.T) {
		err := r.client.Turn(within(t), agent.TurnRequest{Turn: 1}, 0, func(f agent.Frame, _ bool) error {
			if f.Ask == nil {
				return nil
			}
			if f.Ask.Tool != "Bash" || f.Ask.ToolUseID != "t1" || f.Ask.Stage != agent.StageCall || string(f.Ask.Input) != `{"command":"ls"}` {
				t.Errorf("%+v", f.Ask)
			}
			if err := r.client.Answer(within(t), "ask-1-99", agent.Answer{}); !errors.Is(err, agent.ErrNotFound) {
				t.Errorf("an ask that is not there: %v", err)
			}
			if err := r.client.Answer(within(t), f.Ask.ID, agent.Answer{Allow: true, Input: []byte(`[]`)}); !errors.Is(err, agent.ErrInvalid) {
				t.Errorf("an input that is no object: %v", err)
			}
			if err := r.client.Answer(within(t), f.Ask.ID, agent.Answer{Allow: true, Reason: "r", Input: []byte(`{"command":"pwd"}`)}); err != nil {
				t.Errorf("%v", err)
			}
			if err := r.client.Answer(within(t), f.Ask.ID, agent.Answer{}); !errors.Is(err, agent.ErrConflict) {
				t.Errorf("a second answer: %v", err)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := receive(t, "verdict", verdicts); err != nil {
			t.Error(err)
		}
		if a := receive(t, "answer", answers); !a.Allow || a.Reason != "r" || string(a.Input) != `{"command":"pwd"}` {
			t.Errorf("%+v", a)
		}
		if err := r.client.Answer(within(t), "ask-1-1", agent.Answer{}); !errors.Is(err, agent.ErrConflict) {
			t.Errorf("an answer after the turn: %v", err)
		}
	})
	t.Run("an interrupt denies at once", func(t *testing.T) {
		asked := ""
		err := r.client.Turn(within(t), agent.TurnRequest{Turn: 2}, 0, func(f agent.Frame, _ bool) error {
			if f.Ask == nil {
				return nil
			}
			asked = f.Ask.ID
			return r.client.Interrupt(within(t))
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := receive(t, "verdict", verdicts); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if a := receive(t, "answer", answers); a.Allow {
			t.Errorf("%+v", a)
		}
		if err := r.client.Answer(within(t), asked, agent.Answer{Allow: true}); !errors.Is(err, agent.ErrConflict) {
			t.Errorf("an answer after the interrupt: %v", err)
		}
		if err := r.client.Answer(within(t), "ask-1-1", agent.Answer{}); !errors.Is(err, agent.ErrNotFound) {
			t.Errorf("an ask of the turn before: %v", err)
		}
	})
}

func TestAnAskThatNobodyAnswersIsDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsks(time.Hour)
		begun := time.Now()
		_, err := a.put(t.Context(), 1, agent.Ask{}, func(context.Context, agent.Ask) error { return nil })
		if err == nil || !strings.Contains(err.Error(), "nobody decided within 1h0m0s") {
			t.Errorf("%v", err)
		}
		if took := time.Since(begun); took != time.Hour {
			t.Errorf("after %s", took)
		}
		if err := a.answer("ask-1-1", agent.Answer{Allow: true}); !errors.Is(err, agent.ErrConflict) {
			t.Errorf("%v", err)
		}
	})
}

func TestAnAskThatCanNotBeSentIsDenied(t *testing.T) {
	a := newAsks(time.Hour)
	lost := errors.New("lost")
	if _, err := a.put(t.Context(), 1, agent.Ask{}, func(context.Context, agent.Ask) error { return lost }); !errors.Is(err, lost) {
		t.Errorf("%v", err)
	}
	if len(a.open) != 0 {
		t.Error("it stays open")
	}
}
