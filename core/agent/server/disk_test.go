package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/claude"
	"github.com/agcluster/agcluster/core/event"
)

func fillFile(t *testing.T, path string, size int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	// Not of zeros: some filesystems keep none of those.
	if err := os.WriteFile(path, []byte(strings.Repeat("x", size)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func counted(t *testing.T, folders ...string) int64 {
	t.Helper()
	s := newStorage(1, folders, zaptest.NewLogger(t))
	s.count(t.Context())
	return s.now().Used
}

func TestStorageIsWhatIsAllocatedAndHardLinksCountOnce(t *testing.T) {
	one, two, other := t.TempDir(), t.TempDir(), t.TempDir()
	empty := counted(t, one, two, filepath.Join(one, "none"))
	fillFile(t, filepath.Join(one, "a/b/c"), 1<<20)
	fillFile(t, filepath.Join(two, "d"), 1<<20)
	fillFile(t, filepath.Join(other, "outside"), 8<<20)
	for _, err := range []error{
		os.Link(filepath.Join(one, "a/b/c"), filepath.Join(one, "again")), os.Link(filepath.Join(one, "a/b/c"), filepath.Join(two, "and again")),
		os.Symlink(other, filepath.Join(one, "link")), os.Symlink(filepath.Join(other, "outside"), filepath.Join(one, "file")),
		os.Symlink(one, filepath.Join(one, "loop")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	sparse, err := os.Create(filepath.Join(one, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sparse.Truncate(1<<30), sparse.Close()); err != nil {
		t.Fatal(err)
	}
	if grown := counted(t, one, two) - empty; grown < 2<<20 || grown > 2<<20+128<<10 {
		t.Errorf("two files of 1 MiB are counted as %d bytes", grown)
	}
}

func TestAClosedFolderIsCountedAndStaysClosed(t *testing.T) {
	dir := t.TempDir()
	fillFile(t, filepath.Join(dir, "closed/x"), 1<<20)
	if err := os.Chmod(filepath.Join(dir, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Chmod(filepath.Join(dir, "closed"), 0o700) }()
	in, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, in)
	// As root nothing is closed; this is what everybody else does.
	fd, err := openClosed(int(in.Fd()), "closed", 0)
	if err != nil {
		t.Fatal(err)
	}
	tally := &tally{seen: map[inode]struct{}{}}
	if err := tally.folder(t.Context(), os.NewFile(uintptr(fd), "closed"), 0); err != nil || tally.bytes < 1<<20 {
		t.Errorf("%d bytes, %v", tally.bytes, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "closed")); err != nil || info.Mode().Perm() != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.Symlink("closed", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if fd, err := openClosed(int(in.Fd()), "link", 0); err == nil {
		t.Errorf("a link was followed: %d", fd)
	}
}

func TestCountsAreShared(t *testing.T) {
	dir := t.TempDir()
	for i := range 2000 {
		fillFile(t, filepath.Join(dir, fmt.Sprintf("%d/x", i)), 1)
	}
	s := newStorage(1<<30, []string{dir}, zaptest.NewLogger(t))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { s.count(t.Context()) })
	}
	wg.Wait()
	d, at := s.now(), s.at
	if d.Used < 2000*4096 || d.Over() {
		t.Errorf("%+v", d)
	}
	if s.judged(t.Context()); !s.at.Equal(at) {
		t.Error("counted again though nothing was done since")
	}
	if s.shown(t.Context()); !s.at.Equal(at) {
		t.Error("counted again for those who only look")
	}
	s.touch(0)
	s.took = 0
	if s.judged(t.Context()); s.at.Equal(at) {
		t.Error("not counted again though something was done since")
	}
	at, s.took = s.at, time.Hour
	s.touch(0)
	if s.judged(t.Context()); !s.at.Equal(at) {
		t.Error("counted again though that takes long")
	}
	s.touch(1 << 31)
	if d := s.judged(t.Context()); s.at.Equal(at) || d.Over() {
		t.Errorf("what is over the limit must be counted anew: %+v", d)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	s.slot <- struct{}{}
	s.count(gone)
}

// storing runs in a turn: a tool call that writes, as the CLI would tell of it.
func storing(t *testing.T, dir string, size int, then func(interrupt <-chan struct{}, sink claude.Sink)) script {
	return func(ctx context.Context, _ string, interrupt <-chan struct{}, sink claude.Sink) event.Complete {
		use := event.ToolUse{ID: "t1", Tool: "Bash", Arguments: []byte(`{}`)}
		if err := sink.Event(use); err != nil {
			t.Error(err)
		}
		if _, err := sink.Ask(ctx, agent.Ask{Stage: agent.StageCall, Tool: "Bash", ToolUseID: "t1", Input: []byte(`{}`)}); err != nil {
			t.Error(err)
		}
		fillFile(t, filepath.Join(dir, "large"), size)
		then(interrupt, sink)
		if err := sink.Event(event.ToolResult{ID: "t1", Tool: "Bash"}); err != nil {
			t.Error(err)
		}
		select {
		case <-interrupt:
			return event.Complete{Status: event.CompleteInterrupted}
		default:
			return event.Complete{Status: event.CompleteOK}
		}
	}
}

// judge takes a turn to its end, allows everything, and returns what happened.
func judge(t *testing.T, r *rig, number int64) (asks []agent.Ask, last []event.Data) {
	t.Helper()
	err := r.client.Turn(within(t), agent.TurnRequest{Turn: number, Message: "go"}, 0, func(f agent.Frame, _ bool) error {
		if f.Ask != nil {
			asks = append(asks, *f.Ask)
			err := r.client.Answer(within(t), f.Ask.ID, agent.Answer{Allow: true})
			if errors.Is(err, agent.ErrConflict) {
				return nil // the turn was interrupted meanwhile
			}
			return err
		}
		last = append(last, f.Event.Data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return asks, last
}

func TestAToolCallThatPassesTheLimitEndsTheTurn(t *testing.T) {
	for name, then := range map[string]func(<-chan struct{}, claude.Sink){
		"while it runs": func(interrupt <-chan struct{}, _ claude.Sink) { <-interrupt },
		"with its result": func(interrupt <-chan struct{}, sink claude.Sink) {
			ask := agent.Ask{Stage: agent.StageResult, Tool: "Bash", ToolUseID: "t1", Input: []byte(`{}`), Output: []byte(`""`)}
			if _, err := sink.Ask(context.Background(), ask); err == nil {
				<-interrupt
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var r *rig
			run := func(ctx context.Context, m string, i <-chan struct{}, s claude.Sink) event.Complete {
				return storing(t, r.dir, 3<<20, then)(ctx, m, i, s)
			}
			r = newRig(t, run, func(c *Config) { c.DiskLimit = 1 << 20 }).configure(t)
			asks, last := judge(t, r, 1)
			if d := asks[0].Disk; d == nil || d.Limit != 1<<20 || d.Over() {
				t.Errorf("the call's ask says %+v", d)
			}
			failure, isError := last[len(last)-2].(event.Error)
			complete, isComplete := last[len(last)-1].(event.Complete)
			if !isError || !isComplete || failure.Code != "storage_exceeded" || complete.Status != event.CompleteFailed ||
				!strings.Contains(failure.Message, "3.0 MiB are stored, the limit is 1.0 MiB") {
				t.Errorf("the turn ended with %+v", last[max(0, len(last)-2):])
			}
			// The next turn begins over the limit. It goes on, and each ask says so.
			r.driver.turn = storing(t, r.dir, 2<<20, func(<-chan struct{}, claude.Sink) {})
			asks, last = judge(t, r, 2)
			if d := asks[0].Disk; d == nil || !d.Over() {
				t.Errorf("the call's ask says %+v", d)
			}
			if c, ok := last[len(last)-1].(event.Complete); !ok || c.Status != event.CompleteOK {
				t.Errorf("a turn over the limit that stores no more ended with %+v", last)
			}
			// Unless it makes things worse.
			r.driver.turn = storing(t, r.dir, 8<<20, func(interrupt <-chan struct{}, _ claude.Sink) { <-interrupt })
			_, last = judge(t, r, 3)
			if e, ok := last[len(last)-2].(event.Error); !ok || e.Code != "storage_exceeded" {
				t.Errorf("a turn over the limit that goes on storing ended with %+v", last)
			}
		})
	}
}

func TestWritesThroughTheHostHaveTheSameLimit(t *testing.T) {
	r := newRig(t, nil, func(c *Config) { c.DiskLimit = 1 << 20 })
	write := func(name string, size int64) error {
		return failed(r.client.Write(within(t), name, size, io.LimitReader(endless{}, size), agent.WriteOptions{}))
	}
	if err := write("a", 600<<10); err != nil {
		t.Fatal(err)
	}
	if err := write("b", 600<<10); !errors.Is(err, agent.ErrTooLarge) || !strings.Contains(err.Error(), "600 KiB more") ||
		!strings.Contains(err.Error(), "the limit is 1.0 MiB") {
		t.Errorf("got %v", err)
	}
	fillFile(t, filepath.Join(r.dir, "c"), 900<<10)
	r.server.storage.touch(0)
	r.server.storage.took = 0
	if err := write("b", 1); !errors.Is(err, agent.ErrTooLarge) || !strings.Contains(err.Error(), "1.5 MiB are stored") {
		t.Errorf("got %v", err)
	}
	if err := r.client.Delete(within(t), "c", false); err != nil {
		t.Fatal(err)
	}
	if err := write("b", 100<<10); err != nil {
		t.Errorf("after deleting: %v", err)
	}
	u, err := r.client.Usage(within(t))
	if err != nil || u.DiskLimit != 1<<20 || u.DiskBytes < 700<<10 || u.DiskBytes > 1<<20 {
		t.Errorf("%+v, %v", u, err)
	}
}

type endless struct{}

// Read implements io.Reader.
func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
