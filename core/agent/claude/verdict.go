package claude

import (
	"encoding/json"
	"strings"

	"github.com/agcluster/agcluster/core/agent"
)

func reasonOf(a agent.Answer, otherwise string) string {
	if a.Reason != "" {
		return a.Reason
	}
	return otherwise
}

// permission is the answer to can_use_tool.
func permission(a agent.Answer, input json.RawMessage) any {
	if !a.Allow {
		return map[string]any{"behavior": "deny", "message": reasonOf(a, "denied")}
	}
	if len(a.Input) > 0 {
		input = a.Input
	}
	return map[string]any{"behavior": "allow", "updatedInput": input}
}

// callVerdict is the answer to PreToolUse. In acceptEdits and bypassPermissions an allow is the CLI's last word on the call: these
// are the modes in which the session's tools run without asking. In default and plan mode, and in any that we do not know, it is no
// objection only: the CLI's own rules go on to decide whether a person must be asked.
func callVerdict(a agent.Answer, mode string) any {
	out := map[string]any{"hookEventName": "PreToolUse"}
	if !a.Allow {
		out["permissionDecision"], out["permissionDecisionReason"] = "deny", reasonOf(a, "denied")
		return map[string]any{"hookSpecificOutput": out}
	}
	if len(a.Input) > 0 {
		out["updatedInput"] = a.Input
	}
	if mode == "acceptEdits" || mode == "bypassPermissions" {
		out["permissionDecision"] = "allow"
	}
	return map[string]any{"hookSpecificOutput": out}
}

// resultVerdict is the answer to PostToolUse. The CLI ignores a replacement that has not the shape of the tool's output, and says so
// to nobody; withheld tries to fit, and the gateway looks at every result that was not passed as it is once more.
func resultVerdict(a agent.Answer, in hookInput, t *turn) any {
	out := a.Output
	if !a.Allow {
		reason := reasonOf(a, "withheld")
		out = withheld(in, reason)
		if t != nil {
			t.replace(in.ToolUseID, reason)
		}
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
	switch {
	case in.ToolName == "Bash":
		v = map[string]any{"stdout": reason, "stderr": "", "interrupted": false, "isImage": false}
	case in.ToolName == "Read":
		// Whatever was read: a text in the place of an image's data would make every later request of the session invalid.
		v = map[string]any{"type": "text", "file": map[string]any{
			"filePath": "", "content": reason, "numLines": 1, "startLine": 1, "totalLines": 1,
		}}
	case in.ToolName == "Agent" || in.ToolName == "Task":
		// Nearly all else in it is an enumeration or a number.
		if m, ok := v.(map[string]any); ok {
			m["content"] = []any{map[string]any{"type": "text", "text": reason}}
		}
	case strings.HasPrefix(in.ToolName, "mcp__"):
		v = reason
	default:
		v = blank(v, reason)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage(`""`)
	}
	return b
}

// blank keeps the shape of v and puts reason in the place of every text.
func blank(v any, reason string) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if _, ok := x.(string); !ok || !enumerated(k) {
				v[k] = blank(x, reason)
			}
		}
		return v
	case []any:
		for i, x := range v {
			v[i] = blank(x, reason)
		}
		return v
	case string:
		return reason
	default:
		return v
	}
}

// enumerated names the fields in the outputs of the CLI's tools that take certain words only.
func enumerated(field string) bool {
	switch field {
	case "type", "mode", "status", "cell_type", "edit_mode":
		return true
	default:
		return false
	}
}
