// Package guard runs the gates. For a tool call it asks the policies, then the filters in order, the policies again when a filter
// rewrote the input, and leaves the rest to a person; for a file or an archive entry it asks the policies. Whatever goes wrong on
// the way is a denial. It records nothing itself: each judgement carries the verdicts that its caller keeps.
package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk"
)

const (
	gateResult = "tool.result"
	// maxState bounds the state that a policy leaves for its next evaluation.
	maxState = 64 << 10
	// cachedChains bounds how many sessions' resolved policies are kept; others are resolved again.
	cachedChains = 4096
	// stripes bounds how many sessions are judged at the same time when policies keep state.
	stripes = 64
)

// States keeps what policies remember of a session.
type States interface {
	PolicyState(ctx context.Context, sessionID, policy string) (json.RawMessage, error)
	PutPolicyState(ctx context.Context, sessionID, policy string, state json.RawMessage) error
}

// Config is the operator's layer. Its policies and filters come before those of a session's configuration, which can only narrow
// their parameters.
type Config struct {
	Policies []preset.Policy
	Filters  []string
	// FilterTimeout bounds one answer of one filter.
	FilterTimeout time.Duration
}

// Guard is safe for concurrent use.
type Guard struct {
	cfg     Config
	modules func(name string) (*policy.Module, bool)
	filters func(ctx context.Context, name string) (sdk.Filter, error)
	states  States
	log     *zap.Logger
	chains  *lru.Cache[string, []link]
	// locks serialises the evaluations of a session, so that parallel calls can't both read the same state.
	locks [stripes]chan struct{}
	seed  maphash.Seed
}

var _ session.Guard = (*Guard)(nil)

// link is one policy of a session with the parameters of one layer, and the name under which its state is kept.
type link struct {
	module *policy.Module
	params json.RawMessage
	state  string
}

// New returns a Guard over the loaded policy modules and filter plugins.
func New(
	cfg Config, modules func(string) (*policy.Module, bool),
	filters func(context.Context, string) (sdk.Filter, error), states States, log *zap.Logger,
) (*Guard, error) {
	chains, err := lru.New[string, []link](cachedChains)
	if err != nil {
		return nil, fmt.Errorf("making the policy cache: %w", err)
	}
	if cfg.FilterTimeout <= 0 {
		cfg.FilterTimeout = 30 * time.Second
	}
	g := &Guard{cfg: cfg, modules: modules, filters: filters, states: states, log: log, chains: chains, seed: maphash.MakeSeed()}
	for i := range g.locks {
		g.locks[i] = make(chan struct{}, 1)
	}
	return g, nil
}

// Check says whether the policies and filters that a configuration names exist and take its parameters.
func (g *Guard) Check(ctx context.Context, c preset.Config) error {
	if _, err := g.resolve(c); err != nil {
		return err
	}
	for _, name := range g.filterNames(c) {
		if _, err := g.filters(ctx, name); err != nil {
			return fmt.Errorf("filter %q: %w", name, err)
		}
	}
	return nil
}

// resolve lines up the operator's and the configuration's policies, in order, each layer of a module as a link of its own.
func (g *Guard) resolve(c preset.Config) ([]link, error) {
	var names []string
	layers := map[string][]json.RawMessage{}
	for _, p := range append(append([]preset.Policy(nil), g.cfg.Policies...), c.Policies...) {
		if _, seen := layers[p.Name]; !seen {
			names = append(names, p.Name)
		}
		layers[p.Name] = append(layers[p.Name], p.Params)
	}
	chain := make([]link, 0, len(names))
	for _, name := range names {
		m, ok := g.modules(name)
		if !ok {
			return nil, fmt.Errorf("policy %q: no such module", name)
		}
		resolved, err := m.Resolve(layers[name]...)
		if err != nil {
			return nil, fmt.Errorf("policy %q: %w", name, err)
		}
		for layer, params := range resolved {
			chain = append(chain, link{m, params, fmt.Sprintf("%s/%d", name, layer)})
		}
	}
	return chain, nil
}

func (g *Guard) chain(scope session.Scope) ([]link, error) {
	if chain, ok := g.chains.Get(scope.SessionID); ok {
		return chain, nil
	}
	chain, err := g.resolve(scope.Config)
	if err != nil {
		return nil, err
	}
	g.chains.Add(scope.SessionID, chain)
	return chain, nil
}

// filterNames lists the operator's filters, then the configuration's, each once.
func (g *Guard) filterNames(c preset.Config) []string {
	var names []string
	seen := map[string]bool{}
	for _, name := range append(append([]string(nil), g.cfg.Filters...), c.Filters...) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// Call implements session.Guard.
func (g *Guard) Call(ctx context.Context, scope session.Scope, ask agent.Ask) session.Judgement {
	j := judging{gate: string(policy.GateToolCall)}
	if reason, ok := permitted(scope.Config, ask); !ok {
		return j.deny("host", reason)
	}
	input, err := object(ask.Input)
	if err != nil {
		return j.deny("host", "the tool's input is "+err.Error())
	}
	current := g.policies(ctx, scope, ask, input, &j)
	if j.denied {
		return j.judgement
	}
	rewritten := false
	for _, name := range g.filterNames(scope.Config) {
		next, ok := g.filterCall(ctx, scope, name, ask, current, &j)
		if !ok {
			return j.judgement
		}
		rewritten = rewritten || next != nil
		if next != nil {
			current = next
		}
	}
	if rewritten {
		// A filter must not be a way around the policies.
		if current = g.policies(ctx, scope, ask, current, &j); j.denied {
			return j.judgement
		}
	}
	return j.done(current, input)
}

// policies asks every policy about the call and the paths it names, and returns the input as they left it.
func (g *Guard) policies(ctx context.Context, scope session.Scope, ask agent.Ask, input json.RawMessage, j *judging) json.RawMessage {
	for pass := 0; ; pass++ {
		v := g.ask(ctx, scope, policy.GateToolCall, toolInput(ask, input))
		j.take(string(policy.GateToolCall), v)
		if j.denied {
			return input
		}
		if v.Decision != policy.Rewrite {
			break
		}
		next, err := object(v.Rewrite)
		if err != nil || pass == 2 {
			j.deny("policy:"+v.by, "its rewrite can't be used")
			return input
		}
		// The rewritten call is a new call: the policies before this one have not seen it.
		input = next
	}
	for _, access := range paths(ask.Tool, input, scope.Config.Cwd) {
		v := g.ask(ctx, scope, policy.GatePathAccess, access)
		if v.Decision == policy.Rewrite {
			v = verdict{Verdict: policy.Verdict{Decision: policy.Deny, Reason: "a path can't be rewritten"}, by: v.by}
		}
		j.take(string(policy.GatePathAccess), v)
		if j.denied {
			return input
		}
	}
	return input
}

// filterCall asks one filter. It returns the new input (nil keeps it) and whether to go on.
func (g *Guard) filterCall(
	ctx context.Context, scope session.Scope, name string, ask agent.Ask, input json.RawMessage, j *judging,
) (json.RawMessage, bool) {
	by := "filter:" + name
	out, err := g.filter(ctx, name, func(ctx context.Context, f sdk.Filter) (sdk.Outcome, error) {
		return f.FilterCall(ctx, call(scope, ask, input))
	})
	if err != nil {
		j.deny(by, "the filter failed: "+reasonOf(err))
		return nil, false
	}
	switch out.Decision {
	case sdk.Pass:
		return nil, true
	case sdk.Ask:
		j.ask(string(policy.GateToolCall), by, out.Reason)
		return nil, true
	case sdk.Rewrite:
		next, err := object(out.Replacement)
		if err != nil {
			j.deny(by, "the filter's replacement is "+err.Error())
			return nil, false
		}
		j.rewrote(string(policy.GateToolCall), by, out.Reason)
		return next, true
	default:
		j.deny(by, orText(out.Reason, "denied by the filter"))
		return nil, false
	}
}

// Result implements session.Guard: the filters see what a tool returned before the model does.
func (g *Guard) Result(ctx context.Context, scope session.Scope, ask agent.Ask) session.Judgement {
	j := judging{gate: gateResult}
	if !json.Valid(ask.Output) {
		return j.deny("host", "the tool's output is no valid JSON")
	}
	current := ask.Output
	for _, name := range g.filterNames(scope.Config) {
		by := "filter:" + name
		out, err := g.filter(ctx, name, func(ctx context.Context, f sdk.Filter) (sdk.Outcome, error) {
			return f.FilterResult(ctx, sdk.Result{Call: call(scope, ask, ask.Input), Output: current, IsError: ask.IsError})
		})
		switch {
		case err != nil:
			return j.deny(by, "the filter failed: "+reasonOf(err))
		case out.Decision == sdk.Pass:
		case out.Decision == sdk.Rewrite && json.Valid(out.Replacement):
			current = out.Replacement
			j.rewrote(gateResult, by, out.Reason)
		default:
			return j.deny(by, orText(out.Reason, "denied by the filter"))
		}
	}
	return j.done(current, ask.Output)
}

func (g *Guard) filter(
	ctx context.Context, name string, fn func(context.Context, sdk.Filter) (sdk.Outcome, error),
) (sdk.Outcome, error) {
	f, err := g.filters(ctx, name)
	if err != nil {
		return sdk.Outcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.FilterTimeout)
	defer cancel()
	out, err := fn(ctx, f)
	if err != nil {
		g.log.Warn("a filter failed", zap.String("filter", name), zap.Error(err))
	}
	return out, err
}

func call(scope session.Scope, ask agent.Ask, input json.RawMessage) sdk.Call {
	return sdk.Call{SessionID: scope.SessionID, ToolUseID: ask.ToolUseID, Tool: ask.Tool, Parent: ask.Parent, Input: input}
}

// reasonOf keeps a plugin's error text out of the model's sight but says what kind of failure it was.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, sdk.ErrPluginExited):
		return "its process ended"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	default:
		return "see the host's log"
	}
}

func orText(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

func object(b json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil || fields == nil {
		return nil, errors.New("no JSON object")
	}
	return b, nil
}

// judging gathers a judgement.
type judging struct {
	gate      string
	denied    bool
	asked     string
	asks      bool
	judgement session.Judgement
}

func (j *judging) record(gate, decision, by, reason string) {
	j.judgement.Verdicts = append(j.judgement.Verdicts, event.Verdict{Gate: gate, Decision: decision, By: by, Reason: reason})
}

func (j *judging) deny(by, reason string) session.Judgement {
	j.denied = true
	j.judgement.Ruling, j.judgement.Reason = session.RulingDeny, reason
	j.record(j.gate, "deny", by, reason)
	return j.judgement
}

func (j *judging) ask(gate, by, reason string) {
	if !j.asks {
		j.asks, j.asked = true, orText(reason, "asked for by "+by)
	}
	j.record(gate, "ask", by, j.asked)
}

func (j *judging) rewrote(gate, by, reason string) { j.record(gate, "rewrite", by, reason) }

// take adds a policy's verdict.
func (j *judging) take(gate string, v verdict) {
	by := "policy:" + v.by
	switch v.Decision {
	case policy.Allow:
	case policy.Ask:
		j.ask(gate, by, v.Reason)
	case policy.Rewrite:
		j.rewrote(gate, by, v.Reason)
	default:
		j.gate = gate
		j.deny(by, orText(v.Reason, "denied by the policy"))
	}
}

// done is the judgement when nothing denied.
func (j *judging) done(current, original json.RawMessage) session.Judgement {
	j.judgement.Ruling = session.RulingAllow
	if j.asks {
		j.judgement.Ruling, j.judgement.Reason = session.RulingAsk, j.asked
	}
	if string(current) != string(original) {
		j.judgement.Rewrite = current
	}
	return j.judgement
}
