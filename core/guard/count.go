package guard

import (
	"maps"
	"sync"

	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/preset"
)

// Counts are the verdicts of one policy since the host began.
type Counts struct{ Allow, Deny, Ask, Rewrite int64 }

// tally counts verdicts by policy. Its zero value is ready.
type tally struct {
	mu  sync.Mutex
	all map[string]Counts
}

func (t *tally) add(name string, d policy.Decision) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[string]Counts{}
	}
	c := t.all[name]
	switch d {
	case policy.Allow:
		c.Allow++
	case policy.Ask:
		c.Ask++
	case policy.Rewrite:
		c.Rewrite++
	default:
		c.Deny++
	}
	t.all[name] = c
}

// Counts returns the verdicts of each policy that was asked. One that is asked with the operator's parameters and with a
// configuration's counts twice; dry runs don't count.
func (g *Guard) Counts() map[string]Counts {
	g.counts.mu.Lock()
	defer g.counts.mu.Unlock()
	return maps.Clone(g.counts.all)
}

// Operator returns the operator's policies with their parameters.
func (g *Guard) Operator() []preset.Policy { return g.cfg.Policies }

// note counts a policy's verdict, or tells it where nothing is to be counted.
func (g *Guard) note(name string, v policy.Verdict) {
	if g.heard != nil {
		g.heard(Step{By: "policy:" + name, Verdict: v.Decision, Reason: v.Reason})
		return
	}
	g.counts.add(name, v.Decision)
}
