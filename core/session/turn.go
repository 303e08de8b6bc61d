package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// Why a turn ends other than by itself.
var (
	errStopped     = errors.New("the session was stopped")
	errInterrupted = errors.New("the turn was interrupted")
	errHostStopped = errors.New("the host is shutting down")
)

// turn is one message and everything the agent does about it.
type turn struct {
	number int64
	ctx    context.Context
	cancel context.CancelCauseFunc
	// interrupted is closed when a person wants the turn to end; done when it has, with its Complete kept.
	interrupted chan struct{}
	interrupt   sync.Once
	done        chan struct{}
	// asking counts the asks under way; asks are those that wait for a person, guarded by live.mu.
	asking sync.WaitGroup
	slots  chan struct{}
	asks   map[string]chan Decision
}

// stop ends the turn at once. The agent may be left in the middle of things, so its sandbox must not be used for another turn.
func (t *turn) stop(cause error) { t.cancel(cause) }

// Send begins a turn and returns at once; the turn goes on without the caller. The message is kept before Send returns.
// It fails with ErrTurnRunning while another turn runs.
func (s *Service) Send(ctx context.Context, id, message string) (Turn, error) {
	l, err := s.live(ctx, id)
	if err != nil {
		return Turn{}, err
	}
	t, err := s.begin(l)
	if err != nil {
		return Turn{}, err
	}
	rec := l.update(func(rec *Session) {
		rec.Turn, rec.TurnOpen, rec.LastActive = t.number, true, time.Now().UTC()
	})
	// The client may go away now; what it was promised must not depend on it.
	keep := context.WithoutCancel(ctx)
	err = s.store.Put(keep, rec)
	var kept []event.Event
	if err == nil {
		kept, err = s.log.Append(keep, id, t.number, event.User{Content: message})
	}
	if err != nil {
		s.finish(l, t, event.Complete{Status: event.CompleteFailed})
		return Turn{}, err
	}
	go s.run(l, t, message)
	return Turn{Number: t.number, After: kept[0].ID}, nil
}

// begin reserves the session for a turn. Who gets a turn must call finish.
func (s *Service) begin(l *live) (*turn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return nil, ErrDraining
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rec.Status == StatusStopping {
		return nil, ErrStopping
	}
	if l.turn != nil {
		return nil, ErrTurnRunning
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	l.turn = &turn{
		number: l.rec.Turn + 1, ctx: ctx, cancel: cancel,
		interrupted: make(chan struct{}), done: make(chan struct{}),
		slots: make(chan struct{}, maxAsks), asks: map[string]chan Decision{},
	}
	s.work.Add(1)
	return l.turn, nil
}

// run takes a turn to its end: sandbox, agent, every frame, and exactly one Complete.
func (s *Service) run(l *live, t *turn, message string) {
	complete, failure := s.converse(l, t, message)
	// No ask may log anything after the turn's Complete.
	t.cancel(nil)
	t.asking.Wait()
	last := []event.Data{}
	if failure != nil {
		last = append(last, *failure)
	}
	if _, err := s.log.Append(context.WithoutCancel(t.ctx), l.id, t.number, append(last, complete)...); err != nil {
		s.zap.Error("logging the end of a turn", zap.String("session", l.id), zap.Error(err))
	}
	s.finish(l, t, complete)
}

// finish frees the session for its next turn. The record keeps TurnOpen when it can't be written, and Recover mends the log.
func (s *Service) finish(l *live, t *turn, complete event.Complete) {
	defer s.work.Done()
	defer close(t.done)
	t.cancel(nil)
	l.mu.Lock()
	l.rec.TurnOpen, l.rec.LastActive = false, time.Now().UTC()
	l.rec.CostUSD += complete.CostUSD
	l.turn = nil
	rec := l.rec
	l.mu.Unlock()
	if err := s.store.Put(context.WithoutCancel(t.ctx), rec); err != nil {
		s.zap.Error("keeping a session's state", zap.String("session", l.id), zap.Error(err))
	}
}

// converse is the way of a message (DESIGN.md): it wakes the agent, sends it the message and takes what comes back, until the turn
// has ended one way or another.
func (s *Service) converse(l *live, t *turn, message string) (event.Complete, *event.Error) {
	waking, awake := context.WithCancel(t.ctx)
	s.work.Go(func() {
		select {
		case <-t.interrupted:
			awake()
		case <-waking.Done():
		}
	})
	release, err := s.acquire(waking, l, true)
	awake()
	if err != nil {
		return s.failed(t, err)
	}
	defer release()
	l.mu.Lock()
	b := l.box
	l.mu.Unlock()
	if b == nil {
		return s.failed(t, errors.New("the sandbox was lost"))
	}

	turnCtx, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	t.asking.Go(func() { s.interruption(turnCtx, t, b, cancel) })

	var complete *event.Complete
	err = b.Agent().Turn(turnCtx, agent.TurnRequest{Turn: t.number, Message: message}, 0, func(f agent.Frame) error {
		if f.Ask != nil {
			s.dispatch(turnCtx, l, t, b.Agent(), *f.Ask)
			return nil
		}
		if f.Event == nil {
			return errors.New("the agent server sent an empty frame")
		}
		switch d := f.Event.Data.(type) {
		case event.TextDelta:
			s.log.Preview(l.id, t.number, d)
		case event.Complete:
			complete = &d
		case event.Init, event.Text, event.Thinking, event.ToolUse, event.ToolResult, event.TodoUpdate, event.Error:
			if _, err := s.log.Append(turnCtx, l.id, t.number, d); err != nil {
				return err
			}
		default:
			// Only the host says who spoke, what was decided and how a session is: a sandbox that does is lying.
			s.zap.Warn("dropping an event no sandbox may send", zap.String("session", l.id), zap.String("type", string(d.Type())))
		}
		return nil
	})
	if complete != nil {
		return *complete, nil
	}
	if err == nil {
		err = errors.New("the agent's stream ended early")
	}
	if cause := context.Cause(turnCtx); cause != nil {
		err = cause
	}
	// The agent did not end its turn by itself: what it does now is unknown, so this sandbox serves no other turn.
	s.discard(l, b)
	return s.failed(t, err)
}

// interruption waits for a person's wish to end the turn and makes sure that it ends: by the CLI if it can, else by force.
func (s *Service) interruption(ctx context.Context, t *turn, b *box, cancel context.CancelCauseFunc) {
	select {
	case <-ctx.Done():
		return
	case <-t.interrupted:
	}
	force := time.NewTimer(s.cfg.InterruptTimeout)
	defer force.Stop()
	asked, done := context.WithTimeout(ctx, s.cfg.InterruptTimeout)
	defer done()
	if err := b.Agent().Interrupt(asked); err != nil && ctx.Err() == nil {
		s.zap.Warn("interrupting by request failed; forcing", zap.Error(err))
		cancel(errInterrupted)
		return
	}
	select {
	case <-ctx.Done():
	case <-force.C:
		cancel(errInterrupted)
	}
}

// discard gives up a box whose agent is in an unknown state.
func (s *Service) discard(l *live, b *box) {
	if err := l.lock(context.WithoutCancel(s.ctx)); err != nil {
		return
	}
	defer l.unlock()
	l.mu.Lock()
	current := l.box == b
	l.mu.Unlock()
	if current {
		s.settle(s.ctx, l, b, "the agent did not end its turn")
	}
}

// failed says how a turn ended that the agent did not end.
func (s *Service) failed(t *turn, err error) (event.Complete, *event.Error) {
	complete := event.Complete{Status: event.CompleteFailed}
	if cause := context.Cause(t.ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	} else if t.ctx.Err() != nil {
		err = errHostStopped
	}
	select {
	case <-t.interrupted:
		complete.Status = event.CompleteInterrupted
		return complete, nil
	default:
	}
	code := "sandbox_lost"
	switch {
	case errors.Is(err, errHostStopped):
		code = "host_stopped"
	case errors.Is(err, errStopped):
		code = "session_stopped"
	case errors.Is(err, ErrUnavailable):
		code = "sandbox_unavailable"
	}
	return complete, &event.Error{Code: code, Message: err.Error()}
}

// Interrupt asks the running turn to end; its stream says when it has. It fails with ErrNoTurn when none runs.
func (s *Service) Interrupt(ctx context.Context, id string) error {
	l, err := s.live(ctx, id)
	if err != nil {
		return err
	}
	l.mu.Lock()
	t := l.turn
	l.mu.Unlock()
	if t == nil {
		return ErrNoTurn
	}
	t.interrupt.Do(func() { close(t.interrupted) })
	return nil
}

// note keeps an event of the running turn and turns a failure into an error that says what could not be kept.
func (s *Service) note(ctx context.Context, l *live, t *turn, d ...event.Data) error {
	if _, err := s.log.Append(ctx, l.id, t.number, d...); err != nil {
		return fmt.Errorf("recording it: %w", err)
	}
	return nil
}
