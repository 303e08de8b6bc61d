package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// limit is far more than anything here takes.
const limit = time.Minute

// helperVar names the folder in which this test binary, started again, acts as a host with one plugin.
const helperVar = "AGCLUSTER_TEST_HOST"

// binary is testdata/plugin, built once.
var binary string

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperVar); dir != "" {
		if err := actAsHost(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "agc")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "plugin")
	if out, err := exec.Command("go", "build", "-o", binary, "./testdata/plugin").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building the test plugin: %w\n%s", err, out)
	}
	code := m.Run()
	if code == 0 {
		err = goleak.Find()
	}
	return code, err
}

// place is where a host with plugins lives.
type place struct{ cfg Config }

// newPlace puts the test plugin under each name into a plugin folder.
func newPlace(t testing.TB, names ...string) *place {
	t.Helper()
	// Unix sockets have short names; a test's own folder does not.
	base, err := os.MkdirTemp("", "agc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	p := &place{Config{
		Dir: filepath.Join(base, "p"), DataDir: filepath.Join(base, "d"), RunDir: filepath.Join(base, "r"), HostID: "test-host",
		Pins: map[string]string{}, Options: map[string]map[string]any{},
	}}
	if err := os.Mkdir(p.cfg.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		p.put(t, name)
	}
	return p
}

func (p *place) put(t testing.TB, name string) {
	t.Helper()
	if err := os.Link(binary, filepath.Join(p.cfg.Dir, name)); err != nil {
		t.Fatal(err)
	}
}

// lines passes on what is logged.
type lines chan zapcore.Entry

func (l lines) await(t *testing.T, message string) zapcore.Entry {
	t.Helper()
	timeout := time.After(limit)
	for {
		select {
		case e := <-l:
			if strings.Contains(e.Message, message) {
				return e
			}
		case <-timeout:
			t.Fatalf("nobody logs %q", message)
		}
	}
}

// open opens the place's plugins; they are closed, and checked to have left nothing, at the test's end.
func (p *place) open(t testing.TB) (*Set, lines) {
	t.Helper()
	logged := make(lines, 4096)
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zapcore.DebugLevel)
	log := zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		select {
		case logged <- e:
		default:
		}
		return nil
	}))
	s, err := Open(p.cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(p.cfg.RunDir); err != nil && !errors.Is(err, os.ErrNotExist) || len(left) > 0 {
			t.Errorf("left in the run folder: %v, %v", left, err)
		}
	})
	return s, logged
}

func (s *Set) mustFilter(t *testing.T, name string) sdk.Filter {
	t.Helper()
	f, err := s.Filter(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// ask calls the test plugin and decodes its answer.
func ask[T any](t *testing.T, f sdk.Filter, tool string) T {
	t.Helper()
	out, err := f.FilterCall(t.Context(), sdk.Call{Tool: tool, Input: json.RawMessage(`{}`)})
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	var answer struct{ Answer T }
	if err := json.Unmarshal(out.Replacement, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Answer
}

func call(ctx context.Context, f sdk.Filter, tool string) error {
	_, err := f.FilterCall(ctx, sdk.Call{Tool: tool, Input: json.RawMessage(`{}`)})
	return err
}

// gone waits until the process behind a pidfd has ended.
func gone(t *testing.T, fd int) {
	t.Helper()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(limit.Milliseconds()))
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(limit.Milliseconds()))
	}
	if n != 1 || err != nil {
		t.Errorf("the process has not ended: %v", err)
	}
}

func pidfd(t *testing.T, pid int) int {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("process %d: %v", pid, err)
	}
	t.Cleanup(func() {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	})
	return fd
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
