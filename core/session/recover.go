package session

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/event"
)

// Recover puts right what an earlier run of the host left: turns without an end get one, sessions that were being stopped or
// launched are removed, the others sleep until their next message. Then it begins to free idle sandboxes.
func (s *Service) Recover(ctx context.Context) error {
	list, err := s.store.List(ctx, nil)
	if err != nil {
		return fmt.Errorf("recovering sessions: %w", err)
	}
	for _, rec := range list {
		if err := s.recoverOne(ctx, rec); err != nil {
			return fmt.Errorf("recovering session %s: %w", rec.ID, err)
		}
	}
	s.work.Go(s.sweep)
	return nil
}

func (s *Service) recoverOne(ctx context.Context, rec Session) error {
	if rec.Status == StatusStopping || rec.Status == StatusStarting {
		// Nobody was told that it had started, or somebody was promised that it goes.
		removing, cancel := context.WithTimeout(ctx, freeTimeout)
		defer cancel()
		if err := s.removeVolume(removing, rec); err != nil {
			s.zap.Error("finishing the removal of a session; will try again at the next start", zap.String("session", rec.ID), zap.Error(err))
			rec.Status = StatusStopping
			return s.store.Put(ctx, rec)
		}
		return s.store.Delete(ctx, rec.ID)
	}
	if !rec.TurnOpen && rec.Status != StatusRunning {
		return nil
	}
	if rec.TurnOpen {
		ended, err := s.mend(ctx, rec, event.Error{Code: "host_restarted", Message: "the host was restarted while the turn ran"})
		if err != nil {
			return err
		}
		rec.TurnOpen, rec.LastComplete = false, ended
	}
	if rec.Status == StatusRunning {
		rec.Status, rec.Reason = StatusAsleep, "the host was restarted"
		if _, err := s.log.Append(ctx, rec.ID, 0, event.Status{Status: string(rec.Status), Reason: rec.Reason}); err != nil {
			return err
		}
	}
	return s.store.Put(ctx, rec)
}

// sweep frees the sandboxes of idle sessions until the service closes.
func (s *Service) sweep() {
	if s.cfg.IdleTimeout <= 0 {
		return
	}
	tick := time.NewTicker(s.cfg.CleanupInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		for _, l := range s.all() {
			s.freeIdle(l)
		}
	}
}

func (s *Service) all() []*live {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*live, 0, len(s.sessions))
	for _, l := range s.sessions {
		all = append(all, l)
	}
	return all
}

func (s *Service) freeIdle(l *live) {
	if since, ok := l.idleSince(); !ok || time.Since(since) < s.cfg.IdleTimeout {
		return
	}
	select {
	case l.gate <- struct{}{}:
		defer l.unlock()
	default:
		return // somebody starts or frees it, which is use enough
	}
	// Somebody may have come before the gate was ours. Who comes now waits for the gate and starts a new sandbox.
	since, ok := l.idleSince()
	if !ok || time.Since(since) < s.cfg.IdleTimeout {
		return
	}
	l.mu.Lock()
	b := l.box
	l.mu.Unlock()
	s.zap.Info("freeing an idle sandbox", zap.String("session", l.id), zap.Duration("idle", time.Since(since)))
	s.settle(s.ctx, l, b, "idle")
}

// Close ends the running turns (they are logged as ended by the host), removes all sandboxes and waits for everything the service
// started. Sessions stay. It is safe to call twice.
func (s *Service) Close(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	s.cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		var closing sync.WaitGroup
		for _, l := range s.all() {
			closing.Go(func() { s.rest(ctx, l) })
		}
		closing.Wait()
		s.work.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("closing sessions: %w", ctx.Err())
	}
}

// rest waits for the end of the session's turn and frees its sandbox.
func (s *Service) rest(ctx context.Context, l *live) {
	l.mu.Lock()
	t := l.turn
	l.mu.Unlock()
	if t != nil {
		select {
		case <-t.done:
		case <-ctx.Done():
			return
		}
	}
	if err := l.lock(ctx); err != nil {
		return
	}
	defer l.unlock()
	l.mu.Lock()
	b := l.box
	l.mu.Unlock()
	if b != nil {
		s.settle(ctx, l, b, "the host was stopped")
	}
}
