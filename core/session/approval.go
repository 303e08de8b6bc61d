package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// maxGrants bounds what a session remembers as allowed for good; what is granted beyond it counts once.
const maxGrants = 1000

// askPerson opens an approval and waits for its answer, unless a person has allowed such calls for the session. Its own errors are the
// log's.
func (s *Service) askPerson(ctx context.Context, l *live, t *turn, ask agent.Ask, j Judgement) (Decision, error) {
	id, answered, grant := "ask-"+randomHex(8), make(chan Decision, 1), grantOf(ask, j)
	resolved := event.ApprovalResolved{Ask: id, Tool: ask.Tool, ToolUseID: ask.ToolUseID, Parent: ask.Parent}
	l.mu.Lock()
	granted := slices.Contains(l.rec.Grants, grant)
	if !granted {
		t.asks[id] = answered
	}
	l.mu.Unlock()
	if granted {
		resolved.Decision, resolved.By, resolved.Reason, resolved.Scope = "allow", "person", "allowed for this session", event.ScopeSession
		return Decision{Allow: true, Reason: resolved.Reason}, s.note(context.WithoutCancel(ctx), l, t, resolved)
	}
	defer func() {
		l.mu.Lock()
		delete(t.asks, id)
		l.mu.Unlock()
	}()
	expires := time.NewTimer(s.cfg.ApprovalTimeout)
	defer expires.Stop()
	if err := s.note(ctx, l, t, event.ApprovalRequired{
		Ask: id, ToolUseID: ask.ToolUseID, Tool: ask.Tool, Input: agent.Summary(ask.Tool, ask.Input), Arguments: ask.Input,
		Reason: j.Reason, ExpiresAt: time.Now().Add(s.cfg.ApprovalTimeout).UTC().Format(time.RFC3339), Parent: ask.Parent,
	}); err != nil {
		return Decision{}, err
	}
	var d Decision
	d, resolved.By = s.await(ctx, l, t, id, answered, expires.C)
	ctx = context.WithoutCancel(ctx)
	resolved.Decision, resolved.Reason, resolved.Scope = "deny", d.Reason, event.ScopeOnce
	if d.Allow {
		resolved.Decision = "allow"
		if d.ForSession && l.grant(grant) {
			resolved.Scope = event.ScopeSession
		}
		return d, s.note(ctx, l, t, resolved)
	}
	if d.Reason == "" {
		d.Reason = "a person denied it"
	}
	by := resolved.By
	if by != "person" {
		by = "host"
	}
	return d, s.note(ctx, l, t, resolved, event.Verdict{
		Gate: "tool.call", Decision: "deny", By: by, Reason: d.Reason, Tool: ask.Tool, ToolUseID: ask.ToolUseID, Parent: ask.Parent,
	})
}

// await waits for the answer to an open approval and says who gave it.
func (s *Service) await(
	ctx context.Context, l *live, t *turn, id string, answered <-chan Decision, expired <-chan time.Time,
) (d Decision, by string) {
	select {
	case d = <-answered:
		return d, "person"
	case <-expired:
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
	if !open {
		return <-answered, "person"
	}
	return d, by
}

// grantOf names the calls that an answer for the whole session covers: those of the same tool that the same rules want a person to see
// for the same reason. Only a ruling of ask looks at grants, so a denial is never widened.
func grantOf(ask agent.Ask, j Judgement) string {
	parts := []string{string(ask.Stage), ask.Tool, j.Reason}
	for _, v := range j.Verdicts {
		if v.Decision == string(RulingAsk) {
			parts = append(parts, v.By, v.Reason)
		}
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// grant remembers calls that need not be asked for again, and says whether there was room. The record is written with the end of the
// turn; a host that dies before that asks again.
func (l *live) grant(grant string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(l.rec.Grants, grant) {
		return true
	}
	if len(l.rec.Grants) >= maxGrants {
		return false
	}
	l.rec.Grants = append(l.rec.Grants, grant)
	return true
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
