package main

import (
	"context"
	"fmt"
	"time"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// minInterval bounds how often a sandbox is measured for one caller.
const minInterval = 100 * time.Millisecond

var (
	_ sdk.StatsProvider = (*Provider)(nil)
	_ sdk.LogsProvider  = (*Provider)(nil)
)

// Stats implements sdk.StatsProvider. A sandbox that has exited uses nothing and is not found.
func (p *Provider) Stats(ctx context.Context, req sdk.StatsRequest, fn func(sdk.Stats) error) error {
	s, err := p.find(req.ID)
	if err != nil {
		return err
	}
	var ticks <-chan time.Time
	if req.Interval > 0 {
		ticker := time.NewTicker(max(req.Interval, minInterval))
		defer ticker.Stop()
		ticks = ticker.C
	}
	cpu := int64(unknown)
	for s.running() {
		st := s.measure()
		// Without a cgroup, the time of a child that nobody waits for is lost with it.
		cpu = max(cpu, st.CPUMicros)
		st.CPUMicros = cpu
		if err := fn(st); err != nil || ticks == nil {
			return err
		}
		select {
		case <-ticks:
		case <-s.proc.gone:
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // The caller's own.
		}
	}
	return notFound(req.ID)
}

// Logs implements sdk.LogsProvider: what the agent server wrote, as far as it is kept. That of a sandbox which has exited is kept
// until it is destroyed.
func (p *Provider) Logs(ctx context.Context, req sdk.LogsRequest, fn func(sdk.LogLine) error) error {
	s, err := p.find(req.ID)
	if err != nil {
		return err
	}
	gone := s.proc.gone
	for next := s.proc.out.from(req.Tail); ; {
		// Asked first: what is there afterwards is all.
		ended := !s.running()
		lines, after, changed := s.proc.out.after(next)
		for _, line := range lines {
			if err := fn(line); err != nil {
				return err
			}
		}
		if next = after; !req.Follow || ended {
			return nil
		}
		select {
		case <-changed:
		case <-gone:
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // The caller's own.
		}
	}
}

// find returns a sandbox that was created.
func (p *Provider) find(id string) (*sandbox, error) {
	p.mu.Lock()
	s, ok := p.sandboxes[id]
	p.mu.Unlock()
	if !ok || !s.ready() {
		return nil, notFound(id)
	}
	return s, nil
}

func notFound(id string) error { return fmt.Errorf("sandbox %q: %w", id, sdk.ErrNotFound) }
