package plugintest

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// ProviderHarness is what the provider kit needs of a provider. Its ids begin with "kit-".
type ProviderHarness struct {
	Provider sdk.Provider
	// NewRequest makes a request for a sandbox of the given id, with labels and a volume of its own.
	NewRequest func(id string) sdk.CreateRequest
	// Dial checks that something answers at an endpoint.
	Dial func(ctx context.Context, ep sdk.Endpoint) error
	// Run runs a shell command in a sandbox, in its workspace, and returns what it prints.
	Run func(ctx context.Context, ep sdk.Endpoint, script string) (string, error)
	// Capabilities are those that the provider's Description names. One that is not named must answer ErrUnimplemented.
	Capabilities []string
	// Say makes a sandbox's first program write a line to its standard output or error. It is needed with the capability logs.
	Say func(ctx context.Context, ep sdk.Endpoint, line string) error
	// MissingImage can't be had from anywhere, Image can (empty tests none). They are for the capability pull.
	MissingImage string
	Image        string
}

// TestProvider checks what every provider must do: create, also twice, many at a time and when the caller gives up, keep volumes and
// nothing else, get and list by labels, destroy, also twice, and refuse what is no id; and what the capabilities promise that it has.
func TestProvider(t *testing.T, h ProviderHarness) {
	t.Helper()
	t.Run("create is idempotent", h.testIdempotentCreate)
	t.Run("get and list", h.testList)
	t.Run("destroy is idempotent", h.testDestroy)
	t.Run("a volume outlives its sandbox", h.testVolume)
	t.Run("many at a time", h.testMany)
	t.Run("a caller that gives up", h.testCancel)
	t.Run("what is no id", h.testIDs)
	t.Run("stats", h.testStats)
	t.Run("logs", h.testLogs)
	t.Run("pull", h.testPull)
}

// create makes a sandbox that is destroyed, with its volume, at the test's end.
func (h ProviderHarness) create(t *testing.T, req sdk.CreateRequest) sdk.Sandbox {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	t.Cleanup(func() { h.destroy(t, sdk.DestroyRequest{ID: req.ID, Volume: req.Volume}) })
	s, err := h.Provider.Create(ctx, req)
	if err != nil {
		t.Fatalf("creating %s: %v", req.ID, err)
	}
	if s.ID != req.ID || s.State != sdk.StateRunning || !maps.Equal(s.Labels, req.Labels) {
		t.Fatalf("got %+v", s)
	}
	if err := checkEndpoint(s.Endpoint); err != "" {
		t.Errorf("the endpoint %q: %s", s.Endpoint.URL, err)
	}
	for _, resource := range []string{"memory", "cpu", "pids", "disk"} {
		if s.Limits[resource] == "" {
			t.Errorf("nothing says how %s is limited", resource)
		}
	}
	if err := h.Dial(ctx, s.Endpoint); err != nil {
		t.Fatalf("dialling %s: %v", s.Endpoint.URL, err)
	}
	return s
}

func (h ProviderHarness) destroy(t *testing.T, req sdk.DestroyRequest) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := h.Provider.Destroy(ctx, req); err != nil {
		t.Errorf("destroying %+v: %v", req, err)
	}
}

func checkEndpoint(ep sdk.Endpoint) string {
	if path, ok := strings.CutPrefix(ep.URL, "unix:"); ok {
		if !filepath.IsAbs(path) || len(path) > 107 {
			return "a unix socket needs an absolute path of at most 107 bytes"
		}
		return ""
	}
	u, err := url.Parse(ep.URL)
	switch {
	case err != nil || u.Host == "":
		return "it is no URL"
	case u.Scheme == "https":
		return ""
	case u.Scheme == "http" && (u.Hostname() == "127.0.0.1" || u.Hostname() == "localhost" || u.Hostname() == "::1"):
		return ""
	default:
		return "it must be unix:, https: or http: on loopback"
	}
}

// absent fails when the provider still knows a sandbox.
func (h ProviderHarness) absent(t *testing.T, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if _, err := h.Provider.Get(ctx, sdk.GetRequest{ID: id}); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("Get %s: got %v, want ErrNotFound", id, err)
	}
	list, err := h.Provider.List(ctx, sdk.ListRequest{})
	if err != nil {
		t.Errorf("List: %v", err)
	}
	for _, s := range list.Sandboxes {
		if s.ID == id {
			t.Errorf("%s is listed", id)
		}
	}
}

func (h ProviderHarness) testIdempotentCreate(t *testing.T) {
	req := h.NewRequest("kit-a")
	first := h.create(t, req)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			again, err := h.Provider.Create(ctx, req)
			if err != nil || again.Endpoint.URL != first.Endpoint.URL {
				t.Errorf("got %+v, %v", again, err)
			}
		})
	}
	wg.Wait()
}

func (h ProviderHarness) testList(t *testing.T) {
	b, c := h.NewRequest("kit-b"), h.NewRequest("kit-c")
	h.create(t, b)
	h.create(t, c)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	got, err := h.Provider.Get(ctx, sdk.GetRequest{ID: "kit-b"})
	if err != nil || got.ID != "kit-b" || got.State != sdk.StateRunning || !maps.Equal(got.Labels, b.Labels) {
		t.Errorf("got %+v, %v", got, err)
	}
	h.absent(t, "kit-none")
	for _, tt := range []struct {
		labels map[string]string
		want   []string
	}{
		{c.Labels, []string{"kit-c"}},
		{nil, []string{"kit-b", "kit-c"}},
		{map[string]string{"host": "somebody-else"}, nil},
		{map[string]string{"no-such-label": ""}, nil},
	} {
		list, err := h.Provider.List(ctx, sdk.ListRequest{Labels: tt.labels})
		if err != nil {
			t.Errorf("%v: %v", tt.labels, err)
		}
		found := map[string]bool{}
		for _, s := range list.Sandboxes {
			found[s.ID] = true
		}
		for _, id := range tt.want {
			if !found[id] {
				t.Errorf("%v: %s is missing", tt.labels, id)
			}
			delete(found, id)
		}
		if tt.labels != nil && len(found) > 0 {
			t.Errorf("%v: got %v too", tt.labels, found)
		}
	}
}

func (h ProviderHarness) testDestroy(t *testing.T) {
	req := h.NewRequest("kit-d")
	s := h.create(t, req)
	for range 2 {
		h.destroy(t, sdk.DestroyRequest{ID: "kit-d"})
	}
	h.absent(t, "kit-d")
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := h.Dial(ctx, s.Endpoint); err == nil {
		t.Error("its endpoint still answers")
	}
	h.destroy(t, sdk.DestroyRequest{Volume: "kit-no-such-volume"})
	h.destroy(t, sdk.DestroyRequest{ID: "kit-none", Volume: "kit-no-such-volume"})
	h.create(t, req) // the name is free again
}

func (h ProviderHarness) testVolume(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	run := func(s sdk.Sandbox, script, want string) {
		t.Helper()
		if got, err := h.Run(ctx, s.Endpoint, script); err != nil || strings.TrimSpace(got) != want {
			t.Errorf("%s: got %q, %v, want %q", script, got, err, want)
		}
	}
	first := h.NewRequest("kit-v")
	s := h.create(t, first)
	run(s, "pwd", "/workspace")
	run(s, "mkdir -p ~/.claude && echo one > kept && echo two > ~/.claude/kept && echo three > /tmp/gone && echo done", "done")
	h.destroy(t, sdk.DestroyRequest{ID: "kit-v"})
	second := h.NewRequest("kit-w")
	second.Volume = first.Volume
	s = h.create(t, second)
	run(s, "cat kept ~/.claude/kept; test -e /tmp/gone || echo fresh", "one\ntwo\nfresh")
	h.destroy(t, sdk.DestroyRequest{ID: "kit-w", Volume: first.Volume})
	third := h.NewRequest("kit-x")
	third.Volume = first.Volume
	s = h.create(t, third)
	run(s, "ls -A; test -e ~/.claude/kept || echo empty", "empty")
}

func (h ProviderHarness) testMany(t *testing.T) {
	var wg sync.WaitGroup
	for _, id := range []string{"kit-e", "kit-f", "kit-g"} {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			req := h.NewRequest(id)
			if _, err := h.Provider.Create(ctx, req); err != nil {
				t.Errorf("creating %s: %v", id, err)
			}
			h.destroy(t, sdk.DestroyRequest{ID: id, Volume: req.Volume})
		})
	}
	wg.Wait()
	for _, id := range []string{"kit-e", "kit-f", "kit-g"} {
		h.absent(t, id)
	}
}

func (h ProviderHarness) testCancel(t *testing.T) {
	req := h.NewRequest("kit-h")
	t.Cleanup(func() { h.destroy(t, sdk.DestroyRequest{ID: req.ID, Volume: req.Volume}) })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.Provider.Create(ctx, req); err == nil {
		t.Error("a caller that has given up must get an error")
	}
	// Whether something was made by then is the provider's affair; destroying it is not.
	h.destroy(t, sdk.DestroyRequest{ID: req.ID})
	h.absent(t, req.ID)
	h.create(t, req)
}

func (h ProviderHarness) testIDs(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for _, id := range []string{"", "../x", "a/b", "A", "a b", "a\nb", "a.b", strings.Repeat("a", 64)} {
		if _, err := h.Provider.Create(ctx, h.NewRequest(id)); err == nil || !sdk.IsPermanent(err) {
			t.Errorf("creating %q: got %v, want a Permanent error", id, err)
		}
	}
}
