package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/session"
)

// writes is a client that notes each write by itself.
type writes struct {
	httptest.ResponseRecorder
	each    []string
	flushes int
}

func (w *writes) Write(b []byte) (int, error) {
	w.each = append(w.each, string(b))
	return len(b), nil
}

func (w *writes) Flush() { w.flushes++ }

func TestEventsThatAreThereTogetherAreOneWrite(t *testing.T) {
	w := &writes{}
	s := &sseWriter{w: w, control: http.NewResponseController(w)}
	say := func(id int64, text string, more bool) {
		t.Helper()
		if err := s.event(event.Event{ID: id, Data: event.Text{Content: text}}, more); err != nil {
			t.Fatal(err)
		}
	}
	say(1, "a", true)
	say(2, "b", true)
	if len(w.each) != 0 {
		t.Fatalf("written at once: %q", w.each)
	}
	say(3, "c", false)
	say(4, strings.Repeat("x", 3*maxHeld), true)
	if cap(s.held) > 2*maxHeld {
		t.Errorf("a large event leaves %d bytes behind", cap(s.held))
	}
	say(5, "e", true)
	if err := s.settle(true); err != nil || len(w.each) != 2 {
		t.Errorf("more was to come: %d writes, %v", len(w.each), err)
	}
	if err := s.settle(false); err != nil || len(w.each) != 3 {
		t.Errorf("nothing more was to come: %d writes, %v", len(w.each), err)
	}
	say(6, "f", true)
	if err := s.event(event.Event{ID: 7}, true); err == nil {
		t.Error("an event without data was written")
	}
	if err := s.write([]byte("data: [DONE]\n\n")); err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, line := range strings.Split(strings.Join(w.each, ""), "\n") {
		var id int64
		if _, err := fmt.Sscanf(line, "id: %d", &id); err == nil {
			ids = append(ids, id)
		}
	}
	if fmt.Sprint(ids) != "[1 2 3 4 5 6]" || len(w.each) != 4 || w.flushes != 4 || !strings.HasSuffix(w.each[3], "\n\ndata: [DONE]\n\n") {
		t.Errorf("ids %v in %d writes and %d flushes, the last %.300q", ids, len(w.each), w.flushes, w.each[len(w.each)-1])
	}
}

// TestAnotherTurnsEventHoldsNothingUp: the last event of a batch may be one that is not streamed.
func TestAnotherTurnsEventHoldsNothingUp(t *testing.T) {
	f := &fake{
		rec:    session.Session{Turn: 1, TurnOpen: true},
		events: []event.Event{{ID: 1, Turn: 1, Data: event.Text{Content: "mine"}}, {ID: 2, Turn: 2, Data: event.Text{Content: "other"}}},
		batch:  true, hold: make(chan struct{}),
	}
	res := get(t, serve(t, f).URL+"/api/agents/conv-1/events?turn=1")
	late := time.AfterFunc(time.Minute, func() { close(f.hold) })
	b := make([]byte, 4096)
	for got := ""; !strings.Contains(got, "mine"); {
		n, err := res.Body.Read(b)
		if err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		got += string(b[:n])
	}
	if late.Stop() {
		close(f.hold)
	} else {
		t.Error("the event was held back")
	}
}
