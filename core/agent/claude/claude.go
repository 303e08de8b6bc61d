// Package claude drives one Claude Code process at a time over its stream-json control protocol: it starts the CLI for a session,
// turns its messages into events, asks its Sink about every tool call and result, interrupts it, and starts it again with its
// transcript when it died. It knows no HTTP; agent/server serves it. README.md has the decisions and what was seen of the CLI.
package claude

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// Sink takes what happens in a turn. Event is called from one goroutine at a time, Ask from many.
type Sink interface {
	// Event passes on what happened. It may block (backpressure), but not once the turn was interrupted or its context has ended; an
	// error means that nobody will ever read on.
	Event(event.Data) error
	// Ask waits for a verdict until ctx ends. An error is a denial.
	Ask(ctx context.Context, ask agent.Ask) (agent.Answer, error)
}

// Config says how the CLI is started.
type Config struct {
	// Binary is the path of the claude executable.
	Binary string
	// Env is the whole environment of the CLI besides what the driver sets and a session adds. It must have HOME; the CLI's own
	// folder is its CLAUDE_CONFIG_DIR, or .claude in HOME.
	Env map[string]string
	// GatewayURL is where the CLI finds the model; ProxyURL, if not empty, where it finds the network.
	GatewayURL string
	ProxyURL   string
	// InterruptTimeout is how long the CLI may take to end an interrupted turn before it is killed; 0 is 5 s.
	InterruptTimeout time.Duration
	// StartTimeout bounds starting the CLI until it answers; 0 is 60 s.
	StartTimeout time.Duration
}

// Driver runs the CLI of one session. It is safe for concurrent use.
type Driver struct {
	cfg Config
	log *zap.Logger

	// one holds the right to start the CLI or to let it work.
	one  chan struct{}
	work sync.WaitGroup

	mu     sync.Mutex
	spec   *agent.SessionSpec
	proc   *process
	closed bool
	// commands are those that the CLI told of last.
	commands []agent.Command
	// setting is held by who changes settings.
	setting chan struct{}
}

// New returns a Driver that has not started anything.
func New(cfg Config, log *zap.Logger) *Driver {
	if cfg.InterruptTimeout == 0 {
		cfg.InterruptTimeout = 5 * time.Second
	}
	if cfg.StartTimeout == 0 {
		cfg.StartTimeout = time.Minute
	}
	return &Driver{cfg: cfg, log: log, one: make(chan struct{}, 1), setting: make(chan struct{}, 1)}
}

var errClosed = errors.New("the agent server is closing")

func (d *Driver) acquire(ctx context.Context) error {
	select {
	case d.one <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the CLI: %w", ctx.Err())
	}
}

func (d *Driver) release() { <-d.one }

// Start starts the CLI for spec, or takes the spare that Prepare made when it can serve spec, and returns when it is ready. After a
// failure it may be called again.
func (d *Driver) Start(ctx context.Context, spec agent.SessionSpec) error {
	if err := d.acquire(ctx); err != nil {
		return err
	}
	defer d.release()
	d.mu.Lock()
	d.spec = &spec
	d.mu.Unlock()
	p, err := d.ready(ctx)
	if err == nil && spec.Resume && !p.plan.resumed {
		d.log.Warn("there is no transcript to resume: the session begins anew", zap.String("transcript", spec.TranscriptID))
	}
	return err
}

// State is how the CLI is, as agent.Health has it.
func (d *Driver) State() string {
	d.mu.Lock()
	p, spare := d.proc, d.spec == nil
	d.mu.Unlock()
	switch {
	case p == nil:
		return agent.CLINone
	case p.exited():
		return agent.CLIExited
	case spare:
		return agent.CLISpare
	default:
		return agent.CLIRunning
	}
}

// ready returns the running CLI, after starting it if there is none. The caller holds one.
func (d *Driver) ready(ctx context.Context) (*process, error) {
	d.mu.Lock()
	p, spec := d.proc, d.spec
	outdated := p != nil && p.outdated
	d.mu.Unlock()
	if spec == nil {
		return nil, errors.New("no session is configured")
	}
	if p != nil && p.introduced && !p.exited() && !outdated {
		return p, nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.StartTimeout)
	defer cancel()
	plan, err := draw(d.cfg, *spec)
	if err != nil {
		return nil, fmt.Errorf("starting Claude Code: %w", err)
	}
	if p == nil || p.exited() || outdated || !p.plan.equal(plan) {
		if p != nil && !p.introduced && !p.exited() {
			d.log.Warn("the spare can't serve the session: starting another")
		}
		if p, err = d.begin(plan); err != nil {
			return nil, err
		}
	}
	commands, err := introduce(ctx, p, *spec)
	if err != nil {
		p.close()
		return nil, fmt.Errorf("starting Claude Code: %w%s", err, p.lastWords())
	}
	p.introduced = true
	d.mu.Lock()
	d.commands = commands
	now := *d.spec
	d.mu.Unlock()
	// Who changed settings meanwhile may have found no CLI to tell.
	if err := d.tell(ctx, p, difference(*spec, now)); err != nil {
		d.log.Warn("changing settings", zap.Error(err))
	}
	return p, nil
}

// begin starts a CLI in the place of the one before, if any. The caller holds one.
func (d *Driver) begin(plan blueprint) (*process, error) {
	d.mu.Lock()
	old, closed := d.proc, d.closed
	d.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if old != nil {
		old.close()
	}
	next, err := start(d.cfg.Binary, plan, d.receive, d.log)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.proc = next
	closed = d.closed
	d.mu.Unlock()
	if closed {
		next.close()
		return nil, errClosed
	}
	return next, nil
}

// introduce says what can't be said in argv, and returns the commands that the CLI offers.
func introduce(ctx context.Context, p *process, spec agent.SessionSpec) ([]agent.Command, error) {
	hook := func(id string) []any {
		return []any{map[string]any{"matcher": nil, "hookCallbackIds": []string{id}, "timeout": int(hookTimeout.Seconds())}}
	}
	req := map[string]any{
		"subtype": "initialize", "forwardSubagentText": true,
		"hooks": map[string]any{
			"PreToolUse": hook(hookCall), "PostToolUse": hook(hookResult), "PostToolUseFailure": hook(hookFailure),
		},
	}
	if spec.SystemPrompt.Replace != "" {
		req["systemPrompt"] = []string{spec.SystemPrompt.Replace}
	} else if spec.SystemPrompt.Append != "" {
		req["appendSystemPrompt"] = spec.SystemPrompt.Append
	}
	if len(spec.Agents) > 0 {
		req["agents"] = spec.Agents
	}
	answer, err := p.request(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("introducing the session: %w", err)
	}
	commands := commandsOf(answer, p.log)
	if len(spec.MCPServers) > 0 {
		// Unlike --mcp-config this waits until the servers are connected, so the first turn has their tools.
		body, err := p.request(ctx, map[string]any{"subtype": "mcp_set_servers", "servers": spec.MCPServers})
		if err != nil {
			return nil, fmt.Errorf("connecting MCP servers: %w", err)
		}
		var r struct {
			Errors map[string]string `json:"errors"`
		}
		// A server that can't be had is no reason not to start: the Init event says so.
		if err := json.Unmarshal(body, &r); err != nil || len(r.Errors) > 0 {
			p.log.Warn("connecting MCP servers", zap.Any("errors", r.Errors), zap.Error(err))
		}
	}
	return commands, nil
}

// Close kills the CLI with its children and waits for them; a turn that runs fails. It is safe to call twice.
func (d *Driver) Close() {
	d.mu.Lock()
	d.closed = true
	p := d.proc
	d.mu.Unlock()
	if p != nil {
		p.close()
	}
	d.work.Wait()
}
