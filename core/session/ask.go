package session

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// maxAsks bounds the asks of one turn that are judged or wait for a person at the same time; one more is denied.
const maxAsks = 256

// dispatch judges an ask on a goroutine of its own, because one that waits for a person must not hold up the others.
func (s *Service) dispatch(ctx context.Context, l *live, t *turn, ag Agent, ask agent.Ask) {
	answer := func(ctx context.Context, a agent.Answer) {
		if err := ag.Answer(ctx, ask.ID, a); err != nil && ctx.Err() == nil {
			s.zap.Warn("answering an ask", zap.String("session", l.id), zap.String("tool", ask.Tool), zap.Error(err))
		}
	}
	select {
	case t.slots <- struct{}{}:
	default:
		// Here and now: a sandbox that floods its host gets no goroutine for each, and waits for itself.
		ctx, cancel := context.WithTimeout(ctx, answerTimeout)
		defer cancel()
		answer(ctx, agent.Answer{Reason: "too many tool calls at once"})
		return
	}
	t.asking.Go(func() {
		defer func() { <-t.slots }()
		answer(ctx, s.judge(ctx, l, t, ask))
	})
}

// judge decides an ask. Whatever goes wrong is a denial, and what could not be recorded is not allowed.
func (s *Service) judge(ctx context.Context, l *live, t *turn, ask agent.Ask) agent.Answer {
	var j Judgement
	switch ask.Stage {
	case agent.StageCall:
		j = s.guard.Call(ctx, l.scope(), ask)
	case agent.StageResult:
		j = s.guard.Result(ctx, l.scope(), ask)
	case agent.StagePermission:
		// The gates have seen this call already; the CLI's permission mode wants a person to see it too.
		j = Judgement{Ruling: RulingAsk, Reason: "the session's permission mode asks for it"}
	default:
		j = Judgement{Ruling: RulingDeny, Reason: "unknown kind of ask"}
	}
	for _, v := range j.Verdicts {
		v.Tool, v.ToolUseID, v.Parent = ask.Tool, ask.ToolUseID, ask.Parent
		if err := s.note(ctx, l, t, v); err != nil {
			return agent.Answer{Reason: "the host could not record its verdict"}
		}
	}
	if ask.Stage == agent.StageResult {
		l.results.hooked(ask.ToolUseID, j.Ruling == RulingAllow && len(j.Rewrite) == 0)
		if j.Ruling == RulingAsk {
			return agent.Answer{Reason: "a result can't wait for a person"}
		}
	}
	if j.Ruling == RulingAsk {
		if len(j.Rewrite) > 0 {
			ask.Input = j.Rewrite
		}
		d, err := s.askPerson(ctx, l, t, ask, j.Reason)
		if err != nil {
			return agent.Answer{Reason: "the host could not record its verdict"}
		}
		j.Ruling, j.Reason = RulingDeny, d.Reason
		if d.Allow {
			j.Ruling = RulingAllow
		}
	}
	switch {
	case j.Ruling != RulingAllow:
		return agent.Answer{Reason: j.Reason}
	case len(j.Rewrite) == 0:
		return agent.Answer{Allow: true, Reason: j.Reason}
	case ask.Stage == agent.StageResult:
		return agent.Answer{Allow: true, Reason: j.Reason, Output: j.Rewrite}
	default:
		return agent.Answer{Allow: true, Reason: j.Reason, Input: j.Rewrite}
	}
}

// askPerson opens an approval and waits for its answer. Its own errors are the log's.
func (s *Service) askPerson(ctx context.Context, l *live, t *turn, ask agent.Ask, reason string) (Decision, error) {
	fingerprint := fingerprint(ask)
	l.mu.Lock()
	_, granted := l.granted[fingerprint]
	l.mu.Unlock()
	if granted {
		return Decision{Allow: true, Reason: "allowed for this session"}, nil
	}
	id, answered := "ask-"+randomHex(8), make(chan Decision, 1)
	expires := time.NewTimer(s.cfg.ApprovalTimeout)
	defer expires.Stop()
	l.mu.Lock()
	t.asks[id] = answered
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(t.asks, id)
		l.mu.Unlock()
	}()
	if err := s.note(ctx, l, t, event.ApprovalRequired{
		Ask: id, ToolUseID: ask.ToolUseID, Tool: ask.Tool, Input: agent.Summary(ask.Tool, ask.Input), Arguments: ask.Input,
		Reason: reason, ExpiresAt: time.Now().Add(s.cfg.ApprovalTimeout).UTC().Format(time.RFC3339), Parent: ask.Parent,
	}); err != nil {
		return Decision{}, err
	}
	var d Decision
	by := "person"
	select {
	case d = <-answered:
	case <-expires.C:
		by, d.Reason = "timeout", "nobody answered in time"
	case <-t.interrupted:
		by, d.Reason = "interrupt", "the turn was interrupted"
	case <-ctx.Done():
		by, d.Reason = "host", "the turn ended"
	}
	// An answer that was taken counts, even when the time is over or the turn ends at the same moment.
	l.mu.Lock()
	_, open := t.asks[id]
	delete(t.asks, id)
	l.mu.Unlock()
	if !open && by != "person" {
		by, d = "person", <-answered
	}
	ctx = context.WithoutCancel(ctx)
	resolved := event.ApprovalResolved{Ask: id, Decision: "deny", By: by, Reason: d.Reason}
	if d.Allow {
		resolved.Decision = "allow"
		if d.ForSession {
			l.mu.Lock()
			l.granted[fingerprint] = struct{}{}
			l.mu.Unlock()
		}
		return d, s.note(ctx, l, t, resolved)
	}
	if d.Reason == "" {
		d.Reason = "a person denied it"
	}
	if by != "person" {
		by = "host"
	}
	return d, s.note(ctx, l, t, resolved, event.Verdict{
		Gate: "tool.call", Decision: "deny", By: by, Reason: d.Reason, Tool: ask.Tool, ToolUseID: ask.ToolUseID, Parent: ask.Parent,
	})
}

// fingerprint is the same for equal calls: the same tool with the same input, white space aside.
func fingerprint(ask agent.Ask) string {
	var compact bytes.Buffer
	if err := json.Compact(&compact, ask.Input); err != nil {
		compact.Write(ask.Input)
	}
	sum := sha256.Sum256(append([]byte(ask.Tool+"\x00"), compact.Bytes()...))
	return string(sum[:])
}

// Approve answers an open approval. It fails with ErrNoAsk when there is none by that name (any more).
func (s *Service) Approve(ctx context.Context, id, ask string, d Decision) error {
	l, err := s.live(ctx, id)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.turn == nil {
		return ErrNoAsk
	}
	answered, ok := l.turn.asks[ask]
	if !ok {
		return ErrNoAsk
	}
	delete(l.turn.asks, ask)
	answered <- d
	return nil
}
