package sdk

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// capable is a provider with every capability.
type capable struct {
	fakeProvider
	stats func(context.Context, StatsRequest, func(Stats) error) error
	logs  func(context.Context, LogsRequest, func(LogLine) error) error
	pull  func(context.Context, PullRequest, func(PullProgress) error) error
}

func (c *capable) Stats(ctx context.Context, r StatsRequest, fn func(Stats) error) error {
	return c.stats(ctx, r, fn)
}

func (c *capable) Logs(ctx context.Context, r LogsRequest, fn func(LogLine) error) error {
	return c.logs(ctx, r, fn)
}

func (c *capable) Pull(ctx context.Context, r PullRequest, fn func(PullProgress) error) error {
	return c.pull(ctx, r, fn)
}

func TestCapabilitiesSurviveTheWire(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC)
	stats := []Stats{{
		Time: at, CPUMicros: 1, MilliCPU: 2, MemoryBytes: 3, MemoryLimitBytes: 4, PIDs: 5, PIDsLimit: 6, DiskBytes: 7, DiskLimitBytes: 8,
		NetworkRxBytes: 9, NetworkTxBytes: 10, OOMKills: 11,
	}, {Time: at.Add(time.Second), CPUMicros: -1, DiskBytes: -1}}
	lines := []LogLine{{Time: at, Stream: "stderr", Text: "one"}, {Stream: "stdout", Text: "bad \xff"}, {Text: strings.Repeat("x", maxLogLine+1)}}
	progress := []PullProgress{{Status: "layer 1", CurrentBytes: 1, TotalBytes: 2}, {}}
	var sr StatsRequest
	var lr LogsRequest
	var pr PullRequest
	c := configured(t, ServeConfig{Provider: &capable{
		stats: func(_ context.Context, r StatsRequest, fn func(Stats) error) error {
			sr = r
			return errors.Join(fn(stats[0]), fn(stats[1]))
		},
		logs: func(_ context.Context, r LogsRequest, fn func(LogLine) error) error {
			lr = r
			return errors.Join(fn(lines[0]), fn(lines[1]), fn(lines[2]))
		},
		pull: func(_ context.Context, r PullRequest, fn func(PullProgress) error) error {
			pr = r
			return errors.Join(fn(progress[0]), fn(progress[1]))
		},
	}})
	var gotStats []Stats
	wantStats := StatsRequest{ID: "a", Interval: 1500 * time.Microsecond}
	if err := c.Stats.Stats(t.Context(), wantStats, func(s Stats) error { gotStats = append(gotStats, s); return nil }); err != nil ||
		!reflect.DeepEqual(gotStats, stats) || sr != wantStats {
		t.Errorf("Stats: got %+v, %+v, %v", gotStats, sr, err)
	}
	var gotLines []LogLine
	wantLogs := LogsRequest{ID: "a", Tail: 7, Follow: true}
	lines[1].Text, lines[2].Text = "bad ?", lines[2].Text[:maxLogLine]
	if err := c.Logs.Logs(t.Context(), wantLogs, func(l LogLine) error { gotLines = append(gotLines, l); return nil }); err != nil ||
		!reflect.DeepEqual(gotLines, lines) || lr != wantLogs {
		t.Errorf("Logs: got %d lines, %+v, %v", len(gotLines), lr, err)
	}
	var gotProgress []PullProgress
	if err := c.Pull.Pull(t.Context(), PullRequest{"img"}, func(p PullProgress) error { gotProgress = append(gotProgress, p); return nil }); err != nil ||
		!reflect.DeepEqual(gotProgress, progress) || pr.Image != "img" {
		t.Errorf("Pull: got %+v, %+v, %v", gotProgress, pr, err)
	}
}

func TestAnAbsentCapabilityIsUnimplemented(t *testing.T) {
	c := configured(t, ServeConfig{Provider: &fakeProvider{}})
	for name, err := range map[string]error{
		"stats": c.Stats.Stats(t.Context(), StatsRequest{}, func(Stats) error { return nil }),
		"logs":  c.Logs.Logs(t.Context(), LogsRequest{}, func(LogLine) error { return nil }),
		"pull":  c.Pull.Pull(t.Context(), PullRequest{}, func(PullProgress) error { return nil }),
	} {
		if !errors.Is(err, ErrUnimplemented) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestErrorsOfAProviderSurviveTheWire(t *testing.T) {
	for name, c := range map[string]struct {
		err       error
		is        error
		permanent bool
	}{
		"no image":           {fmt.Errorf("creating x: %w: agent:1", ErrImageMissing), ErrImageMissing, false},
		"no image, for good": {Permanent(ErrImageMissing), ErrImageMissing, true},
		"no platform":        {fmt.Errorf("%w: dial unix /run/docker.sock", ErrPlatformDown), ErrPlatformDown, false},
		// Nobody can know that a platform never returns.
		"no platform, for good": {Permanent(ErrPlatformDown), ErrPlatformDown, false},
		"no sandbox":            {ErrNotFound, ErrNotFound, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := configured(t, ServeConfig{Provider: &capable{stats: func(context.Context, StatsRequest, func(Stats) error) error { return c.err }}})
			err := p.Stats.Stats(t.Context(), StatsRequest{}, func(Stats) error { return nil })
			if err == nil || err.Error() != c.err.Error() || IsPermanent(err) != c.permanent || IsPermanent(c.err) != c.permanent {
				t.Errorf("got %v, permanent: %v", err, IsPermanent(err))
			}
			for _, sentinel := range []error{ErrImageMissing, ErrPlatformDown, ErrNotFound, ErrPluginExited, ErrUnimplemented} {
				if got, want := errors.Is(err, sentinel), errors.Is(c.is, sentinel); got != want {
					t.Errorf("errors.Is(err, %v) is %v", sentinel, got)
				}
			}
		})
	}
}

func TestWhoFollowsCanEndIt(t *testing.T) {
	ended := make(chan struct{}, 1)
	c := configured(t, ServeConfig{Provider: &capable{stats: func(ctx context.Context, _ StatsRequest, fn func(Stats) error) error {
		err := fn(Stats{})
		<-ctx.Done()
		ended <- struct{}{}
		return errors.Join(err, ctx.Err())
	}}})
	stop := errors.New("enough")
	if err := c.Stats.Stats(t.Context(), StatsRequest{}, func(Stats) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	<-ended
	ctx, cancel := context.WithCancel(t.Context())
	if err := c.Stats.Stats(ctx, StatsRequest{}, func(Stats) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	<-ended
}

func TestServeRefusesCapabilitiesThatAreNotThere(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  ServeConfig
		want string
	}{
		"named only": {
			ServeConfig{Description: Description{Kind: KindProvider, Capabilities: []string{"own", "stats"}}, Provider: &fakeProvider{}},
			`names the capability "stats", but what is served is no sdk.StatsProvider`,
		},
		"implemented only": {
			ServeConfig{Description: Description{Kind: KindProvider, Capabilities: []string{"stats", "pull"}}, Provider: &capable{}},
			`is an sdk.LogsProvider, but the description's capabilities do not name "logs"`,
		},
		"a filter's": {
			ServeConfig{Description: Description{Kind: KindFilter, Capabilities: []string{"pull"}}, Filter: fakeFilter{}},
			`names the capability "pull"`,
		},
	} {
		if err := Serve(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	all := []string{CapabilityPull, CapabilityLogs, CapabilityStats, "own"}
	if err := (ServeConfig{Description: Description{Kind: KindProvider, Capabilities: all}, Provider: &capable{}}).check(); err != nil {
		t.Error(err)
	}
}
