package host

import (
	"context"
	"fmt"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/sandbox"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/core/terminal"
)

// shells starts shells in sandboxes that are awake.
type shells struct{ pool *sandbox.Pool }

var _ terminal.Shells = shells{}

// Open implements terminal.Shells.
func (s shells) Open(ctx context.Context, sessionID string, spec agent.TerminalSpec) (terminal.Shell, error) {
	client, ok := s.pool.Client(sessionID)
	if !ok {
		return nil, fmt.Errorf("%w: the sandbox was lost", session.ErrUnavailable)
	}
	return client.Terminal(ctx, spec)
}
