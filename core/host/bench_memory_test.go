package host_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
)

// BenchmarkMemory is what an idle host takes and what each idle session adds to it: with its tunnel, its log and its place in the pool.
// Sessions are launched and left alone; the host's garbage is collected by itself, as it is in life.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		r := newFeatherRig(b)
		pid := r.cmd.Process.Pid
		idle := memory(b, pid, "VmRSS")
		b.ReportMetric(float64(idle)/1024, "host_rss_idle_mib")
		b.ReportMetric(float64(memory(b, pid, "RssAnon"))/1024, "host_anon_idle_mib")
		// One session has started the plugins that every one needs.
		r.launch(memoryConfig())
		var plugins int64
		for _, p := range r.find("/filter-", "") {
			plugins += memory(b, p.pid, "VmRSS")
		}
		for _, p := range r.find("/provider-", "") {
			plugins += memory(b, p.pid, "VmRSS")
		}
		b.ReportMetric(float64(plugins)/1024, "plugins_rss_mib")
		had := 0
		for _, n := range []int{10, 100, 1000} {
			r.launchMany(n - had)
			had = n
			b.ReportMetric(float64(memory(b, pid, "VmRSS")-idle)/float64(n), "session_rss_kib_at_"+strconv.Itoa(n))
		}
		b.ReportMetric(float64(memory(b, pid, "VmRSS")-idle)/float64(had), "session_rss_kib")
		r.stop(15)
	}
}

func memoryConfig() map[string]any {
	return inline(func(c map[string]any) { c["filters"] = []string{} })
}

// launchMany launches n sessions, a few at a time.
func (r *rig) launchMany(n int) {
	r.t.Helper()
	var wg sync.WaitGroup
	slots := make(chan struct{}, 4)
	for range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			var s launched
			if !r.ask("POST", "/api/agents/launch", map[string]any{"api_key": key, "config": memoryConfig()}, &s) || !strings.HasPrefix(s.SessionID, "conv-") {
				r.t.Errorf("launched %+v", s)
			}
		})
	}
	wg.Wait()
}
