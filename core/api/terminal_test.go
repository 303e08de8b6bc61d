package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/core/terminal"
)

// terminals hands out one ticket and says hello to whoever comes with it.
type terminals struct {
	err     error
	size    agent.TerminalSize
	dropped int
}

func (f *terminals) Open(_ context.Context, _ string, size agent.TerminalSize) (terminal.Ticket, error) {
	f.size = size
	return terminal.Ticket{Terminal: "term-1", Secret: "SECRET", Expires: time.Unix(30, 0).UTC()}, f.err
}

func (f *terminals) Redeem(sessionID, id, secret string) (*terminal.Terminal, error) {
	if sessionID != "conv-1" || id != "term-1" || secret != "SECRET" {
		return nil, terminal.ErrTicket
	}
	return &terminal.Terminal{}, nil
}

func (f *terminals) Serve(_ *terminal.Terminal, ws *websocket.Conn) {
	_ = ws.Write(context.Background(), websocket.MessageBinary, []byte("hello")) // a client that has gone fails the test itself
	_ = ws.Close(websocket.StatusNormalClosure, "")                              // as above
}

func (f *terminals) Drop(*terminal.Terminal) { f.dropped++ }

func serveTerminals(t *testing.T, f *terminals, on bool) *httptest.Server {
	t.Helper()
	own := &fake{rec: session.Session{ID: "conv-1"}}
	_, h := New(Config{Version: "1", Terminal: on}, Deps{Sessions: own, Turns: own, Status: own, Terminals: f}, zap.NewNop())
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s
}

func post(t *testing.T, url, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sk-ant-x")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func TestAskingForATerminal(t *testing.T) {
	for _, c := range []struct {
		name, body string
		off        bool
		err        error
		status     int
		says       string
	}{
		{"a ticket", `{"cols":80,"rows":24}`, false, nil, 201, `{"terminal":"term-1","ticket":"SECRET","expires_at":"1970-01-01T00:00:30Z"}`},
		{"switched off", `{"cols":80,"rows":24}`, true, nil, 403, "terminal.enabled"},
		{"too many", `{"cols":80,"rows":24}`, false, terminal.ErrTooMany, 429, "4 terminals"},
		{"a sandbox that does not wake", `{"cols":80,"rows":24}`, false, errors.Join(session.ErrUnavailable, errors.New("no bwrap")), 503, "bwrap"},
		{"no rows", `{"cols":80}`, false, nil, 422, "rows"},
		{"too wide", `{"cols":1001,"rows":24}`, false, nil, 422, "cols"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &terminals{err: c.err}
			res := post(t, serveTerminals(t, f, !c.off).URL+"/api/agents/conv-1/terminal", c.body)
			b, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != c.status || !strings.Contains(string(b), c.says) {
				t.Errorf("%d %s (%v)", res.StatusCode, b, err)
			}
			if c.status == 201 && f.size != (agent.TerminalSize{Cols: 80, Rows: 24}) {
				t.Errorf("asked for %+v", f.size)
			}
		})
	}
}

func TestOpeningATerminal(t *testing.T) {
	for _, c := range []struct {
		name, path string
		protocols  []string
		origin     string
		off        bool
		// status of a refusal; 0 is none.
		status  int
		dropped int
	}{
		{name: "with its ticket", protocols: []string{"agcluster.terminal.v1", "ticket.SECRET"}},
		{name: "the other way round", protocols: []string{"ticket.SECRET", "agcluster.terminal.v1"}},
		{name: "with a wrong one", protocols: []string{"agcluster.terminal.v1", "ticket.X"}, status: 403},
		{name: "without one", protocols: []string{"agcluster.terminal.v1"}, status: 403},
		{name: "in another language", protocols: []string{"ticket.SECRET"}, status: 400},
		{name: "of another session", path: "/api/agents/conv-2/terminal/term-1", protocols: []string{"agcluster.terminal.v1", "ticket.SECRET"}, status: 403},
		{name: "from a page of another origin", protocols: []string{"agcluster.terminal.v1", "ticket.SECRET"}, origin: "https://evil.example", status: 403},
		{name: "switched off", protocols: []string{"agcluster.terminal.v1", "ticket.SECRET"}, off: true, status: 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &terminals{}
			url := serveTerminals(t, f, !c.off).URL
			path := c.path
			if path == "" {
				path = "/api/agents/conv-1/terminal/term-1"
			}
			header := http.Header{}
			if c.origin != "" {
				header.Set("Origin", c.origin)
			}
			ws, res, err := websocket.Dial(t.Context(), url+path, &websocket.DialOptions{Subprotocols: c.protocols, HTTPHeader: header})
			if c.status != 0 {
				if err == nil || res == nil || res.StatusCode != c.status || f.dropped != c.dropped {
					t.Errorf("%+v %v, dropped %d", res, err, f.dropped)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ws.CloseNow() }()
			if ws.Subprotocol() != "agcluster.terminal.v1" {
				t.Errorf("it speaks %q", ws.Subprotocol())
			}
			if kind, b, err := ws.Read(t.Context()); err != nil || kind != websocket.MessageBinary || string(b) != "hello" {
				t.Errorf("got %v %q %v", kind, b, err)
			}
			var closed websocket.CloseError
			if _, _, err := ws.Read(t.Context()); !errors.As(err, &closed) || closed.Code != websocket.StatusNormalClosure {
				t.Errorf("got %v", err)
			}
		})
	}
	if res := get(t, serveTerminals(t, &terminals{}, true).URL+"/api/agents/conv-1/terminal/term-1"); res.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("no WebSocket: %d", res.StatusCode)
	}
}
