// Package agent owns what host and sandbox say to each other: the wire types of the agent server's HTTP API and the host's client
// for it. The server side lives in agent/server, the Claude Code driver in agent/claude. The host trusts nothing that comes out of
// a sandbox: Client checks sizes, names, numbers and JSON again.
package agent

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/agcluster/agcluster/core/event"
)

// SessionSpec is the body of POST /v1/session: everything the CLI is started with. Sending the same spec again is no change;
// another one is refused with 409.
type SessionSpec struct {
	// TranscriptID is Claude Code's own session id, a UUID chosen by the host.
	TranscriptID string `json:"transcript_id"`
	// Resume says that the host knows of an earlier turn. The disk decides: a transcript that is there is continued, without one the
	// session begins anew (and the agent server logs that it should not have).
	Resume bool `json:"resume"`
	// Model is an alias (sonnet, opus, haiku) or a full name; empty is the CLI's default.
	Model          string               `json:"model,omitempty"`
	SystemPrompt   SystemPrompt         `json:"system_prompt"`
	Tools          []string             `json:"tools"`
	Agents         map[string]SubAgent  `json:"agents,omitempty"`
	MCPServers     map[string]MCPServer `json:"mcp_servers,omitempty"`
	PermissionMode string               `json:"permission_mode"`
	// MaxTurns bounds the model round trips of one turn; 0 is no bound.
	MaxTurns       int               `json:"max_turns,omitempty"`
	SettingSources []string          `json:"setting_sources,omitempty"`
	Env            map[string]string `json:"env,omitempty"`
	// Cwd is absolute and within /workspace.
	Cwd string `json:"cwd"`
}

// BuiltinTools lists the tools that the CLI must be started with: the session's and its sub-agents', because its tool set bounds
// both. MCP tools come with their servers.
func (s SessionSpec) BuiltinTools() []string {
	var tools []string
	add := func(names []string) {
		for _, n := range names {
			if !strings.HasPrefix(n, "mcp__") && !slices.Contains(tools, n) {
				tools = append(tools, n)
			}
		}
	}
	add(s.Tools)
	for _, name := range slices.Sorted(maps.Keys(s.Agents)) {
		add(s.Agents[name].Tools)
	}
	return tools
}

// Early is the part of a spec that the CLI must be told when it starts: what a spare is prepared with, for any session of equal
// Early. The transcript is the spare's own.
func (s SessionSpec) Early() SessionSpec {
	return SessionSpec{
		TranscriptID: s.TranscriptID, Model: s.Model, Tools: s.BuiltinTools(), PermissionMode: s.PermissionMode, MaxTurns: s.MaxTurns,
		SettingSources: s.SettingSources, Env: s.Env, Cwd: s.Cwd,
	}
}

// SystemPrompt is either the CLI's own with something appended, or a replacement.
type SystemPrompt struct {
	// Replace is the whole prompt; empty keeps Claude Code's.
	Replace string `json:"replace,omitempty"`
	// Append is added to Claude Code's own prompt. Only without Replace.
	Append string `json:"append,omitempty"`
}

// SubAgent is one entry of "agents", in the shape the CLI takes.
type SubAgent struct {
	Description string   `json:"description"`
	Prompt      string   `json:"prompt"`
	Tools       []string `json:"tools,omitempty"`
	Model       string   `json:"model,omitempty"`
}

// MCPServer is one entry of "mcp_servers", in the shape the CLI takes: stdio {command,args,env} or sse|http {url,headers}.
type MCPServer struct {
	Type    string            `json:"type,omitempty"`
	Command string            `json:"command,omitempty"`
	Args    []string          `json:"args,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	URL     string            `json:"url,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

// TurnRequest is the body of POST /v1/turns. Turn is chosen by the host and grows; asking again with the same Turn re-attaches to
// it (with ?after=N to skip the frames up to N), whether it still runs or has just ended.
type TurnRequest struct {
	Turn    int64  `json:"turn"`
	Message string `json:"message"`
}

// Frame is one numbered message of a turn's stream: exactly one of Event and Ask is set. The stream ends after the frame whose
// Event is a Complete. Seq counts from 1 within the turn.
type Frame struct {
	Seq   int64        `json:"seq"`
	Event *event.Event `json:"event,omitempty"`
	Ask   *Ask         `json:"ask,omitempty"`
}

// Stage says what an Ask is about.
type Stage string

// The stages of an ask: a tool call before it runs, its result before the model sees it, and the CLI's own permission prompt
// (a call that its permission mode does not allow by itself).
const (
	StageCall       Stage = "call"
	StageResult     Stage = "result"
	StagePermission Stage = "permission"
)

// Ask waits for the host's Answer. No answer within the agent server's ask timeout is a denial.
type Ask struct {
	ID        string          `json:"id"`
	Stage     Stage           `json:"stage"`
	Tool      string          `json:"tool"`
	ToolUseID string          `json:"tool_use_id"`
	Input     json.RawMessage `json:"input"`
	// Output is what the tool returned, in the tool's own shape. Only with StageResult.
	Output  json.RawMessage `json:"output,omitempty"`
	IsError bool            `json:"is_error,omitempty"`
	Parent  string          `json:"parent,omitempty"`
	// AgentType names the sub-agent that makes the call; empty for the main agent.
	AgentType string `json:"agent_type,omitempty"`
	// Disk is what the agent server has counted before this call, or after it for a result; nil without a limit.
	Disk *Disk `json:"disk,omitempty"`
}

// Answer is the body of POST /v1/asks/{ask}.
type Answer struct {
	Allow  bool   `json:"allow"`
	Reason string `json:"reason,omitempty"`
	// Input replaces the tool's input (StageCall, StagePermission); null keeps it.
	Input json.RawMessage `json:"input,omitempty"`
	// Output replaces the tool's output (StageResult); null keeps it. With Allow false the model sees only the reason.
	Output json.RawMessage `json:"output,omitempty"`
}

// Settings is the body of PATCH /v1/session: what of a session may change while its CLI runs. What is nil stays as it is, which need not
// be what the spec says: a CLI leaves plan mode by itself.
type Settings struct {
	Model          *string `json:"model,omitempty"`
	PermissionMode *string `json:"permission_mode,omitempty"`
}

// With returns the spec with these settings.
func (s SessionSpec) With(set Settings) SessionSpec {
	if set.Model != nil {
		s.Model = *set.Model
	}
	if set.PermissionMode != nil {
		s.PermissionMode = *set.PermissionMode
	}
	return s
}

// Command is a slash command that the CLI offers.
type Command struct {
	Name         string `json:"name"`
	Description  string `json:"description"`
	ArgumentHint string `json:"argument_hint"`
}

// Commands is the answer of GET /v1/commands: none until the CLI has told them.
type Commands struct {
	Commands []Command `json:"commands"`
}

// Bounds of the list, in commands and characters.
const (
	MaxCommands    = 500
	MaxCommandText = 1000
)

// Health is the answer of GET /v1/health.
type Health struct {
	Status string `json:"status"`
	// Version of the agent server.
	Version string `json:"version"`
	// CLI is one of the states below.
	CLI string `json:"cli"`
	// Turn is the turn that runs, 0 when none does.
	Turn int64 `json:"turn"`
}

// The states of a CLI. A spare runs and waits for a session.
const (
	CLINone    = "none"
	CLISpare   = "spare"
	CLIRunning = "running"
	CLIExited  = "exited"
)

// EntryType says what a tree entry is.
type EntryType string

// The types of a tree entry. Everything that is none of the first three (sockets, devices, fifos) is EntryOther.
const (
	EntryFile      EntryType = "file"
	EntryDirectory EntryType = "directory"
	EntrySymlink   EntryType = "symlink"
	EntryOther     EntryType = "other"
)

// Entry is one file, folder or link of the workspace. GET /v1/tree streams them as JSON lines in depth-first order, parents
// first, names sorted by bytes.
type Entry struct {
	// Path is relative to /workspace, with slashes. Bytes that are no UTF-8 are kept by PathBytes.
	Path string `json:"path"`
	// PathBytes is the base64 of the name's bytes; only set when they are no valid UTF-8 (Path then has U+FFFD in their place).
	PathBytes []byte    `json:"path_bytes,omitempty"`
	Type      EntryType `json:"type"`
	Size      int64     `json:"size"`
	// Mode holds the permission bits.
	Mode    uint32    `json:"mode"`
	ModTime time.Time `json:"mod_time"`
	// Target of a symlink, as written.
	Target string `json:"target,omitempty"`
	// Tag names this very state of a file: it comes from its inode, size and times to the nanosecond, so another tag means that the file
	// was written, replaced or renamed since. The kernel's clock ticks every few milliseconds; two writes of equal size within one tick
	// have one tag. Only in the answers of stat, read and write, not in a listing.
	Tag string `json:"tag,omitempty"`
}

// Tunnel streams begin with one byte that says what the agent server forwards.
const (
	// TunnelGateway is a plain HTTP/1.1 connection to the model gateway.
	TunnelGateway byte = 1
	// TunnelEgress is a connection to the forward proxy.
	TunnelEgress byte = 2
)
