package claude

import (
	"context"
	"errors"
	"fmt"

	"github.com/agcluster/agcluster/core/agent"
)

// Prepare starts a CLI that waits for a session, and returns when it has done all it can do before it knows which. Start takes it if
// its session needs the same CLI, and starts another otherwise. Preparing the same again is no change.
func (d *Driver) Prepare(ctx context.Context, spec agent.SessionSpec) error {
	if err := d.acquire(ctx); err != nil {
		return err
	}
	defer d.release()
	d.mu.Lock()
	p, taken := d.proc, d.spec != nil
	d.mu.Unlock()
	if taken {
		return errors.New("a session has the CLI already")
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.StartTimeout)
	defer cancel()
	plan, err := draw(d.cfg, spec)
	if err != nil {
		return fmt.Errorf("preparing Claude Code: %w", err)
	}
	if p == nil || p.exited() || !p.plan.equal(plan) {
		if p, err = d.begin(plan); err != nil {
			return err
		}
	}
	// Its first control request of any kind is answered once it has loaded; of those, this one changes nothing.
	if _, err := p.request(ctx, map[string]any{"subtype": "mcp_status"}); err != nil {
		p.close()
		return fmt.Errorf("preparing Claude Code: %w%s", err, p.lastWords())
	}
	return nil
}
