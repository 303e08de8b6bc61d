package guard

import (
	"context"

	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/session"
)

// Connection is the input of the gate network.connect (policies/README.md).
type Connection struct {
	Host    string `json:"host"`
	Port    uint16 `json:"port"`
	Scheme  string `json:"scheme"`
	Method  string `json:"method,omitempty"`
	Address string `json:"address,omitempty"`
}

// Scopes tells what a gate needs of a session.
type Scopes interface {
	Scope(ctx context.Context, id string) (session.Scope, error)
}

// Network guards the connections out of sandboxes.
type Network struct {
	guard  *Guard
	scopes Scopes
}

// NewNetwork returns the gate of connections.
func NewNetwork(g *Guard, scopes Scopes) *Network { return &Network{g, scopes} }

// Connect judges one connection. A refusal is a *DeniedError, which the caller records: it knows which ones are the same.
func (n *Network) Connect(ctx context.Context, sessionID string, c Connection) error {
	scope, err := n.scopes.Scope(ctx, sessionID)
	if err != nil {
		return err
	}
	// A typed nil would be an error.
	if denied := n.guard.connect(ctx, scope, c); denied != nil {
		return denied
	}
	return nil
}

// connect asks the policies about a connection; nil allows it.
func (g *Guard) connect(ctx context.Context, scope session.Scope, c Connection) *DeniedError {
	v := g.ask(ctx, scope, policy.GateNetworkConnect, c)
	switch v.Decision {
	case policy.Allow:
		return nil
	case policy.Ask, policy.Rewrite:
		// Nobody holds a connection open until a person has decided, and another target is another connection.
		v.Reason = "the policy answers " + string(v.Decision) + ", which a connection can't follow"
	}
	return &DeniedError{Gate: string(policy.GateNetworkConnect), By: v.by, Reason: orText(v.Reason, "denied by the policy")}
}
