package sandbox

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// The tests of this file run in a bubble, where nothing is dialled: their sandboxes have no agent server.

// made is a sandbox of the pool without a server or a tunnel.
func made(t *testing.T, p *Pool, fake *provider, id string) *Sandbox {
	t.Helper()
	client, err := agent.NewClient(agent.Endpoint{URL: "unix:/nonexistent/socket"}, "token", p.log)
	if err != nil {
		t.Fatal(err)
	}
	s := &Sandbox{
		pool: p, id: "sb-" + id, sessionID: id, volume: id, provider: fake, client: client, stop: func() {},
		gone: make(chan struct{}), closed: make(chan struct{}),
	}
	if !p.add(s) {
		t.Fatal("the pool is closed")
	}
	return s
}

func TestWhatCannotBeDestroyedNowIsDestroyedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, fake := newPool(t, nil)
		s := made(t, p, fake, "conv-1")
		fake.set(func() { fake.destroy = func(context.Context) error { return sdk.ErrPluginExited } })
		began := time.Now()
		if err := s.Close(context.Background()); !errors.Is(err, sdk.ErrPluginExited) || time.Since(began) > destroyTimeout+redialMax {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		if p.Count() != 0 {
			t.Error("it still counts as running")
		}
		// Nobody else gets its volume as long as it may live.
		if _, err := p.Start(context.Background(), spec("conv-1")); !errors.Is(err, sdk.ErrPluginExited) {
			t.Errorf("start: %v", err)
		}
		if err := p.RemoveVolume(context.Background(), "fake", "conv-1"); !errors.Is(err, sdk.ErrPluginExited) {
			t.Errorf("remove: %v", err)
		}
		if len(fake.created) != 0 {
			t.Errorf("made %+v", fake.created)
		}
		time.Sleep(time.Hour) // on the bubble's clock
		if tries := fake.tries(); tries > 200 {
			t.Errorf("%d tries in an hour", tries)
		}
		fake.set(func() { fake.destroy = nil })
		time.Sleep(2 * orphanMax) // on the bubble's clock
		synctest.Wait()
		p.mu.Lock()
		left := len(p.orphans)
		p.mu.Unlock()
		if left != 0 {
			t.Error("it was not destroyed")
		}
		last := fake.tries()
		time.Sleep(time.Hour) // on the bubble's clock
		if fake.tries() != last {
			t.Error("it is destroyed again and again")
		}
	})
}

func TestTheNextStartDestroysWhatIsInItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, fake := newPool(t, nil)
		s := made(t, p, fake, "conv-1")
		fake.set(func() { fake.destroy = func(context.Context) error { return sdk.ErrPluginExited } })
		if err := s.Close(context.Background()); err == nil {
			t.Error("it must fail")
		}
		fake.set(func() { fake.destroy = nil })
		last := fake.tries()
		if err := p.RemoveVolume(context.Background(), "fake", "conv-1"); err != nil {
			t.Error(err)
		}
		if got := fake.destroyed[last:]; len(got) != 2 || got[0].ID != "sb-conv-1" || got[1].Volume != "conv-1" {
			t.Errorf("got %+v", got)
		}
		time.Sleep(time.Hour) // on the bubble's clock
		synctest.Wait()
		if fake.tries() != last+2 {
			t.Error("it is destroyed again")
		}
	})
}

func TestWhatIsHopelessIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, fake := newPool(t, nil)
		s := made(t, p, fake, "conv-1")
		fake.set(func() { fake.destroy = func(context.Context) error { return sdk.Permanent(errFake) } })
		if err := s.Close(context.Background()); !errors.Is(err, errFake) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Hour) // on the bubble's clock
		if fake.tries() != 1 {
			t.Errorf("%d tries", fake.tries())
		}
	})
}

func TestCloseTriesOnceMore(t *testing.T) {
	for _, well := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			p, fake := newPool(t, nil)
			s := made(t, p, fake, "conv-1")
			fake.set(func() { fake.destroy = func(context.Context) error { return sdk.ErrPluginExited } })
			if err := s.Close(context.Background()); err == nil {
				t.Error("it must fail")
			}
			if well {
				fake.set(func() { fake.destroy = nil })
			}
			began := time.Now()
			if err := p.Close(context.Background()); (err == nil) != well || time.Since(began) > 0 {
				t.Errorf("got %v after %v", err, time.Since(began))
			}
		})
	}
}

func TestAHangingProviderDoesNotHoldUpCloseForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, fake := newPool(t, nil)
		for _, id := range []string{"a", "b", "c"} {
			made(t, p, fake, id)
		}
		fake.set(func() { fake.destroy = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() } })
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		began := time.Now()
		if err := p.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		fake.set(func() { fake.destroy = nil })
		time.Sleep(destroyTimeout) // on the bubble's clock
		synctest.Wait()
	})
}

// TestNeitherProviderNorAgentServer: when nobody answers any more the sandbox is lost, and nobody waits for it for ever.
func TestNeitherProviderNorAgentServer(t *testing.T) {
	for name, get := range map[string]func(context.Context) (sdk.Sandbox, error){
		"failing": func(context.Context) (sdk.Sandbox, error) { return sdk.Sandbox{}, errFake },
		"hanging": func(ctx context.Context) (sdk.Sandbox, error) { <-ctx.Done(); return sdk.Sandbox{}, ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, fake := newPool(t, nil)
				s := made(t, p, fake, "conv-1")
				fake.set(func() { fake.get = get })
				began := time.Now()
				reason, lost := s.isLost(context.Background())
				if !lost || reason == "" || time.Since(began) > getTimeout+healthTimeout+time.Second {
					t.Errorf("got %q, %v after %v", reason, lost, time.Since(began))
				}
				// One that is being closed is not lost.
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				if reason, lost := s.isLost(ctx); lost {
					t.Errorf("got %q", reason)
				}
			})
		})
	}
}
