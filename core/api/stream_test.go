package api

import (
	"errors"
	"fmt"
	"io"
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

// TestAStreamSaysWhenItHasCaughtUp: once, after the last event that was there when it began, and at once when the client has them all.
func TestAStreamSaysWhenItHasCaughtUp(t *testing.T) {
	text := func(id int64) event.Event {
		return event.Event{ID: id, Turn: 1, Data: event.Text{Content: fmt.Sprint("t", id)}}
	}
	const told = ": caught up\n\n"
	for name, c := range map[string]struct {
		query  string
		before []string
		after  []string
	}{
		"from the beginning":     {"", []string{"t1", "t2"}, []string{"t3"}},
		"from the middle":        {"?after=1", []string{"t2"}, []string{"t3"}},
		"with all that is there": {"?after=2", nil, []string{"t3"}},
		"one turn":               {"?turn=1", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{rec: session.Session{Turn: 1, TurnOpen: true}, events: []event.Event{text(1), text(2), text(3)}, batch: true, last: 2}
			body, err := io.ReadAll(get(t, serve(t, f).URL+"/api/agents/conv-1/events"+c.query).Body)
			if err != nil {
				t.Fatal(err)
			}
			before, after, found := strings.Cut(string(body), told)
			if found != (c.after != nil) || strings.Contains(after, told) {
				t.Fatalf("told %v times, want %v: %q", strings.Count(string(body), told), c.after != nil, body)
			}
			for _, want := range c.before {
				if !strings.Contains(before, want) {
					t.Errorf("%s is not before it: %q", want, body)
				}
			}
			for _, want := range c.after {
				if !strings.Contains(after, want) || strings.Contains(before, want) {
					t.Errorf("%s is not after it: %q", want, body)
				}
			}
		})
	}
}

// TestAStreamThatCantSayItIsBehindEnds: without [DONE], so that the client asks again.
func TestAStreamThatCantSayItIsBehindEnds(t *testing.T) {
	f := &fake{rec: session.Session{Turn: 1}, events: []event.Event{{ID: 1, Turn: 1, Data: event.Text{Content: "t1"}}}, lastErr: errors.New("the disk is gone")}
	body, err := io.ReadAll(get(t, serve(t, f).URL+"/api/agents/conv-1/events").Body)
	if err != nil || strings.Contains(string(body), "t1") || strings.Contains(string(body), "[DONE]") || strings.Contains(string(body), "disk") {
		t.Errorf("%q, %v", body, err)
	}
}
