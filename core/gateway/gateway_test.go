package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/agcluster/agcluster/core/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const userKey = "sk-ant-users-own"

// setup is a gateway between a client and an upstream.
func setup(t *testing.T, upstream http.HandlerFunc, results Results) (client func(*http.Request) *http.Response, used *[]event.Usage, log *observer.ObservedLogs) {
	t.Helper()
	up := httptest.NewServer(upstream)
	t.Cleanup(up.Close)
	core, log := observer.New(zap.DebugLevel)
	g, err := New(up.URL, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	used = &[]event.Usage{}
	var mu sync.Mutex
	front := httptest.NewServer(g.Handler(Session{
		ID: "conv-1", Key: func() (string, bool) { return userKey, true }, Results: results,
		Meter: func(u event.Usage) { mu.Lock(); *used = append(*used, u); mu.Unlock() },
	}))
	t.Cleanup(front.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return func(r *http.Request) *http.Response {
		t.Helper()
		r.URL.Scheme, r.URL.Host, r.RequestURI = "http", strings.TrimPrefix(front.URL, "http://"), ""
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		return res
	}, used, log
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func post(path, text string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(text))
	r.Header.Set("X-Api-Key", "agcluster-placeholder-key")
	return r
}

func TestKeyIsSwappedAndNothingElseOfTheSandboxPasses(t *testing.T) {
	var got http.Header
	client, _, _ := setup(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }, nil)
	r := post("/v1/messages", `{}`)
	for _, h := range []string{"Authorization", "Cookie", "Proxy-Authorization", "X-Forwarded-For", "Forwarded"} {
		r.Header.Set(h, "of the sandbox")
	}
	r.Header.Set("Anthropic-Version", "2023-06-01")
	if res := client(r); res.StatusCode != 200 {
		t.Fatal(res.StatusCode)
	}
	if got.Get("X-Api-Key") != userKey || got.Get("Anthropic-Version") != "2023-06-01" {
		t.Errorf("headers %v", got)
	}
	for name, values := range got {
		if strings.Contains(strings.Join(values, " "), "of the sandbox") {
			t.Errorf("%s passed", name)
		}
	}
}

func TestOnlyTheMessagesAPIPasses(t *testing.T) {
	reached := 0
	client, _, _ := setup(t, func(http.ResponseWriter, *http.Request) { reached++ }, nil)
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{http.MethodPost, "/v1/messages", 200},
		{http.MethodPost, "/v1/messages/count_tokens", 200},
		{http.MethodGet, "/v1/models", 200},
		{http.MethodGet, "/v1/models/opus", 200},
		{http.MethodHead, "/", 200},
		{http.MethodGet, "/v1/messages", 404},
		{http.MethodPost, "/v1/files", 404},
		{http.MethodGet, "/v1/models/..", 404},
		{http.MethodGet, "/v1/models/a%2Fb", 404},
		{http.MethodGet, "/v1/organizations/api_keys", 404},
	} {
		if res := client(httptest.NewRequest(c.method, c.path, nil)); res.StatusCode != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, res.StatusCode, c.want)
		}
	}
	if reached != 4 {
		t.Errorf("%d requests reached the upstream, want 4", reached)
	}
}

func TestStreamsPassAtOnceAndAreCounted(t *testing.T) {
	next := make(chan struct{})
	client, used, _ := setup(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, data := range []string{
			`{"type":"message_start","message":{"usage":{"input_tokens":7,"cache_read_input_tokens":5}}}`,
			`{"type":"message_delta","usage":{"output_tokens":3}}`,
			`{"type":"message_delta","usage":{"output_tokens":9}}`,
		} {
			fmt.Fprintf(w, "data: %s\n\n", data)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			<-next
		}
	}, nil)
	res := client(post("/v1/messages", `{"stream":true}`))
	lines := bufio.NewScanner(res.Body)
	for n := 0; lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data:") {
			// The upstream goes on only when this line has come through.
			n++
			next <- struct{}{}
		}
	}
	if len(*used) != 1 || (*used)[0] != (event.Usage{InputTokens: 7, OutputTokens: 9, CacheReadTokens: 5}) {
		t.Errorf("counted %+v", *used)
	}
}

func TestUpstreamsErrorsPassWithoutTheKey(t *testing.T) {
	client, _, log := setup(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.Header().Set("X-Echo", r.Header.Get("X-Api-Key"))
		w.WriteHeader(429)
		fmt.Fprintf(w, `{"error":"key %s is over its limit"}`, r.Header.Get("X-Api-Key"))
	}, nil)
	res := client(post("/v1/messages", `{}`))
	text := body(t, res)
	if res.StatusCode != 429 || res.Header.Get("Retry-After") != "7" || strings.Contains(text+fmt.Sprint(res.Header), userKey) {
		t.Errorf("%d %v %s", res.StatusCode, res.Header, text)
	}
	for _, e := range log.All() {
		if strings.Contains(fmt.Sprint(e.Message, e.ContextMap()), userKey) {
			t.Errorf("logged: %+v", e)
		}
	}
}

func TestRedirectsAndDeadUpstreamsAreRefused(t *testing.T) {
	client, _, _ := setup(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusTemporaryRedirect)
	}, nil)
	if res := client(post("/v1/messages", `{}`)); res.StatusCode != http.StatusBadGateway || res.Header.Get("Location") != "" {
		t.Errorf("a redirect: %d %v", res.StatusCode, res.Header)
	}
	client, _, _ = setup(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	}, nil)
	if res := client(post("/v1/messages", `{}`)); res.StatusCode != 529 {
		t.Errorf("a dead upstream: %d", res.StatusCode)
	}
}

func TestWithoutAKeyNothingIsAsked(t *testing.T) {
	g, err := New("http://127.0.0.1:1", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	g.Handler(Session{Key: func() (string, bool) { return "", false }}).ServeHTTP(w, post("/v1/messages", `{}`))
	if w.Code != 401 || !strings.Contains(w.Body.String(), "no key") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestUpstreamMustBeAPlainURL(t *testing.T) {
	for _, bad := range []string{"", "ftp://x", "http://", "http://user:pw@x", "https://x?y", "https://x#y", "://"} {
		if _, err := New(bad, zap.NewNop()); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// judge replaces every result that has not passed.
type judge struct {
	passed map[string]bool
	seen   []ToolResult
	fail   error
}

func (j *judge) Passed(id string) bool { return j.passed[id] }

func (j *judge) Judge(_ context.Context, r ToolResult) (json.RawMessage, error) {
	j.seen = append(j.seen, r)
	if j.fail != nil {
		return nil, j.fail
	}
	if strings.Contains(string(r.Content), "harmless") {
		return nil, nil
	}
	return json.RawMessage(`"***"`), nil
}

const conversation = `{"model":"m","messages":[
 {"role":"user","content":"a text with \"tool_use_id\":\"t9\" in it"},
 {"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"env"}}]},
 {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"secret one","is_error":true},{"type":"text","text":"kept <b>"}]},
 {"role":"assistant","content":[{"type":"tool_use","id":"t2","name":"Read","input":{}},{"type":"tool_use","id":"t3","name":"Read","input":{}}]},
 {"role":"user","content":[{"tool_use_id" : "t2","type":"tool_result","content":[{"type":"text","text":"secret two"}]},
                           {"type":"tool_result","tool_use_id":"t3","content":"harmless"}]}],"max_tokens":1}`

func TestResultsAreJudgedOnTheirWay(t *testing.T) {
	for _, c := range []struct {
		name         string
		passed       map[string]bool
		judged       string
		one, two     bool
		fail         error
		status       int
		unparsed     bool
		conversation string
	}{
		{"none has passed", nil, "t1 t2 t3", false, false, nil, 200, false, conversation},
		{"one has passed", map[string]bool{"t1": true, "t3": true}, "t2", true, false, nil, 200, false, conversation},
		{"all have passed", map[string]bool{"t1": true, "t2": true, "t3": true}, "", true, true, nil, 200, true, conversation},
		{"the judge fails", nil, "t1", false, false, errors.New("no verdict"), 529, false, conversation},
		{"no request at all", nil, "", false, false, nil, 400, false, `{"tool_use_id":"x","messages":7}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got string
			j := &judge{passed: c.passed, fail: c.fail}
			client, _, _ := setup(t, func(_ http.ResponseWriter, r *http.Request) {
				b, err := io.ReadAll(r.Body)
				if err != nil || int64(len(b)) != r.ContentLength {
					t.Errorf("read %d of %d: %v", len(b), r.ContentLength, err)
				}
				got = string(b)
			}, j)
			res := client(post("/v1/messages", c.conversation))
			if res.StatusCode != c.status {
				t.Fatalf("status %d: %s", res.StatusCode, body(t, res))
			}
			var ids []string
			for _, s := range j.seen {
				ids = append(ids, s.ToolUseID)
			}
			if strings.Join(ids, " ") != c.judged {
				t.Errorf("judged %v, want %s", ids, c.judged)
			}
			if c.fail != nil && !strings.Contains(body(t, res), "could not judge") {
				t.Error("the answer does not say what failed")
			}
			if c.status != 200 {
				if got != "" {
					t.Errorf("the upstream got %s", got)
				}
				return
			}
			if strings.Contains(got, "secret one") != c.one || strings.Contains(got, "secret two") != c.two || !strings.Contains(got, "harmless") ||
				!json.Valid([]byte(got)) {
				t.Errorf("the upstream got %s", got)
			}
			if c.unparsed && got != c.conversation {
				t.Errorf("a request with nothing to judge was changed: %s", got)
			}
			if len(j.seen) > 0 && j.seen[0].ToolUseID == "t1" && (j.seen[0].Tool != "Bash" || !j.seen[0].IsError || string(j.seen[0].Input) != `{"command":"env"}`) {
				t.Errorf("the judge was told %+v", j.seen[0])
			}
		})
	}
}

func FuzzScreenedIsJSONAndHidesSecrets(f *testing.F) {
	f.Add([]byte(conversation))
	f.Add([]byte(`{"messages":[{"content":[{"type":"tool_result","tool_use_id":"\u0074","content":"secret"}]}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := screened(t.Context(), in, &judge{})
		if err != nil {
			return
		}
		if json.Valid(in) && !json.Valid(out) {
			t.Errorf("%s became %s", in, out)
		}
	})
}

// A conversation of 400 results, all of which have passed: what every model call of a long session pays.
func BenchmarkScreenPassed(b *testing.B) {
	var parts []string
	passed := map[string]bool{}
	for i := range 400 {
		id := fmt.Sprintf("toolu_%04d", i)
		passed[id] = true
		parts = append(parts, fmt.Sprintf(`{"role":"user","content":[{"type":"tool_result","tool_use_id":%q,"content":%q}]}`, id, strings.Repeat("line of output\n", 60)))
	}
	in := []byte(`{"messages":[` + strings.Join(parts, ",") + `]}`)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, err := screened(b.Context(), in, &judge{passed: passed}); err != nil {
			b.Fatal(err)
		}
	}
}
