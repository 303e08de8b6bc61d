package session

import (
	"context"
	"sync"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// script is what an agent does in a turn.
type script func(ctx context.Context, a *fakeAgent, req agent.TurnRequest, fn func(agent.Frame) error) error

type fakeAgent struct {
	mu         sync.Mutex
	specs      []agent.SessionSpec
	turns      []agent.TurnRequest
	running    bool
	interrupts chan struct{}
	waiting    map[string]chan agent.Answer
	answers    map[string]agent.Answer

	// settings are those that were set, offered the commands that there are.
	settings []agent.Settings
	offered  []agent.Command

	script    script
	set       func(ctx context.Context) error
	configure func(ctx context.Context) error
	interrupt func(ctx context.Context) error
	answer    func(ctx context.Context) error
}

func newFakeAgent() *fakeAgent {
	return &fakeAgent{
		script: polite, interrupts: make(chan struct{}, 16), waiting: map[string]chan agent.Answer{}, answers: map[string]agent.Answer{},
	}
}

func (a *fakeAgent) Configure(ctx context.Context, spec agent.SessionSpec) error {
	a.mu.Lock()
	a.specs = append(a.specs, spec)
	a.mu.Unlock()
	if a.configure != nil {
		return a.configure(ctx)
	}
	return ctx.Err()
}

func (a *fakeAgent) Turn(ctx context.Context, req agent.TurnRequest, _ int64, fn func(agent.Frame, bool) error) error {
	a.mu.Lock()
	if a.running {
		a.mu.Unlock()
		return agent.ErrTurnRunning
	}
	a.running = true
	a.turns = append(a.turns, req)
	run := a.script
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.running = false
		a.mu.Unlock()
	}()
	return run(ctx, a, req, func(f agent.Frame) error { return fn(f, false) })
}

func (a *fakeAgent) Interrupt(ctx context.Context) error {
	if a.interrupt != nil {
		return a.interrupt(ctx)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.running {
		return agent.ErrNoTurn
	}
	a.interrupts <- struct{}{}
	return nil
}

func (a *fakeAgent) Answer(ctx context.Context, ask string, answer agent.Answer) error {
	if a.answer != nil {
		if err := a.answer(ctx); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, twice := a.answers[ask]; twice {
		return agent.ErrConflict
	}
	a.answers[ask] = answer
	if w, ok := a.waiting[ask]; ok {
		w <- answer
	}
	return nil
}

func (a *fakeAgent) Set(ctx context.Context, settings agent.Settings) error {
	if a.set != nil {
		if err := a.set(ctx); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settings = append(a.settings, settings)
	return ctx.Err()
}

func (a *fakeAgent) Commands(context.Context) ([]agent.Command, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.offered, nil
}

// ask puts an ask to the host and waits for its answer.
func (a *fakeAgent) ask(ctx context.Context, fn func(agent.Frame) error, ask agent.Ask) (agent.Answer, error) {
	w := make(chan agent.Answer, 1)
	a.mu.Lock()
	a.waiting[ask.ID] = w
	a.mu.Unlock()
	if err := fn(agent.Frame{Ask: &ask}); err != nil {
		return agent.Answer{}, err
	}
	select {
	case answer := <-w:
		return answer, nil
	case <-ctx.Done():
		return agent.Answer{}, ctx.Err()
	}
}

func emit(fn func(agent.Frame) error, data ...event.Data) error {
	for _, d := range data {
		if err := fn(agent.Frame{Event: &event.Event{Data: d}}); err != nil {
			return err
		}
	}
	return nil
}

func completed() event.Complete {
	return event.Complete{Status: event.CompleteOK, CostUSD: 0.25, Turns: 1, Usage: event.Usage{InputTokens: 1}}
}

// polite answers at once.
func polite(_ context.Context, _ *fakeAgent, req agent.TurnRequest, fn func(agent.Frame) error) error {
	return emit(fn, event.Text{Content: "you said " + req.Message}, completed())
}

// busy works until it is interrupted, and ends its turn then.
func busy(ctx context.Context, a *fakeAgent, _ agent.TurnRequest, fn func(agent.Frame) error) error {
	if err := emit(fn, event.Text{Content: "working"}); err != nil {
		return err
	}
	select {
	case <-a.interrupts:
		return emit(fn, event.Complete{Status: event.CompleteInterrupted})
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deaf works until its connection is cut.
func deaf(ctx context.Context, _ *fakeAgent, _ agent.TurnRequest, fn func(agent.Frame) error) error {
	if err := emit(fn, event.Text{Content: "working"}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// fakeGuard allows all unless told otherwise.
type fakeGuard struct {
	mu           sync.Mutex
	call, result func(ctx context.Context, ask agent.Ask) Judgement
	launch       func(ctx context.Context, scope Scope, change bool) error
}

func (g *fakeGuard) Launch(ctx context.Context, scope Scope, change bool) error {
	g.mu.Lock()
	launch := g.launch
	g.mu.Unlock()
	if launch == nil {
		return nil
	}
	return launch(ctx, scope, change)
}

func (g *fakeGuard) Call(ctx context.Context, _ Scope, ask agent.Ask) Judgement {
	g.mu.Lock()
	call := g.call
	g.mu.Unlock()
	if call == nil {
		return Judgement{Ruling: RulingAllow}
	}
	return call(ctx, ask)
}

func (g *fakeGuard) Result(ctx context.Context, _ Scope, ask agent.Ask) Judgement {
	g.mu.Lock()
	result := g.result
	g.mu.Unlock()
	if result == nil {
		return Judgement{Ruling: RulingAllow}
	}
	return result(ctx, ask)
}
