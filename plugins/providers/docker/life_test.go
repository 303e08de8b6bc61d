package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/plugins/sdk"
	"github.com/agcluster/agcluster/plugins/sdk/plugintest"
)

// eventually calls get until it returns what is wanted: the engine tells of an end a moment after it.
func eventually(t testing.TB, what string, get func(ctx context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !get(ctx) {
		if sleep(ctx, 20*time.Millisecond) != nil {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// exited waits until a sandbox has exited and returns why.
func exited(t testing.TB, p sdk.Provider, id string) sdk.Sandbox {
	t.Helper()
	var box sdk.Sandbox
	eventually(t, id+" exits", func(ctx context.Context) bool {
		var err error
		if box, err = p.Get(ctx, sdk.GetRequest{ID: id}); err != nil {
			t.Fatalf("Get: %v", err)
		}
		return box.State == sdk.StateExited
	})
	return box
}

func TestWhyASandboxHasExited(t *testing.T) {
	p := newProvider(t, newPlace(t), nil)
	for name, c := range map[string]struct {
		end  func(box sdk.Sandbox)
		want string
	}{
		"left": {func(box sdk.Sandbox) {
			_, _, _ = callAgent(t.Context(), box.Endpoint, "/exit", testToken, strings.NewReader(""))
		}, "exit status 7: agent: told to leave"},
		"eaten": {func(box sdk.Sandbox) {
			_, _, _ = callAgent(t.Context(), box.Endpoint, "/eat?mib=400", testToken, strings.NewReader(""))
		}, "out of memory"},
		"killed": {func(sdk.Sandbox) { kill(t, "killed") }, "exit status 137"},
	} {
		t.Run(name, func(t *testing.T) {
			req := request(name)
			req.Resources.MemoryBytes = 100 << 20
			c.end(create(t, p, req))
			box := exited(t, p, name)
			if box.Detail != c.want || box.Labels["session"] != name || box.Limits["memory"] == "" {
				t.Errorf("got %+v, want the detail %q", box, c.want)
			}
			list, err := p.List(t.Context(), sdk.ListRequest{Labels: map[string]string{"session": name}})
			if err != nil || len(list.Sandboxes) != 1 || list.Sandboxes[0].State != sdk.StateExited || list.Sandboxes[0].Detail != c.want {
				t.Errorf("List: %+v, %v", list, err)
			}
			again, err := p.Create(t.Context(), req)
			if err != nil || again.State != sdk.StateExited {
				t.Errorf("creating again what has exited: %+v, %v", again, err)
			}
		})
	}
}

func kill(t testing.TB, id string) {
	t.Helper()
	if err := rig.engine.api.ContainerKill(t.Context(), rig.prefix+"-"+id, "KILL"); err != nil {
		t.Fatal(err)
	}
}

func TestAChildThatRunsOutOfMemoryDiesAlone(t *testing.T) {
	p := newProvider(t, newPlace(t), nil)
	req := request("child")
	req.Resources.MemoryBytes = 100 << 20
	box := create(t, p, req)
	if out := inside(t, box, "/opt/agent/test-agent eat 300 || echo died $?"); !strings.Contains(out, "died 137") {
		t.Errorf("got %q", out)
	}
	if got, err := p.Get(t.Context(), sdk.GetRequest{ID: "child"}); err != nil || got.State != sdk.StateRunning {
		t.Errorf("got %+v, %v", got, err)
	}
	var stats sdk.Stats
	if err := p.Stats(t.Context(), sdk.StatsRequest{ID: "child"}, func(s sdk.Stats) error { stats = s; return nil }); err != nil || stats.OOMKills != 1 {
		t.Errorf("got %+v, %v, want one kill", stats, err)
	}
	kill(t, "child")
	if got := exited(t, p, "child"); !strings.HasPrefix(got.Detail, "out of memory") && got.Detail != "exit status 137" {
		t.Errorf("got %+v", got)
	}
}

// TestNothingIsLeftOfACreateThatFails: nothing of ours, at least; newProvider checks the rest.
func TestNothingIsLeftOfACreateThatFails(t *testing.T) {
	for _, endpoint := range []string{endpointAuto, endpointExec} {
		t.Run(endpoint, func(t *testing.T) {
			p := newProvider(t, newPlace(t), map[string]any{"endpoint": endpoint})
			failing := request("failing")
			failing.Env["TEST_MODE"] = "fail"
			_, err := p.Create(t.Context(), failing)
			if want := "ended before the agent server listened: exit status 3: agent: told to fail?[31m with a token of"; err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), testToken) {
				t.Errorf("got %v, want %q", err, want)
			}
			hanging := request("hanging")
			hanging.Env["TEST_MODE"] = "hang"
			for _, after := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond, time.Second} {
				ctx, cancel := context.WithTimeout(t.Context(), after)
				if _, err := p.Create(ctx, hanging); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("after %s: got %v", after, err)
				}
				cancel()
			}
			ended := make(chan error, 1)
			go func() {
				_, err := p.Create(t.Context(), hanging)
				ended <- err
			}()
			eventually(t, "the container runs", func(ctx context.Context) bool {
				c, err := rig.engine.api.ContainerInspect(ctx, rig.prefix+"-hanging")
				return err == nil && c.State.Running
			})
			if _, err := p.Get(t.Context(), sdk.GetRequest{ID: "hanging"}); !errors.Is(err, sdk.ErrNotFound) {
				t.Errorf("Get of what is being created: %v", err)
			}
			destroy(t, p, sdk.DestroyRequest{ID: "hanging"})
			if err := <-ended; !errors.Is(err, errDestroyed) {
				t.Errorf("got %v, want %v", err, errDestroyed)
			}
		})
	}
}

func TestAVolumeThatWasThereStaysWhenACreateFails(t *testing.T) {
	p := newProvider(t, newPlace(t), nil)
	req := request("stays")
	box := create(t, p, req)
	inside(t, box, "echo kept > /workspace/kept")
	destroy(t, p, sdk.DestroyRequest{ID: req.ID})
	failing := request("stays2")
	failing.Volume, failing.Env["TEST_MODE"] = req.Volume, "fail"
	if _, err := p.Create(t.Context(), failing); err == nil {
		t.Fatal("want an error")
	}
	if got := inside(t, create(t, p, req), "cat /workspace/kept"); got != "kept" {
		t.Errorf("got %q", got)
	}
}

func TestAVolumeHasOneSandboxAtATime(t *testing.T) {
	p := newProvider(t, newPlace(t), nil)
	first := request("first")
	create(t, p, first)
	second := request("second")
	second.Volume = first.Volume
	if _, err := p.Create(t.Context(), second); err == nil || !strings.Contains(err.Error(), "in use by sandbox first") {
		t.Errorf("got %v", err)
	}
	if err := p.Destroy(t.Context(), sdk.DestroyRequest{Volume: first.Volume}); err == nil || !strings.Contains(err.Error(), "in use by sandbox first") {
		t.Errorf("removing a volume in use: got %v", err)
	}
	kill(t, "first")
	exited(t, p, "first")
	create(t, p, second)
	kill(t, "second")
	exited(t, p, "second")
	destroy(t, p, sdk.DestroyRequest{Volume: first.Volume}) // what has exited holds it no more
}

func TestASandboxWithoutAVolumeLeavesNone(t *testing.T) {
	p := newProvider(t, newPlace(t), nil)
	req := request("ephemeral")
	req.Volume = ""
	inside(t, create(t, p, req), "echo x > /workspace/x && echo x > ~/.claude/x")
	var anonymous []string
	for _, m := range inspect(t, req.ID).Mounts {
		if m.Name != "" {
			anonymous = append(anonymous, m.Name)
		}
	}
	destroy(t, p, sdk.DestroyRequest{ID: req.ID})
	if len(anonymous) != 2 {
		t.Errorf("volumes: %v", anonymous)
	}
	for _, name := range anonymous {
		if _, err := rig.engine.api.VolumeInspect(t.Context(), name); err == nil {
			t.Errorf("left: volume %s", name)
		}
	}
}

func TestManyAtATimeAreOne(t *testing.T) {
	p := newProvider(t, newPlace(t), nil)
	req := request("same")
	t.Cleanup(func() { destroy(t, p, sdk.DestroyRequest{ID: req.ID, Volume: req.Volume}) })
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if box, err := p.Create(t.Context(), req); err != nil || box.State != sdk.StateRunning {
				t.Errorf("got %+v, %v", box, err)
			}
		})
	}
	wg.Wait()
	for range 5 {
		wg.Go(func() {
			if err := p.Destroy(t.Context(), sdk.DestroyRequest{ID: req.ID}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestAKilledPluginFindsItsSandboxes: the host empties the run folder and starts the plugin anew.
func TestAKilledPluginFindsItsSandboxes(t *testing.T) {
	needEngine(t)
	path := plugintest.Build(t, ".")
	for _, endpoint := range []string{endpointSocket, endpointExec} {
		t.Run(endpoint, func(t *testing.T) {
			options := testOptions(t, map[string]any{"endpoint": endpoint})
			first := plugintest.Start(t, path, options)
			req := request("survivor-" + endpoint)
			box, err := first.Provider.Create(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			inside(t, box, "echo one > /workspace/x")
			if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the plugin is gone", func(ctx context.Context) bool {
				_, err := first.Provider.List(ctx, sdk.ListRequest{})
				return errors.Is(err, sdk.ErrPluginExited)
			})
			// As the host does: what a killed plugin has left of its own sockets goes, too.
			if err := errors.Join(os.RemoveAll(first.RunDir), os.Mkdir(first.RunDir, 0o700), os.RemoveAll(filepath.Join(first.RunDir, "../s"))); err != nil {
				t.Fatal(err)
			}
			second := New(zaptest.NewLogger(t))
			t.Cleanup(func() {
				if err := second.Close(); err != nil {
					t.Error(err)
				}
			})
			// What plugintest.Start configures, but for the folders.
			if err := second.Configure(t.Context(), sdk.ConfigureRequest{HostID: "test", DataDir: first.DataDir, RunDir: first.RunDir, Options: options}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { destroy(t, second, sdk.DestroyRequest{ID: req.ID, Volume: req.Volume}) })
			if got := inside(t, box, "cat /workspace/x"); got != "one" {
				t.Errorf("the endpoint that the host knows: got %q", got)
			}
			got, err := second.Get(t.Context(), sdk.GetRequest{ID: req.ID})
			if err != nil || got.Endpoint.URL != box.Endpoint.URL || got.State != sdk.StateRunning || got.Labels["session"] != req.ID || got.Limits["memory"] != box.Limits["memory"] {
				t.Errorf("got %+v, %v, want %+v", got, err, box)
			}
			again, err := second.Create(t.Context(), req)
			if err != nil || again.Endpoint.URL != box.Endpoint.URL {
				t.Errorf("Create: %+v, %v", again, err)
			}
		})
	}
}

// TestWhatAKilledPluginLeftHalfMadeIsReplaced: a container that never got its token can't become a sandbox.
func TestWhatAKilledPluginLeftHalfMadeIsReplaced(t *testing.T) {
	pl := newPlace(t)
	p := newProvider(t, pl, nil)
	for name, started := range map[string]bool{"created": false, "started": true} {
		t.Run(name, func(t *testing.T) {
			req := request("half-" + name)
			st := p.settings
			s := spec{req: req, words: map[string]string{}, lim: limits{memoryBytes: 64 << 20, milliCPU: 1000, pids: 50}, endpoint: endpointExec}
			if _, err := st.ensureVolume(t.Context(), req.Volume); err != nil {
				t.Fatal(err)
			}
			c, err := st.engine.api.ContainerCreate(t.Context(), st.config(s), st.hostConfig(s), nil, nil, st.containerName(req.ID))
			if err != nil {
				t.Fatal(err)
			}
			if started {
				stdin, err := st.engine.api.ContainerAttach(t.Context(), c.ID, container.AttachOptions{Stream: true, Stdin: true})
				if err != nil {
					t.Fatal(err)
				}
				if err := st.engine.api.ContainerStart(t.Context(), c.ID, container.StartOptions{}); err != nil {
					t.Fatal(err)
				}
				stdin.Close()
			} else if got, err := p.Get(t.Context(), sdk.GetRequest{ID: req.ID}); err != nil || got.State != sdk.StateExited || got.Detail != "it was never started" {
				t.Errorf("Get: %+v, %v", got, err)
			}
			box := create(t, p, req)
			if inspect(t, req.ID).ID == c.ID && !started {
				t.Error("it was not replaced")
			}
			if box.State != sdk.StateRunning {
				t.Errorf("got %+v", box)
			}
		})
	}
}

func TestAnotherHostsSandboxesAreNotOurs(t *testing.T) {
	mine, theirs := newProvider(t, newPlace(t), nil), newProvider(t, newPlace(t), nil)
	req := request("shared")
	create(t, theirs, req)
	if _, err := mine.Get(t.Context(), sdk.GetRequest{ID: req.ID}); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	if list, err := mine.List(t.Context(), sdk.ListRequest{}); err != nil || len(list.Sandboxes) != 0 {
		t.Errorf("List: %+v, %v", list, err)
	}
	other := request("shared")
	other.Volume = "vol-other"
	if _, err := mine.Create(t.Context(), other); err == nil || !sdk.IsPermanent(err) || !strings.Contains(err.Error(), "not this host's") {
		t.Errorf("Create with a taken name: %v", err)
	}
	thief := request("thief")
	thief.Volume = req.Volume
	if _, err := mine.Create(t.Context(), thief); err == nil || !sdk.IsPermanent(err) {
		t.Errorf("Create with a volume of theirs: %v", err)
	}
	destroy(t, mine, sdk.DestroyRequest{ID: req.ID, Volume: req.Volume})
	if box, err := theirs.Get(t.Context(), sdk.GetRequest{ID: req.ID}); err != nil || box.State != sdk.StateRunning {
		t.Errorf("theirs afterwards: %+v, %v", box, err)
	}
}

func TestTheExecIsStartedAgainWhenItDies(t *testing.T) {
	p := newProvider(t, newPlace(t), map[string]any{"endpoint": endpointExec})
	box := create(t, p, request("execs"))
	for range 3 {
		// The connection that asks for it dies with it; the next one works.
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, _ = runScript(ctx, box.Endpoint, `for p in /proc/[0-9]*; do tr '\0' ' ' < $p/cmdline | grep -q 'real-agent connect' && kill -9 ${p#/proc/}; done`)
		cancel()
		eventually(t, "a new exec", func(ctx context.Context) bool {
			out, err := runScript(ctx, box.Endpoint, "echo back")
			return err == nil && out == "back"
		})
	}
}

// TestAnEngineThatIsDown: every request says so, and none says that a sandbox is not there.
func TestAnEngineThatIsDown(t *testing.T) {
	dir, err := os.MkdirTemp("", "agc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "docker.sock")
	pl := newPlace(t)
	p := New(zaptest.NewLogger(t))
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	req := pl.configure(t, map[string]any{"host": "unix://" + socket})
	if err := p.Configure(t.Context(), req); err != nil {
		t.Fatalf("Configure: %v", err)
	}
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"Create":  func() error { _, err := p.Create(ctx, request("down")); return err },
		"Get":     func() error { _, err := p.Get(ctx, sdk.GetRequest{ID: "down"}); return err },
		"List":    func() error { _, err := p.List(ctx, sdk.ListRequest{}); return err },
		"Destroy": func() error { return p.Destroy(ctx, sdk.DestroyRequest{ID: "down", Volume: "v"}) },
		"Stats":   func() error { return p.Stats(ctx, sdk.StatsRequest{ID: "down"}, func(sdk.Stats) error { return nil }) },
		"Logs":    func() error { return p.Logs(ctx, sdk.LogsRequest{ID: "down"}, func(sdk.LogLine) error { return nil }) },
	} {
		err := call()
		if !errors.Is(err, sdk.ErrPlatformDown) || errors.Is(err, sdk.ErrNotFound) || sdk.IsPermanent(err) || !strings.Contains(err.Error(), socket) || !strings.Contains(err.Error(), "systemctl start docker") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if rig.skip != "" {
		return
	}
	// It heals when the engine is there: the socket leads to the real one now.
	if err := os.Symlink(strings.TrimPrefix(rig.host, "unix://"), socket); err != nil {
		t.Fatal(err)
	}
	box := create(t, p, request("down"))
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	p.settings.engine.api.HTTPClient().CloseIdleConnections()
	if _, err := p.Get(ctx, sdk.GetRequest{ID: "down"}); !errors.Is(err, sdk.ErrPlatformDown) {
		t.Errorf("Get while it is down again: %v", err)
	}
	if got := inside(t, box, "echo alive"); got != "alive" {
		t.Errorf("the sandbox meanwhile: %q", got)
	}
	if err := os.Symlink(strings.TrimPrefix(rig.host, "unix://"), socket); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Get(ctx, sdk.GetRequest{ID: "down"}); err != nil {
		t.Errorf("Get afterwards: %v", err)
	}
}

func TestAnEngineThatMayNotBeUsedNamesTheGroup(t *testing.T) {
	e := &engine{where: "unix:///x", local: true}
	denied := &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}
	if err := e.explain(fmt.Errorf("asking: %w", denied)); !errors.Is(err, sdk.ErrPlatformDown) || !strings.Contains(err.Error(), "docker group") {
		t.Errorf("got %v", err)
	}
	if err := e.explain(context.Canceled); err != context.Canceled { //nolint:errorlint // the very same
		t.Errorf("got %v", err)
	}
	if err := e.explain(errors.New("an answer")); errors.Is(err, sdk.ErrPlatformDown) {
		t.Errorf("got %v", err)
	}
}

func TestWhatNoRepetitionHelpsIsPermanent(t *testing.T) {
	pl := newPlace(t)
	p := newProvider(t, pl, nil)
	missing := request("missing")
	missing.Image = rig.prefix + "-no-such-image:1"
	_, err := p.Create(t.Context(), missing)
	if !errors.Is(err, sdk.ErrImageMissing) || !sdk.IsPermanent(err) || !strings.Contains(err.Error(), "make images") || !strings.Contains(err.Error(), missing.Image) {
		t.Errorf("image: got %v", err)
	}
	strange := newProvider(t, newPlace(t), map[string]any{"runtime": "no-such-runtime", "endpoint": "exec"})
	if _, err := strange.Create(t.Context(), request("runtime")); !sdk.IsPermanent(err) || !strings.Contains(err.Error(), "option runtime") {
		t.Errorf("runtime: got %v", err)
	}
	for name, res := range map[string]sdk.Resources{"memory": {MemoryBytes: 1}, "cpu": {MilliCPU: 1}, "pids": {PIDs: 1}, "disk": {DiskBytes: -1}} {
		req := request("limits")
		req.Resources = res
		if _, err := p.Create(t.Context(), req); !sdk.IsPermanent(err) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
