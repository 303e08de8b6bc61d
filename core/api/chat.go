package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/danielgtaylor/huma/v2/negotiation"

	"github.com/agcluster/agcluster/core/event"
)

const (
	mediaJSON   = "application/json"
	mediaStream = "text/event-stream"
)

// ChatRequest is the body of POST /api/agents/{session_id}/chat.
type ChatRequest struct {
	Message string `json:"message" minLength:"1" maxLength:"1048576" doc:"What the agent is told; 1 to 1,048,576 characters."`
}

type chatInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	Accept    string `header:"Accept" doc:"text/event-stream or application/json (the default)."`
	Deltas    bool   `query:"deltas" doc:"Also stream previews (text_delta) of text that is still being written."`
	Body      ChatRequest
}

// ChatAnswer is a turn in one piece.
type ChatAnswer struct {
	SessionID   string          `json:"session_id"`
	Turn        int64           `json:"turn"`
	Status      string          `json:"status" enum:"completed,interrupted,failed,max_turns"`
	Text        string          `json:"text" doc:"The main agent's last text."`
	ToolResults []ChatToolCall  `json:"tool_results" doc:"The main agent's tool calls, in order."`
	Verdicts    []event.Verdict `json:"verdicts" doc:"What policies, filters and people denied, rewrote or were asked for."`
	Errors      []event.Error   `json:"errors"`
	Usage       event.Usage     `json:"usage"`
	CostUSD     float64         `json:"cost_usd"`
	Turns       int             `json:"turns" doc:"Model round trips."`
	LastEventID int64           `json:"last_event_id"`
}

// ChatToolCall is a tool call with its result.
type ChatToolCall struct {
	ID      string `json:"id"`
	Tool    string `json:"tool"`
	Input   string `json:"input" doc:"One readable line."`
	Output  string `json:"output"`
	IsError bool   `json:"is_error"`
}

// negotiate picks one of offered for an Accept header; the first is for clients that do not care.
func negotiate(accept string, offered ...string) (string, error) {
	if strings.TrimSpace(accept) == "" {
		return offered[0], nil
	}
	if got := negotiation.SelectQValue(accept, offered); got != "" {
		return got, nil
	}
	if strings.Contains(accept, "*/*") || strings.Contains(accept, strings.SplitN(offered[0], "/", 2)[0]+"/*") {
		return offered[0], nil
	}
	return "", huma.NewError(http.StatusNotAcceptable, "Accept: this answers with "+strings.Join(offered, " or "))
}

func (a *API) chat(ctx context.Context, in *chatInput) (*huma.StreamResponse, error) {
	form, err := negotiate(in.Accept, mediaJSON, mediaStream)
	if err != nil {
		return nil, err
	}
	turn, err := a.Turns.Send(ctx, in.SessionID, in.Body.Message)
	if err != nil {
		return nil, a.problem(err)
	}
	if form == mediaStream {
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			a.stream(hc, streamRequest{session: in.SessionID, after: turn.After, turn: turn.Number, deltas: in.Deltas})
		}}, nil
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		answer, err := a.collect(hc.Context(), in.SessionID, turn.Number, turn.After)
		if err != nil {
			p := a.problem(err)
			_ = huma.WriteErr(a.huma, hc, p.GetStatus(), p.Error()) // the client has gone; there is nobody to tell
			return
		}
		writeJSON(hc, answer)
	}}, nil
}

func writeJSON(hc huma.Context, v any) {
	_, w := humachi.Unwrap(hc)
	b, err := encode(v)
	if err != nil {
		writeProblem(w, http.StatusInternalServerError, "the answer can't be encoded")
		return
	}
	w.Header().Set("Content-Type", mediaJSON)
	_, _ = w.Write(b) // the client has gone; there is nobody to tell
}

var errTurnOver = errors.New("the turn is over")

// collect waits for the end of a turn and puts it in one piece.
func (a *API) collect(ctx context.Context, id string, turn, after int64) (ChatAnswer, error) {
	out := ChatAnswer{
		SessionID: id, Turn: turn, ToolResults: []ChatToolCall{}, Verdicts: []event.Verdict{}, Errors: []event.Error{},
	}
	inputs := map[string]string{}
	err := a.Turns.Follow(ctx, id, after, false, func(e event.Event, _ bool) error {
		if e.Turn != turn {
			return nil
		}
		out.LastEventID = e.ID
		switch d := e.Data.(type) {
		case event.Text:
			if d.Parent == "" {
				out.Text = d.Content
			}
		case event.ToolUse:
			inputs[d.ID] = d.Input
		case event.ToolResult:
			if d.Parent == "" {
				out.ToolResults = append(out.ToolResults, ChatToolCall{
					ID: d.ID, Tool: d.Tool, Input: inputs[d.ID], Output: d.Output, IsError: d.IsError,
				})
			}
		case event.Verdict:
			out.Verdicts = append(out.Verdicts, d)
		case event.Error:
			out.Errors = append(out.Errors, d)
		case event.Complete:
			out.Status, out.Usage, out.CostUSD, out.Turns = d.Status, d.Usage, d.CostUSD, d.Turns
			return errTurnOver
		}
		return nil
	})
	switch {
	case errors.Is(err, errTurnOver):
		return out, nil
	case err == nil:
		return out, huma.NewError(http.StatusConflict, "the session was stopped while the turn ran")
	default:
		return out, err
	}
}
