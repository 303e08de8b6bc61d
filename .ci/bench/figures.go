package main

// figure is one thing that is measured. Its name is the unit under which a benchmark reports it.
type figure struct {
	name, unit string
	// goal is what the figure should reach: at most when lower is better, at least when higher is. A figure without one is told for its
	// own sake.
	goal   float64
	better string
	// run is the benchmark that reports it.
	run *run
}

// run is one benchmark, or a part of one, with how often to repeat it.
type run struct {
	pkg, bench string
	// time is -benchtime: how many samples one value is the median of. count is how many values there are; the figure is their median.
	time  string
	count int
}

const (
	lower  = "lower"
	higher = "higher"
	host   = "./core/host"
)

// figures lists everything, in the order of the table. README.md says how each is measured.
func figures() []figure {
	warm := &run{host, "^BenchmarkWarm$", "8x", 3}
	cold := &run{host, "^BenchmarkCold$", "4x", 3}
	text := &run{host, "^BenchmarkTurn$/^text$", "30x", 3}
	tool := &run{host, "^BenchmarkTurn$/^tool$", "20x", 1}
	kept := &run{host, "^BenchmarkRelay$/^kept$", "1x", 5}
	kept100 := &run{host, "^BenchmarkRelay$/^kept-100$", "1x", 3}
	deltas := &run{host, "^BenchmarkRelay$/^deltas$", "1x", 3}
	deltas100 := &run{host, "^BenchmarkRelay$/^deltas-100$", "1x", 3}
	memory := &run{host, "^BenchmarkMemory$", "1x", 3}
	tree := &run{host, "^BenchmarkTree$", "10x", 3}
	download := &run{host, "^BenchmarkDownload$", "5x", 3}
	export := &run{host, "^BenchmarkExport$", "1x", 3}
	thirty := &run{host, "^BenchmarkThirty$", "1x", 1}
	web := &run{host, "^BenchmarkWeb$", "1x", 3}
	plugin := &run{"./core/plugin", "^BenchmarkCall$", "2000x", 5}
	verdict := &run{"./core/policy", "^BenchmarkVerdict$", "2000x", 5}
	return []figure{
		{"launch_warm_p50_ms", "ms", 60, lower, warm},
		{"first_text_warm_p50_ms", "ms", 400, lower, warm},
		{"launch_cold_ratio", "ratio", 1.1, lower, cold},
		{"launch_cold_p50_ms", "ms", 0, lower, cold},
		{"bare_cold_p50_ms", "ms", 0, lower, cold},
		{"turn_overhead_first_text_ms", "ms", 3, lower, text},
		{"turn_flush_first_text_ms", "ms", 0, lower, text},
		{"turn_overhead_done_ms", "ms", 0, lower, text},
		{"turn_first_text_p50_ms", "ms", 0, lower, text},
		{"turn_done_p50_ms", "ms", 0, lower, text},
		{"bare_first_text_p50_ms", "ms", 0, lower, text},
		{"bare_done_p50_ms", "ms", 0, lower, text},
		{"tool_turn_done_p50_ms", "ms", 0, lower, tool},
		{"tool_bare_done_p50_ms", "ms", 0, lower, tool},
		{"tool_turn_overhead_done_ms", "ms", 0, lower, tool},
		{"event_cpu_us", "µs", 60, lower, kept},
		{"relay_events_per_s", "events/s", 20_000, higher, kept},
		{"relay_100_events_per_s", "events/s", 0, higher, kept100},
		{"delta_cpu_us", "µs", 0, lower, deltas},
		{"relay_deltas_per_s", "events/s", 0, higher, deltas},
		{"relay_100_deltas_per_s", "events/s", 0, higher, deltas100},
		{"host_rss_idle_mib", "MiB", 60, lower, memory},
		{"plugins_rss_mib", "MiB", 0, lower, memory},
		{"session_rss_kib", "KiB", 300, lower, memory},
		{"session_rss_kib_at_10", "KiB", 0, lower, memory},
		{"session_rss_kib_at_100", "KiB", 0, lower, memory},
		{"tree_10k_ms", "ms", 150, lower, tree},
		{"download_first_byte_ms", "ms", 10, lower, download},
		{"download_mb_per_s", "MB/s", 0, higher, download},
		{"download_rss_growth_mib", "MiB", 0, lower, download},
		{"export_zip_ratio", "ratio", 1, higher, export},
		{"export_mb_per_s", "MB/s", 0, higher, export},
		{"zip_mb_per_s", "MB/s", 0, higher, export},
		{"export_size_ratio", "ratio", 0, lower, export},
		{"export_rss_growth_mib", "MiB", 32, lower, export},
		{"web_initial_js_kib", "KiB", 250, lower, web},
		{"web_first_render_ms", "ms", 1000, lower, web},
		{"web_input_latency_p95_ms", "ms", 100, lower, web},
		{"web_open_5000_events_ms", "ms", 1000, lower, web},
		{"web_tree_10k_ms", "ms", 300, lower, web},
		{"plugin_call_p50_us", "µs", 0, lower, plugin},
		{"plugin_call_p99_us", "µs", 1000, lower, plugin},
		{"verdict_p50_us", "µs", 0, lower, verdict},
		{"verdict_p99_us", "µs", 1000, lower, verdict},
		{"concurrent_30_success", "share", 1, higher, thirty},
		{"concurrent_30_s", "s", 0, lower, thirty},
	}
}
