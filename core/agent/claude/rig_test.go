package claude

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/offline"
	"github.com/agcluster/agcluster/core/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	transcript = "0b1c2d3e-0000-4000-8000-000000000001"
	// patience is an outer limit: what takes longer hangs.
	patience = time.Minute
)

// claudeBinary finds the real CLI: AGCLUSTER_CLAUDE, else the newest in the cache.
func claudeBinary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("AGCLUSTER_CLAUDE"); path != "" {
		return path
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(cache, "agcluster/claude/*/node_modules/@anthropic-ai/claude-code-linux-*/claude"))
	if err != nil || len(found) == 0 {
		t.Fatal("Claude Code is not installed: set AGCLUSTER_CLAUDE or run make test, which installs it")
	}
	return found[len(found)-1]
}

type judge func(context.Context, agent.Ask) (agent.Answer, error)

func allow(context.Context, agent.Ask) (agent.Answer, error) { return agent.Answer{Allow: true}, nil }

// sink keeps what happens in a turn.
type sink struct {
	judge judge

	mu      sync.Mutex
	events  []event.Data
	asks    []agent.Ask
	changed chan struct{}
}

var _ Sink = (*sink)(nil)

func newSink(j judge) *sink {
	if j == nil {
		j = allow
	}
	return &sink{judge: j, changed: make(chan struct{})}
}

func (s *sink) Event(d event.Data) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, d)
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

func (s *sink) Ask(ctx context.Context, ask agent.Ask) (agent.Answer, error) {
	s.mu.Lock()
	s.asks = append(s.asks, ask)
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	return s.judge(ctx, ask)
}

func (s *sink) dump(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Type() != event.TypeTextDelta {
			b, _ := json.Marshal(e)
			t.Logf("%-12s %.400s", e.Type(), b)
		}
	}
	for _, a := range s.asks {
		t.Logf("ask %s %s parent=%q type=%q in=%.200s out=%.200s err=%v", a.Stage, a.Tool, a.Parent, a.AgentType, a.Input, a.Output, a.IsError)
	}
}

// await waits until ok says so of what has happened.
func (s *sink) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			s.dump(t)
			t.Fatalf("no %s within %s", what, patience)
		}
	}
}

func (s *sink) asked(stage agent.Stage, tool string) []agent.Ask {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []agent.Ask
	for _, a := range s.asks {
		if a.Stage == stage && (a.Tool == tool || tool == "") {
			out = append(out, a)
		}
	}
	return out
}

func of[T event.Data](s *sink) []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []T
	for _, e := range s.events {
		if v, ok := e.(T); ok {
			out = append(out, v)
		}
	}
	return out
}

// rig is a driver with a workspace and an offline model of its own.
type rig struct {
	t      *testing.T
	driver *Driver
	model  *offline.Server
	spec   agent.SessionSpec
	cfg    Config
}

func newRig(t *testing.T, script string, change func(*rig)) *rig {
	t.Helper()
	log := zaptest.NewLogger(t)
	parsed, err := offline.Parse(strings.NewReader(script))
	if err != nil {
		t.Fatal(err)
	}
	model := offline.New(parsed, io.Discard, log)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		// What the gateway says of a key that is refused; without it, the CLI tries ten times in three minutes.
		w.Header().Set("X-Should-Retry", "false")
		model.ServeHTTP(w, q)
	}))
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	r := &rig{t: t, model: model, cfg: Config{
		Binary: claudeBinary(t), GatewayURL: srv.URL,
		Env: map[string]string{
			"HOME": filepath.Join(dir, "home"), "CLAUDE_CODE_TMPDIR": dir, "PATH": os.Getenv("PATH"), "SHELL": "/bin/bash", "LANG": "C.UTF-8",
			"AGCLUSTER_TOKEN_FD": "3", "HTTPS_PROXY": "http://127.0.0.1:1", "ANTHROPIC_AUTH_TOKEN": "stray",
		},
	}, spec: agent.SessionSpec{
		TranscriptID: transcript, Tools: []string{"Bash", "Read", "Write", "Edit", "Grep", "NotebookEdit", "TodoWrite", "Agent"},
		PermissionMode: "acceptEdits", Cwd: filepath.Join(dir, "workspace"),
	}}
	for _, d := range []string{r.cfg.Env["HOME"], r.spec.Cwd} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		change(r)
	}
	r.driver = New(r.cfg, log)
	t.Cleanup(r.driver.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.driver.Start(ctx, r.spec); err != nil {
		t.Fatal(err)
	}
	return r
}

// turn runs one turn to its end, which must have the status.
func (r *rig) turn(t *testing.T, message, status string, j judge) *sink {
	t.Helper()
	s := newSink(j)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if got := r.driver.Turn(ctx, message, nil, s); got.Status != status {
		s.dump(t)
		t.Fatalf("turn %q: %+v, want status %s", message, got, status)
	}
	return s
}

// run is a turn that goes on in the background.
type run struct {
	sink      *sink
	interrupt chan struct{}
	complete  chan event.Complete
}

func (r *rig) begin(message string, j judge) *run {
	b := &run{sink: newSink(j), interrupt: make(chan struct{}), complete: make(chan event.Complete, 1)}
	go func() { b.complete <- r.driver.Turn(context.Background(), message, b.interrupt, b.sink) }()
	return b
}

func (b *run) wait(t *testing.T, limit time.Duration) event.Complete {
	t.Helper()
	select {
	case c := <-b.complete:
		return c
	case <-time.After(limit):
		b.sink.dump(t)
		t.Fatalf("the turn did not end within %s", limit)
		return event.Complete{}
	}
}

// requests are the bodies of what reached the model with tools, the oldest first.
func (r *rig) requests() []request {
	r.t.Helper()
	var out []request
	for _, e := range r.model.Log() {
		var q request
		if err := json.Unmarshal(e.Body, &q); err == nil && len(q.Tools) > 0 {
			q.raw = string(e.Body)
			out = append(out, q)
		}
	}
	return out
}

func (r *rig) lastRequest() request {
	r.t.Helper()
	all := r.requests()
	if len(all) == 0 {
		r.t.Fatal("nothing has reached the model")
	}
	return all[len(all)-1]
}

type request struct {
	Model  string          `json:"model"`
	System json.RawMessage `json:"system"`
	Tools  []struct {
		Name string `json:"name"`
	} `json:"tools"`
	Messages []struct {
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	raw string
}

// lastResult is the newest tool result as the model sees it.
func (q request) lastResult() string {
	last := ""
	for _, m := range q.Messages {
		var list []json.RawMessage
		if json.Unmarshal(m.Content, &list) != nil {
			continue
		}
		for _, raw := range list {
			var b struct {
				Type    string          `json:"type"`
				Content json.RawMessage `json:"content"`
			}
			if json.Unmarshal(raw, &b) == nil && b.Type == "tool_result" {
				last = string(b.Content)
			}
		}
	}
	return last
}

func (q request) tools() []string {
	var out []string
	for _, t := range q.Tools {
		out = append(out, t.Name)
	}
	return out
}

func toText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (r *rig) file(name string) string { return filepath.Join(r.spec.Cwd, name) }

func (r *rig) write(name, content string) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Dir(r.file(name)), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(r.file(name), []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) remove(name string) {
	r.t.Helper()
	if err := os.RemoveAll(r.file(name)); err != nil {
		r.t.Fatal(err)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// alive says whether a process has text in its command line.
func alive(t *testing.T, text string) bool {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), text) && !strings.HasPrefix(path, "/proc/self/") {
			return true
		}
	}
	return false
}

// eventually waits for what nothing announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
