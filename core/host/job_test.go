package host_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/event"
)

// The main job, end to end, with the real Claude Code in the real sandbox.
func jobMainJob(t *testing.T, on string) {
	before := running()
	r := newRig(t, options{on: on})
	id := r.launch("code-assistant")

	x := r.turn(id, "write /workspace/hello.py print('hello')").ended(event.CompleteOK)
	if uses := of[event.ToolUse](x.events); len(uses) != 1 || uses[0].Tool != "Write" || uses[0].Input != "/workspace/hello.py" {
		t.Fatalf("tool uses: %s", describe(x.events))
	}
	x = r.turn(id, "run: python3 hello.py").ended(event.CompleteOK).says("hello")
	if results := of[event.ToolResult](x.events); len(results) != 1 || results[0].Output != "hello" || results[0].Tool != "Bash" {
		t.Fatalf("tool results: %s", describe(x.events))
	}
	x = r.turn(id, "todo please").ended(event.CompleteOK)
	if todos := of[event.TodoUpdate](x.events); len(todos) != 1 || todos[0].Todos[0].Content != "one" {
		t.Fatalf("todos: %s", describe(x.events))
	}
	x = r.turn(id, "run: cat /etc/passwd").ended(event.CompleteOK)
	if v := x.denied("path.access"); v.By != "policy:path" || v.Tool != "Bash" {
		t.Fatalf("verdict %+v", v)
	}
	if results := of[event.ToolResult](x.events); len(results) != 1 || !results[0].IsError || strings.Contains(results[0].Output, "root:") {
		t.Fatalf("the denied call: %s", describe(x.events))
	}

	var tree struct {
		Root       string          `json:"root"`
		Tree       json.RawMessage `json:"tree"`
		TotalFiles int             `json:"total_files"`
	}
	r.request(http.MethodGet, "/api/files/"+id, nil).into(t, 200, &tree)
	if tree.TotalFiles != 1 || !bytes.Contains(tree.Tree, []byte(`"hello.py"`)) {
		t.Errorf("tree %s", tree.Tree)
	}
	z := r.request(http.MethodPost, "/api/files/"+id+"/download", nil)
	z.into(t, 200, nil)
	archive, err := zip.NewReader(bytes.NewReader(z.body), int64(len(z.body)))
	if err != nil || len(archive.File) != 1 || archive.File[0].Name != "hello.py" {
		t.Fatalf("zip: %v %+v", err, archive)
	}
	f, err := archive.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	if content, err := io.ReadAll(f); err != nil || string(content) != "print('hello')" {
		t.Errorf("hello.py in the zip: %q %v", content, err)
	}
	if u := r.session(id).Usage; u.InputTokens == 0 || u.OutputTokens == 0 {
		t.Errorf("usage %+v", u)
	}
	r.history(id)

	r.request(http.MethodDelete, "/api/agents/sessions/"+id, nil).into(t, 200, nil)
	if a := r.request(http.MethodGet, "/api/agents/sessions/"+id, nil); a.status != 404 {
		t.Errorf("a stopped session: %v", a)
	}
	if volumes := r.volumes(); len(volumes) != 0 {
		t.Errorf("a stopped session left %v", volumes)
	}
	r.stop(syscall.SIGTERM)
	if left := r.left(before); len(left) > 0 {
		t.Errorf("left over:\n%s", strings.Join(left, "\n"))
	}
}

func jobPresetsReachTheCLI(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	for _, c := range []struct {
		preset string
		tools  []string
		agents []string
		cpu    string
		memory string
	}{
		{"code-assistant", []string{"Bash", "Read", "Write", "Edit", "Grep", "Glob", "Task", "TodoWrite"}, nil, "2", "4.0 GiB"},
		{"research-agent", []string{"WebFetch", "WebSearch", "Read", "Write", "Grep", "TodoWrite"}, nil, "1", "2.0 GiB"},
		{"data-analysis", []string{"Bash", "Read", "Write", "Edit", "Grep", "Glob", "NotebookEdit", "TodoWrite"}, nil, "2", "6.0 GiB"},
		{
			"fullstack-team", []string{"Task", "Read", "Glob", "Grep", "TodoWrite"}, []string{"backend", "devops", "frontend"}, "3", "6.0 GiB",
		},
	} {
		t.Run(c.preset, func(t *testing.T) {
			id := r.launch(c.preset)
			x := r.turn(id, "hello").ended(event.CompleteOK).says("You said: hello")
			inits := of[event.Init](x.events)
			if len(inits) != 1 {
				t.Fatalf("inits: %s", describe(x.events))
			}
			i := inits[0]
			for _, tool := range c.tools {
				if !slices.Contains(i.Tools, tool) {
					t.Errorf("the CLI does not offer %s: %v", tool, i.Tools)
				}
			}
			for _, name := range c.agents {
				if !slices.Contains(i.Agents, name) {
					t.Errorf("the CLI has no sub-agent %s: %v", name, i.Agents)
				}
			}
			if i.PermissionMode != "acceptEdits" || i.Cwd != "/workspace" {
				t.Errorf("init %+v", i)
			}
			limits := r.session(id).Limits
			if !strings.Contains(limits["memory"], c.memory) || !strings.Contains(limits["cpu"], c.cpu) {
				t.Errorf("limits %v, want %s CPU and %s", limits, c.cpu, c.memory)
			}
			r.request(http.MethodDelete, "/api/agents/sessions/"+id, nil).into(t, 200, nil)
		})
	}
}

func jobSubAgentsAreGuardedAndTheirEventsNameTheirParent(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(func(c map[string]any) {
		c["allowed_tools"] = []string{"Task", "Read"}
		c["agents"] = map[string]any{"backend": map[string]any{"description": "writes", "prompt": "You write.", "tools": []string{"Write", "Bash"}}}
	}))
	x := r.turn(id, "ask backend: write /workspace/sub.txt from below").ended(event.CompleteOK)
	var task event.ToolUse
	for _, u := range of[event.ToolUse](x.events) {
		switch u.Tool {
		case "Agent", "Task":
			task = u
		case "Write":
			if u.Parent == "" || u.Parent != task.ID {
				t.Errorf("the sub-agent's call names %q, not %q: %s", u.Parent, task.ID, describe(x.events))
			}
		}
	}
	if task.ID == "" {
		t.Fatalf("no sub-agent: %s", describe(x.events))
	}
	if a := r.request(http.MethodGet, "/api/files/"+id+"/sub.txt?raw=true", nil); string(a.body) != "from below" {
		t.Errorf("sub.txt: %v", a)
	}
	if v := r.turn(id, "ask backend: run: cat /etc/shadow").ended(event.CompleteOK).denied("path.access"); v.Parent == "" {
		t.Errorf("the verdict on the sub-agent's call names no parent: %+v", v)
	}
}

func jobSecondTurnRemembersTheFirst(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(nil))
	r.turn(id, "my name is Ada").ended(event.CompleteOK)
	r.turn(id, "what did I say?").ended(event.CompleteOK).says("my name is Ada")
}

func jobInterruptEndsATurnAndItsChildren(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(nil))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := r.send(ctx, id, "run: sleep 60.123")
	s.until("the call of sleep", func(e event.Event) bool { return e.Data.Type() == event.TypeToolUse })
	eventually(t, "sleep runs", func() bool { return len(r.find("sleep 60.123")) > 0 })
	if a := r.request(http.MethodPost, "/api/agents/"+id+"/chat", map[string]string{"message": "me too"}); a.status != http.StatusConflict {
		t.Errorf("a second turn at the same time: %v", a)
	}
	began := time.Now()
	r.request(http.MethodPost, "/api/agents/sessions/"+id+"/interrupt", nil).into(t, 200, nil)
	turn{t, s.rest()}.ended(event.CompleteInterrupted)
	took := time.Since(began)
	t.Logf("the turn ended %v after the interrupt", took)
	if took > 20*time.Second {
		t.Errorf("an interrupt took %v: it was forced, not asked", took)
	}
	if !s.done {
		t.Error("no [DONE]")
	}
	eventually(t, "sleep is gone", func() bool { return len(r.find("sleep 60.123")) == 0 })
	if a := r.request(http.MethodPost, "/api/agents/sessions/"+id+"/interrupt", nil); a.status != http.StatusConflict {
		t.Errorf("an interrupt without a turn: %v", a)
	}
	r.turn(id, "run: echo still here").ended(event.CompleteOK).says("still here")
}

func jobKilledCLIResumesWithContext(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(nil))
	r.turn(id, "my name is Ada").ended(event.CompleteOK)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := r.send(ctx, id, "run: sleep 60.456")
	eventually(t, "sleep runs", func() bool { return len(r.find("sleep 60.456")) > 0 })
	for _, p := range r.find("/opt/agent/claude", "--output-format") {
		if strings.HasPrefix(p.cmdline, "/opt/agent/claude") {
			if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	x := turn{t, s.rest()}.ended(event.CompleteFailed)
	if errs := of[event.Error](x.events); len(errs) != 1 || errs[0].Code != "agent_exited" {
		t.Errorf("errors: %s", describe(x.events))
	}
	eventually(t, "its children are gone", func() bool { return len(r.find("sleep 60.456")) == 0 })
	x = r.turn(id, "what did I say?").ended(event.CompleteOK).says("my name is Ada")
	if inits := of[event.Init](x.events); len(inits) != 1 || !inits[0].Resumed {
		t.Errorf("the next turn did not resume: %s", describe(x.events))
	}
}

func jobLostStreamGoesOnWhereItBroke(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(nil))
	var last int64
	for n := range 4 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		s := r.send(ctx, id, "slow "+strconv.Itoa(n))
		// Each round breaks off one event later.
		for range n + 1 {
			s.until("another event", func(event.Event) bool { return true })
		}
		cancel()
		var seen []event.Event
		for e := range s.next {
			s.events = append(s.events, e)
		}
		seen = append(seen, s.events...)
		last = seen[len(seen)-1].ID

		ctx, cancel = context.WithTimeout(context.Background(), patience)
		again := r.consume(ctx, r.open(ctx, key, http.MethodGet, "/api/agents/"+id+"/events?turn="+strconv.Itoa(n+1), nil,
			"Last-Event-ID", strconv.FormatInt(last, 10)))
		seen = append(seen, again.rest()...)
		cancel()
		turn{t, seen}.ended(event.CompleteOK)
		if !again.done {
			t.Error("no [DONE]")
		}
		for i := 1; i < len(seen); i++ {
			if seen[i].ID != seen[i-1].ID+1 {
				t.Fatalf("event %d follows %d: %s", seen[i].ID, seen[i-1].ID, describe(seen))
			}
		}
	}
	r.history(id)
	// A turn that is over is replayed and ended, not waited for.
	a := r.request(http.MethodGet, "/api/agents/"+id+"/events?turn=1&after="+strconv.FormatInt(last, 10), nil)
	if a.status != 200 || !strings.HasSuffix(string(a.body), "data: [DONE]\n\n") {
		t.Errorf("a turn that is over: %v", a)
	}
}

func jobRestartKeepsSessionsAndLeavesNoSandbox(t *testing.T, on string) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			before := running()
			r := newRig(t, options{on: on})
			id := r.launch(inline(nil))
			r.turn(id, "my name is Ada").ended(event.CompleteOK)
			r.turn(id, "write /workspace/kept.txt kept").ended(event.CompleteOK)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			s := r.send(ctx, id, "run: sleep 60.789")
			eventually(t, "sleep runs", func() bool { return len(r.find("sleep 60.789")) > 0 })
			r.stop(sig)
			s.rest()
			eventually(t, "nothing is left", func() bool {
				left := r.left(before)
				// A host that was killed can't remove its sockets, nor containers; its next start does.
				left = slices.DeleteFunc(left, func(s string) bool {
					return sig == syscall.SIGKILL && (on == onDocker || !strings.HasPrefix(s, "process"))
				})
				return len(left) == 0
			})
			r.start()
			info := r.session(id)
			if info.Status != "asleep" || info.Activity != "idle" || info.Turn != 3 {
				t.Errorf("after the restart: %+v", info)
			}
			past := r.history(id)
			ends := of[event.Complete](past)
			if len(ends) != 3 || ends[2].Status != event.CompleteFailed {
				t.Errorf("history: %s", describe(past))
			}
			x := r.turn(id, "what did I say?").ended(event.CompleteOK).says("my name is Ada")
			if inits := of[event.Init](x.events); len(inits) != 1 || !inits[0].Resumed {
				t.Errorf("no resume: %s", describe(x.events))
			}
			if a := r.request(http.MethodGet, "/api/files/"+id+"/kept.txt?raw=true", nil); string(a.body) != "kept" {
				t.Errorf("kept.txt: %v", a)
			}
			r.request(http.MethodDelete, "/api/agents/sessions/"+id, nil).into(t, 200, nil)
			r.stop(syscall.SIGTERM)
			if left := r.left(before); len(left) > 0 {
				t.Errorf("left over:\n%s", strings.Join(left, "\n"))
			}
		})
	}
}

func jobIdleSandboxIsFreedAndWakes(t *testing.T, on string) {
	r := newRig(t, options{on: on, env: []string{"SESSION_IDLE_TIMEOUT=1s", "SESSION_CLEANUP_INTERVAL=100ms"}})
	id := r.launch(inline(nil))
	r.turn(id, "my name is Ada").ended(event.CompleteOK)
	// A turn longer than the timeout keeps its sandbox.
	r.turn(id, "run: sleep 2; echo awake").ended(event.CompleteOK).says("awake")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	follow := r.consume(ctx, r.open(ctx, key, http.MethodGet, "/api/agents/"+id+"/events", nil))
	follow.until("asleep", func(e event.Event) bool {
		st, ok := e.Data.(event.Status)
		return ok && st.Status == "asleep"
	})
	eventually(t, "the sandbox is gone", func() bool { return len(r.find("/opt/agent/")) == 0 })
	r.turn(id, "what did I say?").ended(event.CompleteOK).says("my name is Ada")
}

func jobOneJSONAnswer(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(nil))
	var out struct {
		Status      string `json:"status"`
		Text        string `json:"text"`
		ToolResults []struct{ Tool, Input, Output string }
	}
	var raw struct {
		ToolResults []struct {
			Tool   string `json:"tool"`
			Input  string `json:"input"`
			Output string `json:"output"`
		} `json:"tool_results"`
	}
	a := r.request(http.MethodPost, "/api/agents/"+id+"/chat", map[string]string{"message": "run: echo 42"})
	a.into(t, 200, &out)
	a.into(t, 200, &raw)
	if out.Status != event.CompleteOK || out.Text != "The tool said: 42" || len(raw.ToolResults) != 1 || raw.ToolResults[0].Output != "42" ||
		raw.ToolResults[0].Input != "echo 42" {
		t.Errorf("%v", a)
	}
	if a := r.request(http.MethodPost, "/api/agents/"+id+"/chat", map[string]string{"message": "x"}, "Accept", "text/html"); a.status != http.StatusNotAcceptable {
		t.Errorf("an Accept that nothing meets: %v", a)
	}
	// The upstream's refusal is told and is no secret.
	x := r.turn(id, "overloaded")
	x.ended(event.CompleteFailed)
	if errs := of[event.Error](x.events); len(errs) == 0 || errs[0].Code != "authentication_failed" {
		t.Errorf("errors: %s", describe(x.events))
	}
}

func jobDeltasAreStreamedOnRequest(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(nil))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := r.consume(ctx, r.open(ctx, key, http.MethodPost, "/api/agents/"+id+"/chat?deltas=true",
		map[string]string{"message": strings.Repeat("many words ", 30)}, "Accept", "text/event-stream"))
	all := s.rest()
	var whole strings.Builder
	for _, d := range of[event.TextDelta](all) {
		whole.WriteString(d.Content)
	}
	if texts := of[event.Text](all); len(texts) != 1 || whole.String() != texts[0].Content || len(of[event.TextDelta](all)) < 2 {
		t.Errorf("deltas %q, %s", whole.String(), describe(all))
	}
}

func TestMain(m *testing.M) { os.Exit(runAll(m)) }

func runAll(m *testing.M) int {
	dir, err := os.MkdirTemp("", "agc-policy-cache-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is in the machine's temporary folder
	policyCache = dir
	return m.Run()
}
