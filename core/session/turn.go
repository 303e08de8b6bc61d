package session

import (
	"context"
	"errors"
	"fmt"
	"math"
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
	errNotKept     = errors.New("what the agent did can't be kept")
)

const (
	// answerTimeout bounds how long the denial of an ask over the limit may hold up a turn's stream.
	answerTimeout = 10 * time.Second
	// An end of a turn that can't be kept is tried again after endRetry, four times as long each time, up to endRetryMax.
	endRetry    = 50 * time.Millisecond
	endRetryMax = 4 * time.Second
	// endUnknown stands for the number of a Complete that could not be kept.
	endUnknown = -1
)

// turn is one message and everything the agent does about it.
type turn struct {
	number int64
	// owes is the number of the turn before when that one's Complete could not be kept, else 0.
	owes   int64
	ctx    context.Context //nolint:containedctx // it ends with the turn
	cancel context.CancelCauseFunc
	// interrupted is closed when a person wants the turn to end; done when it has, with its Complete kept.
	interrupted chan struct{}
	interrupt   sync.Once
	done        chan struct{}
	// asking counts the asks under way; asks are those that wait for a person, guarded by live.mu.
	asking sync.WaitGroup
	slots  chan struct{}
	asks   map[string]chan Decision
	// consents are the calls that a person let pass.
	consents consents
	// ending says that its last words are being kept. Guarded by live.mu.
	ending bool
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
	t, err := s.begin(ctx, l)
	if err != nil {
		return Turn{}, err
	}
	// The client may go away now; what it was promised must not depend on it.
	after, err := s.open(context.WithoutCancel(ctx), l, t, message)
	if err != nil {
		s.finish(l, t, event.Complete{Status: event.CompleteFailed}, endUnknown)
		return Turn{}, err
	}
	go s.run(l, t, message)
	return Turn{Number: t.number, After: after}, nil
}

// open keeps the beginning of a turn and returns the number of its first event.
func (s *Service) open(ctx context.Context, l *live, t *turn, message string) (int64, error) {
	if t.owes > 0 {
		ended, err := s.mend(ctx, l.snapshot(), event.Error{Code: "host_error", Message: "the end of this turn could not be kept"})
		if err != nil {
			return 0, err
		}
		l.update(func(rec *Session) { rec.LastComplete = ended })
	}
	l.update(func(rec *Session) {
		rec.Turn, rec.TurnOpen, rec.LastActive = t.number, true, time.Now().UTC()
		if rec.Title == "" {
			rec.Title = firstLine(message, maxTitle)
		}
	})
	if err := s.keep(ctx, l); err != nil {
		return 0, err
	}
	kept, err := s.log.Append(ctx, l.id, t.number, event.User{Content: message})
	if err != nil {
		return 0, err
	}
	return kept[0].ID, nil
}

// begin reserves the session for a turn. Who gets a turn must call finish.
func (s *Service) begin(ctx context.Context, l *live) (*turn, error) {
	for {
		t, before, err := s.reserve(l)
		if before == nil {
			return t, err
		}
		// Its Complete may be out already, and who has seen that may send.
		select {
		case <-before.done:
		case <-ctx.Done():
			return nil, ErrTurnRunning
		}
	}
}

// reserve is begin without waiting: it returns the turn before when that is just ending.
func (s *Service) reserve(l *live) (t, before *turn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return nil, nil, ErrDraining
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rec.Status == StatusStopping {
		return nil, nil, ErrStopping
	}
	if l.turn != nil {
		if l.turn.ending {
			return nil, l.turn, nil
		}
		return nil, nil, ErrTurnRunning
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	l.turn = &turn{
		number: l.rec.Turn + 1, ctx: ctx, cancel: cancel,
		interrupted: make(chan struct{}), done: make(chan struct{}),
		slots: make(chan struct{}, maxAsks), asks: map[string]chan Decision{},
	}
	if l.rec.TurnOpen {
		l.turn.owes = l.rec.Turn
	}
	s.work.Add(1)
	return l.turn, nil, nil
}

// run takes a turn to its end: sandbox, agent, every frame, and exactly one Complete.
func (s *Service) run(l *live, t *turn, message string) {
	complete, failure := s.converse(l, t, message)
	// No ask may log anything after the turn's Complete.
	t.cancel(nil)
	t.asking.Wait()
	l.mu.Lock()
	t.ending = true
	b := l.box
	spoiled := b != nil && b.spoiled
	l.mu.Unlock()
	last := []event.Data{}
	if failure != nil {
		last = append(last, *failure)
	}
	ended := s.end(l, t, append(last, complete)...)
	if spoiled {
		// Nobody waits for that: the turn has ended, and the next one frees the box itself if it comes first.
		s.work.Go(func() { s.discard(l, b) })
	}
	s.finish(l, t, complete, ended)
}

// end keeps the last events of a turn and returns the number of its Complete. It tries for a while, because who follows the turn
// waits for them.
func (s *Service) end(l *live, t *turn, last ...event.Data) int64 {
	ctx := context.WithoutCancel(t.ctx)
	kept, err := s.log.Append(ctx, l.id, t.number, last...)
	if err == nil {
		return kept[len(kept)-1].ID
	}
	for wait := endRetry; ; wait *= 4 {
		s.zap.Error("logging the end of a turn", zap.String("session", l.id), zap.Error(err))
		if wait > endRetryMax {
			return endUnknown
		}
		select {
		case <-time.After(wait):
		case <-s.ctx.Done():
			wait = endRetryMax
		}
		var ended int64
		if ended, err = s.mend(ctx, l.snapshot(), last...); err == nil {
			return ended
		}
	}
}

// finish frees the session for its next turn. The record keeps TurnOpen when the turn's end could not be kept or the record can't be
// written, and the next turn or Recover mends the log.
func (s *Service) finish(l *live, t *turn, complete event.Complete, ended int64) {
	defer s.work.Done()
	defer close(t.done)
	t.cancel(nil)
	l.mu.Lock()
	if ended != endUnknown {
		l.rec.TurnOpen, l.rec.LastComplete = false, ended
	}
	l.rec.LastActive = time.Now().UTC()
	// A sandbox says what it cost: whatever that is, the record must stay one that JSON can hold.
	l.rec.CostUSD = min(l.rec.CostUSD+complete.CostUSD, math.MaxFloat64)
	l.turn = nil
	l.mu.Unlock()
	s.noteRecord(context.WithoutCancel(t.ctx), l)
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
	select {
	case <-t.interrupted:
		return s.failed(t, errInterrupted)
	default:
	}

	turnCtx, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	t.asking.Go(func() { s.interruption(turnCtx, t, b, cancel) })

	in := &intake{s: s, l: l, t: t, ctx: turnCtx, agent: b.Agent(), memory: watchMemory(turnCtx, t, b)}
	err = b.Agent().Turn(turnCtx, agent.TurnRequest{Turn: t.number, Message: message}, 0, in.take)
	if in.complete != nil {
		return *in.complete, nil
	}
	if err == nil {
		err = errors.New("the agent's stream ended early")
	}
	if cause := context.Cause(turnCtx); cause != nil {
		err = cause
	}
	// The agent did not end its turn by itself: what it does now is unknown, so this sandbox serves no other turn.
	l.mu.Lock()
	b.spoiled = true
	l.mu.Unlock()
	return s.failed(t, err)
}

// interruption waits for a person's wish to end the turn and makes sure that it ends: by the CLI if it can, else by force. It also
// ends the turn of a sandbox that is lost, whose stream may not tell.
func (s *Service) interruption(ctx context.Context, t *turn, b *box, cancel context.CancelCauseFunc) {
	select {
	case <-ctx.Done():
		return
	case <-b.Gone():
		cancel(fmt.Errorf("the sandbox was lost: %s", b.Info().Lost))
		return
	case <-t.interrupted:
	}
	force := time.AfterFunc(s.cfg.InterruptTimeout, func() { cancel(errInterrupted) })
	defer force.Stop()
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := b.Agent().Interrupt(ctx)
		if err == nil || ctx.Err() != nil {
			break
		}
		if !errors.Is(err, agent.ErrNoTurn) {
			s.zap.Warn("interrupting by request failed; forcing", zap.Error(err))
			cancel(errInterrupted)
			return
		}
		// The request for the turn is still on its way.
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	select {
	case <-ctx.Done():
	case <-b.Gone():
		cancel(errInterrupted)
	}
}

// discard gives up a box whose agent is in an unknown state.
func (s *Service) discard(l *live, b *box) {
	if err := l.lock(s.ctx); err != nil {
		return // Close frees it
	}
	defer l.unlock()
	l.mu.Lock()
	current := l.box == b
	l.mu.Unlock()
	if current {
		s.settle(s.ctx, l, b, unfinished)
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
	case errors.Is(err, errNotKept):
		code = "host_error"
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
