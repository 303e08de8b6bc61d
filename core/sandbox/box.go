package sandbox

import (
	"context"
	"errors"
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
	pool      *Pool
	id        string
	sessionID string
	volume    string
	provider  sdk.Provider
	client    *agent.Client
	limits    map[string]string

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

// Limits implements session.Sandbox.
func (s *Sandbox) Limits() map[string]string { return s.limits }

// Gone implements session.Sandbox.
func (s *Sandbox) Gone() <-chan struct{} { return s.gone }

// Reason implements session.Sandbox. It is empty until Gone is closed.
func (s *Sandbox) Reason() string {
	select {
	case <-s.gone:
		return s.reason
	default:
		return ""
	}
}

func (s *Sandbox) lost(reason string) {
	s.goneOnce.Do(func() {
		s.reason = reason
		close(s.gone)
	})
}

// keepTunnel keeps the tunnel up until the sandbox is closed or lost. The CLI's own retries bridge the gap of a redial.
func (s *Sandbox) keepTunnel(ctx context.Context, handlers map[byte]http.Handler) {
	wait := redialMin
	for {
		began := time.Now()
		err := s.client.Tunnel(ctx, handlers)
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
