package event

import "encoding/json"

// Type is the value of an event's "type" field.
type Type string

// The types of event. TypeTextDelta is a preview: it is streamed on request and never kept.
const (
	TypeUser             Type = "user"
	TypeInit             Type = "init"
	TypeText             Type = "text"
	TypeTextDelta        Type = "text_delta"
	TypeThinking         Type = "thinking"
	TypeToolUse          Type = "tool_use"
	TypeToolResult       Type = "tool_result"
	TypeTodoUpdate       Type = "todo_update"
	TypeApprovalRequired Type = "approval_required"
	TypeApprovalResolved Type = "approval_resolved"
	TypeVerdict          Type = "verdict"
	TypeStatus           Type = "status"
	TypeSettings         Type = "settings"
	TypeError            Type = "error"
	TypeComplete         Type = "complete"
)

// Data is what happened: one of the struct types of this file.
type Data interface{ Type() Type }

// User is a message that a person sent; it opens a turn.
type User struct {
	Content string `json:"content" doc:"The message as it was sent."`
}

// Init is what Claude Code reports of itself when it takes up a turn in a new process.
type Init struct {
	Model          string   `json:"model"`
	Tools          []string `json:"tools" doc:"Every tool the CLI offers, as it names them."`
	Agents         []string `json:"agents,omitempty" doc:"Sub-agents the CLI offers."`
	MCPServers     []MCP    `json:"mcp_servers,omitempty"`
	PermissionMode string   `json:"permission_mode"`
	Cwd            string   `json:"cwd"`
	CLIVersion     string   `json:"cli_version,omitempty"`
	Resumed        bool     `json:"resumed,omitempty" doc:"True when the process took up an earlier transcript."`
}

// MCP is the state of one MCP server as the CLI reports it.
type MCP struct {
	Name   string `json:"name"`
	Status string `json:"status"`
}

// Text is a whole text block of the model.
type Text struct {
	Content string `json:"content"`
	Parent  string `json:"parent,omitempty" doc:"Tool use id of the sub-agent's Task call; absent for the main agent."`
}

// TextDelta is a piece of a text block that is still being written.
type TextDelta struct {
	Content string `json:"content"`
	Parent  string `json:"parent,omitempty"`
}

// Thinking is a whole thinking block of the model.
type Thinking struct {
	Content string `json:"content"`
	Parent  string `json:"parent,omitempty"`
}

// ToolUse is a tool call that the model made.
type ToolUse struct {
	ID        string          `json:"id" doc:"Tool use id, unique in the session."`
	Tool      string          `json:"tool"`
	Input     string          `json:"input" doc:"One readable line."`
	Arguments json.RawMessage `json:"arguments" doc:"The tool's whole input, an object."`
	Parent    string          `json:"parent,omitempty"`
}

// ToolResult is what a tool returned, as the model sees it: after filters.
type ToolResult struct {
	ID      string `json:"id"`
	Tool    string `json:"tool"`
	Output  string `json:"output"`
	IsError bool   `json:"is_error"`
	Parent  string `json:"parent,omitempty"`
}

// Todo is one entry of the agent's task list.
type Todo struct {
	Content    string `json:"content"`
	Status     string `json:"status" enum:"pending,in_progress,completed"`
	ActiveForm string `json:"activeForm,omitempty"`
}

// TodoUpdate is the whole task list after a change.
type TodoUpdate struct {
	Todos []Todo `json:"todos"`
}

// ApprovalRequired says that a tool call waits for a person.
type ApprovalRequired struct {
	Ask       string          `json:"ask" doc:"Names the approval in POST /api/agents/{session_id}/approvals/{ask}."`
	ToolUseID string          `json:"tool_use_id,omitempty"`
	Tool      string          `json:"tool"`
	Input     string          `json:"input" doc:"One readable line."`
	Arguments json.RawMessage `json:"arguments"`
	Reason    string          `json:"reason"`
	ExpiresAt string          `json:"expires_at" doc:"RFC 3339 time at which no answer becomes deny."`
	Parent    string          `json:"parent,omitempty"`
}

// ApprovalResolved says how an approval ended.
type ApprovalResolved struct {
	Ask      string `json:"ask"`
	Decision string `json:"decision" enum:"allow,deny"`
	By       string `json:"by" enum:"person,timeout,interrupt,host" doc:"Who decided."`
	Reason   string `json:"reason,omitempty"`
	Scope    string `json:"scope,omitempty" enum:"once,session" doc:"session: such calls are not asked for again. A call that was allowed so without asking has this event only, with an ask that was never open."`
	// What it was about, because a call that was allowed without asking has no ApprovalRequired to tell.
	Tool      string `json:"tool,omitempty"`
	ToolUseID string `json:"tool_use_id,omitempty"`
	Parent    string `json:"parent,omitempty"`
}

// The scopes of an approval.
const (
	ScopeOnce    = "once"
	ScopeSession = "session"
)

// Verdict records every decision of a gate other than a plain allow.
type Verdict struct {
	Gate      string `json:"gate" enum:"agent.launch,tool.call,tool.result,path.access,archive.entry,network.connect"`
	Decision  string `json:"decision" enum:"deny,ask,rewrite"`
	By        string `json:"by" doc:"policy:<name>, filter:<name>, person, host, or host:<part> (host:storage, host:egress)."`
	Reason    string `json:"reason"`
	Tool      string `json:"tool,omitempty"`
	ToolUseID string `json:"tool_use_id,omitempty"`
	Parent    string `json:"parent,omitempty"`
}

// StatusQueued is the Status of a session whose sandbox waits to be started.
const StatusQueued = "queued"

// Status says that the session's state changed.
type Status struct {
	Status   string `json:"status" enum:"queued,starting,running,asleep,failed,stopping"`
	Reason   string `json:"reason,omitempty"`
	Position int    `json:"position,omitempty" doc:"Place in the queue of starts, from 1. Only with queued."`
}

// Settings says that a person changed what the agent works with. It holds for what comes from now on.
type Settings struct {
	Model          string `json:"model" doc:"Empty is Claude Code's default."`
	PermissionMode string `json:"permission_mode" enum:"default,acceptEdits,plan,bypassPermissions"`
}

// Error says what went wrong in a turn. The turn's Complete follows.
type Error struct {
	Code    string `json:"code" doc:"Stable, for programs: agent_exited, model_error, sandbox_lost, host_restarted, max_turns, storage_exceeded, out_of_memory, …"`
	Message string `json:"message"`
}

// The ways a turn ends.
const (
	CompleteOK          = "completed"
	CompleteInterrupted = "interrupted"
	CompleteFailed      = "failed"
	CompleteMaxTurns    = "max_turns"
)

// Usage counts tokens of a turn.
type Usage struct {
	InputTokens      int64 `json:"input_tokens"`
	OutputTokens     int64 `json:"output_tokens"`
	CacheReadTokens  int64 `json:"cache_read_input_tokens"`
	CacheWriteTokens int64 `json:"cache_creation_input_tokens"`
}

// Complete ends a turn; every turn has exactly one.
type Complete struct {
	Status  string  `json:"status" enum:"completed,interrupted,failed,max_turns"`
	Usage   Usage   `json:"usage"`
	CostUSD float64 `json:"cost_usd" doc:"As Claude Code reckons it, in US dollars."`
	Turns   int     `json:"turns" doc:"Model round trips in this turn."`
}

// Type implements Data.
func (User) Type() Type { return TypeUser }

// Type implements Data.
func (Init) Type() Type { return TypeInit }

// Type implements Data.
func (Text) Type() Type { return TypeText }

// Type implements Data.
func (TextDelta) Type() Type { return TypeTextDelta }

// Type implements Data.
func (Thinking) Type() Type { return TypeThinking }

// Type implements Data.
func (ToolUse) Type() Type { return TypeToolUse }

// Type implements Data.
func (ToolResult) Type() Type { return TypeToolResult }

// Type implements Data.
func (TodoUpdate) Type() Type { return TypeTodoUpdate }

// Type implements Data.
func (ApprovalRequired) Type() Type { return TypeApprovalRequired }

// Type implements Data.
func (ApprovalResolved) Type() Type { return TypeApprovalResolved }

// Type implements Data.
func (Verdict) Type() Type { return TypeVerdict }

// Type implements Data.
func (Status) Type() Type { return TypeStatus }

// Type implements Data.
func (Settings) Type() Type { return TypeSettings }

// Type implements Data.
func (Error) Type() Type { return TypeError }

// Type implements Data.
func (Complete) Type() Type { return TypeComplete }
