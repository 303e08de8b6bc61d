package agent

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The honest agent server is in agent/server, whose tests use this client. Here are those that are not.
func against(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := NewClient(Endpoint{URL: srv.URL, Headers: map[string]string{"X-Provider": "p", "Authorization": "theirs"}}, "tok", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func TestNewClientTakesOnlySafeEndpoints(t *testing.T) {
	for url, ok := range map[string]bool{
		"unix:/run/a.sock": true, "https://host": true, "https://host/path": true, "http://127.0.0.1:1": true, "http://localhost": true, "http://[::1]:1": true,
		"unix:": false, "http://host": false, "http://10.0.0.1": false, "ftp://host": false, "": false, "https://u:p@host": false, "https://host?q": false,
		"https://host#f": false, "https://": false, "://": false,
	} {
		c, err := NewClient(Endpoint{URL: url}, "tok", zap.NewNop())
		if (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
		if c != nil {
			c.Close()
		}
	}
	if _, err := NewClient(Endpoint{URL: "https://host"}, "", zap.NewNop()); err == nil {
		t.Error("no token was accepted")
	}
}

func TestEveryRequestIsSignedAndNoRedirectFollowed(t *testing.T) {
	seen := 0
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		seen++
		if r.Header.Get("Authorization") != "Bearer tok" || r.Header.Get("X-Provider") != "p" {
			t.Errorf("%v", r.Header)
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	if err := c.Interrupt(t.Context()); err == nil || seen != 1 {
		t.Errorf("%v after %d requests", err, seen)
	}
}

func TestFailuresHaveTheirSentinel(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   error
		says   string
	}{
		{401, `{"message":"m"}`, ErrUnauthorized, "m"},
		{403, `{"message":"m"}`, ErrForbidden, "m"},
		{404, `{"message":"m"}`, ErrNotFound, "m"},
		{409, `{"message":"m"}`, ErrConflict, "m"},
		{409, `{"code":"turn_running","message":"m"}`, ErrTurnRunning, "m"},
		{409, `{"code":"no_turn","message":"m"}`, ErrNoTurn, "m"},
		{413, `{"message":"m"}`, ErrTooLarge, "m"},
		{507, `{"message":"m"}`, ErrTooLarge, "m"},
		{400, `{"message":"m"}`, ErrInvalid, "m"},
		{416, `{"message":"m"}`, ErrInvalid, "m"},
		{500, `{"message":"m"}`, nil, "500: m"},
		{404, `<html>`, ErrNotFound, "Not Found"},
		{404, `{"message":"a\n\u001b[31mb\u0000"}`, ErrNotFound, "a [31mb"},
		{404, `{"message":"` + strings.Repeat("x", 20<<10) + `"}`, ErrNotFound, "Not Found"},
	} {
		err := against(t, answers(c.status, c.body)).Interrupt(t.Context())
		if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.HasSuffix(err.Error(), c.says) {
			t.Errorf("%d %.40s: %v", c.status, c.body, err)
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	for name, body := range map[string]string{
		"too long": `{"status":"` + strings.Repeat("x", maxAnswer) + `"}`, "no JSON": "hello", "negative": `{"memory_bytes":-1}`, "number": `{"processes":1e99}`,
	} {
		if _, err := against(t, answers(200, body)).Usage(t.Context()); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHealthWaitsForTheServer(t *testing.T) {
	c, err := NewClient(Endpoint{URL: "unix:/nonexistent/socket"}, "tok", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Health(ctx); !errors.Is(err, ErrGone) && !errors.Is(err, context.DeadlineExceeded) || ctx.Err() == nil {
		t.Errorf("%v", err)
	}
}

func frame(seq int, data event.Data) string {
	b, err := json.Marshal(Frame{Seq: int64(seq), Event: &event.Event{Time: time.Unix(0, 0), Data: data}})
	if err != nil {
		return err.Error()
	}
	return "data: " + string(b) + "\n\n"
}

func TestTurnRefusesWhatNoHonestServerSends(t *testing.T) {
	ask := func(s string) string { return `data: {"seq":1,"ask":` + s + "}\n\n" }
	long := strings.Repeat("x", maxID+1)
	for name, stream := range map[string]string{
		"gap":             frame(1, event.Text{Content: "a"}) + frame(3, event.Text{Content: "b"}),
		"begins late":     frame(2, event.Text{}),
		"no JSON":         "data: {\n\n",
		"unknown event":   `data: {"seq":1,"event":{"type":"rumour"}}` + "\n\n",
		"neither":         `data: {"seq":1}` + "\n\n",
		"both":            `data: {"seq":1,"event":{"type":"text"},"ask":{"id":"a","stage":"call","tool":"t"}}` + "\n\n",
		"stage":           ask(`{"id":"a","stage":"x","tool":"t"}`),
		"no ask id":       ask(`{"stage":"call","tool":"t"}`),
		"long ask id":     ask(`{"id":"` + long + `","stage":"call","tool":"t"}`),
		"no tool":         ask(`{"id":"a","stage":"call"}`),
		"long tool":       ask(`{"id":"a","stage":"call","tool":"` + strings.Repeat("x", maxToolName+1) + `"}`),
		"input no object": ask(`{"id":"a","stage":"call","tool":"t","input":[]}`),
		"tool use input":  frame(1, event.ToolUse{ID: "a", Tool: "t", Arguments: []byte("1")}),
		"long id":         frame(1, event.ToolUse{ID: long, Tool: "t", Arguments: []byte("{}")}),
		"long result id":  frame(1, event.ToolResult{ID: long}),
		"long parent":     frame(1, event.Text{Parent: long}),
		"todos":           frame(1, event.TodoUpdate{Todos: make([]event.Todo, maxTodos+1)}),
		"error text":      frame(1, event.Error{Message: strings.Repeat("x", maxShortText+1)}),
		"status":          frame(1, event.Complete{Status: "fine"}),
		"negative":        frame(1, event.Complete{Status: event.CompleteOK, Usage: event.Usage{InputTokens: -1}}),
		"negative cost":   frame(1, event.Complete{Status: event.CompleteOK, CostUSD: -1}),
		"long line":       "data: " + strings.Repeat("x", MaxFrame+10) + "\n\n",
		"long comment":    ": " + strings.Repeat("x", MaxFrame+10) + "\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			err := against(t, answers(200, stream)).Turn(t.Context(), TurnRequest{Turn: 1}, 0, func(Frame, bool) error { return nil })
			if !errors.Is(err, ErrProtocol) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestTurnPassesEachFrameOnce(t *testing.T) {
	requests := 0
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		after, err := strconv.Atoi(r.URL.Query().Get("after"))
		if err != nil {
			t.Error(err)
		}
		fmt.Fprint(w, ": alive\n\nevent: odd\nid: 3\n\n")
		switch requests {
		case 1: // ends within a frame
			f := frame(2, event.Text{Content: "two"})
			fmt.Fprint(w, frame(1, event.Text{Content: "one"}), f[:len(f)-10])
		case 2: // repeats what was passed
			fmt.Fprint(w, frame(1, event.Text{Content: "one"}), frame(2, event.Text{Content: "two"}))
		default:
			fmt.Fprint(w, frame(after+1, event.Complete{Status: event.CompleteOK}), frame(after+2, event.Text{Content: "late"}))
		}
	})
	var got []string
	if err := c.Turn(t.Context(), TurnRequest{Turn: 1}, 0, func(f Frame, _ bool) error {
		got = append(got, fmt.Sprint(f.Seq, f.Event.Data.Type()))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != "[1text 2text 3complete]" {
		t.Errorf("%v", got)
	}
}

func TestTurnEndsWithItsReaderOrItsContext(t *testing.T) {
	stop := errors.New("stop")
	c := against(t, answers(200, frame(1, event.Text{Content: "one"})))
	if err := c.Turn(t.Context(), TurnRequest{Turn: 1}, 0, func(Frame, bool) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Turn(ctx, TurnRequest{Turn: 1}, 0, func(Frame, bool) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	// Refusals are not retried.
	requests := 0
	c = against(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		answers(409, `{"code":"turn_running","message":"m"}`)(w, r)
	})
	if err := c.Turn(t.Context(), TurnRequest{Turn: 1}, 0, func(Frame, bool) error { return nil }); !errors.Is(err, ErrTurnRunning) || requests != 1 {
		t.Errorf("%v after %d requests", err, requests)
	}
}

func TestTreeRefusesWhatNoHonestServerSends(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, line := range map[string]string{
		"absolute": `{"path":"/etc","type":"file"}`, "up": `{"path":"a/../../b","type":"file"}`, "NUL": `{"path":"a\u0000","type":"file"}`,
		"hidden up": `{"path":"a","path_bytes":"` + b64("../a") + `","type":"file"}`, "two names": `{"path":"a","path_bytes":"` + b64("b") + `","type":"file"}`,
		"long": `{"path":"` + strings.Repeat("x", maxPath+1) + `","type":"file"}`, "type": `{"path":"a","type":"door"}`,
		"size": `{"path":"a","type":"file","size":-1}`, "mode": `{"path":"a","type":"file","mode":65536}`, "no JSON": "x",
		"long line": `{"path":"` + strings.Repeat("x", maxEntryLine) + `"}`, "long target": `{"path":"a","type":"symlink","target":"` + strings.Repeat("x", maxPath+1) + `"}`,
	} {
		err := against(t, answers(200, line+"\n")).Tree(t.Context(), "", func(Entry) error { t.Errorf("%s was passed on", name); return nil })
		if !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := against(t, answers(200, `{"path":"a\ufffd","path_bytes":"`+b64("a\xff")+`","type":"file"}`+"\n\n"))
	if err := c.Tree(t.Context(), "", func(e Entry) error {
		if e.Raw() != "a\xff" {
			t.Errorf("%q", e.Raw())
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestReadGivesWhatWasPromised(t *testing.T) {
	const size = 10
	serve := func(body string) *Client {
		return against(t, func(w http.ResponseWriter, _ *http.Request) {
			b, err := json.Marshal(Entry{Path: "f", Type: EntryFile, Size: size})
			if err != nil {
				t.Error(err)
			}
			w.Header().Set(EntryHeader, base64.StdEncoding.EncodeToString(b))
			fmt.Fprint(w, body)
		})
	}
	for name, c := range map[string]struct {
		body string
		o    ReadOptions
		want string
		err  error
	}{
		"as promised": {"0123456789", ReadOptions{}, "0123456789", nil},
		"more":        {"0123456789abc", ReadOptions{}, "0123456789", nil},
		"less":        {"01234", ReadOptions{}, "01234", io.ErrUnexpectedEOF},
		"a range":     {"234xx", ReadOptions{Offset: 2, Length: 3}, "234", nil},
		"to the end":  {"89xx", ReadOptions{Offset: 8}, "89", nil},
		"past it":     {"xx", ReadOptions{Offset: 11}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, err := serve(c.body).Read(t.Context(), "f", c.o)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); string(b) != c.want || !errors.Is(err, c.err) {
				t.Errorf("%q %v", b, err)
			}
		})
	}
	for _, header := range []string{"", "!", base64.StdEncoding.EncodeToString([]byte("x")), base64.StdEncoding.EncodeToString([]byte(`{"path":"/x","type":"file"}`))} {
		c := against(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(EntryHeader, header) })
		if _, _, err := c.Read(t.Context(), "f", ReadOptions{}); !errors.Is(err, ErrProtocol) {
			t.Errorf("%q: %v", header, err)
		}
	}
	if _, _, err := serve("").Read(t.Context(), "f", ReadOptions{Offset: -1}); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
	if _, err := serve("").Write(t.Context(), "f", -1, nil, WriteOptions{}); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestSummary(t *testing.T) {
	for _, c := range []struct{ tool, input, want string }{
		{"Bash", `{"command":"ls -la\n\trm","description":"d"}`, "ls -la rm"},
		{"Read", `{"file_path":"/a"}`, "/a"},
		{"Agent", `{"prompt":"p","description":"d"}`, "d"},
		{"TodoWrite", `{"todos":[{},{}]}`, "2 todos"},
		{"mcp__x__y", `{ "a": 1 }`, `{"a":1}`},
		{"Bash", `{"command":5}`, `{"command":5}`},
		{"Bash", `nonsense` + "\u202e\x1b\u2028", "nonsense\u202e"},
		{"Bash", `{"command":"` + strings.Repeat("ä", 300) + `"}`, strings.Repeat("ä", 199) + "…"},
	} {
		if got := Summary(c.tool, []byte(c.input)); got != c.want {
			t.Errorf("%s %.40s: %q", c.tool, c.input, got)
		}
	}
}

// TestMoreIsKept: a frame that says that more follow at once is followed by another, whatever the stream brings next.
func TestMoreIsKept(t *testing.T) {
	one, two := frame(1, event.Text{Content: "one"}), frame(2, event.Text{Content: "two"})
	last := frame(3, event.Complete{Status: event.CompleteOK})
	for name, c := range map[string]struct {
		stream string
		want   string
		err    error
	}{
		"together":               {one + two + last, "[1 true 2 true 3 false]", nil},
		"then something odd":     {one + two + "event: odd\n: alive\n\n", "[1 true 2 false]", ErrGone},
		"then one known already": {one + two + one + last, "[1 true 2 true 3 false]", nil},
		"then no frame":          {one + two + "data: {\n\n" + last, "[1 true 2 false]", ErrProtocol},
		"then a gap":             {one + last, "[1 false]", ErrProtocol},
		"then half a frame":      {one + two[:len(two)/2], "[1 false]", ErrGone},
		"behind the last":        {one + two + last + one, "[1 true 2 true 3 false]", nil},
	} {
		t.Run(name, func(t *testing.T) {
			connections := 0
			client := against(t, func(w http.ResponseWriter, _ *http.Request) {
				if connections++; connections > 1 {
					http.Error(w, `{"message":"enough"}`, http.StatusNotFound)
					return
				}
				fmt.Fprint(w, c.stream)
			})
			var got []string
			err := client.Turn(t.Context(), TurnRequest{Turn: 1}, 0, func(f Frame, more bool) error {
				got = append(got, fmt.Sprint(f.Seq, more))
				return nil
			})
			want := c.err
			if errors.Is(want, ErrGone) {
				want = ErrNotFound // it tried again
			}
			if fmt.Sprint(got) != c.want || !errors.Is(err, want) || (want == nil && err != nil) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

func TestChangesThatNoHonestServerSendsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		list string
		ok   bool
	}{
		"as it should be":       {`{"since":"turn:1","changes":[{"path":"a\nb","status":"added","size":1,"additions":1,"deletions":0}],"total":3,"truncated":true}`, true},
		"a path that goes up":   {`{"since":"launch","changes":[{"path":"../a","status":"added"}],"total":1}`, false},
		"two paths":             {`{"since":"launch","changes":[{"path":"a","path_bytes":"YP8=","status":"added"}],"total":1}`, false},
		"an unknown status":     {`{"since":"launch","changes":[{"path":"a","status":"stolen"}],"total":1}`, false},
		"a negative size":       {`{"since":"launch","changes":[{"path":"a","status":"added","size":-1}],"total":1}`, false},
		"a negative count":      {`{"since":"launch","changes":[{"path":"a","status":"added","deletions":-1}],"total":1}`, false},
		"too many lines":        {`{"since":"launch","changes":[{"path":"a","status":"added","additions":1048577}],"total":1}`, false},
		"a total that is less":  {`{"since":"launch","changes":[{"path":"a","status":"added"}],"total":0}`, false},
		"too many":              {`{"since":"launch","changes":[` + strings.Repeat(`{"path":"a","status":"added"},`, MaxChanges) + `{"path":"a","status":"added"}],"total":9999}`, false},
		"a moment without end":  {`{"since":"` + strings.Repeat("x", 65) + `","changes":[],"total":0}`, false},
		"no JSON":               {`{`, false},
		"an answer without end": {`{"since":"` + strings.Repeat("x", maxChangeAnswer) + `"}`, false},
	} {
		list, err := against(t, answers(200, c.list)).Changes(t.Context(), "launch")
		if c.ok && (err != nil || list.Total != 3 || list.Changes[0].Raw() != "a\nb" || *list.Changes[0].Additions != 1) || !c.ok && !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %+v %v", name, list, err)
		}
	}
	large := strings.Repeat("A", (MaxChangeText/3+1)*4)
	for name, c := range map[string]struct {
		change string
		ok     bool
	}{
		"as it should be":   {`{"path":"f","status":"modified","size":1,"before":"","after":"YQ=="}`, true},
		"of another file":   {`{"path":"g","status":"modified"}`, false},
		"too much before":   {`{"path":"f","status":"modified","before":"` + large + `"}`, false},
		"too much after":    {`{"path":"f","status":"modified","after":"` + large + `"}`, false},
		"an unknown status": {`{"path":"f","status":""}`, false},
	} {
		got, err := against(t, answers(200, c.change)).Change(t.Context(), "f", "launch")
		if c.ok && (err != nil || got.Before == nil || string(got.After) != "a") || !c.ok && !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATagIsFitForAHeader(t *testing.T) {
	for tag, ok := range map[string]bool{"": true, "ab12": true, "AB": false, `a"b`: false, "a\nb": false, strings.Repeat("a", 65): false} {
		b, err := json.Marshal(Entry{Path: "f", Type: EntryFile, Tag: tag})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := against(t, answers(200, string(b))).Stat(t.Context(), "f"); (err == nil) != ok || err != nil && !errors.Is(err, ErrProtocol) {
			t.Errorf("%q: %v", tag, err)
		}
		header := func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(EntryHeader, base64.StdEncoding.EncodeToString(b))
			w.WriteHeader(http.StatusNoContent)
		}
		if e, err := against(t, header).Write(t.Context(), "f", 0, nil, WriteOptions{}); (err == nil) != ok || ok && e.Tag != tag {
			t.Errorf("%q: %v", tag, err)
		}
	}
	if err := failedWrite(against(t, answers(412, `{"message":"changed"}`))); !errors.Is(err, ErrPrecondition) {
		t.Errorf("%v", err)
	}
}

func failedWrite(c *Client) error {
	_, err := c.Write(context.Background(), "f", 0, nil, WriteOptions{IfTag: []string{"00"}})
	return err
}
