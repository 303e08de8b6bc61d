package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"

	pluginv1 "github.com/agcluster/agcluster/plugins/proto/agcluster/plugin/v1"
)

// maxLogLine bounds a line of a sandbox, in bytes.
const maxLogLine = 16 << 10

// absent is what a provider answers that lacks a capability.
func absent(capability string) error {
	return toStatus(fmt.Errorf("%s: %w", capability, ErrUnimplemented))
}

// Stats implements ProviderServiceServer.
func (s *providerServer) Stats(r *pluginv1.StatsRequest, stream grpc.ServerStreamingServer[pluginv1.StatsResponse]) error {
	impl, ok := s.impl.(StatsProvider)
	if !ok {
		return absent(CapabilityStats)
	}
	req := StatsRequest{ID: r.GetId(), Interval: time.Duration(r.GetIntervalNanos())}
	return toStatus(impl.Stats(stream.Context(), req, func(st Stats) error { return stream.Send(statsToWire(st)) }))
}

// Logs implements ProviderServiceServer.
func (s *providerServer) Logs(r *pluginv1.LogsRequest, stream grpc.ServerStreamingServer[pluginv1.LogsResponse]) error {
	impl, ok := s.impl.(LogsProvider)
	if !ok {
		return absent(CapabilityLogs)
	}
	req := LogsRequest{ID: r.GetId(), Tail: int(r.GetTail()), Follow: r.GetFollow()}
	return toStatus(impl.Logs(stream.Context(), req, func(l LogLine) error {
		text := l.Text[:min(len(l.Text), maxLogLine)]
		return stream.Send(&pluginv1.LogsResponse{
			TimeUnixNano: unixNano(l.Time), Stream: l.Stream, Text: strings.ToValidUTF8(text, "?"), // no longer than what it replaces
		})
	}))
}

// Pull implements ProviderServiceServer.
func (s *providerServer) Pull(r *pluginv1.PullRequest, stream grpc.ServerStreamingServer[pluginv1.PullResponse]) error {
	impl, ok := s.impl.(PullProvider)
	if !ok {
		return absent(CapabilityPull)
	}
	return toStatus(impl.Pull(stream.Context(), PullRequest{Image: r.GetImage()}, func(p PullProgress) error {
		return stream.Send(&pluginv1.PullResponse{Status: line(p.Status), CurrentBytes: p.CurrentBytes, TotalBytes: p.TotalBytes})
	}))
}

func statsToWire(s Stats) *pluginv1.StatsResponse {
	return &pluginv1.StatsResponse{
		TimeUnixNano: unixNano(s.Time), CpuMicros: s.CPUMicros, MilliCpu: s.MilliCPU, MemoryBytes: s.MemoryBytes,
		MemoryLimitBytes: s.MemoryLimitBytes, Pids: s.PIDs, PidsLimit: s.PIDsLimit, DiskBytes: s.DiskBytes,
		DiskLimitBytes: s.DiskLimitBytes, NetworkRxBytes: s.NetworkRxBytes, NetworkTxBytes: s.NetworkTxBytes, OomKills: s.OOMKills,
	}
}

func statsFromWire(r *pluginv1.StatsResponse) Stats {
	return Stats{
		Time: fromUnixNano(r.GetTimeUnixNano()), CPUMicros: r.GetCpuMicros(), MilliCPU: r.GetMilliCpu(), MemoryBytes: r.GetMemoryBytes(),
		MemoryLimitBytes: r.GetMemoryLimitBytes(), PIDs: r.GetPids(), PIDsLimit: r.GetPidsLimit(), DiskBytes: r.GetDiskBytes(),
		DiskLimitBytes: r.GetDiskLimitBytes(), NetworkRxBytes: r.GetNetworkRxBytes(), NetworkTxBytes: r.GetNetworkTxBytes(),
		OOMKills: r.GetOomKills(),
	}
}

// unixNano is 0 for a time that is not known.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromUnixNano(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

var (
	_ StatsProvider = (*providerClient)(nil)
	_ LogsProvider  = (*providerClient)(nil)
	_ PullProvider  = (*providerClient)(nil)
)

// Stats implements StatsProvider.
func (p *providerClient) Stats(ctx context.Context, req StatsRequest, fn func(Stats) error) error {
	return each(ctx, func(ctx context.Context) (grpc.ServerStreamingClient[pluginv1.StatsResponse], error) {
		return p.c.Stats(ctx, &pluginv1.StatsRequest{Id: req.ID, IntervalNanos: int64(req.Interval)})
	}, func(r *pluginv1.StatsResponse) error { return fn(statsFromWire(r)) })
}

// Logs implements LogsProvider.
func (p *providerClient) Logs(ctx context.Context, req LogsRequest, fn func(LogLine) error) error {
	return each(ctx, func(ctx context.Context) (grpc.ServerStreamingClient[pluginv1.LogsResponse], error) {
		return p.c.Logs(ctx, &pluginv1.LogsRequest{Id: req.ID, Tail: int64(req.Tail), Follow: req.Follow})
	}, func(r *pluginv1.LogsResponse) error {
		return fn(LogLine{Time: fromUnixNano(r.GetTimeUnixNano()), Stream: r.GetStream(), Text: r.GetText()})
	})
}

// Pull implements PullProvider.
func (p *providerClient) Pull(ctx context.Context, req PullRequest, fn func(PullProgress) error) error {
	return each(ctx, func(ctx context.Context) (grpc.ServerStreamingClient[pluginv1.PullResponse], error) {
		return p.c.Pull(ctx, &pluginv1.PullRequest{Image: req.Image})
	}, func(r *pluginv1.PullResponse) error {
		return fn(PullProgress{Status: r.GetStatus(), CurrentBytes: r.GetCurrentBytes(), TotalBytes: r.GetTotalBytes()})
	})
}

// each opens a stream and calls fn with all that it brings. An error of fn ends it and is returned as it is.
func each[M any](
	ctx context.Context, open func(context.Context) (grpc.ServerStreamingClient[M], error), fn func(*M) error,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := open(ctx)
	if err != nil {
		return fromStatus(ctx, err)
	}
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fromStatus(ctx, err)
		}
		if err := fn(m); err != nil {
			return err
		}
	}
}
