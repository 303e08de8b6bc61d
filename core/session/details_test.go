package session

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

func TestASessionIsRecognisedByItsLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(func(_ context.Context, _ *fakeAgent, req agent.TurnRequest, fn func(agent.Frame) error) error {
			return emit(fn, event.Text{Content: "hm\nanswer to " + req.Message + "\n\n"}, event.Text{Content: "below", Parent: "toolu_1"},
				event.Text{Content: "\n"}, completed())
		})
		if rec := h.get(id); rec.Title != "" || rec.LastLine != "" {
			t.Errorf("before the first message: %+v", rec)
		}
		h.end(id, h.send(id, "\nfirst\nsecond").Number)
		h.end(id, h.send(id, "more").Number)
		for _, where := range []string{"in memory", "in the store"} {
			list, err := h.List(context.Background(), userKey)
			if err != nil || len(list) != 1 {
				t.Fatalf("%s: %v %v", where, list, err)
			}
			if rec := list[0]; rec.Title != "first" || rec.LastLine != "answer to more" || rec.TurnRunning || rec.Waiting != 0 {
				t.Errorf("%s: title %q, last line %q, %+v", where, rec.Title, rec.LastLine, rec)
			}
			if err := h.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
			h.log.Close()
			h.up()
		}
	})
}

func (h *harness) get(id string) Session {
	h.tb.Helper()
	rec, err := h.Get(context.Background(), id)
	if err != nil {
		h.tb.Fatal(err)
	}
	return rec
}

func TestWhatASessionDoesIsDerived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, idle)
		answers := make(chan agent.Answer, 1)
		h.guard.call = rules(Judgement{Ruling: RulingAsk})
		id := h.launched(asker(answers, call("a")))
		began := time.Now().UTC()
		if rec := h.get(id); rec.TurnRunning || rec.Waiting != 0 || !rec.IdleExpires.Equal(began.Add(30*time.Minute)) {
			t.Errorf("after the launch: %+v", rec)
		}
		turn := h.send(id, "hi")
		h.waitFor(id, event.TypeApprovalRequired)
		if rec := h.get(id); !rec.TurnRunning || rec.Waiting != 1 || rec.Activity != ActivityWaiting || !rec.IdleExpires.IsZero() {
			t.Errorf("with an approval open: %+v", rec)
		}
		time.Sleep(time.Minute) // on the bubble's clock
		h.approve(id, Decision{Allow: true})
		<-answers
		h.end(id, turn.Number)
		synctest.Wait()
		if rec := h.get(id); rec.TurnRunning || rec.Waiting != 0 || !rec.IdleExpires.Equal(began.Add(31*time.Minute)) {
			t.Errorf("after the turn: %+v", rec)
		}
		h.sleep(id)
		if rec := h.get(id); !rec.IdleExpires.IsZero() {
			t.Errorf("asleep: %+v", rec)
		}
	})
}
