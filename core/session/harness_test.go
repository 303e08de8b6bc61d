package session

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/preset"
)

// harness is a Service over fakes. When its test ends, the service is closed and the books are checked.
type harness struct {
	*Service
	tb    testing.TB
	mem   *memory
	log   *event.Log
	boxes *boxes
	guard *fakeGuard
	cfg   Config
	// leaky says that the test left a sandbox that can't be closed on purpose.
	leaky bool
}

func newHarness(tb testing.TB, change ...func(*Config)) *harness {
	tb.Helper()
	h := &harness{
		tb: tb, mem: newMemory(), boxes: &boxes{volumes: map[string]bool{}}, guard: &fakeGuard{},
		cfg: Config{
			Secret: []byte(strings.Repeat("s", 32)), DefaultProvider: "local", LaunchTimeout: time.Minute,
			ApprovalTimeout: 5 * time.Minute, InterruptTimeout: 10 * time.Second,
		},
	}
	for _, c := range change {
		c(&h.cfg)
	}
	h.up()
	tb.Cleanup(h.down)
	return h
}

// up starts a service on what the one before left.
func (h *harness) up() {
	h.tb.Helper()
	h.log = event.NewLog(h.mem)
	s, err := New(h.cfg, h.mem, h.log, h.guard, h.boxes, zaptest.NewLogger(h.tb))
	if err != nil {
		h.tb.Fatal(err)
	}
	h.Service = s
	if err := s.Recover(context.Background()); err != nil {
		h.tb.Fatal(err)
	}
}

func (h *harness) down() {
	h.tb.Helper()
	h.mem.failing(nil)
	ctx, cancel := context.WithTimeout(context.Background(), outer)
	defer cancel()
	if err := h.Close(ctx); err != nil {
		h.tb.Error(err)
	}
	h.log.Close()
	h.audit()
}

// audit checks that every sandbox was closed exactly once, that the volumes are those of the sessions that are left, and that every
// turn of every session has one end, with nothing of the agent's after it.
func (h *harness) audit() {
	h.tb.Helper()
	if h.leaky {
		return
	}
	for i, b := range h.boxes.all {
		if n := b.closes(); n != 1 {
			h.tb.Errorf("sandbox %d of %s was closed %d times", i, b.spec.SessionID, n)
		}
	}
	for v := range h.boxes.volumes {
		if _, ok := h.mem.records[strings.TrimPrefix(v, "vol-")]; !ok {
			h.tb.Errorf("volume %s is left of a session that is gone", v)
		}
	}
	for id, events := range h.mem.ever {
		checkTurns(h.tb, id, events)
	}
}

func checkTurns(tb testing.TB, id string, events []event.Event) {
	tb.Helper()
	begun, ended := map[int64]int{}, map[int64]int{}
	for _, e := range events {
		switch e.Data.(type) {
		case event.User:
			begun[e.Turn]++
		case event.Complete:
			ended[e.Turn]++
		case event.Status, event.Settings, event.Verdict:
			// The sandbox's state and the gates outside the turn's own path know no better.
		default:
			if ended[e.Turn] > 0 {
				tb.Errorf("%s: turn %d has a %s after its end", id, e.Turn, e.Data.Type())
			}
		}
	}
	for turn, n := range begun {
		if n != 1 || ended[turn] != 1 {
			tb.Errorf("%s: turn %d began %d times and ended %d times", id, turn, n, ended[turn])
		}
	}
	for turn := range ended {
		if begun[turn] == 0 {
			tb.Errorf("%s: turn %d ended and never began", id, turn)
		}
	}
}

func (h *harness) launch() Session {
	h.tb.Helper()
	rec, err := h.Launch(context.Background(), LaunchRequest{Key: userKey, Config: preset.Config{ID: "p"}, ConfigID: "p"})
	if err != nil {
		h.tb.Fatal(err)
	}
	return rec
}

// launched is a session whose agent follows the script.
func (h *harness) launched(s script) string {
	h.tb.Helper()
	h.boxes.preparing(func(b *fakeBox) { b.agent.script = s })
	return h.launch().ID
}

func (h *harness) send(id, message string) Turn {
	h.tb.Helper()
	t, err := h.Send(context.Background(), id, message)
	if err != nil {
		h.tb.Fatal(err)
	}
	return t
}

// wait follows a session from its beginning until an event satisfies the condition, and returns what came up to it.
func (h *harness) wait(id string, until func(event.Event) bool) []event.Event {
	h.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
	defer cancel()
	var got []event.Event
	err := h.Follow(ctx, id, 0, false, func(e event.Event, _ bool) error {
		got = append(got, e)
		if until(e) {
			return errDone
		}
		return nil
	})
	if !errors.Is(err, errDone) {
		h.tb.Fatalf("what was waited for did not come: %v; %+v", err, got)
	}
	return got
}

func (h *harness) waitFor(id string, t event.Type) event.Event {
	h.tb.Helper()
	got := h.wait(id, func(e event.Event) bool { return e.Data.Type() == t })
	return got[len(got)-1]
}

// end waits for the end of a turn and returns it with the turn's error, if there is one.
func (h *harness) end(id string, turn int64) (event.Complete, *event.Error) {
	h.tb.Helper()
	got := h.wait(id, func(e event.Event) bool { return e.Turn == turn && e.Data.Type() == event.TypeComplete })
	return ending(got, turn)
}

func ending(events []event.Event, turn int64) (complete event.Complete, failure *event.Error) {
	for _, e := range events {
		switch d := e.Data.(type) {
		case event.Error:
			if e.Turn == turn {
				failure = &d
			}
		case event.Complete:
			if e.Turn == turn {
				complete = d
			}
		}
	}
	return complete, failure
}

// sleep frees the session's sandbox as an idle sweep would.
func (h *harness) sleep(id string) {
	h.tb.Helper()
	l, err := h.live(context.Background(), id)
	if err != nil {
		h.tb.Fatal(err)
	}
	if err := l.lock(context.Background()); err != nil {
		h.tb.Fatal(err)
	}
	defer l.unlock()
	h.settle(context.Background(), l, l.box, "idle")
}

func (h *harness) status(id string) Status {
	h.tb.Helper()
	rec, err := h.Get(context.Background(), id)
	if err != nil {
		h.tb.Fatal(err)
	}
	return rec.Status
}
