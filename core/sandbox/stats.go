package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// ErrNoSandbox says that a session has no sandbox now.
var ErrNoSandbox = errors.New("the session has no sandbox now")

var _ session.MemoryCounter = (*Sandbox)(nil)

// Stats passes on what the provider measures of a session's sandbox, at once and then at every interval; 0 is once. It never makes a
// sandbox: without one it fails with ErrNoSandbox, without the provider's capability with sdk.ErrUnimplemented, and with
// sdk.ErrNotFound when the sandbox goes.
func (p *Pool) Stats(ctx context.Context, sessionID string, interval time.Duration, fn func(sdk.Stats) error) error {
	s, err := p.boxOf(sessionID)
	if err != nil {
		return err
	}
	return s.stats(ctx, interval, fn)
}

// Handler returns what serves one kind of a session's tunnel (agent.TunnelGateway, …) since its sandbox became the session's; false without a
// sandbox.
func (p *Pool) Handler(sessionID string, kind byte) (http.Handler, bool) {
	s, err := p.boxOf(sessionID)
	if err != nil {
		return nil, false
	}
	h, ok := s.handlers[kind]
	return h, ok
}

// Logs passes on what the agent server of a session wrote; req.ID is ignored. Its errors are those of Stats, but a sandbox that goes
// while it is followed is none.
func (p *Pool) Logs(ctx context.Context, sessionID string, req sdk.LogsRequest, fn func(sdk.LogLine) error) error {
	s, err := p.boxOf(sessionID)
	if err != nil {
		return err
	}
	logs, ok := s.provider.(sdk.LogsProvider)
	if !ok {
		return fmt.Errorf("logs: %w", sdk.ErrUnimplemented)
	}
	req.ID = s.id
	return logs.Logs(ctx, req, fn)
}

func (p *Pool) boxOf(sessionID string) (*Sandbox, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.boxes[sessionID]
	if !ok {
		return nil, ErrNoSandbox
	}
	return s, nil
}

func (s *Sandbox) stats(ctx context.Context, interval time.Duration, fn func(sdk.Stats) error) error {
	stats, ok := s.provider.(sdk.StatsProvider)
	if !ok {
		return fmt.Errorf("stats: %w", sdk.ErrUnimplemented)
	}
	return stats.Stats(ctx, sdk.StatsRequest{ID: s.id, Interval: interval}, fn)
}

// OOMKills implements session.MemoryCounter: by the provider, or by the agent server, which sees its own cgroup on some platforms.
func (s *Sandbox) OOMKills(ctx context.Context) (int64, error) {
	kills := int64(-1)
	err := s.stats(ctx, 0, func(st sdk.Stats) error {
		kills = st.OOMKills
		return nil
	})
	switch {
	case errors.Is(err, sdk.ErrUnimplemented), err == nil && kills < 0:
		u, err := s.client.Usage(ctx)
		if err != nil {
			return 0, fmt.Errorf("counting kills for want of memory: %w", err)
		}
		return u.OOMKills, nil
	case err != nil:
		return 0, fmt.Errorf("counting kills for want of memory: %w", err)
	default:
		return kills, nil
	}
}
