package api

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/event"
)

// SeedChatRequest is the body of POST /api/agents/chat.
type SeedChatRequest struct {
	Messages  []SeedChatMessage `json:"messages" nullable:"false" minItems:"1" maxItems:"10000" doc:"The conversation; the last message of a user is sent. The session remembers the others by itself."`
	SessionID string            `json:"sessionId,omitempty" maxLength:"64" doc:"The session; the header X-Session-ID does as well."`
}

// SeedChatMessage is one message of the conversation.
type SeedChatMessage struct {
	Role    string `json:"role" doc:"user, assistant or system."`
	Content string `json:"content" maxLength:"1048576"`
}

// SeedChatEvent is one event of the answer, in the shape that AgCluster Container's UI reads.
type SeedChatEvent struct {
	Type          string `json:"type" enum:"message,error,complete" doc:"complete is the last."`
	MsgType       string `json:"msg_type,omitempty" enum:"content,thinking,tool_use,tool_complete,todo_update,metadata" doc:"Only with message."`
	Data          any    `json:"data,omitempty" doc:"Only with message: content {content}, thinking {content}, tool_use {tool_name, tool_use_id, tool_input}, tool_complete {tool_use_id, output, is_error}, todo_update {todos}, metadata {final_content, usage, cost_usd, duration_ms}."`
	Sequence      int    `json:"sequence,omitempty" doc:"Counts messages, from 1."`
	Message       string `json:"message,omitempty" doc:"Only with error."`
	ErrorType     string `json:"error_type,omitempty" doc:"Only with error."`
	Status        string `json:"status,omitempty" doc:"Only with complete: success, or how else the turn ended."`
	TotalMessages int    `json:"total_messages,omitempty" doc:"Only with complete."`
}

type seedChatInput struct {
	SessionID string `header:"X-Session-ID" maxLength:"64"`
	Body      SeedChatRequest
}

func (a *API) seedChat(ctx context.Context, in *seedChatInput) (*huma.StreamResponse, error) {
	id := in.Body.SessionID
	if id == "" {
		id = in.SessionID
	}
	if id == "" {
		return nil, invalid("body.sessionId", "the session is needed: launch one with POST /api/agents/launch")
	}
	message := ""
	for _, m := range in.Body.Messages {
		if m.Role == "user" {
			message = m.Content
		}
	}
	if message == "" {
		return nil, invalid("body.messages", "there is no message of a user, or the last one is empty")
	}
	if _, err := a.Sessions.Authorize(ctx, id, keyFrom(ctx)); err != nil {
		return nil, a.problem(err)
	}
	turn, err := a.Turns.Send(ctx, id, message)
	if err != nil {
		return nil, a.problem(err)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) { a.streamSeed(hc, id, turn.Number, turn.After) }}, nil
}

// streamSeed writes a turn until its end, or until the client goes away.
func (a *API) streamSeed(hc huma.Context, id string, turn, after int64) {
	s, end := a.beginStream(hc)
	defer end()
	t := &seedTurn{write: func(e SeedChatEvent) error { return s.data(e) }, began: time.Now()}
	err := a.Turns.Follow(s.ctx, id, after, false, func(e event.Event, _ bool) error {
		if e.Turn != turn {
			return nil
		}
		return t.take(e)
	})
	switch {
	case errors.Is(err, errTurnOver):
		_ = s.write([]byte("data: [DONE]\n\n")) // the client has gone; there is nobody to tell
	case err == nil:
		_ = s.data(SeedChatEvent{Type: "error", Message: "the session was stopped", ErrorType: "session_stopped"}) // as above
	case s.ctx.Err() == nil && !errors.Is(err, errClient) && !errors.Is(err, event.ErrShutdown):
		a.log.Warn("a stream broke off", zap.String("session", id), zap.Error(err))
	}
}

// seedTurn puts the events of a turn into the other shape.
type seedTurn struct {
	write func(SeedChatEvent) error
	began time.Time
	sent  int
	final string
}

func (t *seedTurn) message(kind string, data map[string]any) error {
	t.sent++
	data["type"] = kind
	return t.write(SeedChatEvent{Type: "message", MsgType: kind, Data: data, Sequence: t.sent})
}

// take writes what the UI knows to show. It shows no threads: of sub-agents only their tools are told.
func (t *seedTurn) take(e event.Event) error {
	at := e.Time.UTC().Format(time.RFC3339Nano)
	switch d := e.Data.(type) {
	case event.Text:
		if d.Parent != "" {
			return nil
		}
		t.final = d.Content
		return t.message("content", map[string]any{"role": "assistant", "content": d.Content})
	case event.Thinking:
		if d.Parent != "" {
			return nil
		}
		return t.message("thinking", map[string]any{"content": d.Content, "timestamp": at})
	case event.ToolUse:
		return t.message("tool_use", map[string]any{
			"tool_name": d.Tool, "tool_use_id": d.ID, "tool_input": arguments(d.Arguments), "content": "Using tool: " + d.Tool, "timestamp": at,
		})
	case event.ToolResult:
		// The UI looks for the id in tool_name.
		return t.message("tool_complete", map[string]any{
			"tool_name": d.ID, "tool_use_id": d.ID, "output": d.Output, "is_error": d.IsError, "timestamp": at,
		})
	case event.TodoUpdate:
		return t.message("todo_update", map[string]any{"todos": d.Todos, "timestamp": at})
	case event.Error:
		return t.write(SeedChatEvent{Type: "error", Message: d.Message, ErrorType: d.Code})
	case event.Complete:
		return t.complete(d, e.Time)
	default:
		return nil
	}
}

func (t *seedTurn) complete(d event.Complete, at time.Time) error {
	if err := t.message("metadata", map[string]any{
		"final_content": t.final, "cost_usd": d.CostUSD, "duration_ms": max(0, at.Sub(t.began).Milliseconds()),
		"usage": map[string]int64{
			"input_tokens": d.Usage.InputTokens, "output_tokens": d.Usage.OutputTokens,
			"total_tokens": d.Usage.InputTokens + d.Usage.OutputTokens,
		},
	}); err != nil {
		return err
	}
	status := d.Status
	if status == event.CompleteOK {
		status = "success"
	}
	if err := t.write(SeedChatEvent{Type: "complete", Status: status, TotalMessages: t.sent}); err != nil {
		return err
	}
	return errTurnOver
}

// arguments is a tool's input; one that is no JSON would break the whole event.
func arguments(raw json.RawMessage) any {
	if !json.Valid(raw) {
		return map[string]any{}
	}
	return raw
}

func seedChatAnswers(r huma.Registry, op *huma.Operation) {
	answers(op, "The turn as it happens, ended by `data: [DONE]`.", map[string]*huma.MediaType{
		mediaStream: media(r.Schema(reflect.TypeFor[SeedChatEvent](), true, "SeedChatEvent")),
	})
}
