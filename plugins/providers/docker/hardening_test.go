package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// TestWalls asserts what a sandbox is made of, as the engine tells it and as it looks from inside, with either endpoint.
func TestWalls(t *testing.T) {
	for _, endpoint := range []string{endpointSocket, endpointExec} {
		t.Run(endpoint, func(t *testing.T) {
			p := newProvider(t, newPlace(t), map[string]any{"endpoint": endpoint})
			req := request("walls")
			req.Resources = sdk.Resources{MemoryBytes: 200 << 20, MilliCPU: 3000, PIDs: 77, DiskBytes: 10 << 30}
			box := create(t, p, req)
			checkInspection(t, inspect(t, req.ID), endpoint)
			checkInside(t, box)
			for resource, want := range map[string]string{
				"memory": "200 MiB by cgroup v", "cpu": "3 CPU by cgroup v", "pids": "77 processes by cgroup v",
				"disk": "10 GiB by the agent server's accounting: Docker's volumes have no quota here",
			} {
				if !strings.HasPrefix(box.Limits[resource], want) {
					t.Errorf("limit of %s: %q, want %q", resource, box.Limits[resource], want)
				}
			}
		})
	}
}

func inspect(t testing.TB, id string) container.InspectResponse {
	t.Helper()
	c, err := rig.engine.api.ContainerInspect(t.Context(), rig.prefix+"-"+id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func checkInspection(t *testing.T, c container.InspectResponse, endpoint string) {
	t.Helper()
	h := c.HostConfig
	for what, is := range map[string]bool{
		"network none": h.NetworkMode == "none", "read-only root": h.ReadonlyRootfs, "all capabilities dropped": len(h.CapDrop) == 1 && h.CapDrop[0] == "ALL" && len(h.CapAdd) == 0,
		"no new privileges": len(h.SecurityOpt) == 1 && h.SecurityOpt[0] == "no-new-privileges:true", "not privileged": !h.Privileged,
		"user": c.Config.User == "10001:10001", "init": h.Init != nil && *h.Init, "pids": h.PidsLimit != nil && *h.PidsLimit == 77,
		"memory": h.Memory == 200<<20, "no swap": h.MemorySwap == h.Memory, "CPU": h.CPUQuota == 3*h.CPUPeriod && h.CPUPeriod > 0, "out-of-memory killer": h.OomKillDisable == nil || !*h.OomKillDisable,
		"no restarts": h.RestartPolicy.IsNone(), "kept until removed": !h.AutoRemove, "bounded log": h.LogConfig.Type == "json-file" && h.LogConfig.Config["max-size"] != "" && h.LogConfig.Config["max-file"] == "2",
		"standard input once": c.Config.OpenStdin && c.Config.StdinOnce, "private IPC": h.IpcMode.IsPrivate(), "own processes": h.PidMode == "",
		"label of the host": c.Config.Labels["org.agcluster.session"] == "walls", "label of the manager": c.Config.Labels[labelManagedBy] == managedBy,
	} {
		if !is {
			t.Errorf("missing in the inspection: %s", what)
		}
	}
	mounts := map[string]mount.Type{}
	for _, m := range c.Mounts {
		mounts[m.Destination] = m.Type
	}
	want := map[string]mount.Type{sandboxWorkspace: mount.TypeVolume, sandboxConfig: mount.TypeVolume}
	if endpoint == endpointSocket {
		want[sandboxRun] = mount.TypeBind
	}
	for path, kind := range want {
		if mounts[path] != kind {
			t.Errorf("%s is a %q, want %q", path, mounts[path], kind)
		}
	}
	for path := range mounts {
		if _, ok := want[path]; !ok && h.Tmpfs[path] == "" {
			t.Errorf("unexpected mount %s", path)
		}
	}
}

func checkInside(t *testing.T, box sdk.Sandbox) {
	t.Helper()
	for name, c := range map[string]struct{ script, want string }{
		"user":                  {"id -u; id -g", "10001\n10001"},
		"root is read-only":     {"touch /x /opt/agent/x /etc/x 2>&1 | grep -c Read-only", "3"},
		"no capabilities":       {`grep -E "^Cap(Inh|Prm|Eff|Bnd|Amb)" /proc/self/status | grep -vc 0000000000000000`, "0"},
		"no new privileges":     {"grep NoNewPrivs /proc/self/status | tr -d '\\t'", "NoNewPrivs:1"},
		"seccomp":               {"grep Seccomp: /proc/self/status | tr -d '\\t'", "Seccomp:2"},
		"no network but lo":     {"ls /sys/class/net", "lo"},
		"no route":              {"wc -l < /proc/net/route", "1"},
		"working folder":        {"cd; pwd; echo $FROM_HOST", "/home/agent\nyes it is"},
		"disk limit is told":    {"echo $AGCLUSTER_DISK_LIMIT", "10737418240"},
		"home is the user's":    {"stat -c '%a %u %g' /home/agent", "700 10001 10001"},
		"/tmp is everybody's":   {"stat -c %a /tmp", "1777"},
		"/tmp runs programs":    {"cp /bin/busybox /tmp/echo; /tmp/echo ran; rm /tmp/echo", "ran"},
		"/tmp is bounded":       {"x=$(dd if=/dev/zero of=/tmp/big bs=1M count=60 2>&1 | grep -c 'No space'); rm /tmp/big; echo $x", "1"},
		"workspace is writable": {"echo hi > /workspace/x; cat /workspace/x; stat -c %u /workspace", "hi\n10001"},
		"no engine in sight":    {"ls /var/run/docker.sock /run/docker.sock 2>/dev/null; echo none", "none"},
		"core dumps are off":    {"ulimit -c", "0"},
		"standard input":        {"readlink /proc/self/fd/0 2>/dev/null || ls -l /proc/self/fd/0 | grep -o /dev/null", "/dev/null"},
	} {
		if got := inside(t, box, c.script); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
	if out := inside(t, box, `i=0; while [ $i -lt 120 ]; do sleep 3 & i=$((i+1)); done 2>&1; echo end`); !strings.Contains(out, "fork") {
		t.Errorf("120 processes fit into 77: %q", out)
	}
}

// TestTheTokenIsNowhere with the real agent server: not in what the engine tells, not in any process' environment or command line,
// not in the log, not in a file.
func TestTheTokenIsNowhere(t *testing.T) {
	for _, endpoint := range []string{endpointSocket, endpointExec} {
		t.Run(endpoint, func(t *testing.T) {
			pl := newPlace(t)
			p := newProvider(t, pl, map[string]any{"endpoint": endpoint})
			req := request("token")
			req.Image = rig.realImage
			box := create(t, p, req)
			for token, want := range map[string]int{testToken: 200, "another": 401} {
				status, answer, err := callAgent(t.Context(), box.Endpoint, "/v1/health", token, nil)
				if err != nil || status != want {
					t.Errorf("health with %q: %d %s %v", token, status, answer, err)
				}
			}
			c := inspect(t, req.ID)
			told, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			refuse(t, "inspection", string(told))
			top, err := rig.engine.api.ContainerTop(t.Context(), c.ID, []string{"-eo", "pid,args"})
			if err != nil {
				t.Fatal(err)
			}
			if len(top.Processes) < 2 {
				t.Errorf("top: %v", top)
			}
			for _, process := range top.Processes {
				refuse(t, "top", strings.Join(process, " "))
				pid, err := strconv.Atoi(strings.TrimSpace(process[0]))
				if err != nil {
					t.Fatal(err)
				}
				for _, file := range []string{"environ", "cmdline"} {
					raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), file))
					if err != nil && os.Geteuid() == 0 {
						t.Error(err)
					}
					refuse(t, file, string(raw))
				}
				if target, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "fd/0")); err == nil && process[1] == "/opt/agent/real-agent" && target != os.DevNull {
					t.Errorf("the agent server's standard input is still %s", target)
				}
			}
			logs, err := rig.engine.api.ContainerLogs(t.Context(), c.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true})
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(logs)
			if err := errors.Join(err, logs.Close()); err != nil {
				t.Fatal(err)
			}
			refuse(t, "log", string(text))
			if out, err := exec.Command("grep", "-r", "-l", testToken, pl.data, pl.run).Output(); err == nil {
				t.Errorf("the token is in %s", out)
			}
			attached, err := rig.engine.api.ContainerAttach(t.Context(), c.ID, container.AttachOptions{Stdin: true, Stdout: true, Logs: true})
			if err == nil {
				text, _ := io.ReadAll(attached.Reader)
				attached.Close()
				refuse(t, "attachment", string(text))
			}
		})
	}
}

func refuse(t *testing.T, what, text string) {
	t.Helper()
	if strings.Contains(text, testToken) {
		t.Errorf("the token is in the %s: %.300q", what, text)
	}
}

// TestASocketThatIsReplacedIsNotFollowed: the sandbox may put what it wants where its socket was; the host dials the first one.
func TestASocketThatIsReplacedIsNotFollowed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a socket endpoint needs root")
	}
	p := newProvider(t, newPlace(t), map[string]any{"endpoint": endpointSocket})
	box := create(t, p, request("hostile"))
	out := inside(t, box, `cd /run/agent && rm agent.sock && ln -s /var/run/docker.sock agent.sock && i=0; while mkdir d 2>/dev/null; do cd d; i=$((i+1)); done; echo $i; dd if=/dev/zero of=/run/agent/big bs=1M count=3 2>&1 | grep -c 'No space'`)
	depth, _, _ := strings.Cut(out, "\n")
	if n, err := strconv.Atoi(depth); err != nil || n > 64 || !strings.HasSuffix(out, "\n1") {
		t.Errorf("the folder of the socket is not bounded: %q", out)
	}
	if got := inside(t, box, "echo still here"); got != "still here" {
		t.Errorf("got %q", got)
	}
	again, err := p.Create(t.Context(), request("hostile"))
	if err == nil {
		// Whatever the outcome, it must not be an endpoint that leads elsewhere.
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := runScript(ctx, again.Endpoint, "true"); err != nil {
			t.Errorf("the endpoint leads elsewhere: %v", err)
		}
	}
}
