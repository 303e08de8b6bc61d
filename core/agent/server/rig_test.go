package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/claude"
	"github.com/agcluster/agcluster/core/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token = "a-token-for-tests"
	// patience is an outer limit: what takes longer hangs. A machine with many times the load it has processors for is no hang.
	patience = 2 * time.Minute
)

// script is what a fake agent does in a turn.
type script func(ctx context.Context, message string, interrupt <-chan struct{}, sink claude.Sink) event.Complete

// fakeDriver is a Driver without a CLI.
type fakeDriver struct {
	start func(context.Context, agent.SessionSpec) error
	turn  script

	mu      sync.Mutex
	started []agent.SessionSpec
	// prepared are the specs of spares.
	prepared []agent.SessionSpec
	turns    int
	closed   bool
	// settings are those that were set, offered the commands that there are.
	settings []agent.Settings
	offered  []agent.Command
}

var _ Driver = (*fakeDriver)(nil)

func (d *fakeDriver) Prepare(_ context.Context, spec agent.SessionSpec) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.prepared = append(d.prepared, spec)
	return nil
}

func (d *fakeDriver) Start(ctx context.Context, spec agent.SessionSpec) error {
	d.mu.Lock()
	d.started = append(d.started, spec)
	d.mu.Unlock()
	if d.start == nil {
		return nil
	}
	return d.start(ctx, spec)
}

func (d *fakeDriver) Turn(ctx context.Context, message string, interrupt <-chan struct{}, sink claude.Sink) event.Complete {
	d.mu.Lock()
	d.turns++
	d.mu.Unlock()
	return d.turn(ctx, message, interrupt, sink)
}

func (d *fakeDriver) State() string { return "running" }

func (d *fakeDriver) Set(_ context.Context, settings agent.Settings) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if settings.Model != nil && *settings.Model == "unknown" {
		return fmt.Errorf("%w: refused", agent.ErrInvalid)
	}
	d.settings = append(d.settings, settings)
	return nil
}

func (d *fakeDriver) Commands() []agent.Command {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.offered
}

func (d *fakeDriver) Environment(own map[string]string) []string {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "AGENT=here"}
	for k, v := range own {
		env = append(env, k+"="+v)
	}
	return env
}

func (d *fakeDriver) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
}

// echo says what it was told.
func echo(_ context.Context, message string, _ <-chan struct{}, sink claude.Sink) event.Complete {
	if sink.Event(event.Text{Content: message}) != nil {
		return event.Complete{Status: event.CompleteFailed}
	}
	return event.Complete{Status: event.CompleteOK}
}

// untilInterrupted does nothing else.
func untilInterrupted(ctx context.Context, _ string, interrupt <-chan struct{}, _ claude.Sink) event.Complete {
	select {
	case <-interrupt:
		return event.Complete{Status: event.CompleteInterrupted}
	case <-ctx.Done():
		return event.Complete{Status: event.CompleteFailed}
	}
}

// rig is a server on a unix socket with a client.
type rig struct {
	server *Server
	client *agent.Client
	driver *fakeDriver
	tunnel *Tunnel
	// dir is the workspace, socket where the server answers.
	dir, socket string
}

func newRig(t *testing.T, turn script, change func(*Config)) *rig {
	t.Helper()
	if turn == nil {
		turn = echo
	}
	log := zaptest.NewLogger(t)
	// The name of a socket must be short; t.TempDir is not.
	dir, err := os.MkdirTemp("", "ag")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	r := &rig{dir: filepath.Join(dir, "workspace"), socket: filepath.Join(dir, "s"), driver: &fakeDriver{turn: turn}}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := OpenWorkspace(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := files.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg := Config{Token: token, Version: "test", StateDir: filepath.Join(dir, "state")}
	if change != nil {
		change(&cfg)
	}
	r.tunnel = NewTunnel(patience, log)
	if r.server, err = New(cfg, r.driver, files, r.tunnel, log); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(l) }()
	t.Cleanup(func() {
		r.server.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	r.client = r.dial(t, r.socket)
	return r
}

// dial returns a client of the server behind a socket.
func (r *rig) dial(t *testing.T, socket string) *agent.Client {
	t.Helper()
	c, err := agent.NewClient(agent.Endpoint{URL: "unix:" + socket}, token, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (r *rig) spec() agent.SessionSpec {
	return agent.SessionSpec{TranscriptID: "0b1c2d3e-0000-4000-8000-000000000001", PermissionMode: "acceptEdits", Cwd: r.dir}
}

func (r *rig) configure(t *testing.T) *rig {
	t.Helper()
	if err := r.client.Configure(within(t), r.spec()); err != nil {
		t.Fatal(err)
	}
	return r
}

// within is a context with an outer limit.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// follow collects the frames of a turn.
func follow(t *testing.T, c *agent.Client, turn int64, message string, after int64) []agent.Frame {
	t.Helper()
	var frames []agent.Frame
	err := c.Turn(within(t), agent.TurnRequest{Turn: turn, Message: message}, after, func(f agent.Frame, _ bool) error {
		frames = append(frames, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return frames
}

// raw makes a request past the client.
func (r *rig) raw(t *testing.T, method, path, auth, body string) *http.Response {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", r.socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	req, err := http.NewRequestWithContext(within(t), method, "http://sandbox"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, res.Body) })
	return res
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// shut closes what a test has opened.
func shut(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// flush sends what was written so far.
func flush(t *testing.T, w http.ResponseWriter) {
	t.Helper()
	if err := http.NewResponseController(w).Flush(); err != nil {
		t.Error(err)
	}
}

func receive[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s within %s", what, patience)
		panic("unreachable")
	}
}
