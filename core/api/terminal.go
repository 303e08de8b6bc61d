package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/terminal"
)

const (
	// terminalProtocol is the WebSocket subprotocol of terminals; a ticket comes as another one, because a browser can send no header.
	terminalProtocol = "agcluster.terminal.v1"
	ticketProtocol   = "ticket."
)

// Terminals gives people shells in their sandboxes.
type Terminals interface {
	Open(ctx context.Context, sessionID string, size agent.TerminalSize) (terminal.Ticket, error)
	// Redeem takes a ticket, once. Who gets a terminal calls Serve or Drop.
	Redeem(sessionID, id, secret string) (*terminal.Terminal, error)
	// Serve carries bytes between ws and a shell until one of them ends.
	Serve(t *terminal.Terminal, ws *websocket.Conn)
	Drop(t *terminal.Terminal)
}

// TerminalRequest is the body of POST /api/agents/{session_id}/terminal.
type TerminalRequest struct {
	Cols int `json:"cols" minimum:"1" maximum:"1000" doc:"Columns of the screen."`
	Rows int `json:"rows" minimum:"1" maximum:"1000" doc:"Rows of the screen."`
}

type terminalInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	Body      TerminalRequest
}

// TerminalTicket answers it.
type TerminalTicket struct {
	Terminal  string    `json:"terminal" example:"term-0f1e2d3c4b5a6978"`
	Ticket    string    `json:"ticket" doc:"Opens the terminal, once."`
	ExpiresAt time.Time `json:"expires_at" doc:"When the ticket is no longer good: 30 s after it was given."`
}

type ticketOutput struct {
	Body TerminalTicket
}

func (a *API) openTerminal(ctx context.Context, in *terminalInput) (*ticketOutput, error) {
	if err := a.terminalsOn(); err != nil {
		return nil, err
	}
	t, err := a.Terminals.Open(ctx, in.SessionID, agent.TerminalSize{Cols: in.Body.Cols, Rows: in.Body.Rows})
	if err != nil {
		return nil, a.terminalProblem(err)
	}
	return &ticketOutput{Body: TerminalTicket{Terminal: t.Terminal, Ticket: t.Secret, ExpiresAt: t.Expires}}, nil
}

func (a *API) terminalsOn() error {
	if !a.cfg.Terminal {
		return huma.Error403Forbidden("the operator of this host has switched terminals off (terminal.enabled)")
	}
	return nil
}

func (a *API) terminalProblem(err error) huma.StatusError {
	switch {
	case errors.Is(err, terminal.ErrTooMany):
		return huma.NewError(http.StatusTooManyRequests, err.Error())
	case errors.Is(err, terminal.ErrTicket):
		return huma.Error403Forbidden(err.Error())
	case errors.Is(err, terminal.ErrBusy):
		return huma.Error503ServiceUnavailable(err.Error())
	default:
		return a.problem(err)
	}
}

type attachInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	Terminal  string `path:"terminal" maxLength:"64"`
	Protocols string `header:"Sec-WebSocket-Protocol" doc:"agcluster.terminal.v1, and ticket. followed by the ticket." maxLength:"512"`
	Upgrade   string `header:"Upgrade" doc:"websocket"`
}

// attachTerminal turns the connection into a terminal.
func (a *API) attachTerminal(_ context.Context, in *attachInput) (*huma.StreamResponse, error) {
	if err := a.terminalsOn(); err != nil {
		return nil, err
	}
	if !strings.EqualFold(in.Upgrade, "websocket") {
		return nil, huma.NewError(http.StatusUpgradeRequired, "this is a WebSocket")
	}
	known, secret := false, ""
	for p := range strings.SplitSeq(in.Protocols, ",") {
		p = strings.TrimSpace(p)
		if p == terminalProtocol {
			known = true
		} else if s, ok := strings.CutPrefix(p, ticketProtocol); ok {
			secret = s
		}
	}
	if !known {
		return nil, huma.Error400BadRequest("the subprotocols must be " + terminalProtocol + " and " + ticketProtocol + "<the ticket>")
	}
	t, err := a.Terminals.Redeem(in.SessionID, in.Terminal, secret)
	if err != nil {
		return nil, a.terminalProblem(err)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humachi.Unwrap(hc)
		// Pages of other origins are refused here; compression would cost more than it saves.
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{
			Subprotocols: []string{terminalProtocol}, CompressionMode: websocket.CompressionDisabled,
		})
		if err != nil {
			a.Terminals.Drop(t)
			a.log.Info("refusing a terminal", zap.Error(err)) // Accept has answered
			return
		}
		a.Terminals.Serve(t, ws)
	}}, nil
}

func terminalAnswers(_ huma.Registry, op *huma.Operation) {
	op.Responses = map[string]*huma.Response{"101": {Description: "The terminal: binary messages are bytes, texts are JSON."}}
}
