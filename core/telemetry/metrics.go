package telemetry

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// Sample is one number at one moment.
type Sample struct {
	// Name begins with agcluster_, Help says what it is in a sentence. Both are constant for a name.
	Name, Help string
	// Counter says that it only grows while the host runs.
	Counter bool
	// Labels has the same names for all samples of a name.
	Labels map[string]string
	Value  float64
}

// Metrics serves what read returns, with numbers of the process itself, in the form that Prometheus reads. read is called for each
// request, must be safe for concurrent use, and must tell nothing of a session: whoever reaches the port may read it.
func Metrics(read func() []Sample, log *zap.Logger) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), samples{read},
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: zap.NewStdLog(log)})
}

// samples is a collector whose metrics are not known before they are read.
type samples struct{ read func() []Sample }

var _ prometheus.Collector = samples{}

// Describe implements prometheus.Collector: none are promised.
func (samples) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s samples) Collect(out chan<- prometheus.Metric) {
	for _, x := range s.read() {
		kind := prometheus.GaugeValue
		if x.Counter {
			kind = prometheus.CounterValue
		}
		m, err := prometheus.NewConstMetric(prometheus.NewDesc(x.Name, x.Help, nil, x.Labels), kind, x.Value)
		if err != nil {
			m = prometheus.NewInvalidMetric(prometheus.NewDesc(x.Name, x.Help, nil, x.Labels), err)
		}
		out <- m
	}
}
