package plugin

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// BenchmarkCall is one question of 1 KiB to a filter in a process of its own, with its answer.
func BenchmarkCall(b *testing.B) {
	s, _ := newPlace(b, "filter-bench").open(b)
	f, err := s.Filter(b.Context(), "bench")
	if err != nil {
		b.Fatal(err)
	}
	input := append(append([]byte(`{"command":"`), bytes.Repeat([]byte("x"), 1000)...), `"}`...)
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := f.FilterCall(b.Context(), sdk.Call{SessionID: "s", Tool: "Bash", Input: input}); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "plugin_call_p50_us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "plugin_call_p99_us")
}
