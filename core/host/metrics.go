package host

import (
	"github.com/agcluster/agcluster/core/telemetry"
)

// metrics are the numbers that /metrics has of the host.
func (h *Host) metrics() []telemetry.Sample {
	pool := h.pool.Status()
	gauge := func(name, help string, value float64, labels ...string) telemetry.Sample {
		return telemetry.Sample{Name: "agcluster_" + name, Help: help, Value: value, Labels: pairs(labels)}
	}
	counter := func(name, help string, value float64, labels ...string) telemetry.Sample {
		s := gauge(name, help, value, labels...)
		s.Counter = true
		return s
	}
	const spares, starts = "Sandboxes whose agent waits for a session.", "Starts of sandboxes for sessions since the host began."
	all := []telemetry.Sample{
		gauge("info", "The host's version.", 1, "version", h.version),
		gauge("sandboxes", "Sandboxes that run for sessions.", float64(pool.Sandboxes)),
		gauge("spares", spares, float64(pool.Ready), "state", "ready"),
		gauge("spares", spares, float64(pool.Starting), "state", "starting"),
		gauge("spares_memory_bytes", "What the spares used when they became ready.", float64(pool.MemoryBytes)),
		gauge("start_slots", "Starts that go on at the same time at most.", float64(pool.Slots)),
		gauge("starts_waiting", "Starts in the queue.", float64(pool.Waiting)),
		gauge("starts_waiting_limit", "Starts that may be in the queue.", float64(pool.Queue)),
		counter("starts_total", starts, float64(pool.Warm), "start", "warm"),
		counter("starts_total", starts, float64(pool.Cold), "start", "cold"),
	}
	for _, p := range h.plugins.Status() {
		up := 0.0
		if p.State == "running" {
			up = 1
		}
		all = append(all,
			gauge("plugin_up", "1 while the plugin's process runs; it starts at its first use.", up, "kind", string(p.Kind), "plugin", p.Name),
			counter("plugin_restarts_total", "Restarts of a plugin that died.", float64(p.Restarts), "kind", string(p.Kind), "plugin", p.Name),
		)
	}
	return all
}

func pairs(labels []string) map[string]string {
	m := map[string]string{}
	for i := 0; i+1 < len(labels); i += 2 {
		m[labels[i]] = labels[i+1]
	}
	return m
}
