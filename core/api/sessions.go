package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/agcluster/agcluster/core/event"
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
	CreatedAt  time.Time         `json:"created_at"`
	LastActive time.Time         `json:"last_active"`
	Turn       int64             `json:"turn" doc:"Number of the newest turn; 0 before the first."`
	Usage      event.Usage       `json:"usage" doc:"Tokens so far, as the model gateway counted them."`
	CostUSD    float64           `json:"cost_usd" doc:"So far, as Claude Code reckons it."`
	Limits     map[string]string `json:"limits,omitempty" doc:"How each resource limit is enforced, as the provider tells it."`
	Start      string            `json:"start,omitempty" enum:"warm,cold" doc:"How its newest sandbox was started."`
	StartNote  string            `json:"start_reason,omitempty" doc:"Why that start was cold."`
}

func shown(rec session.Session) Session {
	return Session{
		SessionID: rec.ID, AgentID: rec.AgentID, ConfigID: rec.ConfigID, Status: string(rec.Status), Activity: string(rec.Activity),
		Reason: rec.Reason, Provider: rec.Provider, Name: rec.Config.Name, CreatedAt: rec.CreatedAt, LastActive: rec.LastActive,
		Turn: rec.Turn, Usage: rec.Usage, CostUSD: rec.CostUSD, Limits: rec.Limits,
		Start: string(rec.Start.Kind), StartNote: rec.Start.Reason,
	}
}

type sessionInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
}

type sessionOutput struct{ Body Session }

func (a *API) getSession(ctx context.Context, _ *sessionInput) (*sessionOutput, error) {
	return &sessionOutput{Body: shown(current(ctx))}, nil
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
	Scope    string `json:"scope,omitempty" enum:"once,session" default:"once" doc:"session allows the same call, with the same input, without asking again."`
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
