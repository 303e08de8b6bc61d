package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/plugins/sdk"
	"github.com/agcluster/agcluster/plugins/sdk/plugintest"
)

// helperPlace carries the place to a process that acts as a host.
const helperPlace = "AGCLUSTER_TEST_PLACE"

// runHelper is a process with a provider: it makes a sandbox, prints its endpoint and waits to be killed.
func runHelper() error {
	var req sdk.ConfigureRequest
	if err := json.Unmarshal([]byte(os.Getenv(helperPlace)), &req); err != nil {
		return err
	}
	provider := New(zap.NewNop())
	ctx := context.Background()
	if err := provider.Configure(ctx, req); err != nil {
		return err
	}
	for _, id := range []string{"killed", "killed-too"} {
		box, err := provider.Create(ctx, request(id))
		if err != nil {
			return err
		}
		fmt.Println(box.Endpoint.URL)
	}
	// A test that fails must not leave its helper: this pipe ends with it.
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// startHelper starts a provider with two sandboxes in a process of its own.
func startHelper(t *testing.T, pl place) (*exec.Cmd, []sdk.Sandbox) {
	t.Helper()
	place, err := json.Marshal(pl.configure(nil))
	if err != nil {
		t.Fatal(err)
	}
	host := exec.Command("/proc/self/exe", helperArg)
	host.Env = append(os.Environ(), helperPlace+"="+string(place))
	host.Stderr = os.Stderr
	if _, err := host.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Process.Kill() })
	lines := bufio.NewScanner(out)
	var boxes []sdk.Sandbox
	for len(boxes) < 2 && lines.Scan() {
		boxes = append(boxes, sdk.Sandbox{Endpoint: sdk.Endpoint{URL: lines.Text()}})
	}
	if len(boxes) < 2 {
		t.Fatalf("the helper has ended: %v", host.Wait())
	}
	return host, boxes
}

// processes are handles on all processes that have the place's volumes mounted.
func (pl place) processes(t *testing.T) []int {
	t.Helper()
	var fds []int
	tables, err := filepath.Glob("/proc/[0-9]*/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		raw, err := os.ReadFile(table)
		if err != nil || !strings.Contains(string(raw), filepath.Dir(pl.data)+"/") {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(table, "/proc/%d/", &pid); err != nil {
			t.Fatal(err)
		}
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			fds = append(fds, fd)
		}
	}
	return fds
}

// await waits until the processes behind fds are gone.
func await(t *testing.T, fds []int) {
	t.Helper()
	for _, fd := range fds {
		began := time.Now()
		if awaitExit(fd, time.Minute); time.Since(began) > 50*time.Second {
			t.Error("a process of a sandbox is still there")
		}
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}
}

func TestNothingIsLeftOfAProviderThatWasKilled(t *testing.T) {
	pl := newPlace(t)
	host, boxes := startHelper(t, pl)
	inside(t, boxes[0], "setsid sleep 3600 > /dev/null 2>&1 < /dev/null & (trap '' TERM HUP; sleep 3600) > /dev/null 2>&1 & echo started")
	fds := pl.processes(t)
	// bwrap, the agent server, and the sleepers with their shells.
	if len(fds) < 5 {
		t.Fatalf("found %d processes of the sandboxes", len(fds))
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait() // it was killed
	await(t, fds)
	// Only what the kernel can't remove by itself is left, and the next provider removes it: folders, sockets, cgroups.
	for _, left := range pl.leftovers(t) {
		if strings.HasPrefix(left, "/proc/") || left == "a mount" {
			t.Errorf("left: %s", left)
		}
	}
	provider := newProvider(t, pl, nil)
	pl.checkEmpty(t)
	if box := create(t, provider, request("killed")); box.State != sdk.StateRunning {
		t.Errorf("got %+v", box)
	}
}

// TestNothingIsLeftOfASandboxThatWasStarting kills the provider at moments at which a sandbox is half made, when bwrap's own leash does
// not hold yet. Only as root there is a namespace around it that always holds.
func TestNothingIsLeftOfASandboxThatWasStarting(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	for round := range 12 {
		pl := newPlace(t)
		place, err := json.Marshal(pl.configure(nil))
		if err != nil {
			t.Fatal(err)
		}
		host := exec.Command("/proc/self/exe", helperArg)
		host.Env = append(os.Environ(), helperPlace+"="+string(place))
		if _, err := host.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if err := host.Start(); err != nil {
			t.Fatal(err)
		}
		pl.awaitProcesses(t, 1+round%3)
		if err := host.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = host.Wait() // it was killed
		for deadline := time.Now().Add(time.Minute); len(closeAll(t, pl.processes(t))) > 0; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatal("a half made sandbox goes on without its provider")
			}
		}
		newProvider(t, pl, nil)
		pl.checkEmpty(t)
	}
}

func TestNothingIsLeftOfABinaryThatWasKilled(t *testing.T) {
	path := plugintest.Build(t, ".")
	options, err := json.Marshal(map[string]any{"agent_dir": agentDir})
	if err != nil {
		t.Fatal(err)
	}
	p := plugintest.Start(t, path, options)
	pl := place{host: "test", data: p.DataDir, run: p.RunDir}
	box := create(t, p.Provider, request("killed"))
	inside(t, box, "sleep 3600 > /dev/null 2>&1 & echo started")
	fds := pl.processes(t)
	if len(fds) < 3 { // bwrap, the agent server and the sleeper
		t.Fatalf("found %d processes of the sandbox", len(fds))
	}
	if err := unix.Kill(p.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, fds)
	if _, err := p.Provider.Get(t.Context(), sdk.GetRequest{ID: "killed"}); !errors.Is(err, sdk.ErrPluginExited) {
		t.Errorf("got %v", err)
	}
	// The cgroups are the next one's to remove.
	next := New(zap.NewNop())
	if err := next.Configure(t.Context(), pl.configure(nil)); err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob("/sys/fs/cgroup/*/" + cgroupPrefix + "test"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	// The kit wants to see the end of a plugin's sockets, and a killed one can't remove its own.
	sockets, err := filepath.Glob(filepath.Join(filepath.Dir(p.RunDir), "s", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, socket := range sockets {
		if err := os.Remove(socket); err != nil {
			t.Error(err)
		}
	}
}

func TestCloseTakesEverythingApart(t *testing.T) {
	pl := newPlace(t)
	provider := newProvider(t, pl, nil)
	var boxes []sdk.Sandbox
	for _, id := range []string{"one", "two"} {
		boxes = append(boxes, create(t, provider, request(id)))
	}
	inside(t, boxes[0], "sleep 3600 > /dev/null 2>&1 &")
	before := len(closeAll(t, pl.processes(t)))
	slow := make(chan error, 1)
	go func() {
		req := request("never")
		req.Env = map[string]string{"TEST_MODE": "hang"}
		_, err := provider.Create(context.Background(), req)
		slow <- err
	}()
	pl.awaitProcesses(t, before+2) // bwrap and the agent server of the third sandbox
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if err := provider.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	wg.Wait()
	if err := <-slow; err == nil {
		t.Error("a sandbox came up while its provider was closed")
	}
	pl.checkEmpty(t)
	if _, err := provider.Create(t.Context(), request("late")); !errors.Is(err, errClosed) {
		t.Errorf("got %v", err)
	}
}

// awaitProcesses waits until the sandboxes have n processes. The kernel tells nobody of new ones, so they are counted again and again.
func (pl place) awaitProcesses(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); len(closeAll(t, pl.processes(t))) < n; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("the sandboxes have no %d processes", n)
		}
	}
}

func closeAll(t *testing.T, fds []int) []int {
	t.Helper()
	for _, fd := range fds {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}
	return fds
}

func TestDestroyEndsACreateThatIsUnderWay(t *testing.T) {
	pl := newPlace(t)
	provider := newProvider(t, pl, nil)
	req := request("slow")
	req.Env = map[string]string{"TEST_MODE": "hang"}
	results := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := provider.Create(context.Background(), req)
			results <- err
		}()
	}
	pl.awaitProcesses(t, 2)
	if _, err := provider.Get(t.Context(), sdk.GetRequest{ID: "slow"}); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("a sandbox that is being made: got %v", err)
	}
	if err := provider.Destroy(t.Context(), sdk.DestroyRequest{ID: "slow", Volume: req.Volume}); err != nil {
		t.Errorf("Destroy: %v", err)
	}
	for range 2 {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("Create: got %v", err)
		}
	}
	pl.checkEmpty(t)
}
