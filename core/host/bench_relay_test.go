package host_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// BenchmarkRelay is a turn that says much and costs nothing to think of: agent server, host and SSE, as fast as they go.
func BenchmarkRelay(b *testing.B) {
	for _, c := range []struct {
		name, what, kind string
		events           int
		subscribers      int
		rate, cpu        string
	}{
		{"deltas", "deltas", "text_delta", 100_000, 1, "relay_deltas_per_s", "delta_cpu_us"},
		{"deltas-100", "deltas", "text_delta", 5_000, 100, "relay_100_deltas_per_s", "delta_100_cpu_us"},
		{"kept", "texts", "text", 50_000, 1, "relay_events_per_s", "event_cpu_us"},
		{"kept-100", "texts", "text", 2_000, 100, "relay_100_events_per_s", "event_100_cpu_us"},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newFeatherRig(b)
			id := r.launch(inline(func(c map[string]any) { c["filters"] = []string{} }))
			_, h := r.chat(id, "emit 2000 "+c.what, c.kind)
			last := h.id
			var events int
			var took, used time.Duration
			for b.Loop() {
				others := r.subscribe(id, c.kind, last, c.subscribers-1)
				before := r.cpu()
				began, h := r.chat(id, fmt.Sprintf("emit %d %s", c.events, c.what), c.kind)
				took += h.last.Sub(began)
				last = h.id
				events += h.events
				for _, h := range others() {
					events += h.events
				}
				used += r.cpu() - before
			}
			wanted := c.events * c.subscribers * b.N
			if c.what == "texts" && events != wanted {
				b.Fatalf("%d events of %d came through", events, wanted)
			}
			b.ReportMetric(float64(events)/took.Seconds(), c.rate)
			b.ReportMetric(float64(used.Microseconds())/float64(events), c.cpu)
			b.ReportMetric(float64(events)/float64(wanted), "share")
		})
	}
}

// subscribe has n more clients follow the session's next turn and returns a function that waits until they have seen its end.
func (r *rig) subscribe(id, kind string, after int64, n int) func() []heard {
	r.t.Helper()
	all := make([]heard, n)
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience)
	for i := range n {
		res := r.open(ctx, key, http.MethodGet, fmt.Sprintf("/api/agents/%s/events?deltas=true&after=%d", id, after), nil)
		if res.StatusCode != http.StatusOK {
			r.t.Fatalf("following: %s", res.Status)
		}
		wg.Go(func() {
			var err error
			if all[i], err = listen(res.Body, kind, false); err != nil {
				r.t.Errorf("following: %v", err)
			}
		})
	}
	return func() []heard {
		wg.Wait()
		cancel()
		return all
	}
}
