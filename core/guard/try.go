package guard

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// Question is what a dry run asks: would this be allowed? Gate says which of the other fields count.
type Question struct {
	Gate policy.Gate
	// Call is asked at the gate tool.call: Tool and Input, an object.
	Tool  string
	Input json.RawMessage
	// Op (read, write, delete or list) and Path are asked at the gate path.access, as for a path that a tool call names.
	Op, Path string
	// Connection is asked at the gate network.connect.
	Connection Connection
	// Source and Provider are asked at the gate agent.launch, with the configuration.
	Source   session.Source
	Provider string
}

// Step is one answer that was heard on the way.
type Step struct {
	// By is policy:NAME, filter:NAME or host.
	By      string
	Verdict policy.Decision
	Reason  string
}

// Trial is how a dry run ended.
type Trial struct {
	Verdict policy.Decision
	// By is who decided; empty when nobody minded.
	By, Reason string
	// Rewrite is the call's new input. Only with the verdict rewrite.
	Rewrite json.RawMessage
	Steps   []Step
}

// trySession is the session of a dry run.
const trySession = "dry-run"

// Try asks a question as a session of this configuration would, through the same code, and leaves nothing behind: policies begin without
// state, and nothing is counted or kept. Filters are asked, too.
func (g *Guard) Try(ctx context.Context, c preset.Config, q Question) (Trial, error) {
	// What people try must not hold up what agents do.
	select {
	case g.trying <- struct{}{}:
		defer func() { <-g.trying }()
	case <-ctx.Done():
		return Trial{}, ctx.Err()
	}
	var t Trial
	dry, err := g.rehearsal(func(s Step) { t.Steps = append(t.Steps, s) })
	if err != nil {
		return Trial{}, err
	}
	scope := session.Scope{SessionID: trySession, ConfigID: c.ID, Config: c, Source: q.Source, Provider: q.Provider}
	if q.Source == session.SourceInline {
		scope.ConfigID = "inline-" + trySession
	}
	j := judging{gate: string(q.Gate)}
	switch q.Gate {
	case policy.GateToolCall:
		j.judgement = dry.Call(ctx, scope, agent.Ask{Stage: agent.StageCall, Tool: q.Tool, ToolUseID: trySession, Input: q.Input})
	case policy.GatePathAccess:
		cwd := c.Cwd
		if cwd == "" {
			cwd = session.Workspace
		}
		dry.accesses(ctx, scope, []Access{{Op: q.Op, Path: clean(q.Path, cwd), Raw: q.Path, Source: "tool", Tool: q.Tool}}, &j)
		if !j.denied {
			j.done(nil, nil)
		}
	case policy.GateNetworkConnect:
		j.settle(dry.connect(ctx, scope, q.Connection))
	case policy.GateAgentLaunch:
		j.settle(dry.launch(ctx, scope, false))
	default:
		return Trial{}, fmt.Errorf("the gate %q can't be tried", q.Gate)
	}
	t.conclude(j.judgement)
	return t, ctx.Err()
}

// rehearsal is a guard of the same parts that keeps nothing.
func (g *Guard) rehearsal(heard func(Step)) (*Guard, error) {
	chains, err := lru.New[string, []link](1)
	if err != nil {
		return nil, fmt.Errorf("making the policy cache: %w", err)
	}
	dry := &Guard{
		cfg: g.cfg, modules: g.modules, filters: g.filters, states: &forgetful{kept: map[string]json.RawMessage{}}, log: g.log,
		chains: chains, seed: g.seed, reading: g.reading, heard: heard,
	}
	for i := range dry.locks {
		dry.locks[i] = make(chan struct{}, 1)
	}
	return dry, nil
}

// conclude says who decided.
func (t *Trial) conclude(j session.Judgement) {
	switch {
	case j.Ruling == session.RulingDeny:
		t.Verdict, t.Reason = policy.Deny, j.Reason
	case j.Ruling == session.RulingAsk:
		t.Verdict, t.Reason, t.Rewrite = policy.Ask, j.Reason, j.Rewrite
	case len(j.Rewrite) > 0:
		t.Verdict, t.Rewrite = policy.Rewrite, j.Rewrite
	default:
		t.Verdict = policy.Allow
		return
	}
	for _, v := range j.Verdicts {
		if v.Decision != string(t.Verdict) {
			continue
		}
		t.By = v.By
		if t.Verdict == policy.Ask {
			break // the first counts
		}
		t.Reason = v.Reason
	}
	// What the host itself refused, nobody was asked about.
	if n := len(t.Steps); t.Verdict == policy.Deny && (n == 0 || t.Steps[n-1].By != t.By || t.Steps[n-1].Verdict != policy.Deny) {
		t.Steps = append(t.Steps, Step{By: t.By, Verdict: policy.Deny, Reason: t.Reason})
	}
}

// decisionOf is a filter's answer in the words of policies.
func decisionOf(d sdk.Decision) policy.Decision {
	switch d {
	case sdk.Pass:
		return policy.Allow
	case sdk.Ask:
		return policy.Ask
	case sdk.Rewrite:
		return policy.Rewrite
	default:
		return policy.Deny
	}
}

// forgetful keeps the states of policies for one dry run: a call that is rewritten is asked about more than once.
type forgetful struct {
	mu   sync.Mutex
	kept map[string]json.RawMessage
}

var _ States = (*forgetful)(nil)

// PolicyState implements States.
func (f *forgetful) PolicyState(_ context.Context, _, name string) (json.RawMessage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept[name], nil
}

// PutPolicyState implements States.
func (f *forgetful) PutPolicyState(_ context.Context, _, name string, state json.RawMessage) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept[name] = state
	return nil
}
