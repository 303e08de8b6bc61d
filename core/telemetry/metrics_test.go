package telemetry

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestMetricsAreReadAtEachRequest(t *testing.T) {
	n := 0.0
	h := Metrics(func() []Sample {
		n++
		return []Sample{
			{Name: "agcluster_spares", Help: "Spares.", Labels: map[string]string{"state": "ready"}, Value: n},
			{Name: "agcluster_spares", Help: "Spares.", Labels: map[string]string{"state": "starting"}, Value: 0},
			{Name: "agcluster_starts_total", Help: "Starts.", Counter: true, Value: 10 * n},
		}
	}, zap.NewNop())
	for _, want := range [][]string{
		{`agcluster_spares{state="ready"} 1`, `agcluster_spares{state="starting"} 0`, "# TYPE agcluster_starts_total counter", "agcluster_starts_total 10", "go_goroutines"},
		{`agcluster_spares{state="ready"} 2`, "agcluster_starts_total 20"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		for _, line := range want {
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), line+"\n") && !strings.Contains(w.Body.String(), line+" ") {
				t.Errorf("no %q in %d %s", line, w.Code, w.Body)
			}
		}
	}
}

func TestASampleThatIsNoneIsAnError(t *testing.T) {
	h := Metrics(func() []Sample { return []Sample{{Help: "it has no name"}} }, zap.NewNop())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
