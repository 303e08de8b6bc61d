package terminal

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is an outer limit: what takes longer hangs.
const patience = 30 * time.Second

var screen = agent.TerminalSize{Cols: 80, Rows: 24}

// fakeSessions counts what is asked of sessions.
type fakeSessions struct {
	mu      sync.Mutex
	err     error
	leases  int
	woken   int
	touched int
}

func (f *fakeSessions) Acquire(ctx context.Context, _ string) (func(), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil || ctx.Err() != nil {
		return nil, errors.Join(f.err, ctx.Err())
	}
	f.leases++
	f.woken++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.leases--
	}, nil
}

func (f *fakeSessions) Scope(context.Context, string) (session.Scope, error) {
	return session.Scope{Config: preset.Config{Env: map[string]string{"A": "1"}}}, nil
}

func (f *fakeSessions) Touch(string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.touched++
}

func (f *fakeSessions) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *fakeSessions) counts() (leases, woken, touched int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.leases, f.woken, f.touched
}

// fakeShell echoes what it is told. "bye" ends it with code 7, "crash" breaks it off.
type fakeShell struct {
	spec   agent.TerminalSpec
	out    chan []byte
	sizes  chan agent.TerminalSize
	once   sync.Once
	closed chan struct{}
	// deaf takes no input.
	deaf bool
}

func (f *fakeShell) Read(ctx context.Context) ([]byte, error) {
	select {
	case b := <-f.out:
		switch string(b) {
		case "bye":
			return nil, &agent.ExitError{Code: 7}
		case "crash":
			return nil, io.ErrUnexpectedEOF
		}
		return b, nil
	case <-f.closed:
		return nil, agent.ErrGone
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *fakeShell) Write(ctx context.Context, input []byte) error {
	out := f.out
	if f.deaf {
		out = nil
	}
	select {
	case out <- input:
		return nil
	case <-f.closed:
		return agent.ErrGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fakeShell) Resize(_ context.Context, size agent.TerminalSize) error {
	f.sizes <- size
	return nil
}

func (f *fakeShell) Close() { f.once.Do(func() { close(f.closed) }) }

// rig is a service behind a WebSocket.
type rig struct {
	*Service
	t        *testing.T
	sessions *fakeSessions
	err      error
	deaf     bool
	shells   chan *fakeShell
	url      string
}

func (r *rig) Open(_ context.Context, _ string, spec agent.TerminalSpec) (Shell, error) {
	if r.err != nil {
		return nil, r.err
	}
	sh := &fakeShell{spec: spec, out: make(chan []byte, 1), sizes: make(chan agent.TerminalSize, 1), closed: make(chan struct{}), deaf: r.deaf}
	r.shells <- sh
	return sh, nil
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, sessions: &fakeSessions{}, shells: make(chan *fakeShell, 8)}
	r.Service = New(r.sessions, r, zaptest.NewLogger(t))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		term, err := r.Redeem("conv-1", req.URL.Query().Get("id"), req.URL.Query().Get("secret"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		ws, err := websocket.Accept(w, req, nil)
		if err != nil {
			r.Drop(term)
			return
		}
		r.Serve(term, ws)
	}))
	r.url = srv.URL
	t.Cleanup(func() {
		r.Close()
		srv.Close()
		if leases, _, _ := r.sessions.counts(); leases != 0 {
			t.Errorf("%d leases are left", leases)
		}
	})
	return r
}

func (r *rig) ticket() Ticket {
	r.t.Helper()
	ticket, err := r.Service.Open(context.Background(), "conv-1", screen)
	if err != nil {
		r.t.Fatal(err)
	}
	return ticket
}

func (r *rig) dial(ticket Ticket) (*websocket.Conn, error) {
	r.t.Helper()
	transport := &http.Transport{}
	r.t.Cleanup(transport.CloseIdleConnections)
	ws, res, err := websocket.Dial(within(r.t), r.url+"?id="+ticket.Terminal+"&secret="+ticket.Secret, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		if res != nil {
			_ = res.Body.Close() // Dial has read it
		}
		return nil, err
	}
	r.t.Cleanup(func() { _ = ws.CloseNow() }) // closed already, or not
	return ws, nil
}

// open is a terminal with its shell.
func (r *rig) open() (*websocket.Conn, *fakeShell) {
	r.t.Helper()
	ws, err := r.dial(r.ticket())
	if err != nil {
		r.t.Fatal(err)
	}
	select {
	case sh := <-r.shells:
		return ws, sh
	case <-time.After(patience):
		r.t.Fatal("no shell")
		return nil, nil
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func say(t *testing.T, ws *websocket.Conn, kind websocket.MessageType, text string) {
	t.Helper()
	if err := ws.Write(within(t), kind, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// closing reads until the connection ends and returns how, with the texts before it.
func closing(t *testing.T, ws *websocket.Conn) (websocket.CloseError, []string) {
	t.Helper()
	var texts []string
	for {
		kind, b, err := ws.Read(within(t))
		var closed websocket.CloseError
		switch {
		case errors.As(err, &closed):
			return closed, texts
		case err != nil:
			t.Fatal(err)
		case kind == websocket.MessageText:
			texts = append(texts, string(b))
		}
	}
}

func gone(t *testing.T, sh *fakeShell) {
	t.Helper()
	select {
	case <-sh.closed:
	case <-time.After(patience):
		t.Error("the shell was left open")
	}
}

func TestATerminalCarriesBytesBothWays(t *testing.T) {
	r := newRig(t)
	ws, sh := r.open()
	if sh.spec.Cols != 80 || sh.spec.Rows != 24 || sh.spec.Cwd != "/workspace" || sh.spec.Env["A"] != "1" {
		t.Errorf("the shell was started with %+v", sh.spec)
	}
	say(t, ws, websocket.MessageBinary, "héllo\xff")
	if kind, b, err := ws.Read(within(t)); err != nil || kind != websocket.MessageBinary || string(b) != "héllo\xff" {
		t.Errorf("got %v %q %v", kind, b, err)
	}
	if leases, _, touched := r.sessions.counts(); touched < 1 || leases != 0 {
		t.Errorf("traffic: touched %d times, %d leases", touched, leases)
	}
	say(t, ws, websocket.MessageText, `{"type":"resize","cols":132,"rows":43}`)
	if size := <-sh.sizes; size != (agent.TerminalSize{Cols: 132, Rows: 43}) {
		t.Errorf("resized to %+v", size)
	}
	say(t, ws, websocket.MessageBinary, "bye")
	closed, texts := closing(t, ws)
	if closed.Code != websocket.StatusNormalClosure || len(texts) != 1 || texts[0] != `{"type":"exit","code":7}` {
		t.Errorf("it ended with %v after %q", closed, texts)
	}
	gone(t, sh)
}

func TestHowATerminalEnds(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*rig, *websocket.Conn, *fakeShell)
		code websocket.StatusCode
		says string
	}{
		{"the sandbox is lost", func(_ *rig, _ *websocket.Conn, sh *fakeShell) { sh.out <- []byte("crash") }, websocket.StatusGoingAway, "the sandbox is gone"},
		{"the host stops", func(r *rig, _ *websocket.Conn, _ *fakeShell) { go r.Close() }, websocket.StatusGoingAway, "shutting down"},
		{
			"no resize", func(r *rig, ws *websocket.Conn, _ *fakeShell) {
				say(r.t, ws, websocket.MessageText, `{"type":"dance"}`)
			},
			websocket.StatusPolicyViolation, "resize",
		},
		{
			"a size that is none", func(r *rig, ws *websocket.Conn, _ *fakeShell) {
				say(r.t, ws, websocket.MessageText, `{"type":"resize","cols":1001,"rows":1}`)
			}, websocket.StatusPolicyViolation, "1000",
		},
		{"no JSON", func(r *rig, ws *websocket.Conn, _ *fakeShell) { say(r.t, ws, websocket.MessageText, `ls`) }, websocket.StatusPolicyViolation, "text"},
		{
			"too large a message", func(r *rig, ws *websocket.Conn, _ *fakeShell) {
				say(r.t, ws, websocket.MessageBinary, strings.Repeat("x", agent.MaxTerminalMessage+1))
			}, websocket.StatusMessageTooBig, "",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			ws, sh := r.open()
			tc.do(r, ws, sh)
			if closed, texts := closing(t, ws); closed.Code != tc.code || !strings.Contains(closed.Reason, tc.says) || len(texts) != 0 {
				t.Errorf("got %v after %q", closed, texts)
			}
			gone(t, sh)
		})
	}
}

func TestAClientThatGoesTakesItsShellWithIt(t *testing.T) {
	r := newRig(t)
	ws, sh := r.open()
	if err := ws.CloseNow(); err != nil {
		t.Fatal(err)
	}
	gone(t, sh)
}

func TestAShellThatTakesNoInputDoesNotHoldUpTheEnd(t *testing.T) {
	r := newRig(t)
	r.deaf = true
	ws, sh := r.open()
	say(t, ws, websocket.MessageBinary, "nobody takes this")
	sh.out <- []byte("shown")
	if _, b, err := ws.Read(within(t)); err != nil || string(b) != "shown" {
		t.Errorf("got %q %v", b, err)
	}
	r.Close()
	gone(t, sh)
}

func TestAShellThatCannotBeHad(t *testing.T) {
	for _, tc := range []struct {
		name        string
		open, awake error
		says        string
	}{
		{"the sandbox is gone", agent.ErrGone, nil, "could not be reached"},
		{"the sandbox is full", agent.ErrConflict, nil, "no room"},
		{"the session is gone", nil, session.ErrNotFound, "stopped"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			r.err = tc.open
			ticket := r.ticket()
			r.sessions.fail(tc.awake)
			ws, err := r.dial(ticket)
			if err != nil {
				t.Fatal(err)
			}
			if closed, _ := closing(t, ws); closed.Code != websocket.StatusInternalError || !strings.Contains(closed.Reason, tc.says) {
				t.Errorf("got %v", closed)
			}
		})
	}
}
