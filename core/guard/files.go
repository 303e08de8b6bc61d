package guard

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/session"
)

// DeniedError says that a gate refused a request of the API, or a connection.
type DeniedError struct{ Gate, By, Reason string }

// Error implements error.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("%s denied by %s: %s", e.Gate, e.By, e.Reason)
}

// Denied returns what refused and why.
func (e *DeniedError) Denied() (gate, by, reason string) { return e.Gate, e.By, e.Reason }

// Sessions tells what the gates need of a session and keeps their verdicts.
type Sessions interface {
	Scope(ctx context.Context, id string) (session.Scope, error)
	Record(ctx context.Context, id string, v event.Verdict) error
}

// Files guards what comes and goes by the file API.
type Files struct {
	guard    *Guard
	sessions Sessions
}

// NewFiles returns the gates of the file API.
func NewFiles(g *Guard, sessions Sessions) *Files { return &Files{g, sessions} }

// Path judges one access (op is read, write, delete or list) to a path relative to /workspace. A refusal is a *DeniedError.
func (f *Files) Path(ctx context.Context, sessionID, op, rel string) error {
	return f.judge(ctx, sessionID, policy.GatePathAccess, Access{
		// Not clean: here "~" is a file called so, and nothing is absolute.
		Op: op, Path: path.Join(session.Workspace, rel), Raw: rel, Source: "api",
	})
}

// Accesses is the input of the gate path.access for policies that take batches: many paths by the file API, all for the same op.
type Accesses struct {
	Op string `json:"op"`
	// Paths are absolute and lexically clean.
	Paths  []string `json:"paths"`
	Source string   `json:"source"`
}

// Paths judges accesses to many paths relative to /workspace, as Path does each of them: one that is refused is a refusal of all, which
// names it. A policy that takes batches is asked once.
func (f *Files) Paths(ctx context.Context, sessionID, op string, rels []string) error {
	scope, err := f.sessions.Scope(ctx, sessionID)
	if err != nil {
		return err
	}
	many := Accesses{Op: op, Source: "api", Paths: make([]string, len(rels))}
	for i, rel := range rels {
		many.Paths[i] = path.Join(session.Workspace, rel)
	}
	v := f.guard.round(ctx, scope, policy.GatePathAccess, func(l link) ([]question, error) {
		if slices.Contains(l.module.Info().Batches, policy.GatePathAccess) {
			body, err := json.Marshal(many)
			return []question{{body: body}}, err
		}
		asked := make([]question, len(rels))
		for i, rel := range rels {
			body, err := json.Marshal(Access{Op: op, Path: many.Paths[i], Raw: rel, Source: "api"})
			if err != nil {
				return nil, err
			}
			asked[i] = question{body, many.Paths[i]}
		}
		return asked, nil
	})
	return f.settle(ctx, sessionID, policy.GatePathAccess, v)
}

// Batch judges a batch of archive entries (policies/README.md has its shape). A refusal is a *DeniedError.
func (f *Files) Batch(ctx context.Context, sessionID string, batch any) error {
	return f.judge(ctx, sessionID, policy.GateArchiveEntry, batch)
}

func (f *Files) judge(ctx context.Context, sessionID string, gate policy.Gate, input any) error {
	scope, err := f.sessions.Scope(ctx, sessionID)
	if err != nil {
		return err
	}
	return f.settle(ctx, sessionID, gate, f.guard.ask(ctx, scope, gate, input))
}

// settle makes a verdict on a request an error, which is recorded, or none.
func (f *Files) settle(ctx context.Context, sessionID string, gate policy.Gate, v verdict) error {
	switch v.Decision {
	case policy.Allow:
		return nil
	case policy.Ask, policy.Rewrite:
		// Whoever calls the API is a person already, and what they asked for is what they get or not.
		why := "the policy answers " + string(v.Decision)
		if v.Reason != "" {
			why += " (" + v.Reason + ")"
		}
		v.Reason = why + ", which a file request can't follow"
	}
	reason := orText(v.Reason, "denied by the policy")
	if err := f.sessions.Record(ctx, sessionID, event.Verdict{Gate: string(gate), Decision: "deny", By: v.by, Reason: reason}); err != nil {
		return fmt.Errorf("recording a verdict: %w", err)
	}
	return &DeniedError{Gate: string(gate), By: v.by, Reason: reason}
}
