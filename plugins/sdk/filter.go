package sdk

import (
	"context"
	"encoding/json"
)

// Filter looks at every tool call before it runs and at every result before the model sees it. Methods are safe for concurrent
// use. An error or a dead filter counts as a denial: the host fails closed.
type Filter interface {
	// FilterCall judges a call that the policies have let through.
	FilterCall(ctx context.Context, call Call) (Outcome, error)
	// FilterResult judges what the tool returned; a rewrite replaces it for the model, the log and every stream.
	FilterResult(ctx context.Context, result Result) (Outcome, error)
}

// Call is one tool call.
type Call struct {
	SessionID string
	ToolUseID string
	Tool      string
	// Parent is the tool use id of the sub-agent's Task call, empty for the main agent.
	Parent string
	// Input is the tool's input, a JSON object of at most 1 MiB.
	Input json.RawMessage
}

// Result is what a tool call returned.
type Result struct {
	Call Call
	// Output is any JSON value, of at most 8 MiB; its shape is the tool's.
	Output  json.RawMessage
	IsError bool
}

// Decision is a filter's answer.
type Decision string

// The decisions of a filter. Ask is only valid for a call.
const (
	Pass    Decision = "pass"
	Rewrite Decision = "rewrite"
	Deny    Decision = "deny"
	Ask     Decision = "ask"
)

// Outcome is a decision, why it was taken, and the replacement when it is Rewrite.
type Outcome struct {
	Decision Decision
	// Reason is one line for people and the model; it must not repeat what was redacted.
	Reason string
	// Replacement is the new input or output, valid JSON of the same shape. Only with Rewrite.
	Replacement json.RawMessage
}
