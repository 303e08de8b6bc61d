package session

import (
	"context"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/preset"
)

// Store keeps sessions for good. Methods are safe for concurrent use.
type Store interface {
	Put(ctx context.Context, s Session) error
	// Get returns ErrNotFound for an unknown id.
	Get(ctx context.Context, id string) (Session, error)
	// List returns the sessions of owner, newest first; a nil owner stands for all.
	List(ctx context.Context, owner []byte) ([]Session, error)
	// Delete removes a session with everything kept for it. An unknown id is no error.
	Delete(ctx context.Context, id string) error
}

// Log numbers, keeps and fans out events; *event.Log is one.
type Log interface {
	Append(ctx context.Context, sessionID string, turn int64, data ...event.Data) ([]event.Event, error)
	Preview(sessionID string, turn int64, data ...event.Data)
	Read(ctx context.Context, sessionID string, after int64, limit int) ([]event.Event, error)
	Follow(ctx context.Context, sessionID string, after int64, previews bool, fn func(e event.Event, more bool) error) error
	Forget(sessionID string)
}

// Guard judges launches, tool calls and results. It never fails: what goes wrong in it is a denial.
type Guard interface {
	// Launch judges a launch before anything is started for it or, with change, a session's new settings before they hold. An error is
	// a refusal, which says by whom it is and why (Denied).
	Launch(ctx context.Context, scope Scope, change bool) error
	Call(ctx context.Context, scope Scope, ask agent.Ask) Judgement
	Result(ctx context.Context, scope Scope, ask agent.Ask) Judgement
}

// Scope is what a guard needs to know of the session.
type Scope struct {
	SessionID string
	ConfigID  string
	Config    preset.Config
	Source    Source
	// Provider is the name of the provider plugin.
	Provider string
}

// Ruling is what a guard decides.
type Ruling string

// The rulings. RulingAsk leaves a call to a person.
const (
	RulingAllow Ruling = "allow"
	RulingDeny  Ruling = "deny"
	RulingAsk   Ruling = "ask"
)

// Judgement is a ruling with its reason, the rewritten input or output (nil keeps it), and the verdicts to record.
type Judgement struct {
	Ruling   Ruling
	Reason   string
	Rewrite  []byte
	Verdicts []event.Verdict
}

// Sandboxes gives out sandboxes. Methods are safe for concurrent use.
type Sandboxes interface {
	// Start returns a sandbox whose agent server answers, and whose CLI runs if spec.Agent is given. It ends soon after ctx does, and
	// leaves nothing when it fails; nobody waits for one that does not. It fails with a *BusyError when too many wait already.
	Start(ctx context.Context, spec SandboxSpec) (Sandbox, error)
	// RemoveVolume removes what a session left on disk, and ends with ctx. An unknown volume is no error.
	RemoveVolume(ctx context.Context, provider, volume string) error
}

// SandboxSpec says what a session needs of its sandbox.
type SandboxSpec struct {
	SessionID string
	Provider  string
	// Volume holds workspace and transcript; it outlives the sandbox. Empty asks for a new one.
	Volume string
	Limits preset.ResourceLimits
	// Agent is what the CLI is to be started with; nil starts none.
	Agent *agent.SessionSpec
	// Progress, if any, is told where the start is each time that changes.
	Progress func(Progress)
}

// Progress is where a start is: at a place in the queue, from 1, or under way (0), perhaps with a note of what takes its time.
type Progress struct {
	Position int
	Note     string
}

// Sandbox is a running sandbox.
type Sandbox interface {
	Agent() Agent
	// Configure starts the CLI in a sandbox that was started without. progress is as in SandboxSpec, and may be nil.
	Configure(ctx context.Context, spec agent.SessionSpec, progress func(Progress)) error
	Info() SandboxInfo
	// Gone is closed when the sandbox is lost; Info then says why.
	Gone() <-chan struct{}
	// Close removes the sandbox but not its volume, and ends with ctx. It is safe to call twice.
	Close(ctx context.Context) error
}

// SandboxInfo is what there is to know of a sandbox.
type SandboxInfo struct {
	Volume string
	// TranscriptID is the one its CLI was started with, which may be another than it was asked for when nothing was to be resumed;
	// empty when it was started without CLI.
	TranscriptID string
	// Limits says how each resource limit is enforced.
	Limits map[string]string
	Start  Start
	// Lost says why it is gone; empty until then.
	Lost string
}

// Agent is what a turn needs of the agent server; *agent.Client is one.
type Agent interface {
	Turn(ctx context.Context, req agent.TurnRequest, after int64, fn func(f agent.Frame, more bool) error) error
	Interrupt(ctx context.Context) error
	Answer(ctx context.Context, ask string, a agent.Answer) error
	// Set changes settings of the CLI; what it refuses is agent.ErrInvalid.
	Set(ctx context.Context, settings agent.Settings) error
	// Commands are the slash commands that the CLI offers.
	Commands(ctx context.Context) ([]agent.Command, error)
}

// Secrets keeps secrets out of logs; *telemetry.Redactor does.
type Secrets interface {
	Add(secret string)
	Remove(secret string)
}
