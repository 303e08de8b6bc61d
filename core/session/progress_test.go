package session

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agcluster/agcluster/core/event"
)

// TestWaitingInTheQueueIsToldAndIsNoTimeout: the time that a launch waits for others does not count against it.
func TestWaitingInTheQueueIsToldAndIsNoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.boxes.on(func(ctx context.Context, spec SandboxSpec) error {
			for position := 2; position >= 0; position-- {
				spec.Progress(Progress{Position: position})
				spec.Progress(Progress{Position: position}) // no news
				select {
				case <-time.After(50 * time.Second): // just below the limit, three times
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			spec.Progress(Progress{Note: "fetching"})
			select {
			case <-time.After(50 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		var told []event.Status
		rec, err := h.Launch(context.Background(), LaunchRequest{Key: userKey, Progress: func(s event.Status) { told = append(told, s) }})
		if err != nil {
			t.Fatal(err)
		}
		want := []event.Status{
			{Status: "queued", Position: 2}, {Status: "queued", Position: 1}, {Status: "starting"}, {Status: "starting", Reason: "fetching"},
		}
		if !slices.Equal(told, want) {
			t.Errorf("told %+v", told)
		}
		events, err := h.History(context.Background(), rec.ID, 0, 100)
		if err != nil || len(events) != len(want)+1 {
			t.Fatalf("%v, %v", events, err)
		}
		for i, e := range events[:len(want)] {
			if e.Data != want[i] {
				t.Errorf("event %d: %+v", e.ID, e.Data)
			}
		}
	})
}

func TestAStartThatTakesTooLongSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.boxes.on(func(ctx context.Context, spec SandboxSpec) error {
			spec.Progress(Progress{Position: 1})
			time.Sleep(time.Hour)
			spec.Progress(Progress{})
			<-ctx.Done()
			return ctx.Err()
		})
		began := time.Now()
		_, err := h.Launch(context.Background(), LaunchRequest{Key: userKey})
		if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Hour+h.cfg.LaunchTimeout {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
