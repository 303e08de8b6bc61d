package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/offline"
	"github.com/agcluster/agcluster/core/event"
)

const (
	token = "a-token-that-nobody-in-the-sandbox-may-see"
	// patience is an outer limit: what takes longer hangs.
	patience = 90 * time.Second
)

// binary is the command as `make agent` builds it.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "agcluster-agent")
	build := exec.Command("go", "build", "-ldflags", "-X main.version=v-test", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	code := m.Run()
	if err := errors.Join(goleak.Find(), os.RemoveAll(dir)); err != nil && code == 0 {
		panic(err)
	}
	os.Exit(code)
}

// started is a running command.
type started struct {
	cmd    *exec.Cmd
	client *agent.Client
	out    strings.Builder
	ended  chan error
}

// start runs a command with the token on descriptor 3; socket is where the agent server will answer.
func start(t *testing.T, socket string, env []string, args ...string) *started {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.WriteString(token)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	s := &started{cmd: exec.Command(args[0], args[1:]...), ended: make(chan error, 1)}
	s.cmd.Env, s.cmd.ExtraFiles = env, []*os.File{r}
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	s.cmd.WaitDelay = time.Second
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		s.ended <- s.cmd.Wait()
		close(done)
	}()
	t.Cleanup(func() {
		s.cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-done
		if t.Failed() {
			t.Log(s.out.String())
		}
	})
	if s.client, err = agent.NewClient(agent.Endpoint{URL: "unix:" + socket}, token, zaptest.NewLogger(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	return s
}

func (s *started) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.ended:
		return err
	case <-time.After(patience):
		t.Fatalf("it did not end within %s", patience)
		return nil
	}
}

// within is a context with an outer limit.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// shortDir is a folder whose name leaves room for that of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ag")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"run", "home", "workspace"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestVersion(t *testing.T) {
	out, err := exec.Command(binary, "--version").CombinedOutput()
	if err != nil || string(out) != "agcluster-agent v-test\n" {
		t.Errorf("%q %v", out, err)
	}
}

func TestABadEnvironmentIsNamed(t *testing.T) {
	dir := shortDir(t)
	good := map[string]string{
		"AGCLUSTER_TOKEN_FD": "3", "AGCLUSTER_LISTEN": "unix:" + filepath.Join(dir, "run", "s"), "AGCLUSTER_WORKSPACE": filepath.Join(dir, "workspace"), "HOME": dir,
	}
	for name, c := range map[string]struct{ key, value, want string }{
		"no descriptor":       {"AGCLUSTER_TOKEN_FD", "", "AGCLUSTER_TOKEN_FD must be"},
		"stdout":              {"AGCLUSTER_TOKEN_FD", "1", "AGCLUSTER_TOKEN_FD must be"},
		"an empty stdin":      {"AGCLUSTER_TOKEN_FD", "0", "AGCLUSTER_TOKEN_FD has 0 bytes"},
		"closed descriptor":   {"AGCLUSTER_TOKEN_FD", "9", "AGCLUSTER_TOKEN_FD"},
		"no address":          {"AGCLUSTER_LISTEN", "", "AGCLUSTER_LISTEN"},
		"no scheme":           {"AGCLUSTER_LISTEN", "/run/s", "AGCLUSTER_LISTEN"},
		"no such folder":      {"AGCLUSTER_LISTEN", "unix:/nonexistent/s", "listening on unix:/nonexistent/s"},
		"no workspace":        {"AGCLUSTER_WORKSPACE", "/nonexistent", "opening the workspace"},
		"a relative one":      {"AGCLUSTER_WORKSPACE", "x", "not absolute"},
		"ask timeout":         {"AGCLUSTER_ASK_TIMEOUT", "5", "AGCLUSTER_ASK_TIMEOUT"},
		"ask timeout of ages": {"AGCLUSTER_ASK_TIMEOUT", "1000h", "at most"},
		"tunnel wait":         {"AGCLUSTER_TUNNEL_WAIT", "-1s", "AGCLUSTER_TUNNEL_WAIT"},
	} {
		t.Run(name, func(t *testing.T) {
			var env []string
			for k, v := range good {
				if k == c.key {
					v = c.value
				}
				env = append(env, k+"="+v)
			}
			if _, known := good[c.key]; !known {
				env = append(env, c.key+"="+c.value)
			}
			s := start(t, filepath.Join(dir, "run", "s"), env, binary)
			if err := s.wait(t); err == nil || !strings.Contains(s.out.String(), c.want) || strings.Contains(s.out.String(), token) {
				t.Errorf("%v: %s", err, s.out.String())
			}
		})
	}
}

func TestSIGTERMEndsItCleanly(t *testing.T) {
	dir := shortDir(t)
	socket := filepath.Join(dir, "run", "s")
	if err := os.WriteFile(socket, nil, 0o600); err != nil { // left by one that died
		t.Fatal(err)
	}
	s := start(t, socket, []string{
		"AGCLUSTER_TOKEN_FD=3", "AGCLUSTER_LISTEN=unix:" + socket, "AGCLUSTER_WORKSPACE=" + filepath.Join(dir, "workspace"), "HOME=" + dir,
	}, binary)
	if h, err := s.client.Health(within(t)); err != nil || h.Version != "v-test" || h.CLI != "none" {
		t.Fatalf("%+v %v", h, err)
	}
	tunnel := make(chan error, 1)
	go func() { tunnel <- s.client.Tunnel(within(t), nil) }()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.wait(t); err != nil {
		t.Errorf("%v", err)
	}
	if err := <-tunnel; err == nil {
		t.Error("the tunnel ended without an error")
	}
}

const script = `
rules:
  - match: {user: "^run (.*)"}
    reply: [{tool: {name: Bash, input: {command: "{{index .Match 1}}", description: run}}}]
  - match: {result: "(?s)(.*)"}
    reply: [{text: "result was: {{.Result}}"}]
`

// sandbox is the command line of a sandbox like that of plugins/providers/local, with a workspace of its own kind.
func sandbox(t *testing.T, dir string, workspace ...string) []string {
	t.Helper()
	args := []string{
		"bwrap", "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--uid", "10001", "--gid", "10001",
		"--new-session", "--die-with-parent", "--cap-drop", "ALL", "--clearenv",
		"--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
		"--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp", "--tmpfs", "/run",
		"--ro-bind", binary, "/opt/agent/agcluster-agent", "--ro-bind", claudeBinary(t), "/opt/agent/claude",
		"--bind", filepath.Join(dir, "run"), "/run/agent", "--dir", "/home", "--bind", filepath.Join(dir, "home"), "/home/agent",
	}
	args = append(args, workspace...)
	for _, kv := range []string{
		"PATH=/usr/bin:/bin", "HOME=/home/agent", "SHELL=/bin/bash", "AGCLUSTER_LISTEN=unix:/run/agent/agent.sock", "AGCLUSTER_TOKEN_FD=3",
	} {
		name, value, _ := strings.Cut(kv, "=")
		args = append(args, "--setenv", name, value)
	}
	return append(args, "--chdir", "/workspace", "/opt/agent/agcluster-agent")
}

func claudeBinary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("AGCLUSTER_CLAUDE")
	if path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		found, err := filepath.Glob(filepath.Join(cache, "agcluster/claude/*/node_modules/@anthropic-ai/claude-code-linux-*/claude"))
		if err != nil || len(found) == 0 {
			t.Fatal("Claude Code is not installed: set AGCLUSTER_CLAUDE or run make test, which installs it")
		}
		path = found[len(found)-1]
	}
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestInASandbox runs the command as a sandbox does: as process 2, with the real Claude Code, whose model is at the other end of the
// tunnel.
func TestInASandbox(t *testing.T) {
	dir := shortDir(t)
	args := sandbox(t, dir, "--bind", filepath.Join(dir, "workspace"), "/workspace")
	s := start(t, filepath.Join(dir, "run", "agent.sock"), []string{"PATH=" + os.Getenv("PATH")}, args...)
	if _, err := s.client.Health(within(t)); err != nil {
		t.Fatal(err)
	}
	parsed, err := offline.Parse(strings.NewReader(script))
	if err != nil {
		t.Fatal(err)
	}
	tunnel, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.client.Tunnel(tunnel, map[byte]http.Handler{agent.TunnelGateway: offline.New(parsed, nil, zaptest.NewLogger(t))}) //nolint:errcheck // it breaks in the end
	}()
	defer func() { stop(); <-ended }()
	err = s.client.Configure(within(t), agent.SessionSpec{
		TranscriptID: "0b1c2d3e-0000-4000-8000-000000000001", Tools: []string{"Bash"}, PermissionMode: "acceptEdits", Cwd: "/workspace/deep",
	})
	if err != nil {
		t.Fatal(err)
	}
	turns := int64(0)
	run := func(command string) (string, event.Complete) {
		t.Helper()
		turns++
		var output string
		var complete event.Complete
		err := s.client.Turn(within(t), agent.TurnRequest{Turn: turns, Message: "run " + command}, 0, func(f agent.Frame, _ bool) error {
			if f.Ask != nil {
				return s.client.Answer(within(t), f.Ask.ID, agent.Answer{Allow: true})
			}
			switch d := f.Event.Data.(type) {
			case event.ToolResult:
				output = d.Output
			case event.Error:
				t.Log(d)
			case event.Complete:
				complete = d
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return output, complete
	}
	for _, c := range []struct{ name, command, want string }{
		{"it is process 2", "cat /proc/2/comm; pwd", "agcluster-agent\n/workspace/deep"},
		{"a hard link into the workspace can't be made", "touch /home/agent/x; ln /home/agent/x /workspace/x; true", "Invalid cross-device link"},
		{"its memory is closed", "head -c 1 /proc/2/mem; true", "Permission denied"},
		{"its descriptors are closed", "readlink /proc/2/fd/0 || echo closed", "closed"},
		{"its environment is closed", "cat /proc/2/environ; true", "Permission denied"},
		{"its door wants the token", "curl -s --unix-socket /run/agent/agent.sock http://x/v1/health", `"message":"unauthorized"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, complete := run(c.command); !strings.Contains(got, c.want) || complete.Status != event.CompleteOK {
				t.Errorf("%s (%+v)", got, complete)
			}
		})
	}
	t.Run("nobody has the token", func(t *testing.T) {
		run("cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline > /workspace/all; true")
		body, _, err := s.client.Read(within(t), "all", agent.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), token) || !strings.Contains(string(b), "ANTHROPIC_BASE_URL=http://127.0.0.1:") {
			t.Errorf("%q", b)
		}
	})
	t.Run("usage", func(t *testing.T) {
		u, err := s.client.Usage(within(t))
		if err != nil || u.Processes < 3 || u.MemoryBytes < 20<<20 || u.CPUMicros < 100_000 || u.DiskBytes == 0 {
			t.Errorf("%+v %v", u, err)
		}
		t.Logf("%+v", u)
	})
	t.Run("told to leave in a turn, it ends the turn first", func(t *testing.T) {
		if _, complete := run("kill -TERM 2; sleep 60"); complete.Status != event.CompleteFailed {
			t.Errorf("%+v", complete)
		}
		if err := s.wait(t); err != nil {
			t.Errorf("%v", err)
		}
	})
}

func TestAFullDiskIsSaidSo(t *testing.T) {
	dir := shortDir(t)
	args := sandbox(t, dir, "--perms", "0755", "--size", "1048576", "--tmpfs", "/workspace")
	s := start(t, filepath.Join(dir, "run", "agent.sock"), []string{"PATH=" + os.Getenv("PATH")}, args...)
	if _, err := s.client.Health(within(t)); err != nil {
		t.Fatal(err)
	}
	write := func(size int64) error {
		_, err := s.client.Write(within(t), "f", size, io.LimitReader(zeros{}, size), agent.WriteOptions{Overwrite: true})
		return err
	}
	if err := write(4 << 20); !errors.Is(err, agent.ErrTooLarge) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%v", err)
	}
	// Nothing of it is left in the way.
	if err := write(900 << 10); err != nil {
		t.Errorf("%v", err)
	}
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(b []byte) (int, error) { return len(b), nil }
