package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agcluster/agcluster/core/event"
)

func TestRecover(t *testing.T) {
	user, text := event.User{Content: "hi"}, event.Text{Content: "x"}
	done := event.Complete{Status: event.CompleteOK}
	for _, tc := range []struct {
		name   string
		rec    Session
		events []event.Data
		// remove fails the removal of the volume.
		remove error
		want   Status
		gone   bool
		// added is what Recover logs.
		added []event.Type
	}{
		{name: "asleep", rec: Session{Status: StatusAsleep, Turn: 1}, events: []event.Data{user, done}, want: StatusAsleep},
		{
			name: "running", rec: Session{Status: StatusRunning, Turn: 1}, events: []event.Data{user, done}, want: StatusAsleep,
			added: []event.Type{event.TypeStatus},
		},
		{
			name: "in a turn", rec: Session{Status: StatusRunning, Turn: 1, TurnOpen: true}, events: []event.Data{user, text},
			want: StatusAsleep, added: []event.Type{event.TypeError, event.TypeComplete, event.TypeStatus},
		},
		{
			name: "waking for a turn", rec: Session{Status: StatusAsleep, Turn: 1, TurnOpen: true}, events: []event.Data{user},
			want: StatusAsleep, added: []event.Type{event.TypeError, event.TypeComplete},
		},
		{
			// The host died after the turn's end was logged and before the record was written.
			name: "after a turn", rec: Session{Status: StatusRunning, Turn: 1, TurnOpen: true}, events: []event.Data{user, text, done},
			want: StatusAsleep, added: []event.Type{event.TypeStatus},
		},
		{
			// The host died after the record was written and before the message was logged: its sender was told nothing.
			name: "before a turn", rec: Session{Status: StatusRunning, Turn: 1, TurnOpen: true},
			want: StatusAsleep, added: []event.Type{event.TypeStatus},
		},
		{name: "starting", rec: Session{Status: StatusStarting}, gone: true},
		{name: "stopping", rec: Session{Status: StatusStopping, Turn: 1, TurnOpen: true}, events: []event.Data{user}, gone: true},
		{name: "starting, its volume stuck", rec: Session{Status: StatusStarting}, remove: errFake, want: StatusStopping},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				ctx := context.Background()
				rec := tc.rec
				rec.ID, rec.Provider, rec.CreatedAt, rec.Volume = "conv-1", "local", time.Now(), "conv-1"
				if err := h.mem.Put(ctx, rec); err != nil {
					t.Fatal(err)
				}
				if len(tc.events) > 0 {
					if _, err := h.log.Append(ctx, rec.ID, 1, tc.events...); err != nil {
						t.Fatal(err)
					}
				}
				h.boxes.volumes[rec.ID] = true
				if tc.remove != nil {
					h.boxes.onRemove(func(context.Context) error { return tc.remove })
				}
				// Twice, as when the host is killed while it recovers.
				for range 2 {
					if err := h.Recover(ctx); err != nil {
						t.Fatal(err)
					}
				}
				got, ok := h.mem.record(t, rec.ID)
				if ok == tc.gone || ok && (got.Status != tc.want || got.TurnOpen) {
					t.Errorf("the record: %v, %+v", ok, got)
				}
				if h.boxes.volumes[rec.ID] == tc.gone {
					t.Errorf("its volume: %v", h.boxes.volumes)
				}
				var added []event.Type
				for _, e := range h.mem.events[rec.ID][min(len(tc.events), len(h.mem.events[rec.ID])):] {
					added = append(added, e.Data.Type())
					if want := map[bool]int64{true: 1}[e.Data.Type() != event.TypeStatus]; e.Turn != want {
						t.Errorf("%s is of turn %d", e.Data.Type(), e.Turn)
					}
					if d, ok := e.Data.(event.Error); ok && d.Code != "host_restarted" {
						t.Errorf("got %+v", d)
					}
				}
				if len(added) != len(tc.added) {
					t.Fatalf("logged %v, want %v", added, tc.added)
				}
				for i := range added {
					if added[i] != tc.added[i] {
						t.Errorf("logged %v, want %v", added, tc.added)
					}
				}
				if tc.gone || tc.remove != nil {
					delete(h.mem.ever, rec.ID)
				}
			})
		})
	}
}

// TestRecoverOfALateRecord is mend over several pages, from the last Complete that the record knows.
func TestRecoverLooksFromTheLastComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		ctx := context.Background()
		if err := h.mem.Put(ctx, Session{ID: "conv-1", Status: StatusRunning, Turn: 2, TurnOpen: true, LastComplete: 2}); err != nil {
			t.Fatal(err)
		}
		for turn, data := range [][]event.Data{1: {event.User{}, event.Complete{}}, 2: {event.User{}}} {
			if _, err := h.log.Append(ctx, "conv-1", int64(turn), data...); err != nil {
				t.Fatal(err)
			}
		}
		for range 200 {
			if _, err := h.log.Append(ctx, "conv-1", 2, event.Text{Content: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Recover(ctx); err != nil {
			t.Fatal(err)
		}
		if rec, _ := h.mem.record(t, "conv-1"); rec.TurnOpen || rec.LastComplete != 205 {
			t.Errorf("got %+v", rec)
		}
	})
}

func TestRecoverFailsWithTheStore(t *testing.T) {
	for _, op := range []string{"list", "append", "read", "put", "delete"} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t)
			ctx := context.Background()
			for _, rec := range []Session{
				{ID: "conv-1", Status: StatusRunning, Turn: 1, TurnOpen: true},
				{ID: "conv-2", Status: StatusStopping},
			} {
				if err := h.mem.Put(ctx, rec); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := h.log.Append(ctx, "conv-1", 1, event.User{}); err != nil {
				t.Fatal(err)
			}
			h.mem.failing(func(o string, _ []event.Event) error {
				if o == op {
					return errFake
				}
				return nil
			})
			if err := h.Recover(ctx); !errors.Is(err, errFake) {
				t.Errorf("%s: got %v", op, err)
			}
			h.mem.failing(nil)
			if err := h.Recover(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestASessionOutlivesItsHost stops the host in order and starts another on the same store.
func TestASessionOutlivesItsHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		rec, err := h.Launch(context.Background(), LaunchRequest{
			Key: userKey, MCPEnv: map[string]map[string]string{"gh": {"TOKEN": "t"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		h.end(rec.ID, h.send(rec.ID, "one").Number)
		transcript := h.boxes.last().agent.specs[0].TranscriptID
		if err := h.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		h.log.Close()
		h.up()
		if list, err := h.List(context.Background(), userKey); err != nil || len(list) != 1 || list[0].Activity != ActivityIdle {
			t.Errorf("got %+v, %v", list, err)
		}
		// Nobody has shown the key yet, and without it what is sealed stays sealed.
		turn := h.send(rec.ID, "two")
		if complete, failure := h.end(rec.ID, turn.Number); complete.Status != event.CompleteFailed || failure == nil {
			t.Errorf("got %+v, %+v", complete, failure)
		}
		if _, err := h.Authorize(context.Background(), rec.ID, userKey); err != nil {
			t.Fatal(err)
		}
		turn = h.send(rec.ID, "three")
		if complete, failure := h.end(rec.ID, turn.Number); complete.Status != event.CompleteOK {
			t.Errorf("got %+v, %+v", complete, failure)
		}
		spec := h.boxes.last().agent.specs[0]
		if spec.TranscriptID != transcript || !spec.Resume {
			t.Errorf("it woke with %+v", spec)
		}
		got := h.wait(rec.ID, func(e event.Event) bool { return e.Turn == turn.Number && e.Data.Type() == event.TypeComplete })
		for i, e := range got {
			if e.ID != int64(i+1) {
				t.Errorf("event %d has number %d", i+1, e.ID)
			}
		}
	})
}
