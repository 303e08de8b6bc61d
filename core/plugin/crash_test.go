package plugin

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/plugins/sdk"
)

func TestAPluginThatDiesInACallIsStartedAgain(t *testing.T) {
	for name, die := range map[string]func(t *testing.T, s *Set, f sdk.Filter, logged lines) error{
		"killed": func(t *testing.T, s *Set, f sdk.Filter, logged lines) error {
			result := make(chan error, 1)
			go func() { result <- call(t.Context(), f, "hang") }()
			logged.await(t, "hanging")
			kill(t, s.Status()[0].PID)
			return <-result
		},
		"by itself": func(t *testing.T, _ *Set, f sdk.Filter, _ lines) error { return call(t.Context(), f, "crash") },
		"by a panic": func(t *testing.T, _ *Set, f sdk.Filter, logged lines) error {
			err := call(t.Context(), f, "panic")
			if e := logged.await(t, "something is wrong"); e.Level.String() != "error" {
				t.Errorf("the panic was logged as %s", e.Level)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, "filter-test")
			s, logged := p.open(t)
			f := s.mustFilter(t, "test")
			ask[string](t, f, "hello")
			before := s.Status()[0]
			// What a killed process leaves in its folders must not be there for the next.
			stale := filepath.Join(p.cfg.RunDir, "filter-test", "s", "stale.sock")
			if err := os.WriteFile(stale, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := die(t, s, f, logged); !errors.Is(err, sdk.ErrPluginExited) {
				t.Fatalf("got %v, want ErrPluginExited", err)
			}
			if st := s.Status()[0]; st.State != StateRestarting || st.PID != 0 || !strings.Contains(st.LastError, "exited") {
				t.Errorf("after its death: %+v", st)
			}
			if got := ask[string](t, f, "hello"); got != "hello" {
				t.Errorf("got %q", got)
			}
			after := s.Status()[0]
			if after.State != StateRunning || after.PID == before.PID || after.Restarts != 1 || after.LastError != "" {
				t.Errorf("got %+v after %+v", after, before)
			}
			if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the old run folder was not emptied: %v", err)
			}
		})
	}
}

func TestAPluginThatDiesInAStreamIsStartedAgain(t *testing.T) {
	s, _ := newPlace(t, "provider-capable").open(t)
	p, err := s.Provider(t.Context(), "capable")
	if err != nil {
		t.Fatal(err)
	}
	stats, ok := p.(sdk.StatsProvider)
	if !ok {
		t.Fatalf("%T does not measure", p)
	}
	err = stats.Stats(t.Context(), sdk.StatsRequest{ID: "a", Interval: time.Second}, func(sdk.Stats) error {
		kill(t, s.Status()[0].PID)
		return nil
	})
	if !errors.Is(err, sdk.ErrPluginExited) {
		t.Errorf("got %v, want ErrPluginExited", err)
	}
	n := 0
	if err := stats.Stats(t.Context(), sdk.StatsRequest{ID: "a"}, func(sdk.Stats) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("afterwards: %d measurements, %v", n, err)
	}
	if err := stats.Stats(t.Context(), sdk.StatsRequest{ID: "none"}, nil); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestACapabilityThatAPluginLacksIsUnimplemented(t *testing.T) {
	s, _ := newPlace(t, "provider-capable").open(t)
	p, err := s.Provider(t.Context(), "capable")
	if err != nil {
		t.Fatal(err)
	}
	all, ok := p.(interface {
		sdk.LogsProvider
		sdk.PullProvider
	})
	if !ok {
		t.Fatalf("%T has no logs and no pull", p)
	}
	for name, err := range map[string]error{
		"logs": all.Logs(t.Context(), sdk.LogsRequest{ID: "a"}, func(sdk.LogLine) error { return nil }),
		"pull": all.Pull(t.Context(), sdk.PullRequest{Image: "a"}, func(sdk.PullProgress) error { return nil }),
	} {
		if !errors.Is(err, sdk.ErrUnimplemented) {
			t.Errorf("%s: got %v, want ErrUnimplemented", name, err)
		}
	}
}

func TestAPluginThatDiedBetweenCallsIsNoErrorOfTheNext(t *testing.T) {
	s, logged := newPlace(t, "filter-test").open(t)
	f := s.mustFilter(t, "test")
	ask[string](t, f, "hello")
	kill(t, s.Status()[0].PID)
	logged.await(t, "plugin process exited")
	// go-plugin logs before it notes; a call in between may still be one that hits the dead process.
	if err := call(t.Context(), f, "hello"); err != nil && !errors.Is(err, sdk.ErrPluginExited) {
		t.Fatal(err)
	}
	ask[string](t, f, "hello")
}

func TestManyFirstCallsStartOneProcess(t *testing.T) {
	s, _ := newPlace(t, "filter-test").open(t)
	f := s.mustFilter(t, "test")
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := call(t.Context(), f, "hello"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if st := s.Status()[0]; st.Restarts != 0 || st.State != StateRunning {
		t.Errorf("got %+v", st)
	}
}

func TestManyCallsInADyingPluginEndWithOneRestart(t *testing.T) {
	s, logged := newPlace(t, "filter-test").open(t)
	f := s.mustFilter(t, "test")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := call(t.Context(), f, "hang"); !errors.Is(err, sdk.ErrPluginExited) {
				t.Errorf("got %v", err)
			}
		})
	}
	for range 8 {
		logged.await(t, "hanging")
	}
	kill(t, s.Status()[0].PID)
	wg.Wait()
	ask[string](t, f, "hello")
	if st := s.Status()[0]; st.Restarts != 1 {
		t.Errorf("got %+v", st)
	}
}

// TestAPluginOutlivesTheThreadThatAskedForIt: the kernel ties a process' death signal to the thread that forked it.
func TestAPluginOutlivesTheThreadThatAskedForIt(t *testing.T) {
	s, _ := newPlace(t, "filter-test").open(t)
	f := s.mustFilter(t, "test")
	asked, tid := make(chan error), os.Getpid()
	// The main thread, whose number is the process', never ends.
	for tid == os.Getpid() {
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with this function
			tid = unix.Gettid()
			asked <- call(t.Context(), f, "hello")
		}()
		if err := <-asked; err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(limit); unix.Tgkill(os.Getpid(), tid, 0) == nil; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the thread does not end")
		}
	}
	ask[string](t, f, "hello")
	if st := s.Status()[0]; st.Restarts != 0 {
		t.Errorf("it died with a thread: %+v", st)
	}
}

func TestACancelledCallHarmsNobody(t *testing.T) {
	s, logged := newPlace(t, "filter-test").open(t)
	f := s.mustFilter(t, "test")
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- call(ctx, f, "hang") }()
	logged.await(t, "hanging")
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) || errors.Is(err, sdk.ErrPluginExited) {
		t.Errorf("got %v", err)
	}
	logged.await(t, "released")
	ask[string](t, f, "hello")
	if st := s.Status()[0]; st.Restarts != 0 {
		t.Errorf("got %+v", st)
	}
}

func TestAPluginThatFailsAgainAndAgainIsLeftAlone(t *testing.T) {
	p := newPlace(t, "filter-dead")
	s, _ := p.open(t)
	f := s.mustFilter(t, "dead")
	for range 2 {
		if err := call(t.Context(), f, "hello"); err == nil || !strings.Contains(err.Error(), "starting it") {
			t.Fatalf("got %v", err)
		}
	}
	process := s.plugins["filter-dead"]
	process.mu.Lock()
	process.backoff.notBefore = time.Now().Add(time.Hour)
	process.mu.Unlock()
	err := call(t.Context(), f, "hello")
	if err == nil || !strings.Contains(err.Error(), "it failed 2 times and is tried again in 1h0m0s: starting it") {
		t.Errorf("got %v", err)
	}
	// A short wait is waited for, unless the caller has less time.
	process.mu.Lock()
	process.backoff.notBefore = time.Now().Add(patience)
	process.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := call(ctx, f, "hello"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	result := make(chan error, 1)
	go func() { result <- call(t.Context(), f, "hello") }()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-result; !errors.Is(err, errClosed) {
		t.Errorf("who waits when the host ends got %v", err)
	}
}

func TestBackoffGrowsToItsBoundAndForgetsOldFailures(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var b backoff
	if b.wait(now) != 0 {
		t.Error("who has not failed need not wait")
	}
	for i, want := range []time.Duration{
		0, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, 1600 * time.Millisecond,
		3200 * time.Millisecond, 6400 * time.Millisecond, 12800 * time.Millisecond, 25600 * time.Millisecond, 30 * time.Second, 30 * time.Second,
	} {
		b.failed(now, time.Second)
		if got := b.wait(now); got < want || got > want+want/4 {
			t.Errorf("failure %d: got %s, want %s to a quarter more", i+1, got, want)
		}
		if b.wait(now.Add(want+want/4)) != 0 {
			t.Errorf("failure %d: the wait does not end", i+1)
		}
	}
	for range 100 {
		b.failed(now, 0)
	}
	if got := b.wait(now); got > backoffMax+backoffMax/4 {
		t.Errorf("got %s", got)
	}
	b.failed(now, healthyAfter+1)
	if b.wait(now) != 0 || b.failures != 1 {
		t.Errorf("a long life is not honoured: %+v", b)
	}
}

func TestCloseEndsEverythingAndMayBeRepeated(t *testing.T) {
	s, logged := newPlace(t, "filter-a", "filter-b", "filter-unused").open(t)
	a, b := s.mustFilter(t, "a"), s.mustFilter(t, "b")
	child := pidfd(t, ask[int](t, b, "child"))
	result := make(chan error, 1)
	go func() { result <- call(t.Context(), a, "hang") }()
	logged.await(t, "hanging")
	var fds []int
	for _, st := range s.Status() {
		if st.State == StateRunning {
			fds = append(fds, pidfd(t, st.PID))
		}
	}
	if len(fds) != 2 {
		t.Fatalf("got %+v", s.Status())
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, fd := range append(fds, child) {
		gone(t, fd)
	}
	if err := <-result; err == nil {
		t.Error("a call went on after Close")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := call(t.Context(), a, "hello"); !errors.Is(err, errClosed) {
		t.Errorf("after Close: got %v", err)
	}
	for _, st := range s.Status() {
		if st.PID != 0 || st.State != StateStopped {
			t.Errorf("after Close: %+v", st)
		}
	}
}

func TestCloseKillsWhoDoesNotEnd(t *testing.T) {
	s, _ := newPlace(t, "filter-test").open(t)
	s.plugins["filter-test"].endTimeout = time.Millisecond
	ask[string](t, s.mustFilter(t, "test"), "hello")
	pid := s.Status()[0].PID
	fd := pidfd(t, pid)
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	gone(t, fd)
}

func TestCloseKillsWhoIsStillStarting(t *testing.T) {
	for _, name := range []string{"mute", "hang"} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, "filter-"+name)
			if name == "hang" {
				p.cfg.Options["filter-hang"] = map[string]any{"hang": true}
			}
			s, logged := p.open(t)
			result := make(chan error, 1)
			go func() { result <- call(t.Context(), s.mustFilter(t, name), "hello") }()
			if name == "hang" {
				logged.await(t, "hanging")
			} else {
				logged.await(t, "waiting for RPC address")
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := <-result; err == nil {
				t.Error("want an error")
			}
		})
	}
}

func TestAPluginsChildrenDieWithIt(t *testing.T) {
	s, _ := newPlace(t, "filter-test").open(t)
	f := s.mustFilter(t, "test")
	fd := pidfd(t, ask[int](t, f, "child"))
	if err := call(t.Context(), f, "crash"); !errors.Is(err, sdk.ErrPluginExited) {
		t.Fatal(err)
	}
	gone(t, fd)
}
