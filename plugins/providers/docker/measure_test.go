package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/plugins/sdk"
)

func TestStats(t *testing.T) {
	p := newProvider(t, newPlace(t), nil)
	req := request("stats")
	req.Resources = sdk.Resources{MemoryBytes: 128 << 20, MilliCPU: 1500, PIDs: 60}
	box := create(t, p, req)
	inside(t, box, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
	var got []sdk.Stats
	enough := errors.New("enough")
	err := p.Stats(t.Context(), sdk.StatsRequest{ID: "stats", Interval: time.Millisecond}, func(s sdk.Stats) error {
		if got = append(got, s); len(got) == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("got %v", err)
	}
	if gap := got[2].Time.Sub(got[0].Time); gap < 1900*time.Millisecond {
		t.Errorf("two intervals took %s: below the bound", gap)
	}
	s := got[0]
	if s.CPUMicros < 10_000 || s.MilliCPU != 1500 || s.MemoryBytes < 1<<20 || s.MemoryBytes > 128<<20 || s.MemoryLimitBytes != 128<<20 || s.PIDs < 2 || s.PIDs > 60 || s.PIDsLimit != 60 ||
		s.DiskBytes != -1 || s.DiskLimitBytes != -1 || s.NetworkRxBytes != 0 || s.NetworkTxBytes != 0 || s.OOMKills != 0 || time.Since(s.Time) > time.Minute {
		t.Errorf("got %+v", s)
	}
	if got[2].CPUMicros < s.CPUMicros {
		t.Errorf("processor time went back: %+v, %+v", s, got[2])
	}
	none := func(sdk.Stats) error { return nil }
	if err := p.Stats(t.Context(), sdk.StatsRequest{ID: "nobody"}, none); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("unknown: got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = p.Stats(ctx, sdk.StatsRequest{ID: "stats", Interval: time.Hour}, func(sdk.Stats) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	kill(t, "stats")
	exited(t, p, "stats")
	if err := p.Stats(t.Context(), sdk.StatsRequest{ID: "stats", Interval: time.Second}, none); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("exited: got %v", err)
	}
}

func TestKillsAreReadFromTheContainersOwnCgroupOnly(t *testing.T) {
	for name, c := range map[string]struct {
		cgroup, file, content string
		want                  int64
		ok                    bool
	}{
		"v1":            {"11:memory:/docker/ID\n1:cpu:/docker/ID\n", "memory/docker/ID/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3, true},
		"v2":            {"0::/system.slice/docker-ID.scope\n", "system.slice/docker-ID.scope/memory.events", "low 0\noom 9\noom_kill 2\n", 2, true},
		"somebody else": {"0::/system.slice/ssh.service\n", "system.slice/ssh.service/memory.events", "oom_kill 2\n", 0, false},
		"old kernel":    {"11:memory:/docker/ID\n", "memory/docker/ID/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", 0, false},
		"not visible":   {"0::/docker-ID\n", "elsewhere", "", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for path, content := range map[string]string{"proc/7/cgroup": c.cgroup, "cg/" + c.file: c.content} {
				if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755), os.WriteFile(filepath.Join(dir, path), []byte(content), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			if n, ok := cgroupKills(filepath.Join(dir, "proc"), filepath.Join(dir, "cg"), 7, "ID"); n != c.want || ok != c.ok {
				t.Errorf("got %d, %v", n, ok)
			}
		})
	}
}

// TestKillsByTheEnginesEvents: what a remote engine is asked.
func TestKillsByTheEnginesEvents(t *testing.T) {
	p := newProvider(t, newPlace(t), nil)
	req := request("events")
	req.Resources.MemoryBytes = 100 << 20
	box := create(t, p, req)
	st := p.settings
	remote := &settings{opts: st.opts, hostID: st.hostID, engine: &engine{api: st.engine.api}}
	f, err := remote.inspect(t.Context(), "events")
	if err != nil {
		t.Fatal(err)
	}
	if n := remote.oomKills(t.Context(), *f); n != 0 {
		t.Errorf("before: %d", n)
	}
	inside(t, box, "/opt/agent/test-agent eat 300; true")
	eventually(t, "the engine's event", func(ctx context.Context) bool { return remote.oomKills(ctx, *f) >= 1 })
}

func TestLogs(t *testing.T) {
	p := newProvider(t, newPlace(t), nil)
	box := create(t, p, request("logs"))
	say := func(text string) {
		t.Helper()
		if _, _, err := callAgent(t.Context(), box.Endpoint, "/say?twice", testToken, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("x", 40<<10)
	say("first")
	say("tab\there, é, \x1b[31m")
	say(long)
	say("last")
	read := func(req sdk.LogsRequest) (lines []sdk.LogLine) {
		t.Helper()
		req.ID = "logs"
		if err := p.Logs(t.Context(), req, func(l sdk.LogLine) error { lines = append(lines, l); return nil }); err != nil {
			t.Fatal(err)
		}
		return lines
	}
	var all []sdk.LogLine
	eventually(t, "the log is written", func(context.Context) bool {
		all = read(sdk.LogsRequest{})
		said := map[string]bool{}
		for _, l := range all {
			said[l.Text] = true
		}
		return said["agent: said 4"] && said["last"]
	})
	var stdout, stderr strings.Builder
	for i, l := range all {
		if len(l.Text) > maxLine || time.Since(l.Time) > time.Minute || (i > 0 && l.Time.Before(all[i-1].Time.Add(-time.Second))) {
			t.Errorf("line %d: %d bytes, %s", i, len(l.Text), l.Time)
		}
		map[string]*strings.Builder{"stdout": &stdout, "stderr": &stderr}[l.Stream].WriteString(l.Text + "|")
	}
	if got := strings.ReplaceAll(strings.ReplaceAll(stdout.String(), "x|x", "xx"), "x|x", "xx"); got != "first|tab\there, é, \x1b[31m|"+long+"|last|" {
		t.Errorf("stdout: %.200q (%d bytes)", got, len(got))
	}
	if got := stderr.String(); !strings.HasSuffix(got, "agent: said 5|agent: said 19|agent: said 40960|agent: said 4|") {
		t.Errorf("stderr: %q", got)
	}
	if tail := read(sdk.LogsRequest{Tail: 1}); len(tail) != 1 {
		t.Errorf("a tail of one: %d lines", len(tail))
	}
	followed := make(chan error, 1)
	lines := make(chan string, 100)
	go func() {
		followed <- p.Logs(t.Context(), sdk.LogsRequest{ID: "logs", Tail: 1, Follow: true}, func(l sdk.LogLine) error { lines <- l.Text; return nil })
	}()
	<-lines
	say("followed")
	for text := range lines {
		if text == "followed" {
			break
		}
	}
	destroy(t, p, sdk.DestroyRequest{ID: "logs"})
	if err := <-followed; err != nil {
		t.Errorf("the end of a followed sandbox: %v", err)
	}
	if err := p.Logs(t.Context(), sdk.LogsRequest{ID: "logs"}, func(sdk.LogLine) error { return nil }); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("unknown: got %v", err)
	}
}

func TestCloseEndsAFollower(t *testing.T) {
	pl := newPlace(t)
	create(t, newProvider(t, pl, nil), request("follow"))
	second := New(zaptest.NewLogger(t))
	if err := second.Configure(t.Context(), pl.configure(t, nil)); err != nil {
		t.Fatal(err)
	}
	followed := make(chan error, 2)
	begun := make(chan struct{}, 2)
	go func() {
		followed <- second.Logs(t.Context(), sdk.LogsRequest{ID: "follow", Follow: true}, func(sdk.LogLine) error { return nil })
	}()
	go func() {
		followed <- second.Stats(t.Context(), sdk.StatsRequest{ID: "follow", Interval: time.Hour}, func(sdk.Stats) error { begun <- struct{}{}; return nil })
	}()
	<-begun
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-followed; !errors.Is(err, errClosed) {
			t.Errorf("got %v", err)
		}
	}
}

func TestReadFramesRefusesWhatIsNoLog(t *testing.T) {
	frame := func(stream byte, size uint32, text string) string {
		b := append([]byte{stream, 0, 0, 0}, 0, 0, 0, 0)
		binary.BigEndian.PutUint32(b[4:], size)
		return string(b) + text
	}
	none := func(sdk.LogLine) error { return nil }
	for name, text := range map[string]string{
		"a size of ages": frame(1, 1<<31, ""), "an unknown stream": frame(9, 1, "x"), "half a header": "\x01\x00", "half a line": frame(1, 10, "abc"),
	} {
		if err := readFrames(strings.NewReader(text), none); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
	var got []sdk.LogLine
	if err := readFrames(strings.NewReader(frame(2, 4, "a\nb\n")+frame(1, 0, "")), func(l sdk.LogLine) error { got = append(got, l); return nil }); err != nil || len(got) != 2 || got[1].Text != "b" || got[0].Stream != "stderr" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestPull(t *testing.T) {
	needEngine(t)
	never := newProvider(t, newPlace(t), nil)
	none := func(sdk.PullProgress) error { return nil }
	if err := never.Pull(t.Context(), sdk.PullRequest{Image: rig.prefix + "-nothing"}, none); !sdk.IsPermanent(err) || !strings.Contains(err.Error(), "make images") || !strings.Contains(err.Error(), "never") {
		t.Errorf("never: got %v", err)
	}
	if err := never.Pull(t.Context(), sdk.PullRequest{Image: rig.image}, none); err != nil {
		t.Errorf("what is there: got %v", err)
	}
	missing := newProvider(t, newPlace(t), map[string]any{"pull": "missing"})
	// Nobody listens at port 1.
	if err := missing.Pull(t.Context(), sdk.PullRequest{Image: "127.0.0.1:1/nothing:1"}, none); !sdk.IsPermanent(err) || !strings.Contains(err.Error(), "docker pull 127.0.0.1:1/nothing:1") {
		t.Errorf("unreachable registry: got %v", err)
	}
	if _, err := rig.engine.api.ImageRemove(t.Context(), "127.0.0.1:1/nothing:1", image.RemoveOptions{}); err == nil {
		t.Error("an image came from nowhere")
	}
}

func TestReadPull(t *testing.T) {
	stream := `{"status":"Pulling from x","id":"latest"}
{"status":"Pulling fs layer","progressDetail":{},"id":"a"}
{"status":"Downloading","progressDetail":{"current":10,"total":100},"id":"a"}
{"status":"Downloading","progressDetail":{"current":50,"total":60},"id":"b"}
{"status":"Extracting","progressDetail":{"current":7,"total":100},"id":"a"}
{"status":"Pull complete","progressDetail":{},"id":"a"}
{"status":"Download complete","progressDetail":{},"id":"b"}
{"status":"Status: Downloaded newer image for x"}
`
	var got []sdk.PullProgress
	if err := readPull(strings.NewReader(stream), func(p sdk.PullProgress) error { got = append(got, p); return nil }); err != nil {
		t.Fatal(err)
	}
	last := got[len(got)-1]
	if last.CurrentBytes != 160 || last.TotalBytes != 160 || last.Status != "Status: Downloaded newer image for x" || len(got) > 3 {
		t.Errorf("got %+v", got)
	}
	if err := readPull(strings.NewReader(`{"errorDetail":{"message":"no"},"error":"no"}`), func(sdk.PullProgress) error { return nil }); err == nil || err.Error() != "no" {
		t.Errorf("got %v", err)
	}
	if err := readPull(strings.NewReader(stream), func(sdk.PullProgress) error { return io.ErrClosedPipe }); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
	if err := readPull(strings.NewReader(`{"status":`), func(sdk.PullProgress) error { return nil }); err == nil {
		t.Error("half a message: want an error")
	}
}
