package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/claude"
	"github.com/agcluster/agcluster/core/agent/server/baseline"
	"github.com/agcluster/agcluster/core/event"
)

// changed lists what the server tells, a line each: status, path, lines added and deleted, size.
func changed(t *testing.T, r *rig, since string) (string, agent.ChangeList) {
	t.Helper()
	list, err := r.client.Changes(within(t), since)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	for _, c := range list.Changes {
		line := fmt.Sprintf("%s %q", c.Status, c.Raw())
		if c.Additions != nil && c.Deletions != nil {
			line += fmt.Sprintf(" +%d -%d", *c.Additions, *c.Deletions)
		}
		if c.Binary {
			line += " binary"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n"), list
}

func want(t *testing.T, r *rig, since string, lines ...string) {
	t.Helper()
	if got, list := changed(t, r, since); got != strings.Join(lines, "\n") || list.Total != len(lines) || list.Truncated {
		t.Errorf("since %s:\n%s\nof %d, truncated %v; want:\n%s", since, got, list.Total, list.Truncated, strings.Join(lines, "\n"))
	}
}

// act makes a driver whose turns are tool calls, each judged by an ask before it acts.
func act(act func(message string)) script {
	return func(ctx context.Context, message string, _ <-chan struct{}, sink claude.Sink) event.Complete {
		if _, err := sink.Ask(ctx, agent.Ask{Stage: agent.StageCall, Tool: "Write", ToolUseID: "t", Input: json.RawMessage(`{}`)}); err != nil {
			return event.Complete{Status: event.CompleteFailed}
		}
		act(message)
		return event.Complete{Status: event.CompleteOK}
	}
}

// turn runs a turn and allows all it asks.
func (r *rig) turn(t *testing.T, n int64, message string) {
	t.Helper()
	var last event.Data
	err := r.client.Turn(within(t), agent.TurnRequest{Turn: n, Message: message}, 0, func(f agent.Frame, _ bool) error {
		if f.Ask != nil {
			return r.client.Answer(within(t), f.Ask.ID, agent.Answer{Allow: true})
		}
		last = f.Event.Data
		return nil
	})
	if c, ok := last.(event.Complete); err != nil || !ok || c.Status != event.CompleteOK {
		t.Fatalf("%+v %v", last, err)
	}
}

func file(t *testing.T, r *rig, name, content string) {
	t.Helper()
	path := filepath.Join(r.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestChangesSinceTheLaunchAndEveryTurn(t *testing.T) {
	var r *rig
	r = newRig(t, act(func(message string) {
		switch message {
		case "one":
			file(t, r, "a.txt", "1\n2\n3\n")
			file(t, r, "same.txt", "same")
		case "two":
			file(t, r, "a.txt", "1\nTWO\n3\n4\n")
			file(t, r, "bin", "\x00\x01")
			if err := os.Remove(filepath.Join(r.dir, "before.txt")); err != nil {
				t.Error(err)
			}
			now := time.Now()
			if err := os.Chtimes(filepath.Join(r.dir, "same.txt"), now, now); err != nil {
				t.Error(err)
			}
		}
	}), nil)
	file(t, r, "before.txt", "was here\n")
	r.configure(t)
	want(t, r, "launch")
	want(t, r, "turn")
	r.turn(t, 1, "one")
	want(t, r, "launch", `added "a.txt" +3 -0`, `added "same.txt" +1 -0`)
	want(t, r, "turn", `added "a.txt" +3 -0`, `added "same.txt" +1 -0`)
	// What people do between the turns is theirs, and of the turn before.
	file(t, r, "mine.txt", "mine\n")
	want(t, r, "turn", `added "a.txt" +3 -0`, `added "mine.txt" +1 -0`, `added "same.txt" +1 -0`)
	r.turn(t, 2, "two")
	want(t, r, "turn", `modified "a.txt" +2 -1`, `deleted "before.txt" +0 -1`, `added "bin" binary`)
	want(t, r, "turn:2", `modified "a.txt" +2 -1`, `deleted "before.txt" +0 -1`, `added "bin" binary`)
	all := []string{`added "a.txt" +4 -0`, `deleted "before.txt" +0 -1`, `added "bin" binary`, `added "mine.txt" +1 -0`, `added "same.txt" +1 -0`}
	want(t, r, "turn:1", all...)
	want(t, r, "launch", all...)

	for _, c := range []struct {
		path, since, status, before, after string
	}{
		{"a.txt", "turn", "modified", "1\n2\n3\n", "1\nTWO\n3\n4\n"},
		{"a.txt", "launch", "added", "-", "1\nTWO\n3\n4\n"},
		{"before.txt", "launch", "deleted", "was here\n", "-"},
		{"same.txt", "turn:2", "unchanged", "same", "same"},
		{"bin", "turn", "added", "-", "-"},
	} {
		got, err := r.client.Change(within(t), c.path, c.since)
		if err != nil {
			t.Error(err)
			continue
		}
		shown := func(b []byte) string {
			if b == nil {
				return "-"
			}
			return string(b)
		}
		if string(got.Status) != c.status || shown(got.Before) != c.before || shown(got.After) != c.after || got.Truncated || got.Binary != (c.path == "bin") {
			t.Errorf("%s since %s: %+v", c.path, c.since, got)
		}
	}
	for since, wantErr := range map[string]error{
		"turn:3": agent.ErrNotFound, "turn:0": agent.ErrInvalid, "": agent.ErrInvalid, "yesterday": agent.ErrInvalid, "turn:x": agent.ErrInvalid,
	} {
		if _, err := r.client.Changes(within(t), since); !errors.Is(err, wantErr) {
			t.Errorf("since %q: %v", since, err)
		}
	}
	for path, wantErr := range map[string]error{"nothing": agent.ErrNotFound, "../x": agent.ErrInvalid, "": agent.ErrInvalid, "a.txt/x": agent.ErrNotFound} {
		if _, err := r.client.Change(within(t), path, "launch"); !errors.Is(err, wantErr) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

// again starts another agent server on the same folders, as a sandbox that wakes has.
func (r *rig) again(t *testing.T) *rig {
	t.Helper()
	r.server.Close()
	next := newRig(t, r.driver.turn, func(c *Config) { c.StateDir = filepath.Join(filepath.Dir(r.dir), "state") })
	if err := errors.Join(os.Remove(next.dir), os.Rename(r.dir, next.dir), os.Mkdir(r.dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	// The server of next has its folder open: it must be the one that was moved.
	files, err := OpenWorkspace(next.dir)
	if err != nil {
		t.Fatal(err)
	}
	old := next.server.files.root
	next.server.files.root = files.root
	t.Cleanup(func() { shut(t, old) })
	return next
}

func TestChangesSurviveTheSandbox(t *testing.T) {
	var r *rig
	r = newRig(t, act(func(message string) { file(t, r, "f", message) }), nil)
	file(t, r, "kept", "kept")
	r.configure(t)
	r.turn(t, 1, "one\n")
	r.turn(t, 2, "two\n")
	r = r.again(t)
	// A file that was changed while nobody looked.
	file(t, r, "kept", "KEPT")
	// It is asked before its agent is started.
	want(t, r, "launch", `added "f" +1 -0`, `modified "kept" +1 -1`)
	r.configure(t)
	want(t, r, "turn", `modified "f" +1 -1`, `modified "kept" +1 -1`)
	if c, err := r.client.Change(within(t), "f", "turn"); err != nil || string(c.Before) != "one\n" || string(c.After) != "two\n" {
		t.Errorf("%+v %v", c, err)
	}
	r.turn(t, 3, "three\n")
	want(t, r, "turn", `modified "f" +1 -1`)
	want(t, r, "turn:2", `modified "f" +1 -1`, `modified "kept" +1 -1`)
}

// slowTree is a workspace that takes its time.
type slowTree struct {
	compared

	once        *sync.Once
	began, goOn chan struct{}
}

// Walk implements baseline.Tree.
func (s slowTree) Walk(ctx context.Context, fn func(*baseline.File) error) ([]string, error) {
	s.once.Do(func() { close(s.began) })
	<-s.goOn
	return s.compared.Walk(ctx, fn)
}

func newKeeper(dir string, tree baseline.Tree, log *zap.Logger) *baseline.Keeper {
	return baseline.New(baseline.Config{Dir: dir, Budget: baselineBytes}, tree, log)
}

// TestNoToolRunsBeforeTheWorkspaceIsRemembered: what the model says comes meanwhile.
func TestNoToolRunsBeforeTheWorkspaceIsRemembered(t *testing.T) {
	var allowed atomic.Bool
	r := newRig(t, nil, nil)
	r.driver.turn = func(ctx context.Context, _ string, _ <-chan struct{}, sink claude.Sink) event.Complete {
		if sink.Event(event.Text{Content: "let me see"}) != nil {
			return event.Complete{Status: event.CompleteFailed}
		}
		_, err := sink.Ask(ctx, agent.Ask{Stage: agent.StageCall, Tool: "Bash", ToolUseID: "t", Input: json.RawMessage(`{}`)})
		if err != nil || !allowed.Load() {
			t.Errorf("the tool ran too early (%v)", err)
		}
		return event.Complete{Status: event.CompleteOK}
	}
	r.configure(t)
	// The look at the launch is over; the one of the turn stands still until it is let go.
	slow := slowTree{compared{r.server.files}, &sync.Once{}, make(chan struct{}), make(chan struct{})}
	r.server.baseline.Close()
	r.server.baseline = newKeeper(filepath.Join(filepath.Dir(r.dir), "state"), slow, zaptest.NewLogger(t))
	frames := make(chan agent.Frame, 8)
	done := make(chan error, 1)
	go func() {
		done <- r.client.Turn(within(t), agent.TurnRequest{Turn: 1, Message: "x"}, 0, func(f agent.Frame, _ bool) error {
			frames <- f
			return nil
		})
	}()
	<-slow.began
	if f := receive(t, "text", frames); f.Event == nil || f.Event.Data.Type() != event.TypeText {
		t.Fatalf("%+v", f)
	}
	select {
	case f := <-frames:
		t.Fatalf("a frame before the workspace was remembered: %+v", f)
	default:
	}
	// Nobody is told of the turn before by mistake.
	told := make(chan string, 1)
	go func() {
		list, err := r.client.Changes(within(t), "turn")
		told <- fmt.Sprint(list.Since, err)
	}()
	allowed.Store(true)
	close(slow.goOn)
	if since := receive(t, "list", told); since != "turn:1<nil>" {
		t.Errorf("since %s", since)
	}
	f := receive(t, "ask", frames)
	if f.Ask == nil {
		t.Fatalf("%+v", f)
	}
	if err := r.client.Answer(within(t), f.Ask.ID, agent.Answer{Allow: true}); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "end", done); err != nil {
		t.Fatal(err)
	}
}

func TestAHostileWorkspaceIsCompared(t *testing.T) {
	r := newRig(t, nil, nil)
	outside := filepath.Join(filepath.Dir(r.dir), "outside")
	file(t, r, "d/inner", "inner\n")
	if err := errors.Join(os.Mkdir(outside, 0o755), os.WriteFile(filepath.Join(outside, "secret"), []byte("SECRET\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	r.configure(t)
	names := hostileNames()
	for _, name := range names {
		file(t, r, "names/"+name, name)
	}
	in := func(name string) string { return filepath.Join(r.dir, name) }
	large := strings.Repeat("x", agent.MaxChangeText) + "\n"
	file(t, r, "large", large)
	file(t, r, "largebin", "\x00"+large)
	file(t, r, "node_modules/p/index.js", "x\n")
	file(t, r, ".git/HEAD", "ref\n")
	if err := errors.Join(
		syscall.Mkfifo(in("fifo"), 0o644), os.Symlink("loop", in("loop")), os.Symlink(".", in("dot")), os.Symlink("../outside/secret", in("out")),
		os.Symlink(outside, in("outdir")), os.RemoveAll(in("d")), os.Symlink("../outside", in("d")), os.Mkdir(in("closed"), 0o755),
		os.Truncate(in("largebin"), 1<<40),
	); err != nil {
		t.Fatal(err)
	}
	got, list := changed(t, r, "launch")
	if strings.Contains(got, "SECRET") || list.Truncated {
		t.Errorf("truncated %v:\n%s", list.Truncated, got)
	}
	for _, line := range []string{
		`added "fifo" binary`, `added "loop" +1 -0`, `added "dot" +1 -0`, `added "out" +1 -0`, `added "d" +1 -0`, `deleted "d/inner" +0 -1`, `added "large"`,
		`added "largebin" binary`,
	} {
		if !slices.Contains(strings.Split(got, "\n"), line) {
			t.Errorf("no line %s in\n%s", line, got)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(list.Changes, func(c agent.Change) bool { return c.Raw() == "names/"+name && c.Status == agent.Added }) {
			t.Errorf("%q is not told", name)
		}
		if c, err := r.client.Change(within(t), "names/"+name, "launch"); err != nil || string(c.After) != name {
			t.Errorf("%q: %+v %v", name, c, err)
		}
	}
	// What tools fill is told last.
	if n := len(list.Changes); list.Changes[n-2].Path != ".git/HEAD" || list.Changes[n-1].Path != "node_modules/p/index.js" {
		t.Errorf("the last are %+v", list.Changes[n-2:])
	}
	for path, after := range map[string]string{"out": "../outside/secret", "d": "../outside", "fifo": ""} {
		if c, err := r.client.Change(within(t), path, "launch"); err != nil || string(c.After) != after {
			t.Errorf("%s: %+v %v", path, c, err)
		}
	}
	for _, path := range []string{"outdir/secret", "d/secret", "dot/large", "loop/x", "fifo/x"} {
		if c, err := r.client.Change(within(t), path, "launch"); !errors.Is(err, agent.ErrNotFound) {
			t.Errorf("%s: %+v %v", path, c, err)
		}
	}
	if c, err := r.client.Change(within(t), "d/inner", "launch"); err != nil || c.Status != agent.Deleted || string(c.Before) != "inner\n" || c.After != nil {
		t.Errorf("%+v %v", c, err)
	}
	if c, err := r.client.Change(within(t), "large", "launch"); err != nil || !c.Truncated || c.Binary || c.After != nil {
		t.Errorf("%+v %v", c, err)
	}
}

// TestAWorkspaceIsComparedWhileItChanges: files become folders, links and pipes under the look.
func TestAWorkspaceIsComparedWhileItChanges(t *testing.T) {
	r := newRig(t, nil, nil)
	for i := range 50 {
		file(t, r, fmt.Sprintf("d%d/f", i%5)+strconv.Itoa(i), "x")
	}
	file(t, r, "still", "as it was\n")
	r.configure(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			path := filepath.Join(r.dir, fmt.Sprintf("d%d/f%d", i%5, i%50))
			os.RemoveAll(path) //nolint:errcheck // whatever succeeds is a change
			switch i % 4 {
			case 0:
				syscall.Mkfifo(path, 0o644) //nolint:errcheck // as above
			case 1:
				os.Symlink("/etc/passwd", path) //nolint:errcheck // as above
			case 2:
				os.Mkdir(path, 0o755) //nolint:errcheck // as above
			default:
				os.WriteFile(path, []byte(strings.Repeat("y", i%3000)), 0o644) //nolint:errcheck // as above
			}
		}
	}()
	file(t, r, "still", "as it is\n")
	for turn := int64(1); turn <= 20; turn++ {
		if err := r.server.baseline.Turn(within(t), turn); err != nil {
			t.Error(err)
		}
		got, _ := changed(t, r, "launch")
		if !strings.Contains(got, `modified "still" +1 -1`) || strings.Contains(got, "root:") {
			t.Errorf("turn %d: %s", turn, got)
		}
		for _, path := range []string{"d0/f0", "d1/f1", "d2/f2"} {
			if c, err := r.client.Change(within(t), path, "launch"); err == nil && strings.Contains(string(c.After), "root:") {
				t.Errorf("%+v", c)
			}
		}
	}
	close(stop)
	receive(t, "end", stopped)
}

// TestABaselineCostsNoStorageOfTheAgents: what the agent server keeps for itself is not counted.
func TestABaselineCostsNoStorageOfTheAgents(t *testing.T) {
	var state string
	r := newRig(t, nil, func(c *Config) {
		// As it is in a sandbox: the folder is below another that is counted.
		c.StateDir = filepath.Join(c.StateDir, "below")
		state = c.StateDir
		c.DiskLimit, c.Folders = 64<<20, []string{filepath.Join(filepath.Dir(filepath.Dir(state)), "workspace"), filepath.Dir(state)}
	})
	text := strings.Repeat("a line of text\n", 1<<16)
	file(t, r, "f", text)
	r.configure(t)
	r.turn(t, 1, "x")
	kept, err := os.Stat(filepath.Join(state, "contents"))
	if err != nil || kept.Size() < int64(len(text)) {
		t.Fatalf("%+v %v", kept, err)
	}
	// What the agent puts there is.
	for _, more := range []int64{0, 1 << 20} {
		if err := os.WriteFile(filepath.Join(state, "agents"), []byte(text[:more*int64(len(text))>>20]), 0o600); err != nil {
			t.Fatal(err)
		}
		r.server.storage.count(within(t))
		used, want := r.server.storage.now().Used, int64(len(text))+more*int64(len(text))>>20
		if used < want || used > want+128<<10 {
			t.Errorf("%d are counted, want %d", used, want)
		}
	}
}

// TestAFolderOfBaselinesThatIsMovedIsCounted: it hides nothing.
func TestAFolderOfBaselinesThatIsMovedIsCounted(t *testing.T) {
	var state string
	r := newRig(t, nil, func(c *Config) {
		c.DiskLimit, c.Folders = 64<<20, []string{filepath.Join(filepath.Dir(c.StateDir), "workspace"), c.StateDir}
		c.StateDir = filepath.Join(c.StateDir, "below")
		state = c.StateDir
	})
	text := strings.Repeat("a line of text\n", 1<<16)
	file(t, r, "f", text)
	r.configure(t)
	if err := errors.Join(os.Rename(state, state+"-moved"), os.Symlink(state+"-moved", state)); err != nil {
		t.Fatal(err)
	}
	r.server.storage.count(within(t))
	if used := r.server.storage.now().Used; used < 2*int64(len(text)) {
		t.Errorf("%d are counted", used)
	}
}

// BenchmarkTurnOf10000Files is what remembering a workspace costs a turn, unchanged since the last.
func BenchmarkTurnOf10000Files(b *testing.B) {
	dir := b.TempDir()
	for i := range 10_000 {
		path := filepath.Join(dir, fmt.Sprintf("d%d/file-%d.txt", i%100, i))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, fmt.Appendf(nil, "content %d\n", i), 0o644)); err != nil {
			b.Fatal(err)
		}
	}
	w, err := OpenWorkspace(dir)
	if err != nil {
		b.Fatal(err)
	}
	k := newKeeper(b.TempDir(), compared{w}, zaptest.NewLogger(b))
	defer k.Close()
	began := time.Now()
	if err := k.Launch(b.Context()); err != nil {
		b.Fatal(err)
	}
	first := time.Since(began)
	turn := int64(0)
	for b.Loop() {
		turn++
		if err := k.Turn(b.Context(), turn); err != nil {
			b.Fatal(err)
		}
	}
	began = time.Now()
	if list, err := k.List(b.Context(), "turn"); err != nil || list.Total != 0 {
		b.Fatal(list, err)
	}
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "list_ms")
	b.ReportMetric(float64(first.Milliseconds()), "first_ms")
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}
