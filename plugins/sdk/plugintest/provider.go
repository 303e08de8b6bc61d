package plugintest

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// ProviderHarness is what the provider kit needs of a provider.
type ProviderHarness struct {
	Provider sdk.Provider
	// NewRequest makes a request for a sandbox of the given id, with labels and a volume of its own.
	NewRequest func(id string) sdk.CreateRequest
	// Dial checks that something answers at an endpoint.
	Dial func(ctx context.Context, ep sdk.Endpoint) error
}

// TestProvider checks what every provider must do: create, also twice and many at a time, get and list by labels, destroy, also
// twice, and remove volumes.
func TestProvider(t *testing.T, h ProviderHarness) {
	t.Helper()
	ctx := context.Background()
	p := h.Provider
	create := func(t *testing.T, id string) sdk.Sandbox {
		t.Helper()
		req := h.NewRequest(id)
		t.Cleanup(func() {
			if err := p.Destroy(ctx, sdk.DestroyRequest{ID: id, Volume: req.Volume}); err != nil {
				t.Errorf("destroying %s: %v", id, err)
			}
		})
		s, err := p.Create(ctx, req)
		if err != nil {
			t.Fatalf("creating %s: %v", id, err)
		}
		if s.ID != id || s.State != sdk.StateRunning || !maps.Equal(s.Labels, req.Labels) {
			t.Fatalf("got %+v", s)
		}
		if err := h.Dial(ctx, s.Endpoint); err != nil {
			t.Fatalf("dialling %s: %v", s.Endpoint.URL, err)
		}
		return s
	}
	t.Run("create is idempotent", func(t *testing.T) {
		first := create(t, "kit-a")
		again, err := p.Create(ctx, h.NewRequest("kit-a"))
		if err != nil || again.Endpoint.URL != first.Endpoint.URL {
			t.Errorf("got %+v, %v", again, err)
		}
	})
	t.Run("get and list", func(t *testing.T) {
		create(t, "kit-b")
		create(t, "kit-c")
		got, err := p.Get(ctx, sdk.GetRequest{ID: "kit-b"})
		if err != nil || got.ID != "kit-b" || got.State != sdk.StateRunning {
			t.Errorf("got %+v, %v", got, err)
		}
		if _, err := p.Get(ctx, sdk.GetRequest{ID: "kit-none"}); !errors.Is(err, sdk.ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
		list, err := p.List(ctx, sdk.ListRequest{Labels: h.NewRequest("kit-c").Labels})
		if err != nil || len(list.Sandboxes) == 0 {
			t.Errorf("got %+v, %v", list, err)
		}
		none, err := p.List(ctx, sdk.ListRequest{Labels: map[string]string{"host": "somebody-else"}})
		if err != nil || len(none.Sandboxes) != 0 {
			t.Errorf("got %+v, %v", none, err)
		}
	})
	t.Run("destroy is idempotent", func(t *testing.T) {
		s := create(t, "kit-d")
		for range 2 {
			if err := p.Destroy(ctx, sdk.DestroyRequest{ID: "kit-d"}); err != nil {
				t.Error(err)
			}
		}
		if _, err := p.Get(ctx, sdk.GetRequest{ID: "kit-d"}); !errors.Is(err, sdk.ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
		if err := h.Dial(ctx, s.Endpoint); err == nil {
			t.Error("its endpoint still answers")
		}
		if err := p.Destroy(ctx, sdk.DestroyRequest{Volume: "kit-no-such-volume"}); err != nil {
			t.Errorf("removing a volume that is not there: %v", err)
		}
	})
	t.Run("many at a time", func(t *testing.T) {
		var wg sync.WaitGroup
		for _, id := range []string{"kit-e", "kit-f", "kit-g"} {
			wg.Go(func() {
				if _, err := p.Create(ctx, h.NewRequest(id)); err != nil {
					t.Errorf("creating %s: %v", id, err)
				}
				if err := p.Destroy(ctx, sdk.DestroyRequest{ID: id, Volume: h.NewRequest(id).Volume}); err != nil {
					t.Errorf("destroying %s: %v", id, err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("a bad id", func(t *testing.T) {
		if _, err := p.Create(ctx, h.NewRequest("../x")); err == nil {
			t.Error("it must be refused")
		}
	})
}
