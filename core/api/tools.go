package api

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/session"
)

// ToolSnapshot is the first message of GET /api/tools/{session_id}/stream: what runs at that moment.
type ToolSnapshot struct {
	Type      string        `json:"type" enum:"snapshot"`
	SessionID string        `json:"session_id"`
	Turn      int64         `json:"turn" doc:"The running turn; 0 when none runs."`
	Tools     []RunningTool `json:"tools" doc:"Calls without a result, oldest first."`
	Todos     []event.Todo  `json:"todos" doc:"The running turn's newest task list."`
	// Approvals have the form of the events.
	Approvals []event.ApprovalRequired `json:"approvals" doc:"Calls that wait for a person."`
}

// RunningTool is a tool call without a result.
type RunningTool struct {
	ID     string    `json:"id"`
	Tool   string    `json:"tool"`
	Input  string    `json:"input" doc:"One readable line."`
	Parent string    `json:"parent,omitempty"`
	Since  time.Time `json:"since"`
}

type toolsInput struct {
	SessionID   string `path:"session_id" maxLength:"64"`
	LastEventID string `header:"Last-Event-ID" doc:"Number of the last event that the client has; without it, only what is to come is streamed."`
	Accept      string `header:"Accept"`
}

func (a *API) tools(ctx context.Context, in *toolsInput) (*huma.StreamResponse, error) {
	if _, err := negotiate(in.Accept, mediaStream); err != nil {
		return nil, err
	}
	after, err := afterOf(in.LastEventID, -1)
	if err != nil {
		return nil, err
	}
	now, last, err := a.snapshot(ctx, current(ctx))
	if err != nil {
		return nil, a.problem(err)
	}
	if after < 0 {
		after = last
	}
	req := streamRequest{session: in.SessionID, after: after, first: now, only: isToolActivity}
	return &huma.StreamResponse{Body: func(hc huma.Context) { a.stream(hc, req) }}, nil
}

func isToolActivity(d event.Data) bool {
	return slices.Contains([]event.Type{
		event.TypeToolUse, event.TypeToolResult, event.TypeTodoUpdate, event.TypeVerdict, event.TypeApprovalRequired,
	}, d.Type())
}

// snapshot is what runs now, and the number of the newest event that it takes into account.
func (a *API) snapshot(ctx context.Context, rec session.Session) (ToolSnapshot, int64, error) {
	s := ToolSnapshot{Type: "snapshot", SessionID: rec.ID}
	s.clear()
	last := rec.LastComplete
	err := a.replay(ctx, rec.ID, last, false, func(e event.Event, _ bool) error {
		last = e.ID
		s.take(e)
		return nil
	})
	return s, last, err
}

func (s *ToolSnapshot) clear() {
	s.Turn, s.Tools, s.Todos, s.Approvals = 0, []RunningTool{}, []event.Todo{}, []event.ApprovalRequired{}
}

func (s *ToolSnapshot) take(e event.Event) {
	switch d := e.Data.(type) {
	case event.User:
		s.Turn = e.Turn
	case event.Complete:
		s.clear()
	case event.ToolUse:
		s.Tools = append(s.Tools, RunningTool{ID: d.ID, Tool: d.Tool, Input: d.Input, Parent: d.Parent, Since: e.Time})
	case event.ToolResult:
		s.Tools = slices.DeleteFunc(s.Tools, func(t RunningTool) bool { return t.ID == d.ID })
	case event.TodoUpdate:
		s.Todos = d.Todos
	case event.ApprovalRequired:
		s.Approvals = append(s.Approvals, d)
	case event.ApprovalResolved:
		s.Approvals = slices.DeleteFunc(s.Approvals, func(a event.ApprovalRequired) bool { return a.Ask == d.Ask })
	}
}

func toolAnswers(r huma.Registry, op *huma.Operation) {
	first := r.Schema(reflect.TypeFor[ToolSnapshot](), true, "ToolSnapshot")
	answers(op, "A snapshot, then tool activity as it happens.", map[string]*huma.MediaType{
		mediaStream: media(&huma.Schema{OneOf: []*huma.Schema{first, {Ref: eventRef}}}),
	})
}
