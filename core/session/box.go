package session

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/event"
)

// freeTimeout bounds the removal of one sandbox.
const freeTimeout = time.Minute

// unfinished is why a sandbox is given up whose agent is in an unknown state.
const unfinished = "the agent did not end its turn"

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
// It returns when ctx ends or the time for it is over, also when the provider does not care; what comes late is given back.
func (s *Service) acquire(ctx context.Context, l *live, withAgent bool) (release func(), err error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(ErrDraining) })()
	timer := time.AfterFunc(s.cfg.LaunchTimeout, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	leased, late := make(chan error), make(chan struct{})
	defer close(late)
	go func() {
		defer leave()
		err := s.lease(ctx, l, withAgent, func(p Progress) {
			// Waiting for others is no failure to start, and what moves is alive.
			if p.Position > 0 {
				timer.Stop()
			} else {
				timer.Reset(s.cfg.LaunchTimeout)
			}
			s.progress(ctx, l, p)
		})
		select {
		case leased <- err:
		case <-late:
			if err == nil {
				l.release()
			}
		}
	}()
	select {
	case err = <-leased:
	case <-ctx.Done():
		err = ctx.Err()
	}
	switch {
	case err == nil:
		return sync.OnceFunc(l.release), nil
	case s.ctx.Err() != nil:
		return nil, ErrDraining
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: waiting for the sandbox: %w", ErrUnavailable, context.Cause(ctx))
	default:
		return nil, err
	}
}

// progress notes where a session's start is.
func (s *Service) progress(ctx context.Context, l *live, p Progress) {
	l.mu.Lock()
	was, turn := l.progress, int64(0)
	l.progress = p
	if l.turn != nil {
		turn = l.turn.number
	}
	l.mu.Unlock()
	if was == p {
		return // it did not have to wait
	}
	data := event.Status{Status: string(StatusStarting), Reason: p.Note}
	if p.Position > 0 {
		data = event.Status{Status: event.StatusQueued, Position: p.Position}
	}
	if l.onProgress != nil {
		l.onProgress(data)
	}
	if _, err := s.log.Append(ctx, l.id, turn, data); err != nil && ctx.Err() == nil {
		s.zap.Error("logging a session's state", zap.String("session", l.id), zap.Error(err))
	}
}

// lease is acquire without its guarantee to return.
func (s *Service) lease(ctx context.Context, l *live, withAgent bool, progress func(Progress)) error {
	if err := l.lock(ctx); err != nil {
		return fmt.Errorf("%w: waiting for its turn: %w", ErrUnavailable, err)
	}
	defer l.unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	l.abort = cancel
	l.mu.Unlock()
	err := s.ready(ctx, l, withAgent, progress)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.abort = nil
	l.progress = Progress{}
	switch {
	case err == nil:
		l.leases++
	case l.rec.Status == StatusStopping:
		err = ErrStopping
	}
	return err
}

func (l *live) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leases--
	l.rec.LastActive = time.Now().UTC()
}

// ready needs l.gate.
func (s *Service) ready(ctx context.Context, l *live, withAgent bool, progress func(Progress)) error {
	l.mu.Lock()
	b, rec, key := l.box, l.rec, l.key
	spoiled := b != nil && b.spoiled
	l.mu.Unlock()
	if rec.Status == StatusStopping {
		return ErrStopping
	}
	if spoiled {
		s.settle(ctx, l, b, unfinished)
		b = nil
	}
	if b != nil {
		select {
		case <-b.Gone():
			s.settle(ctx, l, b, "sandbox lost: "+b.Info().Lost)
			b = nil
		default:
		}
	}
	if b == nil {
		var err error
		if b, err = s.start(ctx, l, withAgent, progress); err != nil {
			return err
		}
	}
	if withAgent && !b.configured {
		spec, err := sessionSpec(rec, key)
		if err != nil {
			return err
		}
		if err := b.Configure(ctx, spec, progress); err != nil {
			// Half started is of no use to anybody, and the next try may do better in a new one.
			s.settle(ctx, l, b, "Claude Code did not start")
			return fmt.Errorf("%w: starting Claude Code: %w", ErrUnavailable, err)
		}
		b.configured = true
	}
	before := StatusRunning
	l.update(func(rec *Session) {
		if before = rec.Status; before != StatusStopping {
			rec.Status, rec.Reason, rec.Limits = StatusRunning, "", b.Info().Limits
		}
	})
	switch before {
	case StatusStopping:
		return ErrStopping
	case StatusRunning:
		return nil
	}
	// It runs now, whether or not somebody still waits for it.
	ctx = context.WithoutCancel(ctx)
	if err := s.keep(ctx, l); err != nil {
		return err
	}
	_, err := s.log.Append(ctx, l.id, l.openTurn(), event.Status{Status: string(StatusRunning)})
	return err
}

// start gives the session a sandbox, with withAgent one whose CLI runs. It needs l.gate.
func (s *Service) start(ctx context.Context, l *live, withAgent bool, progress func(Progress)) (*box, error) {
	l.mu.Lock()
	rec, key := l.rec, l.key
	l.mu.Unlock()
	want := SandboxSpec{
		SessionID: rec.ID, Provider: rec.Provider, Volume: rec.Volume, Limits: rec.Config.ResourceLimits, Progress: progress,
	}
	if withAgent {
		spec, err := sessionSpec(rec, key)
		if err != nil {
			return nil, err
		}
		want.Agent = &spec
	}
	sb, err := s.boxes.Start(ctx, want)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	info := sb.Info()
	l.update(func(rec *Session) {
		rec.Volume, rec.Start = info.Volume, info.Start
		if info.TranscriptID != "" {
			rec.TranscriptID = info.TranscriptID
		}
	})
	b := &box{Sandbox: sb, configured: withAgent, released: make(chan struct{})}
	if err := s.adopt(l, b); err != nil {
		s.free(ctx, l, b)
		return nil, err
	}
	return b, nil
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
		s.zap.Warn("sandbox lost", zap.String("session", l.id), zap.String("reason", b.Info().Lost))
		s.settle(s.ctx, l, b, "sandbox lost: "+b.Info().Lost)
	}
}

// settle frees the box of a session that stays. It needs l.gate.
func (s *Service) settle(ctx context.Context, l *live, b *box, reason string) {
	ctx = context.WithoutCancel(ctx)
	s.free(ctx, l, b)
	changed := false
	l.update(func(rec *Session) {
		if changed = rec.Status == StatusRunning; changed {
			rec.Status, rec.Reason = StatusAsleep, reason
		}
	})
	if !changed {
		return
	}
	s.noteRecord(ctx, l)
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), freeTimeout)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		s.zap.Error("removing a sandbox", zap.String("session", l.id), zap.Error(err))
	}
}
