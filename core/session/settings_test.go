package session

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

func TestSettingsHoldNowAndLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(busy)
		turn := h.send(id, "hi")
		h.waitFor(id, event.TypeText)
		// While a turn runs, too.
		rec, err := h.Change(t.Context(), id, Change{Model: new("opus")})
		if err != nil || rec.Config.Model != "opus" || !rec.TurnRunning {
			t.Fatalf("%+v %v", rec, err)
		}
		if rec, err = h.Change(t.Context(), id, Change{PermissionMode: new("plan")}); err != nil || rec.Config.Model != "opus" || rec.Config.PermissionMode != "plan" {
			t.Fatalf("%+v %v", rec, err)
		}
		set := h.boxes.last().agent.settings
		if len(set) != 2 || *set[0].Model != "opus" || set[0].PermissionMode != nil || set[1].Model != nil || *set[1].PermissionMode != "plan" {
			t.Errorf("the CLI was told %v", set)
		}
		if err := h.Interrupt(t.Context(), id); err != nil {
			t.Error(err)
		}
		h.end(id, turn.Number)
		var told []event.Settings
		h.wait(id, func(e event.Event) bool {
			if s, ok := e.Data.(event.Settings); ok {
				told = append(told, s)
			}
			return e.Data.Type() == event.TypeComplete
		})
		want := []event.Settings{{Model: "opus", PermissionMode: "acceptEdits"}, {Model: "opus", PermissionMode: "plan"}}
		if !slices.Equal(told, want) {
			t.Errorf("told %+v", told)
		}
		// A session that sleeps, and one that the host has forgotten, wake with them.
		h.sleep(id)
		if _, err := h.Change(t.Context(), id, Change{Model: new("")}); err != nil {
			t.Fatal(err)
		}
		if err := h.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		h.log.Close()
		h.up()
		h.boxes.preparing(func(b *fakeBox) { b.agent.script = polite })
		h.end(id, h.send(id, "again").Number)
		if spec := h.boxes.last().agent.specs[0]; spec.Model != "" || spec.PermissionMode != "plan" {
			t.Errorf("it woke with %q, %q", spec.Model, spec.PermissionMode)
		}
	})
}

func TestSettingsThatCannotBeHad(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  func(h *harness) func(context.Context) error
		// err is what the person is told; held that the next start has the settings all the same.
		err  error
		held bool
	}{
		{"refused", func(*harness) func(context.Context) error {
			return func(context.Context) error { return agent.ErrInvalid }
		}, agent.ErrInvalid, false},
		{"no answer", func(*harness) func(context.Context) error {
			return func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		}, context.DeadlineExceeded, false},
		{"the sandbox is lost", func(h *harness) func(context.Context) error {
			return func(context.Context) error { h.boxes.last().lose("exited"); return agent.ErrGone }
		}, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				id := h.launched(polite)
				h.boxes.last().agent.set = tc.set(h)
				if _, err := h.Change(t.Context(), id, Change{Model: new("opus")}); !errors.Is(err, tc.err) || (err != nil) != (tc.err != nil) {
					t.Errorf("got %v", err)
				}
				if rec := h.get(id); (rec.Config.Model == "opus") != tc.held {
					t.Errorf("it has %q", rec.Config.Model)
				}
			})
		})
	}
}

// TestSettingsWaitForAStart: what is started meanwhile must not miss them.
func TestSettingsWaitForAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(polite)
		h.sleep(id)
		h.boxes.on(func(context.Context, SandboxSpec) error { time.Sleep(10 * time.Second); return nil }) // on the bubble's clock
		turn := h.send(id, "hi")
		time.Sleep(time.Second) // on the bubble's clock
		hurried, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.Change(hurried, id, Change{Model: new("opus")}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if _, err := h.Change(t.Context(), id, Change{Model: new("opus")}); err != nil {
			t.Error(err)
		}
		h.end(id, turn.Number)
		a := h.boxes.last().agent
		if a.specs[0].Model != "" || len(a.settings) != 1 || *a.settings[0].Model != "opus" {
			t.Errorf("started with %q and told %v", a.specs[0].Model, a.settings)
		}
	})
}

func TestSettingsOfWhatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		if _, err := h.Change(t.Context(), "conv-0", Change{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
		if _, err := h.Commands(t.Context(), "conv-0"); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCommandsAreThoseTheCLIOffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(polite)
		list := func() []agent.Command {
			t.Helper()
			list, err := h.Commands(t.Context(), id)
			if err != nil {
				t.Error(err)
			}
			return list
		}
		if got := list(); len(got) != 0 {
			t.Errorf("got %+v", got)
		}
		want := []agent.Command{{Name: "compact"}}
		h.boxes.last().agent.offered = want
		if got := list(); !slices.Equal(got, want) {
			t.Errorf("got %+v", got)
		}
		h.boxes.last().agent.offered = nil
		if got := list(); !slices.Equal(got, want) {
			t.Errorf("a CLI that has not told any: %+v", got)
		}
		h.sleep(id)
		if got := list(); !slices.Equal(got, want) || h.boxes.count() != 1 {
			t.Errorf("asleep: %+v, %d sandboxes", got, h.boxes.count())
		}
	})
}

func TestUseKeepsASessionAwake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, idle)
		id := h.launched(polite)
		for range 10 {
			time.Sleep(20 * time.Minute) // on the bubble's clock
			h.Touch(id)
		}
		if h.boxes.open() != 1 {
			t.Error("it fell asleep while it was used")
		}
		time.Sleep(40 * time.Minute) // on the bubble's clock
		synctest.Wait()
		if h.boxes.open() != 0 {
			t.Error("it did not fall asleep")
		}
		h.Touch("conv-0")
	})
}
