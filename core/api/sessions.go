package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/guard"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
)

// Session is a session as the API shows it.
type Session struct {
	SessionID  string            `json:"session_id"`
	AgentID    string            `json:"agent_id"`
	ConfigID   string            `json:"config_id"`
	Status     string            `json:"status" enum:"starting,running,asleep,failed,stopping" doc:"Asleep: its sandbox was freed; the next message wakes it."`
	Activity   string            `json:"activity" enum:"idle,working,waiting" doc:"Waiting: an approval is open."`
	Reason     string            `json:"reason,omitempty" doc:"Why the session is not running."`
	Provider   string            `json:"provider"`
	Name       string            `json:"name" doc:"Of the configuration."`
	Title      string            `json:"title,omitempty" doc:"First line of the first message, at most 80 characters."`
	LastLine   string            `json:"last_line,omitempty" doc:"Last line of the agent's newest text, at most 200 characters."`
	CreatedAt  time.Time         `json:"created_at"`
	LastActive time.Time         `json:"last_active"`
	IdleAt     *time.Time        `json:"idle_expires_at,omitempty" doc:"When its sandbox is freed unless it is used; absent while it is used, and without a sandbox."`
	Turn       int64             `json:"turn" doc:"Number of the newest turn; 0 before the first."`
	Turns      int64             `json:"turns" doc:"How many turns it has had."`
	Running    bool              `json:"turn_running" doc:"A turn is running: no message is taken."`
	Waiting    int               `json:"waiting" doc:"Approvals that are open."`
	Usage      event.Usage       `json:"usage" doc:"Tokens so far, as the model gateway counted them."`
	CostUSD    float64           `json:"cost_usd" doc:"So far, as Claude Code reckons it."`
	Limits     map[string]string `json:"limits,omitempty" doc:"How each resource limit is enforced, as the provider tells it."`
	Start      string            `json:"start,omitempty" enum:"warm,cold" doc:"How its newest sandbox was started."`
	StartNote  string            `json:"start_reason,omitempty" doc:"Why that start was cold."`
}

func shown(rec session.Session) Session {
	s := Session{
		SessionID: rec.ID, AgentID: rec.AgentID, ConfigID: rec.ConfigID, Status: string(rec.Status), Activity: string(rec.Activity),
		Reason: rec.Reason, Provider: rec.Provider, Name: rec.Config.Name, CreatedAt: rec.CreatedAt, LastActive: rec.LastActive,
		Turn: rec.Turn, Usage: rec.Usage, CostUSD: rec.CostUSD, Limits: rec.Limits,
		Start: string(rec.Start.Kind), StartNote: rec.Start.Reason,
		Title: rec.Title, LastLine: rec.LastLine, Turns: rec.Turn, Running: rec.TurnRunning, Waiting: rec.Waiting,
	}
	if !rec.IdleExpires.IsZero() {
		s.IdleAt = &rec.IdleExpires
	}
	return s
}

// SessionDetails is a session with what it runs under.
type SessionDetails struct {
	Session
	Config   preset.Config `json:"config" doc:"The complete configuration. Values of environment variables and headers are hidden: they may be the operator's."`
	Policies []PolicyUse   `json:"policies" doc:"The policies that are asked, in order; the operator's come first."`
}

// PolicyUse is a policy that is asked for a session. One that the operator and the configuration both name is there twice: both must
// allow.
type PolicyUse struct {
	Name   string          `json:"name"`
	Digest string          `json:"digest" doc:"sha256: and the digest of the module's bytes."`
	Params json.RawMessage `json:"params" doc:"As in force, with the module's defaults."`
}

// Gates says what a session is judged by.
type Gates interface {
	InForce(c preset.Config) ([]guard.InForce, error)
}

func (a *API) details(rec session.Session) (*sessionOutput, error) {
	out := &sessionOutput{Body: SessionDetails{Session: shown(rec), Config: preset.Masked(rec.Config), Policies: []PolicyUse{}}}
	list, err := a.Gates.InForce(rec.Config)
	if err != nil {
		return nil, a.problem(err)
	}
	for _, p := range list {
		out.Body.Policies = append(out.Body.Policies, PolicyUse(p))
	}
	return out, nil
}

type sessionInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
}

type sessionOutput struct{ Body SessionDetails }

func (a *API) getSession(ctx context.Context, _ *sessionInput) (*sessionOutput, error) {
	return a.details(current(ctx))
}

// SessionList answers GET /api/agents/sessions.
type SessionList struct {
	Sessions []Session `json:"sessions"`
	Total    int       `json:"total"`
}

type sessionsOutput struct{ Body SessionList }

func (a *API) listSessions(ctx context.Context, _ *struct{}) (*sessionsOutput, error) {
	list, err := a.Sessions.List(ctx, keyFrom(ctx))
	if err != nil {
		return nil, a.problem(err)
	}
	out := &sessionsOutput{Body: SessionList{Sessions: make([]Session, 0, len(list)), Total: len(list)}}
	for _, rec := range list {
		out.Body.Sessions = append(out.Body.Sessions, shown(rec))
	}
	return out, nil
}

// SessionStatus answers what changes a session.
type SessionStatus struct {
	SessionID string `json:"session_id"`
	Status    string `json:"status"`
}

type statusOutput struct{ Body SessionStatus }

func (a *API) stopSession(ctx context.Context, in *sessionInput) (*statusOutput, error) {
	if err := a.Sessions.Stop(ctx, in.SessionID); err != nil {
		return nil, a.problem(err)
	}
	return &statusOutput{Body: SessionStatus{SessionID: in.SessionID, Status: "stopped"}}, nil
}

func (a *API) interrupt(ctx context.Context, in *sessionInput) (*statusOutput, error) {
	if err := a.Turns.Interrupt(ctx, in.SessionID); err != nil {
		return nil, a.problem(err)
	}
	return &statusOutput{Body: SessionStatus{SessionID: in.SessionID, Status: "interrupting"}}, nil
}

// ApprovalAnswer is the body of POST /api/agents/{session_id}/approvals/{ask}.
type ApprovalAnswer struct {
	Decision string `json:"decision" enum:"allow,deny"`
	Reason   string `json:"reason,omitempty" maxLength:"2000" doc:"What the agent is told when it is denied."`
	Scope    string `json:"scope,omitempty" enum:"once,session" default:"once" doc:"session: later calls of the same tool that are asked for by the same rule, for the same reason, are allowed without asking. A denial counts once."`
}

type approvalInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	Ask       string `path:"ask" maxLength:"64"`
	Body      ApprovalAnswer
}

// Approval answers an answered approval.
type Approval struct {
	Ask      string `json:"ask"`
	Decision string `json:"decision"`
}

type approvalOutput struct{ Body Approval }

func (a *API) approve(ctx context.Context, in *approvalInput) (*approvalOutput, error) {
	err := a.Turns.Approve(ctx, in.SessionID, in.Ask, session.Decision{
		Allow: in.Body.Decision == "allow", Reason: in.Body.Reason, ForSession: in.Body.Scope == "session",
	})
	if errors.Is(err, session.ErrNoAsk) {
		return nil, huma.NewError(http.StatusConflict, "there is no open approval "+clip(in.Ask)+": it was answered, it expired, or the turn has ended")
	}
	if err != nil {
		return nil, a.problem(err)
	}
	return &approvalOutput{Body: Approval{Ask: in.Ask, Decision: in.Body.Decision}}, nil
}
