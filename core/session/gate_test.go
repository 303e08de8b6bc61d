package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/preset"
)

// refusal is what a guard refuses with.
type refusal struct{ reason string }

func (r refusal) Error() string { return "refused: " + r.reason }

func (r refusal) Denied() (gate, by, reason string) { return "agent.launch", "policy:p", r.reason }

func TestARefusedLaunchStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		asked := 0
		h.guard.launch = func(_ context.Context, scope Scope, change bool) error {
			asked++
			if change || scope.Source != SourceCustom || scope.ConfigID != "mine" || scope.Provider != "local" || scope.Config.Name != "Mine" {
				t.Errorf("asked about %+v, change %v", scope, change)
			}
			// What a policy remembers of a session has its record to belong to.
			if _, ok := h.mem.record(t, scope.SessionID); !ok {
				t.Error("there is no record yet")
			}
			if h.boxes.count() != 0 {
				t.Error("a sandbox was started before the gate was asked")
			}
			return refusal{"no"}
		}
		told := 0
		_, err := h.Launch(t.Context(), LaunchRequest{
			Key: userKey, ConfigID: "mine", Source: SourceCustom, Config: preset.Config{Name: "Mine"}, Progress: func(event.Status) { told++ },
		})
		var denied refusal
		if !errors.As(err, &denied) || denied.reason != "no" {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if list, err := h.mem.List(t.Context(), nil); err != nil || len(list) != 0 {
			t.Errorf("a record is left: %+v, %v", list, err)
		}
		h.mu.Lock()
		known := len(h.sessions)
		h.mu.Unlock()
		if asked != 1 || told != 0 || h.boxes.count() != 0 || len(h.boxes.volumes) != 0 || known != 0 {
			t.Errorf("asked %d times, told %d times, %d sandboxes, volumes %v, %d sessions known", asked, told, h.boxes.count(), h.boxes.volumes, known)
		}
	})
}

func TestALaunchIsAskedAboutOnceAndNotWhenItWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		asked := 0
		h.guard.launch = func(_ context.Context, scope Scope, _ bool) error {
			asked++
			if scope.Source != SourceInline {
				t.Errorf("from %q", scope.Source)
			}
			return nil
		}
		id := h.launch().ID
		h.sleep(id)
		h.end(id, h.send(id, "hi").Number)
		if asked != 1 || h.boxes.count() != 2 {
			t.Errorf("asked %d times for %d sandboxes", asked, h.boxes.count())
		}
	})
}

func TestARefusedChangeChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launch().ID
		h.guard.launch = func(_ context.Context, scope Scope, change bool) error {
			if !change || scope.Config.Model != "opus" {
				t.Errorf("asked about %+v, change %v", scope, change)
			}
			if scope.Config.PermissionMode == "bypassPermissions" {
				return refusal{"not that mode"}
			}
			return nil
		}
		_, err := h.Change(t.Context(), id, Change{Model: new("opus"), PermissionMode: new("bypassPermissions")})
		var denied refusal
		if !errors.As(err, &denied) {
			t.Errorf("got %v", err)
		}
		rec, err := h.Get(t.Context(), id)
		if err != nil || rec.Config.Model != "" || rec.Config.PermissionMode != "" || len(h.boxes.last().agent.settings) != 0 {
			t.Errorf("it changed: %+v, %v", rec.Config, err)
		}
		verdict, ok := h.waitFor(id, event.TypeVerdict).Data.(event.Verdict)
		if !ok || verdict != (event.Verdict{Gate: "agent.launch", Decision: "deny", By: "policy:p", Reason: "not that mode"}) {
			t.Errorf("told %+v", verdict)
		}
		if rec, err = h.Change(t.Context(), id, Change{Model: new("opus"), PermissionMode: new("plan")}); err != nil || rec.Config.PermissionMode != "plan" {
			t.Errorf("a mode that is allowed: %+v, %v", rec.Config, err)
		}
	})
}
