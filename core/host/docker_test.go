package host_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/agcluster/agcluster/core/event"
)

// keyIsNotInTheEngine looks for the key in whatever the engine tells of the host's containers.
func (r *rig) keyIsNotInTheEngine() {
	r.t.Helper()
	ids := r.containers()
	if len(ids) != 1 {
		r.t.Fatalf("%d containers", len(ids))
	}
	for what, text := range map[string]string{
		"docker inspect": docker(r.t, "inspect", ids[0]), "docker top": docker(r.t, "top", ids[0], "-eo", "pid,args"),
		"docker logs": docker(r.t, "logs", ids[0]), "docker history": docker(r.t, "history", "--no-trunc", dockerImage),
		"docker diff": docker(r.t, "diff", ids[0]),
	} {
		if strings.Contains(text, key) || strings.Contains(text, "sk-ant-") {
			r.t.Errorf("a key is in %s:\n%s", what, text)
		}
	}
}

// TestDockerHardening reads the walls of a sandbox from the engine and from inside.
func TestDockerHardening(t *testing.T) {
	needDocker(t)
	r := newRig(t, options{on: onDocker})
	id := r.launch(inline(func(c map[string]any) { c["policies"], c["filters"] = []any{}, []any{} }))
	var seen []struct {
		Config     struct{ User string }
		HostConfig struct {
			NetworkMode, IpcMode, PidMode, UTSMode, CgroupnsMode string
			Privileged, ReadonlyRootfs, AutoRemove               bool
			CapAdd, CapDrop, SecurityOpt                         []string
			Devices                                              []any
			Init                                                 *bool
			PidsLimit, NanoCpus, Memory, MemorySwap              int64
			CpuQuota, CpuPeriod                                  int64
			Tmpfs                                                map[string]string
			RestartPolicy                                        struct{ Name string }
		}
		Mounts []struct{ Type, Destination string }
	}
	if err := json.Unmarshal([]byte(docker(t, "inspect", r.containers()[0])), &seen); err != nil || len(seen) != 1 {
		t.Fatal(err)
	}
	c, h := seen[0].Config, seen[0].HostConfig
	if c.User != "10001:10001" || h.NetworkMode != "none" || h.Privileged || !h.ReadonlyRootfs || len(h.CapAdd) != 0 ||
		!slices.Equal(h.CapDrop, []string{"ALL"}) || !slices.ContainsFunc(h.SecurityOpt, func(s string) bool { return strings.HasPrefix(s, "no-new-privileges") }) ||
		slices.ContainsFunc(h.SecurityOpt, func(s string) bool { return strings.Contains(s, "unconfined") }) || len(h.Devices) != 0 ||
		h.Init == nil || !*h.Init || h.PidMode != "" || h.UTSMode != "" || h.IpcMode == "host" || h.RestartPolicy.Name != "no" && h.RestartPolicy.Name != "" {
		t.Errorf("%+v", seen[0])
	}
	if h.PidsLimit != 512 || h.Memory != 2<<30 || h.MemorySwap != h.Memory || h.NanoCpus != 2e9 && h.CpuQuota != 2*h.CpuPeriod {
		t.Errorf("limits: %+v", h)
	}
	for _, m := range seen[0].Mounts {
		if m.Type == "bind" && m.Destination != "/run/agent" {
			t.Errorf("a folder of the host is at %s", m.Destination)
		}
	}
	status := r.turn(id, "run: cat /proc/self/status; cat /proc/mounts; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null").ended(event.CompleteOK).text()
	for _, want := range []string{
		"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "Uid:\t10001\t10001\t10001\t10001", "overlay / overlay ro",
	} {
		if !strings.Contains(status, want) {
			t.Errorf("no %q inside: %s", want, status)
		}
	}
	x := r.turn(id, "run: mount -t tmpfs none /mnt 2>&1; touch /usr/x 2>&1; unshare -r true 2>&1; cat /etc/shadow 2>&1; echo tried").ended(event.CompleteOK)
	if out := x.text(); strings.Count(out, "denied")+strings.Count(out, "not permitted")+strings.Count(out, "Read-only")+strings.Count(out, "must be superuser") < 4 {
		t.Errorf("something was allowed: %s", out)
	}
}

// TestDockerContainerKilledFromOutside: somebody removes a sandbox behind the host's back.
func TestDockerContainerKilledFromOutside(t *testing.T) {
	needDocker(t)
	r := newRig(t, options{on: onDocker})
	id := r.launch(inline(nil))
	r.turn(id, "my name is Ada").ended(event.CompleteOK)
	for name, kill := range map[string][]string{"kill": {"kill", "--signal", "KILL"}, "rm": {"rm", "--force"}} {
		t.Run(name, func(t *testing.T) {
			s := r.send(t.Context(), id, "run: sleep 60.111")
			s.until("the call of sleep", func(e event.Event) bool { return e.Data.Type() == event.TypeToolUse })
			docker(t, append(kill, r.containers()[0])...)
			x := turn{t, s.rest()}.ended(event.CompleteFailed)
			if errs := of[event.Error](x.events); len(errs) != 1 || errs[0].Code != "sandbox_lost" {
				t.Errorf("errors: %s", describe(x.events))
			}
			r.turn(id, "what did I say?").ended(event.CompleteOK).says("my name is Ada")
		})
	}
	r.request(http.MethodDelete, "/api/agents/sessions/"+id, nil).into(t, 200, nil)
	if left := append(r.containers(), r.volumes()...); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestDockerImageMissing(t *testing.T) {
	needDocker(t)
	r := newRig(t, options{on: onDocker, env: []string{"AGENT_IMAGE=agcluster-no-such-image:latest"}})
	a := r.requestAs("", http.MethodPost, "/api/agents/launch", map[string]any{"api_key": key, "config": inline(nil)})
	if p := a.problem(); a.status != http.StatusServiceUnavailable || !strings.Contains(p, "agcluster-no-such-image:latest") || !strings.Contains(p, "make images") {
		t.Errorf("%v", a)
	}
	if left := append(r.containers(), r.volumes()...); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

// engine is a Docker engine of a test's own, which it may stop.
type engine struct {
	t      testing.TB
	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
}

func newEngine(t testing.TB) *engine {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "agc-engine-")
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{t: t, dir: dir}
	t.Cleanup(func() {
		e.stop(syscall.SIGTERM)
		// What an engine that was killed had mounted.
		mounts, _ := os.ReadFile("/proc/self/mounts")
		for line := range strings.Lines(string(mounts)) {
			if at := strings.Fields(line)[1]; strings.HasPrefix(at, dir) {
				_ = syscall.Unmount(at, syscall.MNT_DETACH)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return e
}

func (e *engine) socket() string { return "unix://" + e.dir + "/docker.sock" }

// start starts the engine and returns when it answers.
func (e *engine) start() {
	e.t.Helper()
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		e.t.Fatal(err)
	}
	e.cmd = exec.Command("dockerd", "--host", e.socket(), "--data-root", e.dir+"/data", "--exec-root", e.dir+"/exec",
		"--pidfile", e.dir+"/pid", "--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := e.cmd.Start(); err != nil {
		e.t.Fatalf("starting a Docker engine: %v", err)
	}
	exited := make(chan struct{})
	e.exited = exited
	cmd := e.cmd
	go func() {
		defer close(exited)
		_ = cmd.Wait() // a killed engine has no better exit
		_ = log.Close()
	}()
	eventually(e.t, "the engine answers", func() bool {
		select {
		case <-exited:
			b, _ := os.ReadFile(filepath.Join(e.dir, "log"))
			e.t.Fatalf("the engine ended: %s", b)
		default:
		}
		return exec.Command("docker", "--host", e.socket(), "info").Run() == nil
	})
}

func (e *engine) stop(sig syscall.Signal) {
	if e.cmd == nil {
		return
	}
	_ = e.cmd.Process.Signal(sig) // it may have ended already
	<-e.exited
}

// load gives the engine an image of the machine's own engine.
func (e *engine) load(image string) {
	e.t.Helper()
	save := exec.Command("docker", "save", image)
	load := exec.Command("docker", "--host", e.socket(), "load")
	var err error
	if load.Stdin, err = save.StdoutPipe(); err != nil {
		e.t.Fatal(err)
	}
	if err := save.Start(); err != nil {
		e.t.Fatal(err)
	}
	if out, err := load.CombinedOutput(); err != nil {
		e.t.Fatalf("loading %s: %v: %s", image, err, out)
	}
	if err := save.Wait(); err != nil {
		e.t.Fatal(err)
	}
}

// TestDockerEngineRestart: while the engine is away the host says so, and heals when it is back.
func TestDockerEngineRestart(t *testing.T) {
	needDocker(t)
	const image = "agcluster-agent:latest"
	e := newEngine(t)
	e.start()
	e.load(image)
	r := newRig(t, options{on: onDocker, env: []string{
		"AGENT_IMAGE=" + image, `AGCLUSTER_PLUGINS_OPTIONS={"provider-docker":{"host":"` + e.socket() + `"}}`,
	}})
	id := r.launch(inline(nil))
	r.turn(id, "my name is Ada").ended(event.CompleteOK)
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	s := r.send(ctx, id, "run: sleep 60.222")
	s.until("the call of sleep", func(e event.Event) bool { return e.Data.Type() == event.TypeToolUse })
	e.stop(syscall.SIGTERM)
	// An engine that is told to stop tells its containers: which of the two is noticed first is chance.
	x := turn{t, s.rest()}.ended(event.CompleteFailed)
	if errs := of[event.Error](x.events); len(errs) != 1 || errs[0].Code != "sandbox_lost" && errs[0].Code != "agent_exited" {
		t.Errorf("errors: %s", describe(x.events))
	}
	a := r.requestAs("", http.MethodPost, "/api/agents/launch", map[string]any{"api_key": key, "config": inline(nil)})
	if p := a.problem(); a.status != http.StatusServiceUnavailable || !strings.Contains(strings.ToLower(p), "docker") || !strings.Contains(p, e.dir) {
		t.Errorf("a launch without an engine: %v", a)
	}
	e.start()
	r.turn(id, "what did I say?").ended(event.CompleteOK).says("my name is Ada")
	other := r.launch(inline(nil))
	for _, id := range []string{id, other} {
		r.request(http.MethodDelete, "/api/agents/sessions/"+id, nil).into(t, 200, nil)
	}
	eventually(t, "the engine has nothing of ours", func() bool {
		return docker(t, "--host", e.socket(), "ps", "-aq") == "" && docker(t, "--host", e.socket(), "volume", "ls", "-q") == ""
	})
}
