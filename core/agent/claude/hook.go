package claude

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
)

// The callback ids of our hooks.
const (
	hookCall    = "call"
	hookResult  = "result"
	hookFailure = "failure"
)

// maxHooks bounds the hooks of one CLI that wait at once; one more is denied.
const maxHooks = 256

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
}

// hooks answers a control request of the CLI on a goroutine of its own: it may wait for a person.
func (p *process) hooks(t *turn, m message) {
	// The request is only valid until the next line is read.
	raw := append(json.RawMessage(nil), m.Request...)
	ctx, cancel := context.WithCancel(context.Background())
	p.mu.Lock()
	full := len(p.asks) >= maxHooks
	p.asks[m.RequestID] = cancel
	p.mu.Unlock()
	p.work.Go(func() {
		defer func() {
			p.mu.Lock()
			delete(p.asks, m.RequestID)
			p.mu.Unlock()
			cancel()
		}()
		if t != nil {
			stop := context.AfterFunc(t.asking, cancel)
			defer stop()
		}
		var err error
		if full {
			err = errors.New("too many tool calls at once")
		}
		body, err := decide(ctx, p, t, raw, err)
		res := map[string]any{"subtype": "success", "request_id": m.RequestID, "response": body}
		if err != nil {
			res = map[string]any{"subtype": "error", "request_id": m.RequestID, "error": err.Error()}
		}
		// The process may be gone by now; a CLI that does not read is killed by whoever ends the turn.
		if err := p.send(context.Background(), map[string]any{"type": "control_response", "response": res}); err != nil && !p.exited() {
			p.log.Warn("answering Claude Code", zap.Error(err))
		}
	})
}

// decide returns the response to a control request. An error is for requests that can't be denied in their own shape.
func decide(ctx context.Context, p *process, t *turn, raw json.RawMessage, broken error) (any, error) {
	var req controlRequest
	if err := json.Unmarshal(raw, &req); err != nil {
		return nil, fmt.Errorf("reading a request of Claude Code: %w", err)
	}
	var in hookInput
	switch req.Subtype {
	case "can_use_tool":
		in = hookInput{ToolName: req.ToolName, ToolUseID: req.ToolUseID, ToolInput: req.Input, AgentID: req.AgentID}
	case "hook_callback":
		if err := json.Unmarshal(req.Input, &in); err != nil && broken == nil {
			broken = fmt.Errorf("reading a hook of Claude Code: %w", err)
		}
		if in.ToolUseID == "" {
			in.ToolUseID = req.ToolUseID
		}
	default:
		return nil, fmt.Errorf("unsupported request %q", readable(req.Subtype))
	}
	if t == nil && broken == nil {
		broken = errors.New("no turn is running")
	}
	ask := agent.Ask{Tool: in.ToolName, ToolUseID: in.ToolUseID, Input: in.ToolInput, AgentType: in.AgentType}
	if t != nil {
		ask.Parent = t.parentOf(in.ToolUseID, in.AgentID, ask.AgentType)
		if ask.AgentType == "" {
			ask.AgentType = t.agentType(in.AgentID)
		}
	}
	put := func(stage agent.Stage) agent.Answer {
		if broken != nil {
			return agent.Answer{Reason: broken.Error()}
		}
		ask.Stage = stage
		a, err := t.sink.Ask(ctx, ask)
		if err != nil {
			return agent.Answer{Reason: "no verdict: " + err.Error()}
		}
		return a
	}
	switch {
	case req.Subtype == "can_use_tool":
		return permission(put(agent.StagePermission), in.ToolInput), nil
	case req.CallbackID == hookCall:
		return callVerdict(put(agent.StageCall), t), nil
	case req.CallbackID == hookResult:
		ask.Output = in.Response
		return resultVerdict(put(agent.StageResult), in), nil
	case req.CallbackID == hookFailure:
		out, err := json.Marshal(in.Error)
		if err != nil {
			return nil, fmt.Errorf("reading a failure: %w", err)
		}
		ask.Output, ask.IsError = out, true
		a := put(agent.StageResult)
		return failureVerdict(a, in, t), nil
	default:
		return nil, fmt.Errorf("unknown hook %q", readable(req.CallbackID))
	}
}

func reasonOf(a agent.Answer, otherwise string) string {
	if a.Reason != "" {
		return a.Reason
	}
	return otherwise
}

func permission(a agent.Answer, input json.RawMessage) any {
	if !a.Allow {
		return map[string]any{"behavior": "deny", "message": reasonOf(a, "denied")}
	}
	if len(a.Input) > 0 {
		input = a.Input
	}
	return map[string]any{"behavior": "allow", "updatedInput": input}
}

// callVerdict is the answer to PreToolUse. An allow is the CLI's last word on the call, but not in plan mode, whose own rules
// (nothing is changed before the plan is approved) must keep hold.
func callVerdict(a agent.Answer, t *turn) any {
	out := map[string]any{"hookEventName": "PreToolUse"}
	switch {
	case !a.Allow:
		out["permissionDecision"], out["permissionDecisionReason"] = "deny", reasonOf(a, "denied")
	case t != nil && t.mode() == "plan" && len(a.Input) == 0:
		return map[string]any{}
	case t != nil && t.mode() == "plan":
		out["updatedInput"] = a.Input
	default:
		out["permissionDecision"] = "allow"
		if len(a.Input) > 0 {
			out["updatedInput"] = a.Input
		}
	}
	return map[string]any{"hookSpecificOutput": out}
}

// resultVerdict is the answer to PostToolUse.
func resultVerdict(a agent.Answer, in hookInput) any {
	out := a.Output
	if !a.Allow {
		out = withheld(in, reasonOf(a, "withheld"))
	}
	if len(out) == 0 {
		return map[string]any{}
	}
	return map[string]any{"hookSpecificOutput": map[string]any{"hookEventName": "PostToolUse", "updatedToolOutput": out}}
}

// failureVerdict is the answer to PostToolUseFailure. Claude Code 2.1.197 takes only additionalContext here: what a failed call shows
// to the model can't be replaced by a hook. A rewrite therefore reaches the event only, NOT the model; the gateway has to replace
// the tool_result of this tool use id in the request.
func failureVerdict(a agent.Answer, in hookInput, t *turn) any {
	if a.Allow && len(a.Output) == 0 {
		return map[string]any{}
	}
	text := reasonOf(a, "withheld")
	if a.Allow {
		if json.Unmarshal(a.Output, &text) != nil {
			text = string(a.Output)
		}
	}
	if t != nil {
		t.replace(in.ToolUseID, text)
	}
	return map[string]any{}
}

// withheld is a result in the tool's own shape that says nothing but why.
func withheld(in hookInput, reason string) json.RawMessage {
	var v any
	if json.Unmarshal(in.Response, &v) != nil {
		v = nil
	}
	if in.ToolName == "Bash" {
		v = map[string]any{"stdout": reason, "stderr": "", "interrupted": false, "isImage": false}
	} else {
		v = blank(v, &reason)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage(`""`)
	}
	return b
}

// blank keeps the shape of v and puts reason in the place of every text.
func blank(v any, reason *string) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if s, ok := x.(string); ok && (k == "type" || k == "mode") {
				v[k] = s
				continue
			}
			v[k] = blank(x, reason)
		}
		return v
	case []any:
		for i, x := range v {
			v[i] = blank(x, reason)
		}
		return v
	case string, nil:
		return *reason
	default:
		return v
	}
}
