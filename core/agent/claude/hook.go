package claude

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
)

// The callback ids of our hooks.
const (
	hookCall    = "call"
	hookResult  = "result"
	hookFailure = "failure"
)

const (
	// hookTimeout is how long the CLI waits for a hook. It must be longer than any ask: when it is over, the CLI denies a call but
	// lets a result pass.
	hookTimeout = 7 * 24 * time.Hour
	// maxHooks bounds the hooks of one CLI that wait at once; one more is denied.
	maxHooks = 256
	// maxAsk bounds the input and output of an ask together, in bytes, so that the host takes its frame.
	maxAsk = 8 << 20
)

// controlRequest is what the CLI asks of us.
type controlRequest struct {
	Subtype    string          `json:"subtype"`
	CallbackID string          `json:"callback_id"`
	ToolUseID  string          `json:"tool_use_id"`
	Input      json.RawMessage `json:"input"`
	ToolName   string          `json:"tool_name"`
	AgentID    string          `json:"agent_id"`
}

// hookInput is the input of a hook_callback.
type hookInput struct {
	ToolName  string          `json:"tool_name"`
	ToolUseID string          `json:"tool_use_id"`
	ToolInput json.RawMessage `json:"tool_input"`
	Response  json.RawMessage `json:"tool_response"`
	Error     string          `json:"error"`
	AgentID   string          `json:"agent_id"`
	AgentType string          `json:"agent_type"`
	// Mode is the permission mode at the time of the call; leaving plan mode changes it within a turn.
	Mode string `json:"permission_mode"`
}

// hooks answers a control request of the CLI on a goroutine of its own: it may wait for a person.
func (p *process) hooks(t *turn, m message) {
	// The request is only valid until the next line is read.
	raw := bytes.Clone(m.Request)
	ctx, cancel := context.WithCancel(context.Background())
	p.mu.Lock()
	full := len(p.asks) >= maxHooks
	p.asks[m.RequestID] = cancel
	p.mu.Unlock()
	p.work.Go(func() {
		defer p.withdraw(m.RequestID)
		if t != nil {
			stop := context.AfterFunc(t.open, cancel)
			defer stop()
		}
		var err error
		if full {
			err = errors.New("too many tool calls at once")
		}
		body, err := decide(ctx, t, raw, err)
		res := map[string]any{"subtype": "success", "request_id": m.RequestID, "response": body}
		switch {
		case errors.Is(err, errHook):
			// To the CLI, a hook that answers with an error has no objection.
			p.log.Error("killing Claude Code: a hook can't be answered", zap.Error(err))
			p.kill()
			return
		case err != nil:
			res = map[string]any{"subtype": "error", "request_id": m.RequestID, "error": err.Error()}
		}
		// The process may be gone by now; a CLI that does not read is killed by whoever ends the turn.
		if err := p.send(context.Background(), map[string]any{"type": "control_response", "response": res}); err != nil && !p.exited() {
			p.log.Warn("answering Claude Code", zap.Error(err))
		}
	})
}

// withdraw ends an ask: it was answered, or the CLI does not want to know any more.
func (p *process) withdraw(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cancel := p.asks[id]; cancel != nil {
		cancel()
		delete(p.asks, id)
	}
}

// errHook means that a hook can't even be denied.
var errHook = errors.New("unknown hook")

// decide returns the response to a control request. An error is for requests that can't be denied in their own shape.
func decide(ctx context.Context, t *turn, raw json.RawMessage, broken error) (any, error) {
	var req controlRequest
	if err := json.Unmarshal(raw, &req); err != nil {
		return nil, fmt.Errorf("%w: %w", errHook, err)
	}
	in, err := req.hook()
	if err != nil {
		return nil, err
	}
	ask := agent.Ask{Tool: in.ToolName, ToolUseID: in.ToolUseID, Input: in.ToolInput, AgentType: in.AgentType, Output: in.Response}
	if broken == nil {
		broken = check(t, &ask)
	}
	if t != nil {
		ask.Parent = t.parentOf(in.ToolUseID, in.AgentID)
		if ask.AgentType == "" {
			ask.AgentType = t.agentType(in.AgentID)
		}
	}
	put := func(stage agent.Stage) agent.Answer {
		ask.Stage = stage
		if broken != nil {
			return agent.Answer{Reason: broken.Error()}
		}
		a, err := t.sink.Ask(ctx, ask)
		if err != nil {
			return agent.Answer{Reason: "no verdict: " + err.Error()}
		}
		if len(a.Input) > 0 && !isObject(a.Input) || len(a.Output) > 0 && !json.Valid(a.Output) {
			return agent.Answer{Reason: "the verdict's replacement is malformed"}
		}
		return a
	}
	switch {
	case req.Subtype == "can_use_tool":
		return permission(put(agent.StagePermission), ask.Input), nil
	case req.CallbackID == hookCall:
		return callVerdict(put(agent.StageCall), in.Mode), nil
	case req.CallbackID == hookResult:
		return resultVerdict(put(agent.StageResult), in, t), nil
	default:
		ask.IsError = true
		return failureVerdict(put(agent.StageResult), in, t), nil
	}
}

// hook reads what a control request is about. For a failure, Response is its text.
func (r controlRequest) hook() (hookInput, error) {
	switch r.Subtype {
	case "can_use_tool":
		return hookInput{ToolName: r.ToolName, ToolUseID: r.ToolUseID, ToolInput: r.Input, AgentID: r.AgentID}, nil
	case "hook_callback":
	default:
		return hookInput{}, fmt.Errorf("unsupported request %q", agent.Line(r.Subtype))
	}
	var in hookInput
	if err := json.Unmarshal(r.Input, &in); err != nil {
		return in, fmt.Errorf("%w: %w", errHook, err)
	}
	if in.ToolUseID == "" {
		in.ToolUseID = r.ToolUseID
	}
	switch r.CallbackID {
	case hookCall:
		in.Response = nil
	case hookResult:
	case hookFailure:
		text, err := json.Marshal(in.Error)
		if err != nil {
			return in, fmt.Errorf("%w: %w", errHook, err)
		}
		in.Response = text
	default:
		return in, fmt.Errorf("%w %q", errHook, agent.Line(r.CallbackID))
	}
	return in, nil
}

// check says why an ask must be denied without asking, and completes it.
func check(t *turn, ask *agent.Ask) error {
	if len(ask.Input) == 0 || string(ask.Input) == "null" {
		ask.Input = json.RawMessage(`{}`)
	}
	switch {
	case t == nil:
		return errors.New("no turn is running")
	case len(ask.Input)+len(ask.Output) > maxAsk:
		return fmt.Errorf("too large to be judged: over %d bytes", maxAsk)
	case !isObject(ask.Input):
		return errors.New("the tool's input is no object")
	}
	return nil
}

func isObject(raw json.RawMessage) bool {
	var fields map[string]json.RawMessage
	return json.Unmarshal(raw, &fields) == nil && fields != nil
}
