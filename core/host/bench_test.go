package host_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The benchmarks start the real binaries, like the tests. A metric's unit is the name of the figure in .ci/bench, which runs them and
// says what each is; README.md there says how each is measured.

// clock is how many ticks of /proc there are in a second on every Linux that Go runs on.
const clock = 100

// quiet is a host as people run it: without the debug log of the tests.
func quiet(env ...string) []string {
	return append([]string{"AGCLUSTER_LOG_LEVEL=info", "AGCLUSTER_SESSION_IDLE_TIMEOUT=0", "AGCLUSTER_LIMITS_STORAGE_LIMIT=20g"}, env...)
}

// newFeatherRig starts a host whose sandboxes are agent servers without a CLI, all in one process.
func newFeatherRig(b *testing.B, env ...string) *rig {
	b.Helper()
	plugins := copyOf(b, "plugins")
	out, err := exec.Command("go", "build", "-o", filepath.Join(plugins, "provider-feather"), "./testdata/feather").CombinedOutput()
	if err != nil {
		b.Fatalf("building the provider: %v\n%s", err, out)
	}
	return newRig(b, options{env: quiet(append([]string{
		"AGCLUSTER_PLUGINS_DIR=" + plugins, "AGCLUSTER_PROVIDER=feather", "AGCLUSTER_START_QUEUE=10000",
	}, env...)...)})
}

// workspace is the folder of a feather session; the host must have no other.
func (r *rig) workspace() string {
	r.t.Helper()
	found, err := filepath.Glob(filepath.Join(r.data, "plugins", "provider-feather", "volumes", "*"))
	if err != nil || len(found) != 1 {
		r.t.Fatalf("volumes %v, %v", found, err)
	}
	return found[0]
}

// cpu is the processor time of the host process, user and system.
func (r *rig) cpu() time.Duration {
	r.t.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(r.cmd.Process.Pid), "stat"))
	if err != nil {
		r.t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return time.Duration(user+system) * (time.Second / clock)
}

// memory reads a line of /proc/PID/status, in KiB.
func memory(t testing.TB, pid int, line string) int64 {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(l, line+":"); ok {
			n, err := strconv.ParseInt(strings.Fields(text)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s of process %d", line, pid)
	return 0
}

// forgetPeak makes VmHWM of the host begin anew.
func (r *rig) forgetPeak() {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join("/proc", strconv.Itoa(r.cmd.Process.Pid), "clear_refs"), []byte("5"), 0); err != nil {
		r.t.Fatal(err)
	}
}

// heard is what came through a stream of server-sent events.
type heard struct {
	// first is when the first text, whole or in part, came; last when the stream ended. events counts those that were expected.
	first, last time.Time
	events      int
	// id is the newest number that was told.
	id   int64
	done bool
}

// listen reads a stream, without decoding it so that the reader costs little beside the host, until a turn is complete and, when it
// is the turn's own stream, to [DONE]. It counts the events of a type.
func listen(body io.ReadCloser, kind string, own bool) (heard, error) {
	defer func() { _ = body.Close() }()
	var h heard
	counted, text := []byte(`"type":"`+kind+`"`), []byte(`"type":"text`)
	lines := bufio.NewReaderSize(body, 1<<20)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return h, err
		}
		if h.first.IsZero() && bytes.Contains(line, text) {
			h.first = time.Now()
		}
		if bytes.Contains(line, counted) {
			h.events++
		}
		if id, ok := bytes.CutPrefix(line, []byte("id: ")); ok {
			if h.id, err = strconv.ParseInt(string(bytes.TrimSpace(id)), 10, 64); err != nil {
				return h, err
			}
		}
		h.done = bytes.HasPrefix(line, []byte("data: [DONE]")) || (!own && bytes.Contains(line, []byte(`"type":"complete"`)))
		if h.done {
			h.last = time.Now()
			if own {
				// A stream that was read to its end leaves a connection that can be used again.
				_, err = lines.WriteTo(io.Discard)
			}
			return h, err
		}
	}
}

// chat sends a message and reads the turn to its end; it returns when it was sent, too.
func (r *rig) chat(id, message, kind string) (time.Time, heard) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience)
	defer cancel()
	began := time.Now()
	res := r.open(ctx, key, http.MethodPost, "/api/agents/"+id+"/chat?deltas=true", map[string]string{"message": message}, "Accept", "text/event-stream")
	if res.StatusCode != http.StatusOK {
		r.t.Fatalf("chat: %s", res.Status)
	}
	h, err := listen(res.Body, kind, true)
	if err != nil {
		r.t.Fatalf("the turn broke off: %v", err)
	}
	return began, h
}

// samples are measurements of one thing.
type samples []float64

func (s samples) at(share float64) float64 {
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

func (s samples) median() float64 { return s.at(0.5) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
