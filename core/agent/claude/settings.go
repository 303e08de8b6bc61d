package claude

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
)

// modeBypass is the one permission mode that a CLI takes up only when it was started for it.
const modeBypass = "bypassPermissions"

// Set changes the session's model and permission mode: of the CLI that runs, also in a turn, and of those that are started after it. A
// CLI that was not started for bypassPermissions can't be told of it; it is started again, with its transcript, for the next turn. It
// fails with agent.ErrInvalid when the CLI refuses, and then nothing has changed for the next start.
func (d *Driver) Set(ctx context.Context, settings agent.Settings) error {
	// One at a time, so that the CLI and the spec end with the same.
	select {
	case d.setting <- struct{}{}:
		defer func() { <-d.setting }()
	case <-ctx.Done():
		return fmt.Errorf("waiting to change settings: %w", ctx.Err())
	}
	d.mu.Lock()
	if d.spec == nil {
		d.mu.Unlock()
		return fmt.Errorf("%w: no session is configured", agent.ErrConflict)
	}
	before, p := *d.spec, d.proc
	after := before.With(settings)
	d.spec = &after
	d.mu.Unlock()
	if p == nil || p.exited() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.StartTimeout)
	defer cancel()
	err := d.tell(ctx, p, settings)
	if err == nil || p.exited() {
		// The next CLI is started with them.
		return nil
	}
	d.mu.Lock()
	d.spec = &before
	d.mu.Unlock()
	if back := d.tell(ctx, p, difference(after, before)); back != nil {
		d.log.Warn("taking back settings", zap.Error(back))
	}
	return fmt.Errorf("changing settings: %w", err)
}

// difference is what leads from one spec's settings to another's.
func difference(from, to agent.SessionSpec) agent.Settings {
	var set agent.Settings
	if from.Model != to.Model {
		set.Model = &to.Model
	}
	if from.PermissionMode != to.PermissionMode {
		set.PermissionMode = &to.PermissionMode
	}
	return set
}

// tell changes the settings of a CLI that runs.
func (d *Driver) tell(ctx context.Context, p *process, set agent.Settings) error {
	if set.PermissionMode != nil {
		mode := *set.PermissionMode
		unable := mode == modeBypass && !p.plan.bypass
		d.mu.Lock()
		p.outdated = unable
		d.mu.Unlock()
		if unable {
			d.log.Info("the next turn starts Claude Code again, for bypassPermissions")
		} else if err := ask(ctx, p, map[string]any{"subtype": "set_permission_mode", "mode": mode}); err != nil {
			return err
		}
	}
	if set.Model == nil {
		return nil
	}
	model := *set.Model
	if model == "" {
		model = "default"
	}
	return ask(ctx, p, map[string]any{"subtype": "set_model", "model": model})
}

func ask(ctx context.Context, p *process, request map[string]any) error {
	_, err := p.request(ctx, request)
	if errors.Is(err, errRefused) {
		return fmt.Errorf("%w: %w", agent.ErrInvalid, err)
	}
	return err
}

// Commands are the slash commands that the CLI offers, as it told when the session was introduced to it; none before.
func (d *Driver) Commands() []agent.Command {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.commands
}

// commandsOf reads the commands in the CLI's answer to initialize. Without them a session works as well.
func commandsOf(body json.RawMessage, log *zap.Logger) []agent.Command {
	var answer struct {
		Commands []struct {
			Name         string `json:"name"`
			Description  string `json:"description"`
			ArgumentHint string `json:"argumentHint"`
		} `json:"commands"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		log.Warn("reading the CLI's commands", zap.Error(err))
		return nil
	}
	// What is cut says so.
	const limit = agent.MaxCommandText - 20
	list := make([]agent.Command, 0, min(len(answer.Commands), agent.MaxCommands))
	for _, c := range answer.Commands {
		if len(list) == agent.MaxCommands {
			break
		}
		list = append(list, agent.Command{
			Name: cut(c.Name, limit), Description: cut(agent.Line(c.Description), limit),
			ArgumentHint: cut(agent.Line(c.ArgumentHint), limit),
		})
	}
	return list
}
