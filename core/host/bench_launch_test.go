package host_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// providerUnderTest is the provider of the figures that depend on one: docker, or what AGCLUSTER_BENCH_PROVIDER names.
func providerUnderTest() string {
	if p := os.Getenv("AGCLUSTER_BENCH_PROVIDER"); p != "" {
		return p
	}
	return onDocker
}

// newAgentRig starts a host with real agents and the scripted model.
func newAgentRig(b *testing.B, env ...string) *rig {
	b.Helper()
	return newRig(b, options{on: providerUnderTest(), env: quiet(env...)})
}

// agent is a configuration without filters and with what most have.
func agentConfig() map[string]any {
	return inline(func(c map[string]any) { c["filters"] = []string{} })
}

// BenchmarkWarm launches with a spare, and has the agent say something at once.
func BenchmarkWarm(b *testing.B) {
	r := newAgentRig(b, "AGCLUSTER_POOL_SIZE=1")
	r.remove(r.started(agentConfig()).SessionID)
	var launches, texts samples
	for b.Loop() {
		eventually(b, "a spare", func() bool { p := r.pool(); return p.Ready == 1 && p.Starting == 0 })
		began := time.Now()
		s := r.started(agentConfig())
		launches = append(launches, milliseconds(time.Since(began)))
		if s.Start != "warm" {
			b.Fatalf("launched %+v", s)
		}
		_, h := r.chat(s.SessionID, "hello", "text")
		texts = append(texts, milliseconds(h.first.Sub(began)))
		r.remove(s.SessionID)
	}
	b.ReportMetric(launches.median(), "launch_warm_p50_ms")
	b.ReportMetric(texts.median(), "first_text_warm_p50_ms")
}

// BenchmarkCold launches without a spare and, in turns with it, makes the same sandbox by hand with a CLI that is told to initialise.
func BenchmarkCold(b *testing.B) {
	r := newAgentRig(b)
	bare := bareSandboxes(b)
	r.remove(r.started(agentConfig()).SessionID)
	bare.initialised(b)
	var launches, bares samples
	for b.Loop() {
		began := time.Now()
		s := r.started(agentConfig())
		launches = append(launches, milliseconds(time.Since(began)))
		r.remove(s.SessionID)
		bares = append(bares, milliseconds(bare.initialised(b)))
	}
	b.ReportMetric(launches.median(), "launch_cold_p50_ms")
	b.ReportMetric(bares.median(), "bare_cold_p50_ms")
	b.ReportMetric(launches.median()/bares.median(), "launch_cold_ratio")
}

// remove stops a session.
func (r *rig) remove(id string) {
	r.t.Helper()
	r.request(http.MethodDelete, "/api/agents/sessions/"+id, nil).into(r.t, http.StatusOK, nil)
}

// bare makes sandboxes as a provider does, without any of ours: command runs a program in one, clean removes what it leaves.
type bare struct {
	command func(ctx context.Context, program []string) *exec.Cmd
	clean   func()
}

func bareSandboxes(b *testing.B) bare {
	b.Helper()
	switch providerUnderTest() {
	case onDocker:
		return bareDocker(b)
	default:
		return bareBwrap(b)
	}
}

// bareBwrap is the sandbox of FACTS and of provider-local.
func bareBwrap(b *testing.B) bare {
	b.Helper()
	claude, err := filepath.EvalSymlinks(built(b, "agent/claude"))
	if err != nil {
		b.Fatal(err)
	}
	return bare{clean: func() {}, command: func(ctx context.Context, program []string) *exec.Cmd {
		args := []string{
			"--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--disable-userns",
			"--uid", "10001", "--gid", "10001", "--hostname", "sandbox", "--new-session", "--die-with-parent", "--cap-drop", "ALL",
			"--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/sbin", "/sbin", "--symlink", "usr/lib", "/lib",
			"--symlink", "usr/lib64", "/lib64", "--dir", "/etc", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache",
			"--ro-bind-try", "/etc/ssl/certs", "/etc/ssl/certs", "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", "536870912",
			"--tmpfs", "/tmp", "--tmpfs", "/run", "--ro-bind", claude, "/opt/agent/claude", "--tmpfs", "/workspace", "--tmpfs", "/home/agent",
			"--chdir", "/workspace", "--clearenv",
		}
		for _, kv := range bareEnv("http://127.0.0.1:9") {
			k, v, _ := strings.Cut(kv, "=")
			args = append(args, "--setenv", k, v)
		}
		return exec.CommandContext(ctx, "bwrap", append(append(args, "--", "/opt/agent/claude"), program...)...)
	}}
}

// bareDocker is `docker create` and `docker start` of the image that the host uses.
func bareDocker(b *testing.B) bare {
	b.Helper()
	name := "agcbench-" + strings.ToLower(uuid.NewString()[:8])
	return bare{
		clean: func() { _ = exec.Command("docker", "rm", "-f", name).Run() },
		command: func(ctx context.Context, program []string) *exec.Cmd {
			args := []string{
				"create", "-i", "--name", name, "--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--init",
				"--user", "10001:10001", "--pids-limit", "512", "--memory", "2g", "--memory-swap", "2g", "--cpus", "2",
				"--tmpfs", "/tmp:rw,nosuid,nodev,size=512m,mode=1777",
				"--tmpfs", "/home/agent:rw,nosuid,nodev,size=256m,uid=10001,gid=10001,mode=0700",
				"--tmpfs", "/workspace:rw,nosuid,nodev,size=256m,uid=10001,gid=10001,mode=0700", "-w", "/workspace",
				"--entrypoint", "/opt/agent/claude",
			}
			for _, kv := range bareEnv("http://127.0.0.1:9") {
				args = append(args, "-e", kv)
			}
			script := `docker "$@" >/dev/null && exec docker start -ai ` + name
			return exec.CommandContext(ctx, "sh", append([]string{"-c", script, "sh"}, append(append(args, dockerImage), program...)...)...)
		},
	}
}

// bareEnv is what the CLI needs to talk to a model of ours and to nobody else.
func bareEnv(model string) []string {
	return []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/home/agent", "SHELL=/bin/bash", "ANTHROPIC_API_KEY=" + key, "ANTHROPIC_BASE_URL=" + model,
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_ENABLE_TASKS=0", "IS_SANDBOX=1",
		"NO_PROXY=127.0.0.1,localhost",
	}
}

// bareArgs is how the CLI is driven directly.
func bareArgs() []string {
	return []string{
		"-p", "--output-format", "stream-json", "--input-format", "stream-json", "--verbose", "--include-partial-messages",
		"--permission-prompt-tool", "stdio", "--strict-mcp-config", "--settings", `{"skipWebFetchPreflight":true}`, "--setting-sources=",
		"--tools=Bash,Read,Write,TodoWrite", "--permission-mode=acceptEdits", "--session-id=" + uuid.NewString(),
	}
}

// initialised makes a sandbox with a CLI and returns how long it took until that was ready.
func (x bare) initialised(b *testing.B) time.Duration {
	b.Helper()
	defer x.clean()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	began := time.Now()
	c := startCLI(b, x.command(ctx, bareArgs()))
	defer c.end()
	c.initialise()
	return time.Since(began)
}

// cli is a Claude Code that is driven directly.
type cli struct {
	b   *testing.B
	cmd *exec.Cmd
	in  *os.File
	out *bufio.Reader
	log bytes.Buffer
}

func startCLI(b *testing.B, cmd *exec.Cmd) *cli {
	b.Helper()
	c := &cli{b: b, cmd: cmd}
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stdin, cmd.Stderr, c.in = r, &c.log, w
	out, err := cmd.StdoutPipe()
	if err = errors.Join(err, cmd.Start(), r.Close()); err != nil {
		b.Fatal(err)
	}
	c.out = bufio.NewReaderSize(out, 1<<20)
	return c
}

func (c *cli) end() {
	_ = c.in.Close()
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait() // it was killed
}

func (c *cli) send(v any) {
	c.b.Helper()
	line, err := json.Marshal(v)
	if err == nil {
		_, err = c.in.Write(append(line, '\n'))
	}
	if err != nil {
		c.b.Fatal(err)
	}
}

// until reads on to a line that has all parts.
func (c *cli) until(parts ...string) {
	c.b.Helper()
next:
	for {
		line, err := c.out.ReadSlice('\n')
		if err != nil {
			c.b.Fatalf("Claude Code ended: %v\n%s", err, c.log.String())
		}
		for _, p := range parts {
			if !bytes.Contains(line, []byte(p)) {
				continue next
			}
		}
		return
	}
}

func (c *cli) initialise() {
	c.b.Helper()
	c.send(map[string]any{"type": "control_request", "request_id": "1", "request": map[string]any{"subtype": "initialize"}})
	c.until(`"control_response"`)
}
