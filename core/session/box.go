package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/event"
)

// Acquire wakes the session's sandbox if need be and keeps it until release is called, for those who want its files. It does not
// start the CLI.
func (s *Service) Acquire(ctx context.Context, id string) (release func(), err error) {
	l, err := s.live(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.acquire(ctx, l, false)
}

// acquire makes sure that l has a sandbox, with withAgent also one whose CLI runs, and takes a lease on it.
func (s *Service) acquire(ctx context.Context, l *live, withAgent bool) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.LaunchTimeout)
	defer cancel()
	if err := l.lock(ctx); err != nil {
		return nil, fmt.Errorf("%w: waiting for its turn: %w", ErrUnavailable, err)
	}
	defer l.unlock()
	if err := s.ready(ctx, l, withAgent); err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.leases++
	l.mu.Unlock()
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.leases--
		l.rec.LastActive = time.Now().UTC()
	}, nil
}

// ready needs l.gate.
func (s *Service) ready(ctx context.Context, l *live, withAgent bool) error {
	l.mu.Lock()
	b, rec, key := l.box, l.rec, l.key
	l.mu.Unlock()
	if rec.Status == StatusStopping {
		return ErrStopping
	}
	if b != nil {
		select {
		case <-b.Gone():
			s.free(ctx, l, b)
			b = nil
		default:
		}
	}
	if b == nil {
		sb, err := s.boxes.Start(ctx, sandboxSpec(rec))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		b = &box{Sandbox: sb, released: make(chan struct{})}
		if err := s.adopt(l, b); err != nil {
			return errors.Join(err, b.Close(context.WithoutCancel(ctx)))
		}
	}
	if withAgent && !b.configured {
		spec, err := sessionSpec(rec, key)
		if err != nil {
			return err
		}
		if err := b.Agent().Configure(ctx, spec); err != nil {
			return fmt.Errorf("%w: starting Claude Code: %w", ErrUnavailable, err)
		}
		b.configured = true
	}
	if rec.Status == StatusRunning {
		return nil
	}
	rec = l.update(func(rec *Session) { rec.Status, rec.Reason, rec.Limits = StatusRunning, "", b.Limits() })
	if err := s.store.Put(ctx, rec); err != nil {
		return err
	}
	_, err := s.log.Append(ctx, l.id, l.openTurn(), event.Status{Status: string(StatusRunning)})
	return err
}

// adopt gives l its box and watches over it, unless the host drains.
func (s *Service) adopt(l *live, b *box) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return ErrDraining
	}
	l.mu.Lock()
	l.box = b
	l.mu.Unlock()
	s.work.Go(func() { s.watch(l, b) })
	return nil
}

// watch notes when a sandbox is lost, so that nobody sees a session running that is not.
func (s *Service) watch(l *live, b *box) {
	select {
	case <-b.released:
		return
	case <-b.Gone():
	}
	if err := l.lock(s.ctx); err != nil {
		return
	}
	defer l.unlock()
	l.mu.Lock()
	current := l.box == b
	l.mu.Unlock()
	if current {
		s.zap.Warn("sandbox lost", zap.String("session", l.id), zap.String("reason", b.Reason()))
		s.settle(s.ctx, l, b, "sandbox lost: "+b.Reason())
	}
}

// settle frees the box of a session that stays. It needs l.gate.
func (s *Service) settle(ctx context.Context, l *live, b *box, reason string) {
	ctx = context.WithoutCancel(ctx)
	s.free(ctx, l, b)
	rec := l.update(func(rec *Session) {
		if rec.Status != StatusStopping {
			rec.Status, rec.Reason = StatusAsleep, reason
		}
	})
	if rec.Status != StatusAsleep {
		return
	}
	if err := s.store.Put(ctx, rec); err != nil {
		s.zap.Error("keeping a session's state", zap.String("session", l.id), zap.Error(err))
	}
	if _, err := s.log.Append(ctx, l.id, l.openTurn(), event.Status{Status: string(StatusAsleep), Reason: reason}); err != nil {
		s.zap.Error("logging a session's state", zap.String("session", l.id), zap.Error(err))
	}
}

// free closes a box and takes it from the session. It needs l.gate.
func (s *Service) free(ctx context.Context, l *live, b *box) {
	l.mu.Lock()
	if l.box == b {
		l.box = nil
	}
	l.mu.Unlock()
	close(b.released)
	// A client that goes away must not leave a sandbox behind.
	if err := b.Close(context.WithoutCancel(ctx)); err != nil {
		s.zap.Error("removing a sandbox", zap.String("session", l.id), zap.Error(err))
	}
}

// remove ends a session for good. It is safe to call at the same time as anything else, and again after it failed.
func (s *Service) remove(ctx context.Context, l *live) error {
	rec := l.update(func(rec *Session) { rec.Status = StatusStopping })
	if err := s.store.Put(ctx, rec); err != nil {
		return err
	}
	l.mu.Lock()
	t := l.turn
	l.mu.Unlock()
	if t != nil {
		t.stop(errStopped)
		<-t.done
	}
	if err := l.lock(ctx); err != nil {
		return fmt.Errorf("waiting to stop: %w", err)
	}
	defer l.unlock()
	// From here on the session goes, whether or not the caller waits.
	ctx = context.WithoutCancel(ctx)
	l.mu.Lock()
	b := l.box
	l.key = ""
	l.mu.Unlock()
	if b != nil {
		s.free(ctx, l, b)
	}
	if err := s.boxes.RemoveVolume(ctx, rec.Provider, volume(rec)); err != nil {
		return fmt.Errorf("removing the workspace: %w", err)
	}
	if err := s.store.Delete(ctx, l.id); err != nil {
		return err
	}
	s.drop(l.id)
	return nil
}
