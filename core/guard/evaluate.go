package guard

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/session"
)

// verdict is the verdict of a whole chain: the strictest, and whose it is ("policy:NAME", or "host").
type verdict struct {
	policy.Verdict
	by string
}

func denial(by, reason string) verdict {
	return verdict{Verdict: policy.Verdict{Decision: policy.Deny, Reason: reason}, by: by}
}

// ask puts a question to every policy of the session that judges the gate.
func (g *Guard) ask(ctx context.Context, scope session.Scope, gate policy.Gate, input any) verdict {
	body, err := json.Marshal(input)
	if err != nil {
		return denial("host", "the input can't be put to the policies")
	}
	return g.round(ctx, scope, gate, func(link) ([]question, error) { return []question{{body: body}}, nil })
}

// question is an input as it is put to a policy. about is named with a denial that does not name it.
type question struct {
	body  json.RawMessage
	about string
}

// round puts questions to every policy of the session that judges the gate, in order. The first denial or rewrite ends it; an ask is kept
// while the others are heard, because one of them may deny.
func (g *Guard) round(ctx context.Context, scope session.Scope, gate policy.Gate, questions func(link) ([]question, error)) verdict {
	result := verdict{Verdict: policy.Verdict{Decision: policy.Allow}}
	chain, err := g.chain(scope)
	if err != nil {
		g.log.Error("resolving policies", zap.String("session", scope.SessionID), zap.Error(err))
		return denial("host", "the session's policies can't be resolved")
	}
	if !slices.ContainsFunc(chain, func(l link) bool { return slices.Contains(l.gates, gate) }) {
		return result
	}
	lock := g.locks[maphash.String(g.seed, scope.SessionID)%stripes]
	select {
	case lock <- struct{}{}:
		defer func() { <-lock }()
	case <-ctx.Done():
	}
	for _, l := range chain {
		if !slices.Contains(l.gates, gate) {
			continue
		}
		by := "policy:" + l.module.Info().Name
		asked, err := questions(l)
		if err != nil {
			return denial("host", "the input can't be put to the policies")
		}
		for _, q := range asked {
			// Looked at by itself: a select with both ready takes either.
			if ctx.Err() != nil {
				return denial("host", "whoever wanted it gave up before the policies were asked")
			}
			v, err := g.evaluate(ctx, scope, l, gate, q.body)
			if err != nil {
				g.log.Error("keeping the state of a policy", zap.String("session", scope.SessionID), zap.String("policy", by), zap.Error(err))
				return denial(by, "the policy's state can't be kept")
			}
			g.note(l.module.Info().Name, v)
			if q.about != "" && v.Decision != policy.Allow && !strings.Contains(v.Reason, q.about) {
				v.Reason = q.about + ": " + orText(v.Reason, string(v.Decision))
			}
			switch v.Decision {
			case policy.Allow:
			case policy.Ask:
				if result.Decision == policy.Allow {
					result = verdict{v, by}
				}
			default:
				return verdict{v, by}
			}
		}
	}
	return result
}

// evaluate puts one question to one policy, with the state it left last time.
func (g *Guard) evaluate(
	ctx context.Context, scope session.Scope, l link, gate policy.Gate, body json.RawMessage,
) (policy.Verdict, error) {
	state, err := g.states.PolicyState(ctx, scope.SessionID, l.state)
	if err != nil {
		return policy.Verdict{}, err
	}
	v := l.module.Evaluate(ctx, policy.Input{
		Gate:    gate,
		Session: policy.SessionInfo{ID: scope.SessionID, ConfigID: scope.ConfigID, Workspace: session.Workspace},
		Params:  l.params, State: state, Input: body,
	})
	if len(v.State) > maxState {
		return policy.Verdict{}, fmt.Errorf("its state has %d bytes, the limit is %d", len(v.State), maxState)
	}
	if len(v.State) > 0 && string(v.State) != string(state) {
		if err := g.states.PutPolicyState(ctx, scope.SessionID, l.state, v.State); err != nil {
			return policy.Verdict{}, err
		}
	}
	return v, nil
}
