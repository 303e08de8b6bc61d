package session

import (
	"context"
	"errors"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/preset"
)

func TestLaunch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		rec := h.launch()
		if !regexp.MustCompile(`^conv-[0-9a-f]{32}$`).MatchString(rec.ID) || !regexp.MustCompile(`^agent-[0-9a-f]{12}$`).MatchString(rec.AgentID) {
			t.Errorf("got ids %q and %q", rec.ID, rec.AgentID)
		}
		if rec.Status != StatusRunning || rec.Provider != "local" || rec.Limits["memory"] != "not enforced" || rec.Activity != ActivityIdle {
			t.Errorf("got %+v", rec)
		}
		kept, ok := h.mem.record(t, rec.ID)
		if !ok || kept.Status != StatusRunning || kept.TranscriptID == "" {
			t.Errorf("kept %+v", kept)
		}
		spec := h.boxes.last().agent.specs[0]
		if spec.TranscriptID != kept.TranscriptID || spec.Resume || spec.Cwd != Workspace || spec.PermissionMode != "acceptEdits" {
			t.Errorf("the agent got %+v", spec)
		}
		if box := h.boxes.last().spec; box.SessionID != rec.ID || box.Volume != rec.Volume || rec.Volume == "" || rec.Start.Kind != StartCold || box.Provider != "local" {
			t.Errorf("the sandbox got %+v", box)
		}
	})
}

func TestLaunchNamesInlineConfigurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		rec, err := h.Launch(context.Background(), LaunchRequest{Key: userKey, Provider: "other"})
		if err != nil || !regexp.MustCompile(`^inline-[0-9a-f]{12}$`).MatchString(rec.ConfigID) || rec.Provider != "other" {
			t.Errorf("got %+v, %v", rec, err)
		}
		if _, err := h.Launch(context.Background(), LaunchRequest{}); !errors.Is(err, ErrKeyMissing) {
			t.Errorf("without a key: %v", err)
		}
	})
}

// TestALaunchThatFailsLeavesNothing covers each step that can fail, and each way in which it can be cut off.
func TestALaunchThatFailsLeavesNothing(t *testing.T) {
	wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, tc := range []struct {
		name      string
		start     func(context.Context, SandboxSpec) error
		configure func(context.Context) error
		store     func(string, []event.Event) error
		// act happens while the launch hangs.
		act    func(h *harness, cancel context.CancelFunc)
		want   error
		within time.Duration
	}{
		{name: "no sandbox", start: func(context.Context, SandboxSpec) error { return errFake }, want: ErrUnavailable},
		{name: "no agent", configure: func(context.Context) error { return errFake }, want: ErrUnavailable},
		{name: "the record can't be kept", store: failPut(1), want: errFake},
		{name: "the state can't be kept", store: failPut(2), want: errFake},
		{name: "the state can't be logged", store: failOn(event.TypeStatus, 1), want: errFake},
		{
			name: "the sandbox takes too long", start: func(ctx context.Context, _ SandboxSpec) error { return wait(ctx) },
			want: ErrUnavailable, within: time.Minute,
		},
		{name: "the agent takes too long", configure: wait, want: ErrUnavailable, within: time.Minute},
		{
			name: "the client goes away", start: func(ctx context.Context, _ SandboxSpec) error { return wait(ctx) },
			act: func(_ *harness, cancel context.CancelFunc) { cancel() }, want: context.Canceled,
		},
		{
			name: "the host closes while the sandbox starts", start: func(ctx context.Context, _ SandboxSpec) error { return wait(ctx) },
			act: closeHost, want: ErrDraining,
		},
		{name: "the host closes while the agent starts", configure: wait, act: closeHost, want: ErrDraining},
		{
			name: "it is stopped while the sandbox starts", start: func(ctx context.Context, _ SandboxSpec) error { return wait(ctx) },
			act: stopOnly, want: ErrStopping,
		},
		{name: "it is stopped while the agent starts", configure: wait, act: stopOnly, want: ErrStopping},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				h.boxes.preparing(func(b *fakeBox) { b.agent.configure = tc.configure })
				h.boxes.on(tc.start)
				h.mem.failing(tc.store)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				failed := make(chan error, 1)
				began := time.Now()
				go func() {
					_, err := h.Launch(ctx, LaunchRequest{Key: userKey, Config: preset.Config{ID: "p"}, ConfigID: "p"})
					failed <- err
				}()
				synctest.Wait()
				if tc.act != nil {
					tc.act(h, cancel)
				}
				if err := <-failed; !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				if took := time.Since(began); took > tc.within {
					t.Errorf("it took %v", took)
				}
				synctest.Wait()
				if list, err := h.mem.List(context.Background(), nil); err != nil || len(list) != 0 {
					t.Errorf("a record is left: %+v, %v", list, err)
				}
				if len(h.boxes.volumes) != 0 || h.boxes.open() != 0 {
					t.Errorf("left: volumes %v, %d sandboxes", h.boxes.volumes, h.boxes.open())
				}
				h.mu.Lock()
				defer h.mu.Unlock()
				if len(h.sessions) != 0 {
					t.Error("the service still knows it")
				}
			})
		})
	}
}

// failPut fails the n-th write of a record.
func failPut(n int) func(string, []event.Event) error {
	return func(op string, _ []event.Event) error {
		if op != "put" {
			return nil
		}
		if n--; n == 0 {
			return errFake
		}
		return nil
	}
}

func closeHost(h *harness, _ context.CancelFunc) {
	if err := h.Close(context.Background()); err != nil {
		h.tb.Error(err)
	}
}

// stopOnly stops the only session there is, which its owner sees in the list before its launch has returned.
func stopOnly(h *harness, _ context.CancelFunc) {
	list, err := h.List(context.Background(), userKey)
	if err != nil || len(list) != 1 || list[0].Status != StatusStarting {
		h.tb.Fatalf("got %+v, %v", list, err)
	}
	if err := h.Stop(context.Background(), list[0].ID); err != nil {
		h.tb.Error(err)
	}
}

// TestAProviderThatNeverReturns is the worst provider: it does not even look at its context. Launch and Stop still return, and what it
// makes in the end is not kept.
func TestAProviderThatNeverReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		hang := make(chan struct{})
		h.boxes.on(func(context.Context, SandboxSpec) error { <-hang; return nil })
		began := time.Now()
		_, err := h.Launch(context.Background(), LaunchRequest{Key: userKey})
		if !errors.Is(err, ErrUnavailable) || time.Since(began) > time.Minute+freeTimeout {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		list, err := h.List(context.Background(), userKey)
		if err != nil || len(list) != 1 || list[0].Status != StatusStopping {
			t.Fatalf("what can't be removed yet must be seen: %+v, %v", list, err)
		}
		began = time.Now()
		if err := h.Stop(context.Background(), list[0].ID); err == nil || time.Since(began) > removeTimeout {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		close(hang)
		synctest.Wait()
		if err := h.Stop(context.Background(), list[0].ID); err != nil {
			t.Errorf("the provider is well again: %v", err)
		}
	})
}

func TestADrainingHostStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(polite)
		if err := h.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		for name, call := range map[string]func() error{
			"launch":  func() error { _, err := h.Launch(context.Background(), LaunchRequest{Key: userKey}); return err },
			"send":    func() error { _, err := h.Send(context.Background(), id, "hi"); return err },
			"acquire": func() error { _, err := h.Acquire(context.Background(), id); return err },
			"stop":    func() error { return h.Stop(context.Background(), id) },
			"get":     func() error { _, err := h.Get(context.Background(), "conv-other"); return err },
		} {
			if err := call(); !errors.Is(err, ErrDraining) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if rec, _ := h.mem.record(t, id); rec.Status != StatusAsleep {
			t.Errorf("the session is %s", rec.Status)
		}
	})
}
