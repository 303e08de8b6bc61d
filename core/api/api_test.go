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
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/guard"
	"github.com/agcluster/agcluster/core/plugin"
	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/sandbox"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/core/workspace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is everything that the API translates to.
type fake struct {
	rec    session.Session
	err    error
	events []event.Event
	// batch passes all events as ones that are there together.
	batch bool
	// hold keeps Follow open after the events.
	hold chan struct{}
	end  error
	// last is what Last says, if lastErr is nil.
	last    int64
	lastErr error
	// launch, if any, is Launch.
	launch func(context.Context, session.LaunchRequest) (session.Session, error)
	// inForce and gates are what InForce returns.
	inForce []guard.InForce
	gates   error
	// changes are what was changed, commands what Commands returns.
	changes  []session.Change
	commands []agent.Command
}

func (f *fake) Launch(ctx context.Context, req session.LaunchRequest) (session.Session, error) {
	if f.launch != nil {
		return f.launch(ctx, req)
	}
	return f.rec, f.err
}

func (f *fake) List(context.Context, string) ([]session.Session, error) {
	return []session.Session{f.rec}, f.err
}

func (f *fake) Authorize(context.Context, string, string) (session.Session, error) {
	return f.rec, nil
}
func (f *fake) Stop(context.Context, string) error { return f.err }
func (f *fake) Send(context.Context, string, string) (session.Turn, error) {
	return session.Turn{Number: 1, After: 1}, f.err
}
func (f *fake) Interrupt(context.Context, string) error                         { return f.err }
func (f *fake) Approve(context.Context, string, string, session.Decision) error { return f.err }
func (f *fake) Follow(ctx context.Context, _ string, after int64, _ bool, fn func(event.Event, bool) error) error {
	for i, e := range f.events {
		if e.ID > after {
			if err := fn(e, f.batch && i < len(f.events)-1); err != nil {
				return err
			}
		}
	}
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return f.end
}

func (f *fake) Last(context.Context, string) (int64, error) { return f.last, f.lastErr }
func (f *fake) History(_ context.Context, _ string, after int64, limit int) ([]event.Event, error) {
	var page []event.Event
	for _, e := range f.events {
		if e.ID > after && len(page) < limit {
			page = append(page, e)
		}
	}
	return page, f.err
}
func (f *fake) Plugins() []plugin.Status      { return nil }
func (f *fake) Policies() []policy.ModuleInfo { return nil }
func (f *fake) Pool() sandbox.Status          { return sandbox.Status{} }

type configs struct{ list []preset.Config }

func (c configs) List() []preset.Config { return c.list }
func (c configs) Get(id string) (preset.Config, bool) {
	for _, x := range c.list {
		if x.ID == id {
			return x, true
		}
	}
	return preset.Config{}, false
}
func (configs) Complete(c preset.Config) (preset.Config, error) { return c, nil }
func (configs) Check([]byte, preset.Format) preset.Checked      { return preset.Checked{} }
func (configs) Origin(id string) preset.Origin {
	if id == "mine" {
		return preset.OriginCustom
	}
	return preset.OriginOperator
}

func serve(t *testing.T, f *fake, list ...preset.Config) *httptest.Server {
	t.Helper()
	_, h := New(Config{Version: "1", Heartbeat: 20 * time.Millisecond}, Deps{
		Sessions: f, Turns: f, Events: f, Controls: f, Gates: f, Catalog: configs{list}, Status: f,
	}, zap.NewNop())
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s
}

func get(t *testing.T, url string, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sk-ant-x")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func events(data ...event.Data) []event.Event {
	var all []event.Event
	for i, d := range data {
		all = append(all, event.Event{ID: int64(i) + 1, Turn: 1, Time: time.Unix(0, 0), Data: d})
	}
	return all
}

func TestStreamHasIDsAndEndsWithDone(t *testing.T) {
	f := &fake{rec: session.Session{Turn: 1, TurnOpen: true}, events: events(event.User{Content: "x"}, event.Text{Content: "a\nb"}, event.Complete{Status: "completed"})}
	res := get(t, serve(t, f).URL+"/api/agents/conv-1/events?turn=1", "Last-Event-ID", "1")
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := "id: 1\n\n" +
		`id: 2` + "\n" + `data: {"event_id":2,"type":"text","time":"1970-01-01T00:00:00Z","turn":1,"content":"a\nb"}` + "\n\n" +
		`id: 3` + "\n" + `data: {"event_id":3,"type":"complete","time":"1970-01-01T00:00:00Z","turn":1,"status":"completed",` +
		`"usage":{"input_tokens":0,"output_tokens":0,"cache_read_input_tokens":0,"cache_creation_input_tokens":0},"cost_usd":0,"turns":0}` +
		"\n\ndata: [DONE]\n\n"
	if string(b) != want {
		t.Errorf("got\n%s\nwant\n%s", b, want)
	}
	if res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Agcluster-Turn") != "1" {
		t.Errorf("header %v", res.Header)
	}
}

func TestSilentStreamBeats(t *testing.T) {
	f := &fake{rec: session.Session{}, hold: make(chan struct{})}
	defer close(f.hold)
	res := get(t, serve(t, f).URL+"/api/agents/conv-1/events")
	lines := bufio.NewScanner(res.Body)
	for beats := 0; beats < 3 && lines.Scan(); {
		if lines.Text() == ": heartbeat" {
			beats++
		}
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
}

func TestStreamOfAHostThatStopsHasNoDone(t *testing.T) {
	for name, c := range map[string]struct {
		end  error
		done bool
	}{
		"the session was stopped": {nil, true},
		"the host stops":          {event.ErrShutdown, false},
		"something broke":         {errors.New("disk on fire"), false},
	} {
		f := &fake{end: c.end, events: events(event.Text{Content: "x"})}
		b, err := io.ReadAll(get(t, serve(t, f).URL+"/api/agents/conv-1/events").Body)
		if err != nil || strings.Contains(string(b), "[DONE]") != c.done || strings.Contains(string(b), "fire") {
			t.Errorf("%s: %q (%v)", name, b, err)
		}
	}
}

func TestAcceptDecidesTheForm(t *testing.T) {
	for accept, want := range map[string]string{
		"": mediaJSON, "*/*": mediaJSON, "application/*": mediaJSON, mediaStream: mediaStream, "text/event-stream;q=0.9, application/json;q=0.1": mediaStream,
		"application/json, text/event-stream": mediaJSON, "text/html": "", "text/html, */*;q=0.1": mediaJSON,
	} {
		got, err := negotiate(accept, mediaJSON, mediaStream)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("Accept %q: %q %v, want %q", accept, got, err, want)
		}
	}
}

func TestErrorsHaveTheirStatus(t *testing.T) {
	a, _ := New(Config{}, Deps{}, zap.NewNop())
	for _, c := range []struct {
		err    error
		status int
		says   string
	}{
		{session.ErrForbidden, 403, "another key"},
		{session.ErrNotFound, 404, "session"},
		{session.ErrTurnRunning, 409, "turn"},
		{session.ErrDraining, 503, "shutting down"},
		{errors.Join(session.ErrUnavailable, errors.New("fix: apt-get install bubblewrap")), 503, "bubblewrap"},
		{agent.ErrGone, 503, "sandbox"},
		{&workspace.TooLargeError{What: "file", Limit: 5, Got: 6}, 413, "5"},
		{&workspace.InvalidPathError{Path: "..", Reason: "leaves"}, 400, "leaves"},
		{workspace.ErrConflict, 409, ""},
		{context.DeadlineExceeded, 504, ""},
		{errors.New("postgres://user:password@host"), 500, "log"},
	} {
		p := a.problem(c.err)
		if p.GetStatus() != c.status || !strings.Contains(p.Error(), c.says) || strings.Contains(p.Error(), "password") {
			t.Errorf("%v: %d %s, want %d %q", c.err, p.GetStatus(), p.Error(), c.status, c.says)
		}
	}
}

func TestFilePathIsOneParameter(t *testing.T) {
	for in, want := range map[string]string{
		"/api/files/s/a/b.txt":           "a/b.txt",
		"/api/files/s/a%2Fb.txt":         "a/b.txt",
		"/api/files/s/../../etc/passwd":  "../../etc/passwd",
		"/api/files/s/%2e%2e/x":          "../x",
		"/api/files/s/%252e%252e":        "%2e%2e",
		"/api/files/s//etc/passwd":       "/etc/passwd",
		"/api/files/s/a%00b":             "a\x00b",
		"/api/files/s/%ff":               "\xff",
		"/api/files/s/a/download":        "a +download",
		"/api/files/s/a%2Fdownload":      "a/download",
		"/api/files/s/download/download": "download +download",
		"/api/files/s/a/":                "a/",
		"/api/files/s/bad%zz":            "400",
	} {
		got := "unfolded"
		h := foldFilePath(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			rest := strings.TrimPrefix(r.URL.EscapedPath(), "/api/files/s/")
			one, tail, more := strings.Cut(rest, "/")
			if strings.Contains(one, ".") || strings.Contains(tail, "/") {
				t.Errorf("%s is folded to %s", in, rest)
			}
			got = strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/api/files/s/"), "/download")
			if more {
				got += " +" + tail
			} else {
				got = strings.TrimPrefix(r.URL.Path, "/api/files/s/")
			}
		}))
		r := &http.Request{Method: http.MethodGet, URL: mustURL(t, in)}
		w := httptest.NewRecorder()
		if r.URL == nil {
			continue
		}
		h.ServeHTTP(w, r)
		if w.Code != 200 {
			got = "400"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestConfigurationsHideCredentials(t *testing.T) {
	c := preset.Config{
		ID: "x", Env: map[string]string{"A": "hidden"},
		MCPServers: map[string]agent.MCPServer{"git": {Command: "g", Env: map[string]string{"TOKEN": "hidden"}, Headers: map[string]string{"H": "hidden"}}},
	}
	b, err := io.ReadAll(get(t, serve(t, &fake{}, c).URL+"/api/configs/x").Body)
	if err != nil || strings.Contains(string(b), "hidden") || !strings.Contains(string(b), "TOKEN") {
		t.Errorf("%s (%v)", b, err)
	}
	if c.MCPServers["git"].Env["TOKEN"] != "hidden" {
		t.Error("the configuration itself was changed")
	}
}

func TestEveryRouteOfASessionDemandsItsKey(t *testing.T) {
	a := &API{}
	for _, r := range a.routes() {
		// A WebSocket can't carry a key; its ticket is given to the owner only.
		if strings.Contains(r.path, "{session_id}") && r.access != owner && (r.access != ticketed || r.id != "attach-terminal") {
			t.Errorf("%s %s is open", r.method, r.path)
		}
	}
}

func TestEventSchemaCoversEveryType(t *testing.T) {
	a, _ := New(Config{Version: "1"}, Deps{}, zap.NewNop())
	b, err := json.Marshal(a.huma.OpenAPI().Components.Schemas.Map()["Event"])
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range event.Types() {
		if !strings.Contains(string(b), `"`+string(d.Type())+`"`) {
			t.Errorf("no %s in %s", d.Type(), b)
		}
	}
}
