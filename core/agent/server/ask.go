package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/agcluster/agcluster/core/agent"
)

// asks are the questions of one turn to the host.
type asks struct {
	timeout time.Duration

	mu     sync.Mutex
	serial int
	open   map[string]chan agent.Answer
	// decided are those that were answered or given up.
	decided map[string]struct{}
}

func newAsks(timeout time.Duration) *asks {
	return &asks{timeout: timeout, open: map[string]chan agent.Answer{}, decided: map[string]struct{}{}}
}

// put asks and waits for the answer. Every error is a denial.
func (a *asks) put(ctx context.Context, turn int64, ask agent.Ask, send func(context.Context, agent.Ask) error) (agent.Answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.timeout, fmt.Errorf("nobody decided within %s", a.timeout))
	defer cancel()
	answered := make(chan agent.Answer, 1)
	a.mu.Lock()
	a.serial++
	ask.ID = "ask-" + strconv.FormatInt(turn, 10) + "-" + strconv.Itoa(a.serial)
	a.open[ask.ID] = answered
	a.mu.Unlock()
	if err := send(ctx, ask); err != nil {
		a.giveUp(ask.ID)
		return agent.Answer{}, err
	}
	select {
	case answer := <-answered:
		return answer, nil
	case <-ctx.Done():
	}
	if a.giveUp(ask.ID) {
		return agent.Answer{}, context.Cause(ctx)
	}
	// The host was told that its answer counts.
	return <-answered, nil
}

// giveUp closes an ask and says whether it was open.
func (a *asks) giveUp(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, open := a.open[id]
	delete(a.open, id)
	a.decided[id] = struct{}{}
	return open
}

func (a *asks) answer(id string, answer agent.Answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	answered, open := a.open[id]
	if !open {
		if _, decided := a.decided[id]; decided {
			return fmt.Errorf("%w: ask %q is decided already", agent.ErrConflict, id)
		}
		return fmt.Errorf("%w: no ask %q", agent.ErrNotFound, id)
	}
	delete(a.open, id)
	a.decided[id] = struct{}{}
	answered <- answer
	return nil
}

// answer takes the host's verdict on an ask of the newest turn.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) error {
	var answer agent.Answer
	if err := decode(w, r, &answer); err != nil {
		return err
	}
	// Null keeps what is there, as if the field were absent.
	for _, raw := range []*json.RawMessage{&answer.Input, &answer.Output} {
		if string(*raw) == "null" {
			*raw = nil
		}
	}
	var fields map[string]json.RawMessage
	if len(answer.Input) > 0 && json.Unmarshal(answer.Input, &fields) != nil {
		return fmt.Errorf("%w: input must be an object", agent.ErrInvalid)
	}
	s.mu.Lock()
	t := s.turn
	s.mu.Unlock()
	if t == nil {
		return fmt.Errorf("%w: there was no turn yet", agent.ErrNotFound)
	}
	if err := t.asks.answer(r.PathValue("ask"), answer); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

var errTooLarge = errors.New("too large to be judged")
