package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// storm is many people doing everything at once to a few sessions, over sandboxes that are slow, fail, get lost and hang.
type storm struct {
	*harness
	mu  sync.Mutex
	rng *rand.Rand
	ids []string
}

// roll is a number below n.
func (s *storm) roll(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(n)
}

// pause takes up to n milliseconds of the bubble's time, which is none of ours.
func (s *storm) pause(ctx context.Context, n int) error {
	select {
	case <-time.After(time.Duration(s.roll(n*1000)) * time.Microsecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *storm) pick() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ids) == 0 {
		return "conv-none"
	}
	return s.ids[s.rng.IntN(len(s.ids))]
}

// TestStorm checks, beside what the harness audits at its end: every call returns within its time with an error that it may have,
// every follower gets each event once and in order, and the race detector is content.
func TestStorm(t *testing.T) {
	rounds := 24
	if testing.Short() {
		rounds = 4
	}
	for seed := range rounds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { weather(t, uint64(seed)) })
		})
	}
}

func weather(t *testing.T, seed uint64) {
	h := newHarness(t, func(c *Config) {
		c.IdleTimeout, c.CleanupInterval = 300*time.Millisecond, 50*time.Millisecond
		c.LaunchTimeout, c.InterruptTimeout, c.ApprovalTimeout = 2*time.Second, time.Second, 200*time.Millisecond
	})
	s := &storm{harness: h, rng: rand.New(rand.NewPCG(seed, 7))}
	h.boxes.on(func(ctx context.Context, _ SandboxSpec) error {
		switch s.roll(20) {
		case 0:
			return errFake
		case 1:
			<-ctx.Done()
			return ctx.Err()
		default:
			return s.pause(ctx, 60)
		}
	})
	h.boxes.preparing(s.arrange)
	h.guard.call = func(ctx context.Context, _ agent.Ask) Judgement {
		return []Judgement{{Ruling: RulingAllow}, {Ruling: RulingDeny}, {Ruling: RulingAsk}}[s.roll(3)]
	}
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			for range 40 {
				s.act()
			}
		})
	}
	if seed%2 == 0 {
		// The host goes down in the middle of it.
		if err := s.pause(context.Background(), 8000); err != nil {
			t.Error(err)
		}
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
		h.log.Close()
		wg.Wait()
		h.up()
	}
	wg.Wait()
}

// arrange makes a box that behaves in one of many ways.
func (s *storm) arrange(b *fakeBox) {
	b.close = func(ctx context.Context) error { return s.pause(ctx, 40) }
	b.agent.configure = func(ctx context.Context) error {
		if s.roll(20) == 0 {
			return errFake
		}
		return s.pause(ctx, 40)
	}
	b.agent.script = func(ctx context.Context, a *fakeAgent, req agent.TurnRequest, fn func(agent.Frame) error) error {
		for i := range s.roll(5) {
			if err := s.pause(ctx, 20); err != nil {
				return err
			}
			if err := emit(fn, event.TextDelta{Content: "x"}, event.Text{Content: "x"}); err != nil {
				return err
			}
			if s.roll(3) == 0 {
				if _, err := a.ask(ctx, fn, call(fmt.Sprint(req.Turn, "-", i))); err != nil {
					return err
				}
			}
		}
		switch s.roll(8) {
		case 0:
			return busy(ctx, a, req, fn)
		case 1:
			return deaf(ctx, a, req, fn)
		case 2:
			return agent.ErrGone
		default:
			return polite(ctx, a, req, fn)
		}
	}
	if s.roll(4) == 0 {
		s.work.Go(func() {
			if s.pause(s.ctx, 1000) == nil {
				b.lose("chance")
			}
		})
	}
}

// act does one thing.
func (s *storm) act() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if s.roll(6) == 0 {
		// A client that goes away.
		ctx, cancel = context.WithTimeout(ctx, time.Duration(s.roll(80))*time.Millisecond)
		defer cancel()
	}
	id, began := s.pick(), time.Now()
	var err error
	var name string
	switch n := s.roll(20); {
	case n < 1 || id == "conv-none":
		name = "launch"
		var rec Session
		if rec, err = s.Launch(ctx, LaunchRequest{Key: userKey}); err == nil {
			s.mu.Lock()
			s.ids = append(s.ids, rec.ID)
			s.mu.Unlock()
		}
	case n < 8:
		name = "send"
		_, err = s.Send(ctx, id, "hi")
	case n < 11:
		name = "interrupt"
		err = s.Interrupt(ctx, id)
	case n < 13:
		name = "stop"
		err = s.Stop(ctx, id)
	case n < 15:
		name = "acquire"
		var release func()
		if release, err = s.Acquire(ctx, id); err == nil {
			_ = s.pause(ctx, 100)
			release()
		}
	case n < 18:
		name = "follow"
		err = s.watchFor(id, time.Duration(s.roll(300))*time.Millisecond)
	default:
		name = "approve"
		err = s.answerAny(ctx, id)
	}
	if took := time.Since(began); took > 10*time.Second {
		s.tb.Errorf("%s took %v", name, took)
	}
	for _, known := range []error{
		nil, ErrNotFound, ErrTurnRunning, ErrNoTurn, ErrNoAsk, ErrStopping, ErrUnavailable, ErrDraining, event.ErrShutdown,
		context.DeadlineExceeded,
	} {
		if errors.Is(err, known) {
			return
		}
	}
	s.tb.Errorf("%s: %v", name, err)
}

// watchFor follows a session for a while and holds the log to its promise.
func (s *storm) watchFor(id string, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	last := int64(0)
	return s.Follow(ctx, id, 0, true, func(e event.Event, _ bool) error {
		if e.ID == 0 {
			return nil
		}
		if e.ID != last+1 {
			s.tb.Errorf("event %d after %d", e.ID, last)
		}
		last = e.ID
		return nil
	})
}

func (s *storm) answerAny(ctx context.Context, id string) error {
	events, err := s.History(ctx, id, 0, 1000)
	if err != nil {
		return err
	}
	ask := "ask-none"
	for _, e := range events {
		if r, ok := e.Data.(event.ApprovalRequired); ok {
			ask = r.Ask
		}
	}
	return s.Approve(ctx, id, ask, Decision{Allow: s.roll(2) == 0, ForSession: s.roll(2) == 0})
}
