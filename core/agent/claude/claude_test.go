package claude

import (
	"context"
	"io"
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

const transcript = "0b1c2d3e-0000-4000-8000-000000000001"

// claudeBinary finds the real CLI: AGCLUSTER_CLAUDE, else the newest in the cache.
func claudeBinary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("AGCLUSTER_CLAUDE"); path != "" {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(home, ".cache/agcluster/claude/*/node_modules/@anthropic-ai/claude-code-linux-x64/claude"))
	if err != nil || len(found) == 0 {
		t.Fatal("Claude Code is not installed: set AGCLUSTER_CLAUDE or run make test, which installs it")
	}
	return found[len(found)-1]
}

type sink struct {
	mu     sync.Mutex
	events []event.Data
	asks   []agent.Ask
	seen   chan event.Data
	judge  func(context.Context, agent.Ask) (agent.Answer, error)
}

func newSink(judge func(context.Context, agent.Ask) (agent.Answer, error)) *sink {
	if judge == nil {
		judge = func(context.Context, agent.Ask) (agent.Answer, error) { return agent.Answer{Allow: true}, nil }
	}
	return &sink{judge: judge, seen: make(chan event.Data, 10000)}
}

func (s *sink) Event(d event.Data) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, d)
	s.seen <- d
	return nil
}

func (s *sink) Ask(ctx context.Context, ask agent.Ask) (agent.Answer, error) {
	s.mu.Lock()
	s.asks = append(s.asks, ask)
	s.mu.Unlock()
	return s.judge(ctx, ask)
}

func (s *sink) dump(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Type() != event.TypeTextDelta {
			t.Logf("%-12s %+v", e.Type(), e)
		}
	}
	for _, a := range s.asks {
		t.Logf("ask %s %s parent=%q type=%q in=%s out=%s err=%v", a.Stage, a.Tool, a.Parent, a.AgentType, a.Input, a.Output, a.IsError)
	}
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

type rig struct {
	driver *Driver
	model  *offline.Server
	spec   agent.SessionSpec
	cfg    Config
}

func newRig(t *testing.T, script string, change func(*agent.SessionSpec)) *rig {
	t.Helper()
	log := zaptest.NewLogger(t)
	parsed, err := offline.Parse(strings.NewReader(script))
	if err != nil {
		t.Fatal(err)
	}
	model := offline.New(parsed, io.Discard, log)
	srv := httptest.NewServer(model)
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	cfg := Config{
		Binary: claudeBinary(t), GatewayURL: srv.URL,
		Env: map[string]string{"HOME": filepath.Join(dir, "home"), "PATH": os.Getenv("PATH"), "SHELL": "/bin/bash", "LANG": "C.UTF-8"},
	}
	spec := agent.SessionSpec{
		TranscriptID: transcript, Tools: []string{"Bash", "Read", "Write", "TodoWrite"}, PermissionMode: "acceptEdits",
		Cwd: filepath.Join(dir, "workspace"),
	}
	for _, d := range []string{cfg.Env["HOME"], spec.Cwd} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		change(&spec)
	}
	r := &rig{driver: New(cfg, log), model: model, spec: spec, cfg: cfg}
	t.Cleanup(r.driver.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.driver.Start(ctx, spec); err != nil {
		t.Fatal(err)
	}
	return r
}

const basic = `
rules:
  - match: {user: "^run (.*)"}
    reply: [{tool: {name: Bash, input: {command: "{{index .Match 1}}", description: run}}}]
  - match: {user: "^todo"}
    reply: [{tool: {name: TodoWrite, input: {todos: [{content: one, status: pending, activeForm: doing}]}}}]
  - match: {user: "^delegate"}
    reply: [{tool: {name: Agent, input: {description: have it written, prompt: "SUB write it", subagent_type: backend}}}]
  - match: {user: "^SUB"}
    reply: [{tool: {name: Write, input: {file_path: sub.txt, content: hello}}}]
  - match: {user: "^loop"}
    reply: [{tool: {name: Bash, input: {command: "true", description: loop}}}]
  - match: {user: "^fail"}
    reply: [{error: {status: 401, type: authentication_error, message: bad key}}]
  - match: {result: "AGAIN"}
    reply: [{tool: {name: Bash, input: {command: "echo AGAIN", description: again}}}]
  - match: {result: "(?s)(.*)"}
    reply: [{text: "result was: {{.Result}}"}]
  - match: {user: ".*"}
    reply: [{text: "you said {{.User}}"}]
`

func TestTurnsShareContextAndShowTools(t *testing.T) {
	r := newRig(t, basic, nil)
	for _, c := range []struct{ message, output string }{
		{"run echo fine", "fine"},
		{"run echo out; echo bad >&2; exit 3", "Exit code 3\nout\nbad"},
	} {
		s := newSink(nil)
		if got := r.driver.Turn(t.Context(), c.message, nil, s); got.Status != event.CompleteOK {
			s.dump(t)
			t.Fatalf("%s: %+v", c.message, got)
		}
		if got := of[event.ToolResult](s); len(got) != 1 || got[0].Output != c.output {
			s.dump(t)
			t.Errorf("%s: results %+v", c.message, got)
		}
		for _, i := range of[event.Init](s) {
			if i.PermissionMode != "acceptEdits" {
				t.Errorf("permission mode %q", i.PermissionMode)
			}
		}
	}
}

func TestSubAgentHasItsOwnToolsAndIsNamedInAsks(t *testing.T) {
	r := newRig(t, basic, func(s *agent.SessionSpec) {
		s.Tools = []string{"Task", "Read"}
		s.Agents = map[string]agent.SubAgent{"backend": {Description: "d", Prompt: "You are BACKEND", Tools: []string{"Write"}}}
	})
	s := newSink(nil)
	if got := r.driver.Turn(t.Context(), "delegate", nil, s); got.Status != event.CompleteOK {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(filepath.Join(r.spec.Cwd, "sub.txt")); err != nil {
		t.Error(err)
	}
	named := 0
	for _, a := range s.asks {
		if a.Tool == "Write" && a.AgentType == "backend" && a.Parent != "" {
			named++
		}
	}
	if named != 2 {
		s.dump(t)
		t.Errorf("%d asks name the sub-agent, want its call and its result", named)
	}
}
