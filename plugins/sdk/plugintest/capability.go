package plugintest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// maxLogLine bounds a line of a sandbox, in bytes.
const maxLogLine = 16 << 10

var errEnough = errors.New("enough")

// has says whether the provider is to have a capability. One that it does not name it must not have.
func (h ProviderHarness) has(t *testing.T, capability string, implements bool, try func() error) bool {
	t.Helper()
	switch named := slices.Contains(h.Capabilities, capability); {
	case named && !implements:
		t.Fatalf("the harness names the capability %q, but the provider does not implement it", capability)
	case named:
		return true
	case implements:
		// Over gRPC every provider has the method.
		if err := try(); !errors.Is(err, sdk.ErrUnimplemented) {
			t.Errorf("got %v, want ErrUnimplemented of a provider whose harness does not name the capability %q", err, capability)
		}
	}
	return false
}

func (h ProviderHarness) testStats(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	p, ok := h.Provider.(sdk.StatsProvider)
	ignore := func(sdk.Stats) error { return nil }
	if !h.has(t, sdk.CapabilityStats, ok, func() error { return p.Stats(ctx, sdk.StatsRequest{ID: "kit-none"}, ignore) }) {
		return
	}
	if err := p.Stats(ctx, sdk.StatsRequest{ID: "kit-none"}, ignore); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("a sandbox that is not there: got %v, want ErrNotFound", err)
	}
	req := h.NewRequest("kit-s")
	h.create(t, req)
	n := 0
	if err := p.Stats(ctx, sdk.StatsRequest{ID: req.ID}, func(s sdk.Stats) error { n++; checkStats(t, s); return nil }); err != nil || n != 1 {
		t.Errorf("without an interval: %d measurements, %v", n, err)
	}
	follow := sdk.StatsRequest{ID: req.ID, Interval: time.Second}
	if err := p.Stats(ctx, follow, func(sdk.Stats) error { return errEnough }); !errors.Is(err, errEnough) {
		t.Errorf("a caller that has enough: got %v", err)
	}
	giving, giveUp := context.WithCancel(ctx)
	if err := p.Stats(giving, follow, func(sdk.Stats) error { giveUp(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that gives up: got %v", err)
	}
	giveUp()
	var before sdk.Stats
	n = 0
	err := p.Stats(ctx, follow, func(s sdk.Stats) error {
		checkStats(t, s)
		if n++; n > 1 && (!s.Time.After(before.Time) || s.CPUMicros < before.CPUMicros) {
			t.Errorf("%+v follows %+v", s, before)
		}
		if before = s; n == 2 {
			h.destroy(t, sdk.DestroyRequest{ID: req.ID})
		}
		return nil
	})
	if !errors.Is(err, sdk.ErrNotFound) || n < 2 {
		t.Errorf("a sandbox that is destroyed meanwhile: %d measurements, %v, want ErrNotFound", n, err)
	}
}

func checkStats(t *testing.T, s sdk.Stats) {
	if s.Time.IsZero() {
		t.Error("a measurement has no time")
	}
	for name, n := range map[string]int64{
		"CPUMicros": s.CPUMicros, "MilliCPU": s.MilliCPU, "MemoryBytes": s.MemoryBytes, "MemoryLimitBytes": s.MemoryLimitBytes,
		"PIDs": s.PIDs, "PIDsLimit": s.PIDsLimit, "DiskBytes": s.DiskBytes, "DiskLimitBytes": s.DiskLimitBytes,
		"NetworkRxBytes": s.NetworkRxBytes, "NetworkTxBytes": s.NetworkTxBytes, "OOMKills": s.OOMKills,
	} {
		if n < -1 {
			t.Errorf("%s is %d; what can't be measured is -1", name, n)
		}
	}
	if s.PIDs == 0 || s.MemoryBytes == 0 {
		t.Errorf("a sandbox that runs has processes and memory; got %+v", s)
	}
}

func (h ProviderHarness) testLogs(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	p, ok := h.Provider.(sdk.LogsProvider)
	ignore := func(sdk.LogLine) error { return nil }
	if !h.has(t, sdk.CapabilityLogs, ok, func() error { return p.Logs(ctx, sdk.LogsRequest{ID: "kit-none"}, ignore) }) {
		return
	}
	if err := p.Logs(ctx, sdk.LogsRequest{ID: "kit-none"}, ignore); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("a sandbox that is not there: got %v, want ErrNotFound", err)
	}
	req := h.NewRequest("kit-l")
	box := h.create(t, req)
	say := func(line string) {
		t.Helper()
		if err := h.Say(ctx, box.Endpoint, line); err != nil {
			t.Fatalf("saying something in the sandbox: %v", err)
		}
	}
	for _, line := range []string{"kit one", "kit two", strings.Repeat("x", maxLogLine+100), "kit three"} {
		say(line)
	}
	// What was said may be on its way for a moment; the last line tells that all before it are kept.
	seen := h.lines(ctx, t, p, sdk.LogsRequest{ID: req.ID, Follow: true}, "kit three")
	if !inOrder(seen, "kit one", "kit two", "kit three") {
		t.Errorf("got the lines %q", seen)
	}
	var tail []string
	if err := p.Logs(ctx, sdk.LogsRequest{ID: req.ID, Tail: 1}, func(l sdk.LogLine) error { tail = append(tail, l.Text); return nil }); err != nil ||
		len(tail) != 1 || tail[0] != "kit three" {
		t.Errorf("the last line: got %q, %v", tail, err)
	}
	giving, giveUp := context.WithCancel(ctx)
	if err := p.Logs(giving, sdk.LogsRequest{ID: req.ID, Follow: true}, func(sdk.LogLine) error { giveUp(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that gives up: got %v", err)
	}
	giveUp()
	var followed []string
	err := p.Logs(ctx, sdk.LogsRequest{ID: req.ID, Tail: 1, Follow: true}, func(l sdk.LogLine) error {
		followed = append(followed, l.Text)
		switch strings.TrimSpace(l.Text) {
		case "kit three":
			say("kit four")
		case "kit four":
			h.destroy(t, sdk.DestroyRequest{ID: req.ID})
		}
		return nil
	})
	if err != nil || !inOrder(followed, "kit three", "kit four") {
		t.Errorf("following a sandbox that is destroyed: got %q, %v; want its lines and no error", followed, err)
	}
}

// lines reads until a line says last.
func (h ProviderHarness) lines(ctx context.Context, t *testing.T, p sdk.LogsProvider, req sdk.LogsRequest, last string) []string {
	t.Helper()
	var seen []string
	err := p.Logs(ctx, req, func(l sdk.LogLine) error {
		if len(l.Text) > maxLogLine || strings.ContainsAny(l.Text, "\n\r") || l.Stream != "stdout" && l.Stream != "stderr" {
			t.Errorf("no line of a sandbox: %d bytes on %q: %.100q", len(l.Text), l.Stream, l.Text)
		}
		if seen = append(seen, l.Text); strings.TrimSpace(l.Text) == last {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Errorf("following the lines: got %v", err)
	}
	return seen
}

func inOrder(lines []string, want ...string) bool {
	for _, l := range lines {
		if len(want) > 0 && l == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}

func (h ProviderHarness) testPull(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	p, ok := h.Provider.(sdk.PullProvider)
	check := func(p sdk.PullProgress) error {
		if p.CurrentBytes < 0 || p.TotalBytes < 0 {
			t.Errorf("impossible progress: %+v", p)
		}
		return ctx.Err()
	}
	if !h.has(t, sdk.CapabilityPull, ok, func() error { return p.Pull(ctx, sdk.PullRequest{Image: "kit-none"}, check) }) {
		return
	}
	if err := p.Pull(ctx, sdk.PullRequest{Image: h.MissingImage}, check); err == nil || !sdk.IsPermanent(err) {
		t.Errorf("pulling %q: got %v, want a Permanent error that names what builds or fetches it", h.MissingImage, err)
	}
	if h.Image == "" {
		return
	}
	for range 2 {
		if err := p.Pull(ctx, sdk.PullRequest{Image: h.Image}, check); err != nil {
			t.Errorf("pulling %q: %v", h.Image, err)
		}
	}
}
