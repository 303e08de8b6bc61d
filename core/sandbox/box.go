package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// Sandbox is one running sandbox with its agent client and its tunnel.
type Sandbox struct {
	pool *Pool
	id   string
	// sessionID is empty while it is a spare.
	sessionID    string
	volume       string
	providerName string
	provider     sdk.Provider
	client       *agent.Client
	// handlers are what its tunnel reaches, once it has a session.
	handlers map[byte]http.Handler
	limits   map[string]string
	// transcript is the id that its CLI was started with; empty until one was. start says how that was.
	transcript string
	start      session.Start
	// born and memory are a spare's: since when it is ready, and what it used then, in bytes.
	born   time.Time
	memory int64

	// run ends when the sandbox is closed.
	run       context.Context //nolint:containedctx // it is the sandbox's own
	stop      context.CancelFunc
	gone      chan struct{}
	goneOnce  sync.Once
	reason    string
	closeOnce sync.Once
	closed    chan struct{}
	closeErr  error
}

var _ session.Sandbox = (*Sandbox)(nil)

// Agent implements session.Sandbox.
func (s *Sandbox) Agent() session.Agent { return s.client }

// Configure implements session.Sandbox.
func (s *Sandbox) Configure(ctx context.Context, spec agent.SessionSpec, progress func(session.Progress)) error {
	free, err := s.pool.admission.enter(ctx, place(progress))
	if err != nil {
		return fmt.Errorf("waiting to start Claude Code: %w", err)
	}
	defer free()
	return s.client.Configure(ctx, spec)
}

// Info implements session.Sandbox.
func (s *Sandbox) Info() session.SandboxInfo {
	info := session.SandboxInfo{Volume: s.volume, TranscriptID: s.transcript, Limits: s.limits, Start: s.start}
	select {
	case <-s.gone:
		info.Lost = s.reason
	default:
	}
	return info
}

// Gone implements session.Sandbox.
func (s *Sandbox) Gone() <-chan struct{} { return s.gone }

func (s *Sandbox) lost(reason string) {
	s.goneOnce.Do(func() {
		s.reason = reason
		close(s.gone)
	})
}

// keepTunnel keeps the tunnel up until the sandbox is closed or lost. The CLI's own retries bridge the gap of a redial.
func (s *Sandbox) keepTunnel(ctx context.Context) {
	wait := redialMin
	for {
		began := time.Now()
		err := s.client.Tunnel(ctx, s.handlers)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > redialMax {
			wait = redialMin
		}
		if reason, ok := s.isLost(ctx); ok {
			s.lost(reason)
			return
		}
		s.pool.log.Info("redialling a tunnel", zap.String("sandbox", s.id), zap.Error(err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(wait*2, redialMax)
	}
}

// isLost asks the provider whether the sandbox still runs. While the provider can't tell, the agent server itself is asked.
func (s *Sandbox) isLost(ctx context.Context) (string, bool) {
	asked, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	got, err := s.provider.Get(asked, sdk.GetRequest{ID: s.id})
	switch {
	case errors.Is(err, sdk.ErrNotFound):
		return "the provider does not know it any more", true
	case err == nil && got.State != sdk.StateRunning:
		if got.Detail != "" {
			return got.Detail, true
		}
		return "it exited", true
	case err == nil:
		return "", false
	}
	healthy, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	if _, err := s.client.Health(healthy); err != nil && ctx.Err() == nil {
		return "neither its provider nor its agent server answers", true
	}
	return "", false
}

// Close implements session.Sandbox. It waits until nothing of the sandbox but its volume is left.
func (s *Sandbox) Close(ctx context.Context) error {
	s.closeOnce.Do(func() {
		defer close(s.closed)
		s.stop()
		s.closeErr = s.pool.destroy(ctx, s.provider, s.id, s.volume)
		s.client.Close()
		s.pool.mu.Lock()
		if s.pool.boxes[s.sessionID] == s {
			delete(s.pool.boxes, s.sessionID)
		}
		s.pool.mu.Unlock()
	})
	<-s.closed
	return s.closeErr
}
