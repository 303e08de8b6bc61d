package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/agcluster/agcluster/core/api"
	"github.com/agcluster/agcluster/core/event"
)

const (
	testKey = "sk-ant-test-0123456789abcdef"
	conv    = "conv-0f1e2d3c4b5a69788796a5b4c3d2e1f0"
	other   = "conv-0f1e2d3c4b5aaaaaaaaaaaaaaaaaaaaa"
)

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// entry is one thing that a fake host's stream holds: an event, or raw JSON that is none this client knows.
type entry struct {
	e   event.Event
	raw string
}

// fakeHost speaks the API for one session. Its stream is a list of entries, numbered as they are added.
type fakeHost struct {
	t   testing.TB
	url string
	mux *http.ServeMux

	mu      sync.Mutex
	entries []entry
	last    int64
	turn    int64
	open    bool
	gone    bool
	wake    chan struct{}
	// missed is how many entries a broken stream has got: previews before it do not come again.
	missed int
	// streams counts the connections that streamed; cut says how many bytes the nth gets, -1 is all.
	streams int
	cut     func(n int) int
	// script is what a turn does; it runs on a goroutine of its own.
	script func(h *fakeHost, message string)
	work   sync.WaitGroup
	calls  []string
	bodies map[string][]byte
	list   []api.Session
	// answers are those to approvals, interrupts counts the interrupts.
	answers    map[string]api.ApprovalAnswer
	interrupts int
	unchecked  bool
	quit       chan struct{}
	// instead has handlers by method and path that come before those of mux.
	instead map[string]http.HandlerFunc
}

func newHost(t testing.TB) *fakeHost {
	h := &fakeHost{
		t: t, mux: http.NewServeMux(), wake: make(chan struct{}), cut: func(int) int { return -1 }, bodies: map[string][]byte{},
		answers: map[string]api.ApprovalAnswer{}, quit: make(chan struct{}), instead: map[string]http.HandlerFunc{},
		list: []api.Session{{
			SessionID: conv, AgentID: "agent-0f1e2d3c4b5a", ConfigID: "code-assistant", Status: "running", Activity: "idle", Provider: "local",
			Name: "Code assistant", CreatedAt: start.Add(-3 * time.Minute), LastActive: start.Add(-20 * time.Second), Turn: 2,
			Usage: event.Usage{InputTokens: 1234, OutputTokens: 56}, CostUSD: 0.0123, Limits: map[string]string{"memory": "cgroup v1", "cpu": "cgroup v1"},
		}},
	}
	h.handle("POST /api/agents/"+conv+"/chat", h.chat)
	h.handle("GET /api/agents/"+conv+"/events", h.follow)
	h.handle("GET /api/agents/"+conv+"/messages", h.messages)
	h.handle("POST /api/agents/"+conv+"/approvals/{ask}", h.approve)
	h.handle("POST /api/agents/sessions/{id}/interrupt", func(w http.ResponseWriter, _ *http.Request) {
		h.mu.Lock()
		open := h.open
		h.interrupts++
		h.wakeUp()
		h.mu.Unlock()
		if !open {
			fail(w, http.StatusConflict, "no turn is running")
			return
		}
		_, _ = io.WriteString(w, `{"session_id":"`+conv+`","status":"interrupting"}`)
	})
	h.handle("GET /api/agents/sessions", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, api.SessionList{Sessions: h.list, Total: len(h.list)})
	})
	h.handle("GET /api/agents/sessions/{id}", func(w http.ResponseWriter, r *http.Request) {
		for _, s := range h.list {
			if s.SessionID == r.PathValue("id") {
				answer(w, s)
				return
			}
		}
		fail(w, http.StatusNotFound, "there is no such session")
	})
	h.handle("DELETE /api/agents/sessions/{id}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, api.SessionStatus{SessionID: r.PathValue("id"), Status: "stopped"})
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.calls = append(h.calls, r.Method+" "+r.URL.RequestURI())
		h.mu.Unlock()
		if fn := h.instead[r.Method+" "+r.URL.Path]; fn != nil {
			fn(w, r)
			return
		}
		h.mux.ServeHTTP(w, r)
	}))
	h.url = server.URL
	t.Cleanup(func() {
		close(h.quit)
		server.CloseClientConnections()
		server.Close()
		h.work.Wait()
	})
	return h
}

// handle adds a route that needs the key.
func (h *fakeHost) handle(pattern string, fn http.HandlerFunc) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer "+testKey && !h.unchecked {
			fail(w, http.StatusUnauthorized, "Authorization: Bearer <key> is needed, not "+got)
			return
		}
		fn(w, r)
	})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "title": http.StatusText(status), "detail": detail})
}

// wakeUp needs mu.
func (h *fakeHost) wakeUp() {
	close(h.wake)
	h.wake = make(chan struct{})
}

// add puts events of the running turn on the stream.
func (h *fakeHost) add(data ...event.Data) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range data {
		e := event.Event{Turn: h.turn, Time: start, Data: d}
		if d.Type() != event.TypeTextDelta {
			h.last++
			e.ID = h.last
		}
		if d.Type() == event.TypeComplete {
			h.open = false
		}
		h.entries = append(h.entries, entry{e: e})
	}
	h.wakeUp()
}

// addRaw puts an event on the stream that is not of this version; %d is its number.
func (h *fakeHost) addRaw(format string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	h.entries = append(h.entries, entry{e: event.Event{ID: h.last, Turn: h.turn}, raw: fmt.Sprintf(format, h.last)})
	h.wakeUp()
}

// until waits until ok, which is called with mu held.
func (h *fakeHost) until(ok func() bool) bool {
	for {
		h.mu.Lock()
		wake := h.wake
		if ok() {
			h.mu.Unlock()
			return true
		}
		h.mu.Unlock()
		select {
		case <-wake:
		case <-h.quit:
			return false
		}
	}
}

func (h *fakeHost) chat(w http.ResponseWriter, r *http.Request) {
	var body api.ChatRequest
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	h.mu.Lock()
	if h.open {
		h.mu.Unlock()
		fail(w, http.StatusConflict, "a turn is running: wait for its end, or interrupt it")
		return
	}
	h.open = true
	h.turn++
	turn := h.turn
	h.mu.Unlock()
	h.add(event.User{Content: body.Message})
	h.mu.Lock()
	after := h.last
	h.mu.Unlock()
	if h.script != nil {
		h.work.Go(func() { h.script(h, body.Message) })
	}
	w.Header().Set("Agcluster-Turn", strconv.FormatInt(turn, 10))
	h.stream(w, r, turn, after)
}

func (h *fakeHost) follow(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	if err != nil {
		fail(w, http.StatusUnprocessableEntity, "bad Last-Event-ID")
		return
	}
	turn, _ := strconv.ParseInt(r.URL.Query().Get("turn"), 10, 64)
	h.stream(w, r, turn, after)
}

// stream is what api.stream does, with a budget of bytes.
func (h *fakeHost) stream(w http.ResponseWriter, r *http.Request, turn, after int64) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	h.mu.Lock()
	h.streams++
	h.wakeUp()
	budget, from := h.cut(h.streams), h.missed
	h.mu.Unlock()
	send := func(s string) {
		if budget >= 0 && len(s) >= budget {
			_, _ = io.WriteString(w, s[:budget])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		budget -= len(s)
		_, _ = io.WriteString(w, s)
		_ = http.NewResponseController(w).Flush()
	}
	if budget < 0 {
		budget = 1 << 40
	}
	deltas := r.URL.Query().Get("deltas") == "true"
	send(fmt.Sprintf("id: %d\n\n", after))
	for i := 0; ; i++ {
		var next entry
		over := false
		ok := h.until(func() bool {
			over = h.gone && i >= len(h.entries)
			if i < len(h.entries) {
				next = h.entries[i]
			}
			return over || i < len(h.entries) || r.Context().Err() != nil
		})
		if !ok || r.Context().Err() != nil {
			return
		}
		if over {
			send("data: [DONE]\n\n")
			return
		}
		e := next.e
		switch {
		case e.ID == 0 && (!deltas || i < from), e.ID > 0 && e.ID <= after, turn > 0 && e.Turn > 0 && e.Turn != turn:
			continue
		}
		h.mu.Lock()
		h.missed = i
		h.mu.Unlock()
		text := next.raw
		if text == "" {
			b, err := json.Marshal(e)
			if err != nil {
				h.t.Error(err)
			}
			text = string(b)
		}
		id := ""
		if e.ID > 0 {
			id = fmt.Sprintf("id: %d\n", e.ID)
		}
		send(id + "data: " + text + "\n\n")
		if e.Data != nil && e.Data.Type() == event.TypeComplete && e.Turn == turn {
			send("data: [DONE]\n\n")
			return
		}
	}
}

func (h *fakeHost) messages(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	h.mu.Lock()
	defer h.mu.Unlock()
	out := api.History{SessionID: conv, Messages: []api.Event{}}
	const page = 3 // small, so that there are several
	for _, e := range h.entries {
		switch {
		case e.e.ID <= after || e.raw != "":
		case len(out.Messages) == page:
			out.HasMore = true
		default:
			raw, err := json.Marshal(e.e)
			if err != nil {
				h.t.Error(err)
			}
			out.Messages = append(out.Messages, api.Event{RawMessage: raw})
		}
	}
	answer(w, out)
}

func (h *fakeHost) approve(w http.ResponseWriter, r *http.Request) {
	var body api.ApprovalAnswer
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	h.mu.Lock()
	_, again := h.answers[r.PathValue("ask")]
	if !again {
		h.answers[r.PathValue("ask")] = body
	}
	h.wakeUp()
	h.mu.Unlock()
	if again {
		fail(w, http.StatusConflict, "there is no open approval "+r.PathValue("ask"))
		return
	}
	answer(w, api.Approval{Ask: r.PathValue("ask"), Decision: body.Decision})
}

// called says whether a request was made that begins so.
func (h *fakeHost) called(prefix string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, c := range h.calls {
		if strings.HasPrefix(c, prefix) {
			n++
		}
	}
	return n
}

// cli runs commands against a host.
type cli struct {
	t   testing.TB
	env map[string]string
	in  io.Reader
	// pressed is Ctrl-C.
	pressed chan os.Signal
	timing  timing
	ctx     context.Context
}

func newCLI(t testing.TB, h *fakeHost) *cli {
	c := &cli{
		t: t, env: map[string]string{"AGCLUSTER_API_KEY": testKey}, in: strings.NewReader(""), pressed: make(chan os.Signal, 1),
		ctx: t.Context(), timing: timing{pause: time.Millisecond, patience: 20 * time.Second, stall: 20 * time.Second},
	}
	if h != nil {
		c.env["AGCLUSTER_URL"] = h.url
	}
	return c
}

type result struct {
	out, err string
	code     int
}

func (c *cli) globals(in io.Reader, out, err io.Writer) *globals {
	g := newGlobals(in, out, err)
	g.env = func(name string) (string, bool) {
		v, ok := c.env[name]
		return v, ok
	}
	g.now = func() time.Time { return start }
	g.timing = c.timing
	g.interrupts = func() (<-chan os.Signal, func()) { return c.pressed, func() {} }
	return g
}

// run is main's run.
func (c *cli) run(args ...string) result {
	c.t.Helper()
	var out, errOut bytes.Buffer
	code := c.runOn(c.globals(c.in, &out, &errOut), args...)
	r := result{out.String(), errOut.String(), code}
	if strings.Contains(r.out+r.err, testKey) {
		c.t.Errorf("%q shows the key: %+v", args, r)
	}
	return r
}

func (c *cli) runOn(g *globals, args ...string) int {
	root := &cobra.Command{Use: "agcluster", SilenceUsage: true, SilenceErrors: true}
	for _, cmd := range clientCommands(g) {
		g.register(cmd.PersistentFlags())
		root.AddCommand(cmd)
	}
	root.SetArgs(args)
	root.SetOut(g.out)
	root.SetErr(g.err)
	err := root.ExecuteContext(c.ctx)
	var code exitError
	if err != nil && !errors.As(err, &code) {
		fmt.Fprintln(g.err, "agcluster:", err)
		return 1
	}
	return code.code
}

// want checks a result, each part if it is given.
func (r result) want(t testing.TB, code int, out, err string) {
	t.Helper()
	if r.code != code || !strings.Contains(r.out, out) || !strings.Contains(r.err, err) {
		t.Errorf("got exit code %d\nout: %q\nerr: %q\nwant %d, %q, %q", r.code, r.out, r.err, code, out, err)
	}
}

func golden(t testing.TB, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != got {
		t.Errorf("%s is not what it was (%v); -update accepts it:\n%s", file, err, got)
	}
}
