// Package claude drives one Claude Code process at a time over its stream-json control protocol: it starts the CLI for a session,
// turns its messages into events, asks its Sink about every tool call and result, interrupts it, and starts it again with its
// transcript when it died. It knows no HTTP; agent/server serves it.
//
// Decisions: MCP servers go over the control protocol, because argv and files can be read by the tools the agent runs. Hooks, not
// permission rules, carry the verdicts, because only hooks see every call in every permission mode. Whatever goes wrong in a hook
// is a denial.
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

// ErrNoTurn means that there is nothing to interrupt.
var ErrNoTurn = agent.ErrNoTurn

// Sink takes what happens in a turn. Event is called from one goroutine at a time, Ask from many.
type Sink interface {
	// Event passes on what happened. It may block (backpressure); an error means that nobody will ever read on.
	Event(event.Data) error
	// Ask waits for a verdict. An error is a denial.
	Ask(ctx context.Context, ask agent.Ask) (agent.Answer, error)
}

// Config says how the CLI is started.
type Config struct {
	// Binary is the path of the claude executable.
	Binary string
	// Env is the whole environment of the CLI besides what the driver sets and a session adds; Home and ConfigDir are set from it.
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

	// one holds the right to start the CLI or run a turn.
	one chan struct{}

	mu     sync.Mutex
	spec   *agent.SessionSpec
	proc   *process
	turn   *turn
	closed bool
}

// New returns a Driver that has not started anything.
func New(cfg Config, log *zap.Logger) *Driver {
	if cfg.InterruptTimeout == 0 {
		cfg.InterruptTimeout = 5 * time.Second
	}
	if cfg.StartTimeout == 0 {
		cfg.StartTimeout = time.Minute
	}
	return &Driver{cfg: cfg, log: log, one: make(chan struct{}, 1)}
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

// Start starts the CLI for spec and returns when it is ready. It may be called once.
func (d *Driver) Start(ctx context.Context, spec agent.SessionSpec) error {
	if err := d.acquire(ctx); err != nil {
		return err
	}
	defer func() { <-d.one }()
	d.mu.Lock()
	d.spec = &spec
	d.mu.Unlock()
	_, err := d.ready(ctx)
	return err
}

// State is "none", "running" or "exited".
func (d *Driver) State() string {
	d.mu.Lock()
	p := d.proc
	d.mu.Unlock()
	switch {
	case p == nil:
		return "none"
	case p.exited():
		return "exited"
	default:
		return "running"
	}
}

// ready returns the running CLI, after starting it if there is none. The caller holds one.
func (d *Driver) ready(ctx context.Context) (*process, error) {
	d.mu.Lock()
	p, spec, closed := d.proc, d.spec, d.closed
	d.mu.Unlock()
	switch {
	case closed:
		return nil, errClosed
	case spec == nil:
		return nil, errors.New("no session is configured")
	case p != nil && !p.exited():
		return p, nil
	}
	if p != nil {
		p.close()
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.StartTimeout)
	defer cancel()
	next, err := start(d.cfg, *spec, d.receive, d.log)
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
	if err := d.initialize(ctx, next, *spec); err != nil {
		next.close()
		return nil, fmt.Errorf("starting Claude Code: %w%s", err, next.lastWords())
	}
	return next, nil
}

// initialize says what can't be said in argv.
func (d *Driver) initialize(ctx context.Context, p *process, spec agent.SessionSpec) error {
	hook := func(id string) []any { return []any{map[string]any{"matcher": nil, "hookCallbackIds": []string{id}}} }
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
	if _, err := p.request(ctx, req); err != nil {
		return fmt.Errorf("initializing: %w", err)
	}
	if len(spec.MCPServers) > 0 {
		if _, err := p.request(ctx, map[string]any{"subtype": "mcp_set_servers", "servers": spec.MCPServers}); err != nil {
			return fmt.Errorf("connecting MCP servers: %w", err)
		}
	}
	return nil
}

// Turn sends message and passes what happens to sink until the turn has ended; the returned Complete says how. It never fails
// otherwise: what goes wrong is an Error event and a Complete of status failed. When ctx ends, the CLI is killed.
func (d *Driver) Turn(ctx context.Context, number int64, message string, sink Sink) event.Complete {
	t := newTurn(ctx, number, sink, d.log)
	defer t.end()
	d.mu.Lock()
	d.turn = t
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.turn = nil
		d.mu.Unlock()
	}()
	if err := d.acquire(t.ctx); err != nil {
		return t.failed("agent_unavailable", err)
	}
	defer func() { <-d.one }()
	p, err := d.ready(t.ctx)
	if err != nil {
		return t.failed("agent_unavailable", err)
	}
	return d.run(t, p, message)
}

// run is one turn on a running CLI.
func (d *Driver) run(t *turn, p *process, message string) event.Complete {
	t.begin(p)
	defer p.detach()
	p.attach(t)
	err := p.send(t.ctx, map[string]any{
		"type": "user", "parent_tool_use_id": nil, "session_id": "",
		"message": map[string]any{"role": "user", "content": message},
	})
	if err != nil {
		p.kill()
		<-p.done
		return t.exited(p, err)
	}
	var force <-chan time.Time
	interrupted := t.interrupted
	for {
		select {
		case c := <-t.complete:
			return c
		case <-interrupted:
			interrupted = nil
			timer := time.NewTimer(d.cfg.InterruptTimeout)
			defer timer.Stop()
			force = timer.C
			t.work.Go(func() {
				// The answer is the turn's result; when none comes the timer decides.
				if _, err := p.request(t.ctx, map[string]any{"subtype": "interrupt"}); err != nil && t.ctx.Err() == nil {
					d.log.Info("interrupting Claude Code", zap.Error(err))
				}
			})
		case <-force:
			d.log.Warn("killing Claude Code: it did not end an interrupted turn")
			p.kill()
			force = nil
		case <-t.ctx.Done():
			p.kill()
			<-p.done
			return t.exited(p, t.ctx.Err())
		case <-p.done:
			// What it said last may still be a result.
			select {
			case c := <-t.complete:
				return c
			default:
				return t.exited(p, p.err())
			}
		}
	}
}

// Interrupt asks the running turn to end and returns at once. It fails with ErrNoTurn when none runs.
func (d *Driver) Interrupt() error {
	d.mu.Lock()
	t := d.turn
	d.mu.Unlock()
	if t == nil {
		return ErrNoTurn
	}
	t.interrupt()
	return nil
}

// receive handles a message of the CLI. It runs on the process's reading goroutine.
func (d *Driver) receive(p *process, t *turn, m message) {
	switch m.Type {
	case "control_request":
		p.hooks(t, m)
	case "control_cancel_request", "keep_alive":
	default:
		if t != nil {
			t.translate(m)
		}
	}
}

// Close kills the CLI with its children and waits for them. It is safe to call twice.
func (d *Driver) Close() {
	d.mu.Lock()
	d.closed = true
	p, t := d.proc, d.turn
	d.mu.Unlock()
	if t != nil {
		t.cancel()
	}
	if p != nil {
		p.close()
	}
}

// message is one line of the CLI's output, as far as it concerns us.
type message struct {
	Type      string          `json:"type"`
	Subtype   string          `json:"subtype"`
	RequestID string          `json:"request_id"`
	Request   json.RawMessage `json:"request"`
	Response  json.RawMessage `json:"response"`
	Parent    *string         `json:"parent_tool_use_id"`
	Message   json.RawMessage `json:"message"`
	Event     json.RawMessage `json:"event"`
	Error     json.RawMessage `json:"error"`
	ToolUse   json.RawMessage `json:"tool_use_result"`
	raw       []byte
}

func (m message) parent() string {
	if m.Parent == nil {
		return ""
	}
	return *m.Parent
}
