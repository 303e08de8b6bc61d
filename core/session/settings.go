package session

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/preset"
)

// Change is what a person changes of a session. What is nil stays as it is.
type Change struct {
	// Model is as in a configuration; empty is Claude Code's default.
	Model *string
	// PermissionMode is one of Claude Code's.
	PermissionMode *string
}

func (c Change) apply(config *preset.Config) {
	if c.Model != nil {
		config.Model = *c.Model
	}
	if c.PermissionMode != nil {
		config.PermissionMode = *c.PermissionMode
	}
}

// Change changes a session: what runs now, and every start after it. It waits for a start that is under way. A turn that runs goes on
// with the model that it began with. It fails with agent.ErrInvalid when Claude Code refuses, and with what the guard says when a launch
// with these settings would be refused; then nothing has changed.
func (s *Service) Change(ctx context.Context, id string, c Change) (Session, error) {
	l, err := s.live(ctx, id)
	if err != nil {
		return Session{}, err
	}
	leave, err := s.enter()
	if err != nil {
		return Session{}, err
	}
	defer leave()
	// Nothing is started meanwhile that would not know of it.
	if err := l.lock(ctx); err != nil {
		return Session{}, fmt.Errorf("waiting to change the session: %w", err)
	}
	defer l.unlock()
	l.mu.Lock()
	b, status, wanted := l.box, l.rec.Status, l.scopeLocked()
	usable := b != nil && b.configured && !b.spoiled
	l.mu.Unlock()
	if status == StatusStopping {
		return Session{}, ErrStopping
	}
	c.apply(&wanted.Config)
	if err := s.allowed(ctx, l, wanted); err != nil {
		return Session{}, err
	}
	if usable {
		if err := s.tell(ctx, b, agent.Settings(c)); err != nil {
			return Session{}, err
		}
	}
	var now event.Settings
	l.update(func(rec *Session) {
		c.apply(&rec.Config)
		now = event.Settings{Model: rec.Config.Model, PermissionMode: rec.Config.PermissionMode}
		if now.PermissionMode == "" {
			now.PermissionMode = DefaultMode
		}
	})
	// It holds now, whether or not somebody still waits for it.
	ctx = context.WithoutCancel(ctx)
	if err := s.keep(ctx, l); err != nil {
		return Session{}, err
	}
	if _, err := s.log.Append(ctx, l.id, l.openTurn(), now); err != nil {
		return Session{}, fmt.Errorf("telling of new settings: %w", err)
	}
	return l.snapshot(), nil
}

// allowed asks the gate of launches about new settings: what may not be launched is not come by later. Its refusal is an event.
func (s *Service) allowed(ctx context.Context, l *live, wanted Scope) error {
	refusal := s.guard.Launch(ctx, wanted, true)
	var denied interface {
		Denied() (gate, by, reason string)
	}
	if !errors.As(refusal, &denied) {
		return refusal
	}
	gate, by, reason := denied.Denied()
	verdict := event.Verdict{Gate: gate, Decision: string(RulingDeny), By: by, Reason: reason}
	if _, err := s.log.Append(context.WithoutCancel(ctx), l.id, l.openTurn(), verdict); err != nil {
		return fmt.Errorf("recording a verdict: %w", err)
	}
	return refusal
}

// tell changes the settings of a CLI that runs. One that is lost gets them with its next start.
func (s *Service) tell(ctx context.Context, b *box, settings agent.Settings) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.InterruptTimeout)
	defer cancel()
	err := b.Agent().Set(ctx, settings)
	if err == nil {
		return nil
	}
	select {
	case <-b.Gone():
		return nil
	default:
		return fmt.Errorf("changing what Claude Code works with: %w", err)
	}
}

// Commands are the slash commands that the session's CLI offers: as it says now or, when none runs, as it said last. It wakes no sandbox.
func (s *Service) Commands(ctx context.Context, id string) ([]agent.Command, error) {
	l, err := s.live(ctx, id)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	b, known := l.box, l.commands
	l.mu.Unlock()
	if b == nil {
		return known, nil
	}
	list, err := b.Agent().Commands(ctx)
	switch {
	case errors.Is(err, agent.ErrGone):
		s.zap.Info("asking for commands", zap.String("session", id), zap.Error(err))
		return known, nil
	case err != nil:
		return nil, err
	case len(list) == 0:
		// This sandbox was woken for its files.
		return known, nil
	}
	l.mu.Lock()
	l.commands = list
	l.mu.Unlock()
	return list, nil
}
