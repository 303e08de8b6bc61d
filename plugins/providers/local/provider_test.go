package main

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/plugins/sdk"
)

func TestSandboxWalls(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HOST", "s3cret")
	pl := newPlace(t)
	provider := newProvider(t, pl, nil)
	box := create(t, provider, request("walls"))
	tests := []struct {
		name, script, want string
	}{
		{"runs as the service user", "id -u; id -g; id -un", "10001\n10001\nagent"},
		{"sees no home of root", "ls /root", "ls: cannot access '/root': No such file or directory"},
		{"sees no folder of the host", "ls /work " + pl.data + " /var /sys /mnt 2>&1 | grep -vc 'No such file'", "0"},
		{"sees its own root only", "cd / && echo *", "bin dev etc home lib lib64 opt proc run sbin tmp usr workspace"},
		{"sees few files of etc", "cat /etc/shadow /etc/machine-id 2>&1 | grep -vc 'No such file'", "0"},
		{"sees its own processes only", "names=$(for p in /proc/[0-9]*; do read n < $p/comm; echo $n; done); echo \"$names\" | sort -u", "agcluster-agent\nbash\nbwrap"},
		{"has no interface but lo", "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '", "lo"},
		{"has no route out", "exec 3<>/dev/tcp/192.0.2.1/80", "/bin/bash: connect: Network is unreachable\n/bin/bash: line 1: /dev/tcp/192.0.2.1/80: Network is unreachable"},
		{"cannot write the system", "touch /usr/x", "touch: cannot touch '/usr/x': Read-only file system"},
		{"cannot write the root", "touch /x /etc/x /opt/x /dev/x 2>&1 | grep -vc Read-only", "0"},
		{"cannot write the agent server", "echo x > /opt/agent/agcluster-agent", "/bin/bash: line 1: /opt/agent/agcluster-agent: Read-only file system"},
		{"makes no user namespace", "unshare -U true; unshare -Ur true; true", "unshare: unshare failed: No space left on device\nunshare: unshare failed: No space left on device"},
		{"mounts nothing", "mount -t tmpfs x /tmp 2>/dev/null || echo refused", "refused"},
		{"has no capability", "grep -E 'Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs' /proc/self/status | tr -d '\\t' | tr '\\n' ' '", "CapPrm:0000000000000000 CapEff:0000000000000000 CapBnd:0000000000000000 CapAmb:0000000000000000 NoNewPrivs:1"},
		{"inherits no descriptor", "ls /proc/self/fd | tr '\\n' ' '; ls -l /proc/1/fd | grep -E ' [3-9] -> ' | grep -vc eventfd", "0 1 2 3 0"}, // process 1 is bwrap, with an eventfd of its own
		{"has a clean environment", "env | grep -v -E '^(_|SHLVL|PWD|OLDPWD)=' | sort", strings.Join([]string{
			"AGCLUSTER_CLAUDE=/opt/agent/claude", "AGCLUSTER_LISTEN=unix:/run/agent/agent.sock", "AGCLUSTER_TOKEN_FD=3", "AGCLUSTER_WORKSPACE=/workspace",
			"CLAUDE_CONFIG_DIR=/home/agent/.claude", "FROM_HOST=yes it is", "HOME=/home/agent", "LANG=C.UTF-8",
			"PATH=/usr/local/bin:/usr/bin:/bin", "SHELL=/bin/bash", "TMPDIR=/tmp",
		}, "\n")},
		{"shows neither token nor host in any command line or environment", "cat /proc/*/cmdline /proc/*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c -E 's3cre[t]|token-of-the-tes[t]|/ag[c][0-9]'", "0"},
		{"has a claude", "/opt/agent/claude", "claude stand-in"},
		{"writes what is its own", "touch /workspace/a /home/agent/b /tmp/c /dev/shm/d && stat -c %U /workspace/a", "agent"},
		{"starts in the workspace", "pwd", "/workspace"},
		{"dumps no core", "ulimit -c", "0"},
		{"has a terminal-free session", "echo x > /dev/tty", "/bin/bash: line 1: /dev/tty: No such device or address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := inside(t, box, tt.script); got != tt.want {
				t.Errorf("got %q\nwant %q", got, tt.want)
			}
		})
	}
	t.Run("belongs to the service user on the host", func(t *testing.T) {
		checkOwner(t, pl.data+"/volumes/vol-walls/workspace/a")
		checkOwner(t, pl.data+"/volumes/vol-walls/home/b")
	})
	t.Run("demands the token", func(t *testing.T) {
		status, _, err := call(t.Context(), box.Endpoint, "/exec", "wrong", "true")
		if err != nil || status != http.StatusUnauthorized {
			t.Errorf("got status %d, error %v", status, err)
		}
	})
}

func TestVolumeOutlivesItsSandboxUntilItIsRemoved(t *testing.T) {
	pl := newPlace(t)
	provider := newProvider(t, pl, nil)
	req := request("first")
	box := create(t, provider, req)
	inside(t, box, "mkdir -p ~/.claude && echo one > ~/.claude/log && echo two > file")

	other := request("second")
	other.Volume = req.Volume
	if _, err := provider.Create(t.Context(), other); err == nil || !strings.Contains(err.Error(), "in use by sandbox first") {
		t.Fatalf("a volume was given to two sandboxes: %v", err)
	}
	if err := provider.Destroy(t.Context(), sdk.DestroyRequest{Volume: req.Volume}); err == nil {
		t.Fatal("a volume was removed under its sandbox")
	}
	if err := provider.Destroy(t.Context(), sdk.DestroyRequest{ID: "first"}); err != nil {
		t.Fatal(err)
	}
	box = create(t, provider, other)
	if got, _ := inside(t, box, "cat ~/.claude/log file"); got != "one\ntwo" {
		t.Errorf("got %q", got)
	}
	inside(t, box, "mkdir -p a/b && ln -s / a/root && chmod 0 a/b && chmod 500 a")
	if err := provider.Destroy(t.Context(), sdk.DestroyRequest{ID: "second", Volume: req.Volume}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{volumesDir, trashDir} {
		if entries, err := os.ReadDir(pl.data + "/" + dir); err != nil || len(entries) != 0 {
			t.Errorf("%s: %v, %v", dir, entries, err)
		}
	}
}

func TestSandboxWithoutVolumeKeepsNothing(t *testing.T) {
	pl := newPlace(t)
	provider := newProvider(t, pl, nil)
	req := request("spare")
	req.Volume = ""
	box := create(t, provider, req)
	if _, code := inside(t, box, "touch file"); code != 0 {
		t.Error("the workspace is not writable")
	}
	if err := provider.Destroy(t.Context(), sdk.DestroyRequest{ID: "spare"}); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(pl.data + "/" + ephemeralDir); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestEndpointCannotBeRedirectedFromInside(t *testing.T) {
	provider := newProvider(t, newPlace(t), nil)
	box := create(t, provider, request("redirect"))
	inside(t, box, "rm -f /run/agent/agent.sock; ln -s /var/run/docker.sock /run/agent/agent.sock")
	if got, _ := inside(t, box, "echo still here"); got != "still here" {
		t.Errorf("got %q", got)
	}
}

func TestExitedSandboxSaysWhy(t *testing.T) {
	provider := newProvider(t, newPlace(t), nil)
	box := create(t, provider, request("leaves"))
	if _, _, err := call(t.Context(), box.Endpoint, "/exit", testToken, ""); err == nil {
		t.Fatal("the agent server did not leave")
	}
	provider.mu.Lock()
	s := provider.sandboxes["leaves"]
	provider.mu.Unlock()
	<-s.proc.gone
	got, err := provider.Get(t.Context(), sdk.GetRequest{ID: "leaves"})
	if err != nil {
		t.Fatal(err)
	}
	if got.State != sdk.StateExited || got.Detail != "exit status 7: agent: told to leave" {
		t.Errorf("state %q, detail %q", got.State, got.Detail)
	}
	again := create(t, provider, request("leaves"))
	if again.State != sdk.StateExited {
		t.Errorf("Create replaced an exited sandbox: %q", again.State)
	}
}

func TestCreateFailures(t *testing.T) {
	tests := []struct {
		name      string
		options   map[string]any
		change    func(*sdk.CreateRequest)
		want      string
		permanent bool
	}{
		{"agent server fails", nil, func(r *sdk.CreateRequest) { r.Env = map[string]string{"TEST_MODE": "fail"} }, "exit status 3: agent: told to fail?[31m with a token of 17 bytes", false},
		{"bubblewrap is missing", map[string]any{"bubblewrap": "/nonexistent/bwrap"}, nil, "option bubblewrap", true},
		{"no agent server", map[string]any{"agent_dir": "/nonexistent"}, nil, "fix: make build", true},
		{"id with a slash", nil, func(r *sdk.CreateRequest) { r.ID = "../x" }, "id \"../x\" has other characters", true},
		{"id too long", nil, func(r *sdk.CreateRequest) { r.ID = strings.Repeat("a", 64) }, "id has 64 bytes", true},
		{"id empty", nil, func(r *sdk.CreateRequest) { r.ID = "" }, "id has 0 bytes", true},
		{"volume escapes", nil, func(r *sdk.CreateRequest) { r.Volume = ".." }, "volume \"..\"", true},
		{"no token", nil, func(r *sdk.CreateRequest) { r.Token = "" }, "token has 0 bytes", true},
		{"token too long", nil, func(r *sdk.CreateRequest) { r.Token = strings.Repeat("t", 5000) }, "token has 5000 bytes", true},
		{"environment name", nil, func(r *sdk.CreateRequest) { r.Env = map[string]string{"A=B": "x"} }, "invalid name", true},
		{"environment zero byte", nil, func(r *sdk.CreateRequest) { r.Env = map[string]string{"A": "x\x00--bind"} }, "env.A has a zero byte", true},
		{"environment of ours", nil, func(r *sdk.CreateRequest) { r.Env = map[string]string{"AGCLUSTER_TOKEN_FD": "9"} }, "env.AGCLUSTER_TOKEN_FD is set by the provider", true},
		{"environment too large", nil, func(r *sdk.CreateRequest) { r.Env = map[string]string{"A": strings.Repeat("x", sdk.MaxEnvBytes)} }, "more than 131072", true},
		{"negative memory", nil, func(r *sdk.CreateRequest) { r.Resources.MemoryBytes = -1 }, "resources.memory_bytes -1 is below", true},
		{"too few processes", nil, func(r *sdk.CreateRequest) { r.Resources.PIDs = 1 }, "resources.pids 1 is below", true},
		{"too little cpu", nil, func(r *sdk.CreateRequest) { r.Resources.MilliCPU = 1 }, "resources.milli_cpu 1 is below", true},
		{"negative disk", nil, func(r *sdk.CreateRequest) { r.Resources.DiskBytes = -1 }, "resources.disk_bytes is negative", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pl := newPlace(t)
			provider := newProvider(t, pl, tt.options)
			req := request("fails")
			if tt.change != nil {
				tt.change(&req)
			}
			_, err := provider.Create(t.Context(), req)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if sdk.IsPermanent(err) != tt.permanent {
				t.Errorf("permanent is %t: %v", !tt.permanent, err)
			}
			if strings.Contains(err.Error(), testToken) {
				t.Error("the error shows the token")
			}
			if _, err := provider.Get(t.Context(), sdk.GetRequest{ID: req.ID}); !errors.Is(err, sdk.ErrNotFound) {
				t.Errorf("a failed sandbox is listed: %v", err)
			}
			pl.checkEmpty(t)
		})
	}
}

func TestForbiddenNamespacesNameTheFix(t *testing.T) {
	tests := []struct{ says, want string }{
		{"bwrap: No permissions to create new namespace, likely because the kernel does not allow non-privileged user namespaces.", "kernel.unprivileged_userns_clone=1"},
		{"bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", "apparmor_restrict_unprivileged_userns=0"},
		{"bwrap: setting up uid map: Permission denied", "user namespaces are forbidden"},
		{"bwrap: Unknown option --disable-userns", "0.8 or newer"},
		{"bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded (ENOSPC)", "user.max_user_namespaces"},
		{"something nobody has seen", "does not work on this host: exit status 1: something nobody has seen"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			pl := newPlace(t)
			fake := agentDir + "/fake-bwrap"
			if err := os.WriteFile(fake, []byte("#!/bin/sh\necho '"+tt.says+"' >&2\nexit 1\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			provider := newProvider(t, pl, map[string]any{"bubblewrap": fake})
			_, err := provider.Create(t.Context(), request("forbidden"))
			if err == nil || !sdk.IsPermanent(err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
