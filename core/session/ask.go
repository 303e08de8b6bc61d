package session

import (
	"context"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
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
		// The gates have seen this call already; the CLI's permission mode wants a person to see it too. One who has just let it pass
		// need not be asked again.
		if t.consents.take(ask) {
			return agent.Answer{Allow: true, Reason: "a person has allowed this call"}
		}
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
		t.consents.drop(ask.ToolUseID)
		l.results.hooked(ask.ToolUseID, j.Ruling == RulingAllow && len(j.Rewrite) == 0)
		if j.Ruling == RulingAsk {
			return agent.Answer{Reason: "a result can't wait for a person"}
		}
	}
	if j.Ruling == RulingAsk {
		if len(j.Rewrite) > 0 {
			ask.Input = j.Rewrite
		}
		d, err := s.askPerson(ctx, l, t, ask, j)
		if err != nil {
			return agent.Answer{Reason: "the host could not record its verdict"}
		}
		j.Ruling, j.Reason = RulingDeny, d.Reason
		if d.Allow {
			j.Ruling = RulingAllow
			if ask.Stage == agent.StageCall {
				t.consents.give(ask)
			}
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
