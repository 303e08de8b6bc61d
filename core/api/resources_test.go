package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// watcher is an Observer whose sandbox uses half a processor of two. Each count of its errors is one call that fails.
type watcher struct {
	err     error
	calls   atomic.Int64
	lines   []sdk.LogLine
	awake   atomic.Bool
	unknown bool
}

func (w *watcher) Measure(ctx context.Context, _ string, interval time.Duration, fn func(Measurement) error) error {
	if w.err != nil {
		return w.err
	}
	if !w.awake.Load() {
		return ErrNoSandbox
	}
	for {
		n := w.calls.Add(1)
		m := Measurement{Source: SourceProvider, Stats: sdk.Stats{
			Time: time.Unix(n, 0).UTC(), CPUMicros: n * 500_000, MilliCPU: 2000, MemoryBytes: 1 << 20, MemoryLimitBytes: 4 << 20,
			PIDs: 3, PIDsLimit: 512, DiskBytes: 7, DiskLimitBytes: 0, NetworkRxBytes: -1, OOMKills: 2,
		}}
		if w.unknown {
			m.Stats = sdk.Stats{Time: m.Time, CPUMicros: -1, MemoryBytes: -1, PIDs: -1, DiskBytes: -1, OOMKills: -1, NetworkRxBytes: -1, NetworkTxBytes: -1}
		}
		if err := fn(m); err != nil || interval == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond): // as if the interval had passed
		}
	}
}

func (w *watcher) Logs(ctx context.Context, _ string, req sdk.LogsRequest, fn func(sdk.LogLine) error) error {
	if w.err != nil {
		return w.err
	}
	for _, l := range w.lines[max(0, len(w.lines)-req.Tail):] {
		if err := fn(l); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func observed(t *testing.T, f *fake, w *watcher) *httptest.Server {
	t.Helper()
	_, h := New(Config{Version: "1", Heartbeat: time.Minute}, Deps{
		Sessions: f, Turns: f, Catalog: configs{}, Status: f, Observer: w,
	}, zap.NewNop())
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// messages reads n messages of a stream, without their ids.
func messages(t *testing.T, res *http.Response, n int) []string {
	t.Helper()
	var all []string
	for lines := bufio.NewScanner(res.Body); len(all) < n && lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			all = append(all, data)
		}
	}
	return all
}

const halfOfTwo = `{"session_id":"conv-1","running":true,"time":"1970-01-01T00:00:02Z","source":"provider",` +
	`"cpu":{"percent":25,"count":2,"limit":2},"memory":{"used_bytes":1048576,"limit_bytes":4194304,"percent":25},` +
	`"disk":{"used_bytes":7,"limit_bytes":0,"percent":0},"pids":{"used":3,"limit":512},"network":{"rx_bytes":null,"tx_bytes":0},"oom_kills":2}`

func TestResourcesInOnePiece(t *testing.T) {
	for _, path := range []string{"/api/agents/conv-1/resources", "/api/tools/conv-1/resources"} {
		w := &watcher{}
		w.awake.Store(true)
		if got := body(t, get(t, observed(t, &fake{}, w).URL+path)); got != halfOfTwo {
			t.Errorf("%s: got\n%s\nwant\n%s", path, got, halfOfTwo)
		}
	}
	w := &watcher{unknown: true}
	w.awake.Store(true)
	got := body(t, get(t, observed(t, &fake{}, w).URL+"/api/agents/conv-1/resources"))
	if !strings.Contains(got, `"memory":{"used_bytes":0,"limit_bytes":0,"percent":0}`) || !strings.Contains(got, `"oom_kills":null`) ||
		!strings.Contains(got, `"percent":0,`) {
		t.Errorf("unknown: %s", got)
	}
}

func TestASessionWithoutASandboxUsesNothing(t *testing.T) {
	w := &watcher{}
	res := get(t, observed(t, &fake{}, w).URL+"/api/agents/conv-1/resources")
	var r Resources
	if text := body(t, res); res.StatusCode != 200 || json.Unmarshal([]byte(text), &r) != nil || r.Running || *r.OOMKills != 0 || w.calls.Load() != 0 {
		t.Errorf("%d %+v", res.StatusCode, r)
	}
}

func TestResourcesAreStreamedAlsoThroughASleep(t *testing.T) {
	f, w := &fake{hold: make(chan struct{})}, &watcher{}
	s := observed(t, f, w)
	res := get(t, s.URL+"/api/agents/conv-1/resources?interval=1s", "Accept", mediaStream)
	if first := messages(t, res, 1); len(first) != 1 || !strings.Contains(first[0], `"running":false`) {
		t.Fatalf("got %q", first)
	}
	w.awake.Store(true)
	for _, m := range messages(t, res, 3) {
		if strings.Contains(m, `"running":true`) && !strings.Contains(m, `"used_bytes":1048576`) {
			t.Errorf("got %s", m)
		}
	}
	close(f.hold) // the session is stopped
	rest := body(t, res)
	if !strings.HasSuffix(rest, "data: [DONE]") {
		t.Errorf("the end: %.200q", rest[max(0, len(rest)-200):])
	}
}

func TestAStreamOfResourcesEndsWithTheHost(t *testing.T) {
	f, w := &fake{hold: make(chan struct{}), end: event.ErrShutdown}, &watcher{}
	w.awake.Store(true)
	res := get(t, observed(t, f, w).URL+"/api/agents/conv-1/resources", "Accept", mediaStream)
	messages(t, res, 1)
	close(f.hold)
	if rest := body(t, res); strings.Contains(rest, "[DONE]") {
		t.Error("it says that there is no more to come")
	}
}

func TestWhatCanNotBeObservedSaysWhy(t *testing.T) {
	for _, c := range []struct {
		path, accept string
		err          error
		status       int
		says         string
	}{
		{"/api/agents/conv-1/resources", "text/html", nil, 406, "text/event-stream"},
		{"/api/agents/conv-1/resources?interval=0.5s", mediaStream, nil, 422, "interval"},
		{"/api/agents/conv-1/resources?interval=61", mediaStream, nil, 422, "1s to 60s"},
		{"/api/agents/conv-1/resources?interval=99999999999999999999", mediaStream, nil, 422, "1s to 60s"},
		{"/api/agents/conv-1/resources?interval=soon", mediaStream, nil, 422, "1s to 60s"},
		{"/api/agents/conv-1/resources", mediaJSON, sdk.ErrPluginExited, 503, "provider"},
		{"/api/agents/conv-1/resources", mediaJSON, errors.Join(sdk.ErrPlatformDown, errors.New("dial docker.sock")), 503, "docker.sock"},
		{"/api/agents/conv-1/resources", mediaJSON, errors.New("secret"), 500, "log"},
		{"/api/agents/conv-1/logs", mediaJSON, sdk.ErrUnimplemented, 501, "can't tell"},
		{"/api/agents/conv-1/logs", mediaStream, sdk.ErrUnimplemented, 501, "can't tell"},
		{"/api/agents/conv-1/logs?tail=0", mediaJSON, nil, 422, "tail"},
		{"/api/agents/conv-1/logs", "text/html", nil, 406, "application/json"},
		{"/api/tools/conv-1/stream", mediaJSON, nil, 406, "text/event-stream"},
		{"/api/tools/conv-1/stream", mediaStream, nil, 422, "Last-Event-ID"},
	} {
		w := &watcher{err: c.err}
		header := []string{"Accept", c.accept}
		if c.says == "Last-Event-ID" {
			header = append(header, "Last-Event-ID", "x")
		}
		res := get(t, observed(t, &fake{}, w).URL+c.path, header...)
		if text := body(t, res); res.StatusCode != c.status || !strings.Contains(text, c.says) || strings.Contains(text, "secret") {
			t.Errorf("%s (%s): %d %s, want %d %q", c.path, c.accept, res.StatusCode, text, c.status, c.says)
		}
	}
}

func TestIntervalsAreSecondsOrDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 2 * time.Second, "1": time.Second, "60": time.Minute, "1.5s": 1500 * time.Millisecond, "1m": time.Minute, "0": 0, "-1": 0, "2h": 0, "1e3": 0,
	} {
		if got, err := intervalOf(text); got != want || (err != nil) != (want == 0) {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}

func TestLogsInOnePieceAndAsTheyCome(t *testing.T) {
	w := &watcher{lines: []sdk.LogLine{{Stream: "stderr", Text: "one"}, {Time: time.Unix(1, 0).UTC(), Stream: "stdout", Text: "two <3"}}}
	s := observed(t, &fake{hold: make(chan struct{})}, w)
	want := `{"session_id":"conv-1","running":true,"lines":[{"time":"1970-01-01T00:00:01Z","stream":"stdout","text":"two <3"}]}`
	if got := body(t, get(t, s.URL+"/api/agents/conv-1/logs?tail=1")); got != want {
		t.Errorf("got %s", got)
	}
	got := body(t, get(t, s.URL+"/api/agents/conv-1/logs", "Accept", mediaStream))
	if got != `data: {"time":null,"stream":"stderr","text":"one"}`+"\n\n"+`data: {"time":"1970-01-01T00:00:01Z","stream":"stdout","text":"two <3"}`+"\n\ndata: [DONE]" {
		t.Errorf("got %s", got)
	}
	w.err = ErrNoSandbox
	if got := body(t, get(t, s.URL+"/api/agents/conv-1/logs")); got != `{"session_id":"conv-1","running":false,"lines":[]}` {
		t.Errorf("without a sandbox: %s", got)
	}
	if got := body(t, get(t, s.URL+"/api/agents/conv-1/logs", "Accept", mediaStream)); got != "data: [DONE]" {
		t.Errorf("without a sandbox: %s", got)
	}
}

func TestToolsAreStreamedAfterWhatRuns(t *testing.T) {
	all := events(
		event.User{Content: "old"}, event.ToolUse{ID: "old", Tool: "Bash"}, event.Complete{Status: "completed"},
		event.User{Content: "x"}, event.ToolUse{ID: "a", Tool: "Bash", Input: "ls"}, event.Text{Content: "hm"},
		event.ToolUse{ID: "b", Tool: "Read", Input: "f", Parent: "p"}, event.TodoUpdate{Todos: []event.Todo{{Content: "t", Status: "pending"}}},
		event.ApprovalRequired{Ask: "k", Tool: "Read", Arguments: json.RawMessage(`{}`)}, event.ToolResult{ID: "a", Tool: "Bash", Output: "out"},
	)
	snapshot := `{"type":"snapshot","session_id":"conv-1","turn":1,"tools":[{"id":"b","tool":"Read","input":"f","parent":"p","since":"1970-01-01T00:00:00Z"}],` +
		`"todos":[{"content":"t","status":"pending"}],"approvals":[{"ask":"k","tool":"Read","input":"","arguments":{},"reason":"","expires_at":""}]}`
	rec := session.Session{ID: "conv-1", Turn: 2, TurnOpen: true, LastComplete: 3}
	get := func(f *fake, header ...string) string {
		return body(t, get(t, observed(t, f, &watcher{}).URL+"/api/tools/conv-1/stream", header...))
	}
	if got, want := get(&fake{rec: rec, events: all}), "id: 10\n\ndata: "+snapshot+"\n\ndata: [DONE]"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got := get(&fake{rec: rec, events: all}, "Last-Event-ID", "4")
	if !strings.HasPrefix(got, "id: 4\n\ndata: "+snapshot+"\n\nid: 5\ndata: ") || strings.Contains(got, `"hm"`) || !strings.HasSuffix(got, "data: [DONE]") {
		t.Errorf("got\n%s", got)
	}
	for _, id := range []string{"5", "7", "8", "9", "10"} {
		if !strings.Contains(got, "\nid: "+id+"\ndata: ") {
			t.Errorf("event %s is missing", id)
		}
	}
	idle := get(&fake{rec: session.Session{ID: "conv-1", Turn: 1}, events: all[:3]})
	if !strings.Contains(idle, `"turn":0,"tools":[],"todos":[],"approvals":[]`) {
		t.Errorf("with no turn: %s", idle)
	}
}
