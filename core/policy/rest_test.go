package policy

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

func TestWhoIsExpectedFindsModulesReady(t *testing.T) {
	runtime, err := New(t.Context(), Config{}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	good := &Module{engines: []*engine{{rest: newRest(runtime.metered, runtime.log, []byte("\x00asm\x01\x00\x00\x00"), func(context.Context) {})}}}
	bad := &Module{engines: []*engine{{rest: newRest(runtime.metered, runtime.log, []byte("no module"), func(context.Context) {})}}}
	runtime.modules["good"], runtime.modules["bad"] = good, bad
	runtime.Expect()
	runtime.Expect()
	runtime.waking.Wait()
	if good.Resting() || !bad.Resting() {
		t.Errorf("resting: good %v, bad %v", good.Resting(), bad.Resting())
	}
	if err := runtime.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestAModuleRestsOnceNobodyHasAskedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runtime, err := New(t.Context(), Config{}, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := runtime.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		cleared := 0
		r := newRest(runtime.metered, runtime.log, []byte("\x00asm\x01\x00\x00\x00"), func(context.Context) { cleared++ })
		defer r.close()
		wake := func() {
			t.Helper()
			gone, cancel := context.WithCancel(t.Context())
			cancel() // whoever asked may be gone
			if c, err := r.wake(gone); err != nil || c == nil {
				t.Fatal(c, err)
			}
		}
		there := func(want bool) {
			t.Helper()
			synctest.Wait()
			r.mu.Lock()
			defer r.mu.Unlock()
			if (r.compiled != nil) != want {
				t.Errorf("ready: %v, want %v", !want, want)
			}
		}
		wake()
		wake()
		r.settle(restAfter)
		time.Sleep(2 * restAfter) // on the bubble's clock
		there(true)
		r.settle(restAfter)
		time.Sleep(restAfter - time.Second)
		there(true)
		wake()
		time.Sleep(2 * time.Second)
		there(true)
		r.settle(restAfter)
		time.Sleep(restAfter + time.Second)
		there(false)
		wake()
		there(true)
		r.settle(0)
		there(false)
		if cleared != 2 {
			t.Errorf("cleared %d times", cleared)
		}
		wake()
		r.settle(restAfter)
		r.close()
		time.Sleep(2 * restAfter)
		there(true) // the runtime's to close
	})
}
