package sandbox

import (
	"context"
	"errors"
	"net"
	"net/http"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk"
)

func TestStart(t *testing.T) {
	p, fake := newPool(t, nil)
	s := start(t, p, "conv-1")
	req := fake.created[0]
	want := map[string]string{LabelHost: hostID, LabelSession: "conv-1", LabelGeneration: p.generation}
	if !reflect.DeepEqual(req.Labels, want) || req.Volume != "conv-1" || req.Image != "img" || len(req.Env) != 0 {
		t.Errorf("asked for %+v", req)
	}
	if !regexp.MustCompile(`^sb-[a-z2-7]{26}$`).MatchString(req.ID) || len(req.Token) != 26 {
		t.Errorf("id %q, token of %d", req.ID, len(req.Token))
	}
	if s.Info().Limits["memory"] != "by the fake" || s.Info().Lost != "" || s.Info().Start.Kind != session.StartCold {
		t.Errorf("got %+v", s.Info())
	}
	if c, ok := p.Client("conv-1"); !ok || c != s.client || p.Count() != 1 {
		t.Errorf("the pool does not know it: %v, %d", ok, p.Count())
	}
	if _, ok := p.Client("conv-2"); ok {
		t.Error("the pool knows another")
	}
	for range 2 {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if fake.left() != 0 || fake.tries() != 1 || p.Count() != 0 {
		t.Errorf("%d left, destroyed %d times, %d known", fake.left(), fake.tries(), p.Count())
	}
	if fake.destroyed[0].Volume != "" {
		t.Error("the volume went with it")
	}
}

// TestAStartThatFailsDestroysWhatItMade covers each step after which something may be there.
func TestAStartThatFailsDestroysWhatItMade(t *testing.T) {
	for _, tc := range []struct {
		name  string
		setup func(fake *provider)
		want  string
	}{
		// The answer may have been lost after the deed.
		{"create", func(f *provider) { f.create = func(context.Context) error { return errFake } }, "starting a sandbox"},
		{"create, for good", func(f *provider) { f.create = func(context.Context) error { return sdk.Permanent(errFake) } }, "starting a sandbox"},
		{"an endpoint nobody may dial", func(f *provider) { f.url = "http://example.com" }, "reaching the agent server"},
		{"an agent server that does not know us", func(f *provider) { f.deaf = true }, "unauthorized"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, fake := newPool(t, nil)
			tc.setup(fake)
			if _, err := p.Start(context.Background(), spec("conv-1")); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
			if fake.left() != 0 || p.Count() != 0 {
				t.Errorf("%d left, %d known", fake.left(), p.Count())
			}
		})
	}
}

func TestAStartThatIsCancelledDestroysWhatItMade(t *testing.T) {
	p, fake := newPool(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	fake.create = func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	// The destruction is not cancelled with it.
	fake.destroy = func(ctx context.Context) error { return ctx.Err() }
	if _, err := p.Start(ctx, spec("conv-1")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if fake.left() != 0 {
		t.Error("it is still there")
	}
}

func TestDestroyIsTriedAgain(t *testing.T) {
	p, fake := newPool(t, nil)
	s := start(t, p, "conv-1")
	tries := 3
	fake.set(func() {
		fake.destroy = func(context.Context) error {
			if tries--; tries > 0 {
				return sdk.ErrPluginExited
			}
			return nil
		}
	})
	if err := s.Close(context.Background()); err != nil || fake.left() != 0 {
		t.Errorf("got %v, %d left", err, fake.left())
	}
}

func TestUnknownProviders(t *testing.T) {
	p, _ := newPool(t, nil)
	unknown := spec("conv-1")
	unknown.Provider = "none"
	_, err := p.Start(context.Background(), unknown)
	_, sweepErr := p.Sweep(context.Background(), "none")
	for name, err := range map[string]error{
		"start": err, "sweep": sweepErr, "volume": p.RemoveVolume(context.Background(), "none", "v"),
	} {
		if err == nil || !strings.Contains(err.Error(), "no provider none") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestResources(t *testing.T) {
	p, _ := newPool(t, nil)
	for _, tc := range []struct {
		name   string
		limits preset.ResourceLimits
		want   sdk.Resources
		bad    string
	}{
		{"none", preset.ResourceLimits{}, sdk.Resources{PIDs: 256}, ""},
		{
			"all",
			preset.ResourceLimits{CPUQuota: 250000, MemoryLimit: "512m", StorageLimit: "10g"},
			sdk.Resources{MilliCPU: 2500, MemoryBytes: 512 << 20, DiskBytes: 10 << 30, PIDs: 256},
			"",
		},
		{"bad memory", preset.ResourceLimits{MemoryLimit: "lots"}, sdk.Resources{}, "resource_limits"},
		{"bad storage", preset.ResourceLimits{StorageLimit: "-1g"}, sdk.Resources{}, "resource_limits"},
	} {
		got, err := p.resources(tc.limits)
		if tc.bad != "" {
			if err == nil || !strings.Contains(err.Error(), tc.bad) {
				t.Errorf("%s: got %v", tc.name, err)
			}
			continue
		}
		if err != nil || got != tc.want {
			t.Errorf("%s: got %+v, %v", tc.name, got, err)
		}
	}
}

func TestSweepDestroysWhatEarlierRunsLeft(t *testing.T) {
	p, fake := newPool(t, nil)
	start(t, p, "conv-1")
	for id, labels := range map[string]map[string]string{
		"old-1":      {LabelHost: hostID, LabelGeneration: "before"},
		"old-2":      {LabelHost: hostID, LabelGeneration: "before"},
		"other":      {LabelHost: "host-2", LabelGeneration: "before"},
		"unlabelled": nil,
	} {
		if _, err := fake.Create(context.Background(), sdk.CreateRequest{ID: id, Labels: labels}); err != nil {
			t.Fatal(err)
		}
	}
	// One that can't be destroyed does not keep the other.
	first := true
	fake.set(func() {
		fake.destroy = func(context.Context) error {
			if first {
				first = false
				return errFake
			}
			return nil
		}
	})
	if n, err := p.Sweep(context.Background(), "fake"); n != 1 || !errors.Is(err, errFake) {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := p.Sweep(context.Background(), "fake"); n != 1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if fake.left() != 3 {
		t.Errorf("%d left, want ours, another host's and one without labels", fake.left())
	}
	for _, id := range []string{"other", "unlabelled"} {
		if err := fake.Destroy(context.Background(), sdk.DestroyRequest{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestASessionThatWakesEarlyFindsItsVolumeFree: an earlier run's sandbox on it goes before the new one is made.
func TestASessionThatWakesEarlyFindsItsVolumeFree(t *testing.T) {
	p, fake := newPool(t, nil)
	old := sdk.CreateRequest{ID: "sb-old", Volume: "conv-1", Labels: map[string]string{LabelHost: hostID, LabelGeneration: "earlier"}}
	if _, err := fake.Create(context.Background(), old); err != nil {
		t.Fatal(err)
	}
	fake.create = func(context.Context) error {
		fake.mu.Lock()
		defer fake.mu.Unlock()
		if fake.sandboxes["sb-old"] != nil {
			return errors.New("the volume is in use")
		}
		return nil
	}
	start(t, p, "conv-1")
	if fake.left() != 1 {
		t.Errorf("%d sandboxes", fake.left())
	}
}

func TestRemoveVolume(t *testing.T) {
	p, fake := newPool(t, nil)
	if err := p.RemoveVolume(context.Background(), "fake", "conv-1"); err != nil {
		t.Error(err)
	}
	if fake.destroyed[0] != (sdk.DestroyRequest{Volume: "conv-1"}) {
		t.Errorf("got %+v", fake.destroyed)
	}
}

// through makes a request through a tunnel, as a sandbox does.
func through(mux *yamux.Session, kind byte) (status int, err error) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			conn, err := mux.Open()
			if err != nil {
				return nil, err
			}
			_, err = conn.Write([]byte{kind})
			return conn, err
		},
	}}
	res, err := client.Get("http://gateway/")
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

func TestTheTunnelIsTheSessionsAndIsRedialled(t *testing.T) {
	p, fake := newPool(t, func(id string) map[byte]http.Handler {
		return map[byte]http.Handler{agent.TunnelGateway: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(map[string]int{"conv-1": 299}[id])
		})}
	})
	s := start(t, p, "conv-1")
	server := fake.only(t)
	for range 3 {
		mux := server.dialled(t)
		if status, err := through(mux, agent.TunnelGateway); err != nil || status != 299 {
			t.Errorf("got %d, %v", status, err)
		}
		if status, err := through(mux, agent.TunnelEgress); err == nil {
			t.Errorf("where nobody answers: got %d", status)
		}
		if err := mux.Close(); err != nil {
			t.Error(err)
		}
	}
	server.dialled(t)
	select {
	case <-s.Gone():
		t.Errorf("it counts as lost: %s", s.Info().Lost)
	default:
	}
}

func TestLostSandboxesAreNoticed(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		get        func(context.Context) (sdk.Sandbox, error)
	}{
		{"exited", "out of memory", func(context.Context) (sdk.Sandbox, error) {
			return sdk.Sandbox{State: sdk.StateExited, Detail: "out of memory"}, nil
		}},
		{"exited without a word", "it exited", func(context.Context) (sdk.Sandbox, error) {
			return sdk.Sandbox{State: sdk.StateExited}, nil
		}},
		{"unknown", "the provider does not know it any more", func(context.Context) (sdk.Sandbox, error) {
			return sdk.Sandbox{}, sdk.ErrNotFound
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, fake := newPool(t, nil)
			s := start(t, p, "conv-1")
			mux := fake.only(t).dialled(t)
			fake.set(func() { fake.get = tc.get })
			if err := mux.Close(); err != nil {
				t.Error(err)
			}
			select {
			case <-s.Gone():
			case <-time.After(outer):
				t.Fatal("nobody noticed")
			}
			if s.Info().Lost != tc.want {
				t.Errorf("got %q", s.Info().Lost)
			}
			// What is left of it is still to be destroyed.
			if err := s.Close(context.Background()); err != nil || fake.left() != 0 {
				t.Errorf("got %v, %d left", err, fake.left())
			}
		})
	}
}

// TestAProviderThatCannotTellIsNoLoss: the sandbox still answers, whatever becomes of its provider.
func TestAProviderThatCannotTellIsNoLoss(t *testing.T) {
	p, fake := newPool(t, nil)
	s := start(t, p, "conv-1")
	server := fake.only(t)
	fake.set(func() {
		fake.get = func(context.Context) (sdk.Sandbox, error) { return sdk.Sandbox{}, sdk.ErrPluginExited }
	})
	for range 2 {
		if err := server.dialled(t).Close(); err != nil {
			t.Error(err)
		}
	}
	server.dialled(t)
	select {
	case <-s.Gone():
		t.Errorf("it counts as lost: %s", s.Info().Lost)
	default:
	}
}

// TestCloseWaits closes a pool in the middle of everything: calls through a tunnel, a close that is under way, starts.
func TestCloseWaits(t *testing.T) {
	in, out := make(chan struct{}), make(chan struct{})
	var p *Pool
	p, fake := newPool(t, func(string) map[byte]http.Handler {
		return map[byte]http.Handler{agent.TunnelGateway: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(in)
			<-r.Context().Done()
			// Slow to end: the sandboxes are gone by then.
			for n := 0; n < 1000; runtime.Gosched() {
				if p.Count() == 0 {
					n++
				}
			}
			close(out)
		})}
	})
	start(t, p, "conv-1")
	mux := fake.only(t).dialled(t)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = through(mux, agent.TunnelGateway) })
	<-in
	other := start(t, p, "conv-2")
	wg.Go(func() {
		if err := other.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
	select {
	case <-out:
	default:
		t.Error("a call through the tunnel was still served")
	}
	wg.Wait()
	if _, err := p.Start(context.Background(), spec("conv-3")); !errors.Is(err, errClosed) {
		t.Errorf("a start after it: %v", err)
	}
	if fake.left() != 0 {
		t.Errorf("%d left", fake.left())
	}
}

func TestAStartDuringCloseLeavesNothing(t *testing.T) {
	p, fake := newPool(t, nil)
	creating, closed := make(chan struct{}), make(chan error, 1)
	fake.create = func(context.Context) error {
		close(creating)
		<-p.closed
		return nil
	}
	failed := make(chan error, 1)
	go func() {
		_, err := p.Start(context.Background(), spec("conv-1"))
		failed <- err
	}()
	<-creating
	go func() { closed <- p.Close(context.Background()) }()
	if err := <-failed; !errors.Is(err, errClosed) {
		t.Errorf("the start: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("the close: %v", err)
	}
	if fake.left() != 0 {
		t.Error("it is still there")
	}
}

func TestManyAtATime(t *testing.T) {
	p, fake := newPool(t, nil)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			s := start(t, p, "conv-"+string(rune('a'+i)))
			if i%2 == 0 {
				if err := s.Close(context.Background()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if fake.left() != 10 || p.Count() != 10 {
		t.Errorf("%d left, %d known", fake.left(), p.Count())
	}
}
