// Package guard runs the gates. For a tool call it asks the policies, then the filters in order, the policies again when a filter
// rewrote the input, and leaves the rest to a person; for a file, an archive entry or a connection it asks the policies. Whatever goes wrong on
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
	// maxRewrites bounds how often the policies may rewrite one call; each time all of them are asked anew.
	maxRewrites = 8
	// maxInput and maxOutput bound what filters are promised (sdk.Call, sdk.Result), in bytes.
	maxInput  = 1 << 20
	maxOutput = 8 << 20
	// maxAccesses bounds the different paths of one call: each is a question to every policy.
	maxAccesses = 1000
	// readers bounds how many Bash commands are parsed at the same time: a hostile one takes tens of megabytes.
	readers = 4
	// trials bounds how many dry runs go on at the same time.
	trials = 2
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
	// reading holds a token for each call that is being read, trying one for each dry run.
	reading, trying chan struct{}
	counts          tally
	// heard, in a dry run, is told of every answer.
	heard func(Step)
}

var _ session.Guard = (*Guard)(nil)

// link is one policy of a session with the parameters of one layer, and the name under which its state is kept.
type link struct {
	module *policy.Module
	params json.RawMessage
	state  string
	// gates are those at which it is asked.
	gates []policy.Gate
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
	g := &Guard{
		cfg: cfg, modules: modules, filters: filters, states: states, log: log, chains: chains, seed: maphash.MakeSeed(),
		reading: make(chan struct{}, readers), trying: make(chan struct{}, trials),
	}
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
			l := link{module: m, params: params, state: fmt.Sprintf("%s/%d", name, layer)}
			for _, gate := range m.Info().Gates {
				if m.Judges(gate, params) {
					l.gates = append(l.gates, gate)
				}
			}
			chain = append(chain, l)
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
	if len(ask.Input) > maxInput {
		return j.deny("host", fmt.Sprintf("the tool's input has %d bytes, the limit is %d", len(ask.Input), maxInput))
	}
	input, err := object(ask.Input)
	if err != nil {
		return j.deny("host", "the tool's input is "+err.Error())
	}
	if reason, ok := g.stored(ctx, scope.Config, ask, input); !ok {
		return j.deny("host:storage", reason)
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
	if reason, ok := g.stored(ctx, scope.Config, ask, current); !ok {
		return j.deny("host:storage", reason)
	}
	return j.done(current, input)
}

// policies asks every policy about the call and the paths it names, and returns the input as they left it.
func (g *Guard) policies(ctx context.Context, scope session.Scope, ask agent.Ask, input json.RawMessage, j *judging) json.RawMessage {
	for rewrites := 0; ; rewrites++ {
		r, err := g.read(ctx, ask.Tool, input, scope.Config.Cwd)
		if err != nil {
			j.deny("host", "the turn ended before the call was read")
			return input
		}
		v := g.ask(ctx, scope, policy.GateToolCall, toolCall{
			Tool: ask.Tool, ToolUseID: ask.ToolUseID, Input: input, Parent: ask.Parent, Commands: r.commands, Unparsed: r.unparsed,
		})
		j.take(string(policy.GateToolCall), v)
		switch {
		case j.denied:
			return input
		case len(r.accesses) > maxAccesses:
			j.deny("host", fmt.Sprintf("the call names %d paths, the limit is %d", len(r.accesses), maxAccesses))
			return input
		case v.Decision != policy.Rewrite:
			g.accesses(ctx, scope, r.accesses, j)
			return input
		}
		next, err := object(v.Rewrite)
		if err != nil || len(next) > maxInput || rewrites == maxRewrites {
			j.deny(v.by, "its rewrite can't be used")
			return input
		}
		// The rewritten call is a new call: the policies before this one have not seen it.
		input = next
	}
}

// read is what can be read off a call, with a bound on how many are being read.
func (g *Guard) read(ctx context.Context, tool string, input json.RawMessage, cwd string) (reading, error) {
	if err := ctx.Err(); err != nil {
		return reading{}, err
	}
	select {
	case g.reading <- struct{}{}:
		defer func() { <-g.reading }()
		return read(tool, input, cwd), nil
	case <-ctx.Done():
		return reading{}, ctx.Err()
	}
}

// accesses asks the policies about each path that a call names.
func (g *Guard) accesses(ctx context.Context, scope session.Scope, accesses []Access, j *judging) {
	for _, access := range accesses {
		v := g.ask(ctx, scope, policy.GatePathAccess, access)
		if v.Decision == policy.Rewrite {
			v = denial(v.by, "a path can't be rewritten")
		}
		if j.take(string(policy.GatePathAccess), v); j.denied {
			return
		}
	}
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
	if g.heard != nil {
		g.heard(Step{By: by, Verdict: decisionOf(out.Decision), Reason: out.Reason})
	}
	switch out.Decision {
	case sdk.Pass:
		return nil, true
	case sdk.Ask:
		j.ask(string(policy.GateToolCall), by, out.Reason)
		return nil, true
	case sdk.Rewrite:
		next, err := object(out.Replacement)
		if err == nil && len(next) > maxInput {
			err = fmt.Errorf("%d bytes long, the limit is %d", len(next), maxInput)
		}
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
	current := ask.Output
	if len(current) == 0 {
		current = json.RawMessage("null") // a tool that returned nothing
	}
	switch {
	case len(current) > maxOutput:
		return j.deny("host", fmt.Sprintf("the tool's output has %d bytes, the limit is %d", len(current), maxOutput))
	case !json.Valid(current):
		return j.deny("host", "the tool's output is no valid JSON")
	}
	original := current
	for _, name := range g.filterNames(scope.Config) {
		by := "filter:" + name
		out, err := g.filter(ctx, name, func(ctx context.Context, f sdk.Filter) (sdk.Outcome, error) {
			return f.FilterResult(ctx, sdk.Result{Call: call(scope, ask, ask.Input), Output: current, IsError: ask.IsError})
		})
		switch {
		case err != nil:
			return j.deny(by, "the filter failed: "+reasonOf(err))
		case out.Decision == sdk.Pass:
		case out.Decision == sdk.Rewrite && json.Valid(out.Replacement) && len(out.Replacement) <= maxOutput:
			current = out.Replacement
			j.rewrote(gateResult, by, out.Reason)
		default:
			return j.deny(by, orText(out.Reason, "denied by the filter"))
		}
	}
	return j.done(current, original)
}

func (g *Guard) filter(
	ctx context.Context, name string, fn func(context.Context, sdk.Filter) (sdk.Outcome, error),
) (sdk.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.FilterTimeout)
	defer cancel()
	out := sdk.Outcome{}
	f, err := g.filters(ctx, name)
	if err == nil {
		out, err = fn(ctx, f)
	}
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
