// Package session is the heart of the host: it owns a session's state machine (launch, turn, ask, interrupt, sleep, wake, stop,
// recover). It declares the few interfaces it needs and imports none of their implementations; core/host wires them.
package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/preset"
)

// Status is where a session is in its life.
type Status string

// The states of a session. Asleep means that its sandbox was freed; the next message wakes it.
const (
	StatusStarting Status = "starting"
	StatusRunning  Status = "running"
	StatusAsleep   Status = "asleep"
	StatusFailed   Status = "failed"
	StatusStopping Status = "stopping"
)

// Activity is what a session does right now.
type Activity string

// The activities of a session. Waiting means that an approval is open.
const (
	ActivityIdle    Activity = "idle"
	ActivityWorking Activity = "working"
	ActivityWaiting Activity = "waiting"
)

// Source is where a session's configuration is from.
type Source string

// The sources: one that ships with the host or is the operator's, one that a user keeps at the host, and one that came with the launch.
const (
	SourcePreset Source = "preset"
	SourceCustom Source = "custom"
	SourceInline Source = "inline"
)

// Session is one agent with its history. The log, the workspace and the transcript are the session; a sandbox comes and goes.
type Session struct {
	// ID is "conv-" and 32 hex digits, AgentID is "agent-" and 12.
	ID      string
	AgentID string
	// ConfigID is a preset's id, or "inline-…".
	ConfigID string
	Config   preset.Config
	Source   Source
	Provider string
	// Owner is the HMAC of the key the session was launched with. The key itself is nowhere but in memory.
	Owner []byte
	// TranscriptID is Claude Code's session id, a UUID.
	TranscriptID string
	// Volume holds workspace and transcript, at its provider. Empty until the first sandbox was started.
	Volume string
	// Start says how the newest sandbox was started.
	Start Start
	// SealedEnv holds mcp_env, encrypted under the user's key.
	SealedEnv []byte

	Status     Status
	Reason     string
	CreatedAt  time.Time
	LastActive time.Time
	// Turn is the number of the newest turn, 0 before the first; TurnOpen says that it has not completed.
	Turn     int64
	TurnOpen bool
	// LastComplete is the id of the newest Complete that is known to be in the log: what it may lack is looked for from there.
	LastComplete int64
	Usage        event.Usage
	CostUSD      float64
	// Limits says how each resource limit is enforced, as the provider tells it.
	Limits map[string]string
	// Grants are the calls that a person allowed for the whole session, as grantOf names them.
	Grants []string
	// Title is the first line of the first message, LastLine the last line of the main agent's newest text.
	Title    string
	LastLine string

	// What follows is derived, never stored.
	//
	// Activity is what it does now, Waiting the number of approvals that are open. TurnRunning says that no message is taken.
	Activity    Activity `json:"-"`
	Waiting     int      `json:"-"`
	TurnRunning bool     `json:"-"`
	// IdleExpires is when its sandbox is freed unless somebody uses it; zero without a sandbox, and while it is used.
	IdleExpires time.Time `json:"-"`
}

// StartKind is how a sandbox was started.
type StartKind string

// The kinds of start: with a spare whose CLI had been started before, or from nothing.
const (
	StartWarm StartKind = "warm"
	StartCold StartKind = "cold"
)

// Start says how a sandbox was started, and why not faster.
type Start struct {
	Kind   StartKind
	Reason string
}

// BusyError says that too many starts wait already.
type BusyError struct {
	Waiting int
	// RetryAfter is when there may be room again.
	RetryAfter time.Duration
}

// Error implements error.
func (e *BusyError) Error() string {
	return fmt.Sprintf("the host is busy: %d starts are waiting already", e.Waiting)
}

// Errors that callers tell apart. core/api maps them to problem+json.
var (
	ErrNotFound    = errors.New("session not found")
	ErrForbidden   = errors.New("session belongs to another key")
	ErrKeyMissing  = errors.New("no key given")
	ErrTurnRunning = errors.New("a turn is running")
	ErrNoTurn      = errors.New("no turn is running")
	ErrNoAsk       = errors.New("no such open approval")
	ErrStopping    = errors.New("session is being stopped")
	ErrUnavailable = errors.New("sandbox unavailable")
	ErrDraining    = errors.New("host is shutting down")
)

// LaunchRequest asks for a new session.
type LaunchRequest struct {
	// Key is the user's Anthropic key.
	Key string
	// Config is validated already; ConfigID is its id or "inline-…".
	Config   preset.Config
	ConfigID string
	// Source is where Config is from; empty is inline.
	Source Source
	// Provider is a provider plugin's name; empty is the host's default.
	Provider string
	// MCPEnv is {server: {VAR: value}}, credentials for MCP servers.
	MCPEnv map[string]map[string]string
	// Progress, if any, is told where a launch is that takes its time: in the queue of starts, or waiting for an image. It must not
	// block.
	Progress func(event.Status)
}

// Decision is a person's answer to an approval.
type Decision struct {
	Allow  bool
	Reason string
	// ForSession allows calls of the same tool, asked for by the same rule for the same reason, without asking again.
	ForSession bool
}

// Turn names a turn that Send began.
type Turn struct {
	Number int64
	// After is the id of the turn's user event: a stream of the turn is Follow from there.
	After int64
}
