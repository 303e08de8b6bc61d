package session

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// removeTimeout bounds the removal of a session in all.
const removeTimeout = 3 * time.Minute

// removal is the end of a session. It goes on when the one who wanted it goes away.
type removal struct {
	done chan struct{}
	err  error
}

// remove ends a session for good. It is safe to call at the same time as anything else: who calls while it is under way joins it,
// who calls after it failed begins again. The caller must hold up Close.
func (s *Service) remove(ctx context.Context, l *live) error {
	l.mu.Lock()
	r := l.removal
	if r == nil {
		r = &removal{done: make(chan struct{})}
		l.removal = r
		l.rec.Status = StatusStopping
		s.work.Go(func() {
			r.err = s.takeApart(l)
			if r.err != nil {
				l.mu.Lock()
				l.removal = nil
				l.mu.Unlock()
			}
			close(r.done)
		})
	}
	l.mu.Unlock()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("stopping goes on: %w", ctx.Err())
	}
}

// takeApart ends the turn, then takes sandbox, workspace, history and record, in this order: what is left when it fails can be
// found again.
func (s *Service) takeApart(l *live) error {
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	// Kept first, so that a host that dies now finishes it at its next start. A store that fails must not keep a sandbox running.
	if err := s.keep(ctx, l); err != nil {
		s.zap.Error("keeping a session's state", zap.String("session", l.id), zap.Error(err))
	}
	l.mu.Lock()
	t, abort := l.turn, l.abort
	l.mu.Unlock()
	s.hold(l, "")
	if abort != nil {
		abort()
	}
	if t != nil {
		t.stop(errStopped)
		// Its last words, if they come in time.
		select {
		case <-t.done:
		case <-time.After(s.cfg.InterruptTimeout):
			s.zap.Warn("a turn does not end; stopping without it", zap.String("session", l.id))
		}
	}
	if err := l.lock(ctx); err != nil {
		return fmt.Errorf("waiting to stop: %w", err)
	}
	defer l.unlock()
	l.mu.Lock()
	b := l.box
	l.mu.Unlock()
	if b != nil {
		s.free(ctx, l, b)
	}
	l.mu.Lock()
	rec := l.rec
	l.mu.Unlock()
	if err := s.removeVolume(ctx, rec); err != nil {
		return err
	}
	return s.erase(ctx, l)
}

// removeVolume removes what a session has on disk, if it ever had a sandbox.
func (s *Service) removeVolume(ctx context.Context, rec Session) error {
	if rec.Volume == "" {
		return nil
	}
	if err := s.boxes.RemoveVolume(ctx, rec.Provider, rec.Volume); err != nil {
		return fmt.Errorf("removing the workspace: %w", err)
	}
	return nil
}
