package host

import (
	"context"
	"errors"
	"net"
	"strconv"

	"github.com/agcluster/agcluster/core/api"
	"github.com/agcluster/agcluster/core/egress"
	"github.com/agcluster/agcluster/core/egress/rule"
	"github.com/agcluster/agcluster/core/guard"
	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/preset"
)

// trials lets the API ask what a session would be told.
type trials struct {
	*guard.Guard
	egress *egress.Proxy
}

var _ api.Trials = trials{}

// Try implements api.Trials: a connection passes the rules of the forward proxy before the policies, and its address after them.
func (g trials) Try(ctx context.Context, c preset.Config, q guard.Question) (guard.Trial, error) {
	if q.Gate != policy.GateNetworkConnect {
		return g.Guard.Try(ctx, c, q)
	}
	target, err := rule.ParseTarget(net.JoinHostPort(q.Connection.Host, strconv.Itoa(int(q.Connection.Port))), 0)
	if err != nil {
		return guard.Trial{}, err
	}
	rules, err := ruled(g.egress.Check(target, c.Network.Egress, c.Network.Allow))
	if err != nil || rules.Verdict == policy.Deny {
		return rules, err
	}
	out, err := g.Guard.Try(ctx, c, q)
	out.Steps = append(rules.Steps, out.Steps...)
	if err != nil || out.Verdict != policy.Allow {
		return out, err
	}
	address, err := ruled(g.egress.CheckAddress(target))
	if err != nil || address.Verdict != policy.Deny {
		return out, err
	}
	address.Steps = append(out.Steps, address.Steps...)
	return address, nil
}

// ruled is what the forward proxy's own rules say.
func ruled(err error) (guard.Trial, error) {
	var denied interface {
		Denied() (gate, by, reason string)
	}
	switch {
	case errors.As(err, &denied):
		_, by, reason := denied.Denied()
		return guard.Trial{
			Verdict: policy.Deny, By: by, Reason: reason, Steps: []guard.Step{{By: by, Verdict: policy.Deny, Reason: reason}},
		}, nil
	case err != nil:
		return guard.Trial{}, err
	default:
		return guard.Trial{Verdict: policy.Allow, Steps: []guard.Step{{By: "host:egress", Verdict: policy.Allow}}}, nil
	}
}
