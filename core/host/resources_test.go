package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/event"
)

// A session may store as much as its configuration says. What takes more ends the turn, then nothing is written until something was
// deleted.
func jobStorageIsLimited(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(func(c map[string]any) {
		c["resource_limits"] = map[string]any{"cpu_quota": 200000, "memory_limit": "2g", "storage_limit": "16m"}
	}))
	fill := "for i in 1 2 3 4 5; do head -c 8M /dev/urandom > /workspace/fill$i; done; sleep 20; echo survived"
	x := r.turn(id, "run: "+fill).ended(event.CompleteFailed)
	var passed event.Error
	for _, e := range of[event.Error](x.events) {
		if e.Code == "storage_exceeded" {
			passed = e
		}
	}
	if !strings.Contains(passed.Message, " MiB are stored, the limit is 16 MiB") {
		t.Errorf("the turn ended with: %s", describe(x.events))
	}
	if strings.Contains(describe(x.events), `"output":"survived`) {
		t.Error("the call ran to its end")
	}
	v := r.turn(id, "write /workspace/small.txt hello").ended(event.CompleteOK).denied("tool.call")
	if v.By != "host:storage" || !strings.Contains(v.Reason, "the limit is 16 MiB") {
		t.Errorf("verdict %+v", v)
	}
	if v := r.turn(id, "run: touch more.txt").ended(event.CompleteOK).denied("tool.call"); v.By != "host:storage" {
		t.Errorf("verdict %+v", v)
	}
	up := r.upload(id, "", "late.txt", "x")
	if up.status != http.StatusRequestEntityTooLarge || !strings.Contains(up.problem(), "the limit is 16 MiB") {
		t.Errorf("an upload: %v", up)
	}
	if verdicts := of[event.Verdict](r.turn(id, "run: ls -la && rm -f /workspace/fill*").ended(event.CompleteOK).events); len(verdicts) > 0 {
		t.Errorf("deleting was judged: %+v", verdicts)
	}
	r.turn(id, "write /workspace/small.txt hello").ended(event.CompleteOK)
	if a := r.request(http.MethodGet, "/api/files/"+id+"/small.txt?raw=true", nil); a.status != 200 || string(a.body) != "hello" {
		t.Errorf("after deleting: %v", a)
	}
	if up := r.upload(id, "", "late.txt", "x"); up.status != http.StatusOK {
		t.Errorf("an upload after deleting: %v", up)
	}
}

type gauges struct {
	Running bool
	Source  string
	CPU     struct {
		Percent, Limit float64
		Count          int
	}
	Memory, Disk struct {
		Used    int64 `json:"used_bytes"`
		Limit   int64 `json:"limit_bytes"`
		Percent float64
	}
	PIDs    struct{ Used, Limit int64 }
	Network struct {
		Rx int64 `json:"rx_bytes"`
		Tx int64 `json:"tx_bytes"`
	}
	OOMKills *int64 `json:"oom_kills"`
}

// A session's gauges are those of its own sandbox, from its first second on, for its owner only, and looking at them wakes nobody.
func jobResourcesOfASession(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(func(c map[string]any) {
		c["resource_limits"] = map[string]any{"cpu_quota": 150000, "memory_limit": "1g", "storage_limit": "64m"}
	}))
	for _, path := range []string{"/api/agents/" + id + "/resources", "/api/tools/" + id + "/resources"} {
		var g gauges
		r.request(http.MethodGet, path, nil).into(t, 200, &g)
		if !g.Running || g.Source != "provider" || g.PIDs.Used < 2 || g.Memory.Used < 50<<20 || g.Memory.Used > 1<<30 || g.Disk.Limit != 64<<20 ||
			g.Disk.Used <= 0 || g.Disk.Used > 16<<20 || g.CPU.Count < 1 {
			t.Errorf("%s: %+v", path, g)
		}
		if os.Geteuid() == 0 && (g.CPU.Limit != 1.5 || g.CPU.Count != 2 || g.Memory.Limit != 1<<30 || *g.OOMKills != 0) {
			t.Errorf("%s: limits in %+v", path, g)
		}
	}
	for _, path := range []string{"/api/agents/" + id + "/resources", "/api/agents/" + id + "/logs", "/api/tools/" + id + "/stream"} {
		if a := r.requestAs("", http.MethodGet, path, nil); a.status != 401 {
			t.Errorf("%s without a key: %v", path, a)
		}
		if a := r.requestAs(key+"x", http.MethodGet, path, nil); a.status != 403 {
			t.Errorf("%s with another key: %v", path, a)
		}
	}
	if a := r.request(http.MethodGet, "/api/agents/conv-none/resources", nil); a.status != 404 {
		t.Errorf("of no session: %v", a)
	}
	var logs struct {
		Running bool
		Lines   []struct{ Text string }
	}
	r.request(http.MethodGet, "/api/agents/"+id+"/logs", nil).into(t, 200, &logs)
	if !logs.Running {
		t.Errorf("logs %+v", logs)
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	res := r.open(ctx, key, http.MethodGet, "/api/agents/"+id+"/resources?interval=1s", nil, "Accept", "text/event-stream")
	defer func() { _ = res.Body.Close() }()
	next := gaugesOf(t, res)
	if g := next(); !g.Running {
		t.Errorf("the first measurement: %+v", g)
	}
	busy := r.send(ctx, id, "run: python3 -c 'import time; x = bytearray(100 << 20); e = time.time() + 5\nwhile time.time() < e: pass'; echo spent")
	peak := gauges{}
	for range 12 {
		g := next()
		peak.CPU.Percent, peak.Memory.Used = max(peak.CPU.Percent, g.CPU.Percent), max(peak.Memory.Used, g.Memory.Used)
	}
	if peak.CPU.Percent < 10 || peak.Memory.Used < 100<<20 {
		t.Errorf("while it worked: %+v", peak)
	}
	turn{t, busy.rest()}.ended(event.CompleteOK).says("spent")

	// The sandbox goes; the stream says so and wakes none.
	for _, p := range r.find("/opt/agent/agcluster-agent") {
		if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(patience); next().Running || r.session(id).Status != "asleep"; {
		if time.Now().After(deadline) {
			t.Fatal("nobody notices that the sandbox is gone")
		}
	}
	var g gauges
	r.request(http.MethodGet, "/api/agents/"+id+"/resources", nil).into(t, 200, &g)
	if g.Running || g.Memory.Used != 0 || r.session(id).Status != "asleep" || len(r.find("/opt/agent/")) != 0 {
		t.Errorf("asleep: %+v, %+v", g, r.session(id))
	}
	r.request(http.MethodDelete, "/api/agents/sessions/"+id, nil).into(t, 200, nil)
	if rest, err := io.ReadAll(res.Body); err != nil || !strings.HasSuffix(strings.TrimSpace(string(rest)), "data: [DONE]") {
		t.Errorf("after the session: %.300q, %v", rest, err)
	}
}

// gaugesOf returns what reads the next measurement of a stream.
func gaugesOf(t *testing.T, res *http.Response) func() gauges {
	t.Helper()
	lines := bufio.NewScanner(res.Body)
	return func() (g gauges) {
		t.Helper()
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				if err := json.Unmarshal([]byte(data), &g); err != nil {
					t.Fatalf("%v: %s", err, data)
				}
				return g
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return g
	}
}

func jobToolCallsAreFollowed(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(nil))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s := r.send(ctx, id, "run: echo first; sleep 3")
	s.until("the call", func(e event.Event) bool { return e.Data.Type() == event.TypeToolUse })
	res := r.open(ctx, key, http.MethodGet, "/api/tools/"+id+"/stream", nil)
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	var got []string
	seen := map[string]bool{}
	follow := func(until string) {
		t.Helper()
		for lines.Scan() {
			got = append(got, lines.Text())
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				continue
			}
			var e struct{ Type string }
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				t.Fatal(err)
			}
			if seen[e.Type] = true; e.Type == until {
				return
			}
		}
		t.Fatalf("the stream ended before %s: %q", until, got)
	}
	follow("snapshot")
	if !strings.Contains(got[len(got)-1], `"tool":"Bash"`) {
		t.Errorf("the snapshot does not say what runs: %s", got[len(got)-1])
	}
	follow("tool_result")
	turn{t, s.rest()}.ended(event.CompleteOK)
	r.turn(id, "todo").ended(event.CompleteOK)
	follow("todo_update")
	r.turn(id, "run: cat /etc/shadow").denied("path.access")
	follow("verdict")
	for kind := range seen {
		switch kind {
		case "snapshot", "tool_use", "tool_result", "todo_update", "verdict":
		default:
			t.Errorf("a %s is no tool activity", kind)
		}
	}
}

// A process that is killed for want of memory is told as that; the turn and the session go on.
func jobOutOfMemoryIsToldAsSuch(t *testing.T, on string) {
	if os.Geteuid() != 0 {
		t.Skip("without root, memory has no limit")
	}
	r := newRig(t, options{on: on})
	id := r.launch(inline(func(c map[string]any) {
		c["resource_limits"] = map[string]any{"cpu_quota": 200000, "memory_limit": "512m", "storage_limit": "64m"}
	}))
	if errs := of[event.Error](r.turn(id, "run: exit 137").ended(event.CompleteOK).events); len(errs) != 0 {
		t.Errorf("an exit status alone is told as %+v", errs)
	}
	x := r.turn(id, "run: python3 -c 'x = bytearray(900 << 20)'; exit $?").ended(event.CompleteOK)
	errs := of[event.Error](x.events)
	if len(errs) != 1 || errs[0].Code != "out_of_memory" || !strings.Contains(errs[0].Message, "512 MiB by cgroup") {
		t.Errorf("got %s", describe(x.events))
	}
	r.turn(id, "run: echo still here").ended(event.CompleteOK).says("still here")
}
