package offline

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "sk-made-up"

// model serves a script.
func model(t *testing.T, script string, record io.Writer) (*Server, string) {
	t.Helper()
	parsed, err := Parse(strings.NewReader(script))
	if err != nil {
		t.Fatal(err)
	}
	s := New(parsed, record, zaptest.NewLogger(t))
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
	})
	return s, web.URL
}

// post sends a body to a path of the model.
func post(t *testing.T, url, body string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Api-Key", key)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, b
}

// said is a request in which a person says something; withTools makes it the agent's and not one of its small questions.
func said(text string, stream bool) string {
	return fmt.Sprintf(`{"model":"claude-x","max_tokens":100,"stream":%v,"tools":[{"name":"Bash"}],"messages":[{"role":"user","content":%q}]}`, stream, text)
}

const conversation = `
chunk_size: 5
rules:
  - name: everything
    match: {user: everything}
    reply:
      - thinking: Hm, 日本.
      - text: Hello, world.
      - tool: {name: Bash, input: {command: 'echo {{.User}}', deep: [{a: '{{upper .User}}', n: 1}]}}
      - tool: {name: Read, input: {}}
  - name: only text
    match: {user: text}
    reply: [{text: Hi}]
  - name: cut short
    match: {user: short}
    stop_reason: max_tokens
    reply: [{text: Hi}]
  - name: limited
    match: {user: limited}
    reply: [{error: {status: 429, message: slow down, retry_after: 1500ms}}]
  - name: overloaded
    match: {user: overloaded}
    reply: [{error: {status: 529, message: Overloaded}}]
  - name: unauthorised
    match: {user: unauthorised}
    reply: [{error: {status: 401, message: invalid x-api-key}}]
  - name: of another kind
    match: {user: another kind}
    reply: [{error: {status: 400, type: a_new_error, message: x}}]
  - name: broken template
    match: {user: broken}
    reply: [{text: '{{index .Match 7}}'}]
`

// message is what the API documents of an answer.
type answered struct {
	ID           string           `json:"id"`
	Type         string           `json:"type"`
	Role         string           `json:"role"`
	Model        string           `json:"model"`
	Content      []map[string]any `json:"content"`
	StopReason   *string          `json:"stop_reason"`
	StopSequence *string          `json:"stop_sequence"`
	Usage        map[string]any   `json:"usage"`
}

func TestAMessageHasTheDocumentedShape(t *testing.T) {
	_, url := model(t, conversation, nil)
	res, b := post(t, url+"/v1/messages", said("everything", false))
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(res.Header.Get("Request-Id"), "req_") {
		t.Fatalf("got %s, %v", res.Status, res.Header)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var m answered
	if err := dec.Decode(&m); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(m.ID, "msg_") || m.Type != "message" || m.Role != "assistant" || m.Model != "claude-x" || m.StopReason == nil || *m.StopReason != "tool_use" || m.StopSequence != nil {
		t.Errorf("got %+v", m)
	}
	for _, name := range []string{"input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"} {
		if n, ok := m.Usage[name].(float64); !ok || n < 0 {
			t.Errorf("usage.%s is %v", name, m.Usage[name])
		}
	}
	if len(m.Content) != 4 {
		t.Fatalf("got %v", m.Content)
	}
	if c := m.Content[0]; c["type"] != "thinking" || c["thinking"] != "Hm, 日本." || c["signature"] == "" {
		t.Errorf("got %v", c)
	}
	if c := m.Content[1]; c["type"] != "text" || c["text"] != "Hello, world." || len(c) != 2 {
		t.Errorf("got %v", c)
	}
	first, second := m.Content[2], m.Content[3]
	input, err := json.Marshal(first["input"])
	if err != nil || first["type"] != "tool_use" || first["name"] != "Bash" || string(input) != `{"command":"echo everything","deep":[{"a":"EVERYTHING","n":1}]}` {
		t.Errorf("got %v, %v", first, err)
	}
	if input, ok := second["input"].(map[string]any); !ok || len(input) != 0 {
		t.Errorf("no input must be an empty object, got %v", second["input"])
	}
	if id, ok := first["id"].(string); !ok || !strings.HasPrefix(id, "toolu_") || id == second["id"] {
		t.Errorf("tool ids %v and %v", first["id"], second["id"])
	}
}

func TestStopReasons(t *testing.T) {
	_, url := model(t, conversation, nil)
	for text, want := range map[string]string{"text": "end_turn", "everything": "tool_use", "short": "max_tokens"} {
		var m answered
		if _, b := post(t, url+"/v1/messages", said(text, false)); json.Unmarshal(b, &m) != nil || *m.StopReason != want {
			t.Errorf("%s: got %s", text, b)
		}
	}
}

func TestIDsAreUnique(t *testing.T) {
	_, url := model(t, conversation, nil)
	seen := map[string]bool{}
	for range 20 {
		_, b := post(t, url+"/v1/messages", said("everything", true))
		for _, id := range regexp.MustCompile(`(msg|toolu)_[A-Z2-7]+`).FindAllString(string(b), -1) {
			if seen[id] {
				t.Errorf("%s came twice", id)
			}
			seen[id] = true
		}
	}
	if len(seen) != 60 {
		t.Errorf("got %d ids", len(seen))
	}
}

func TestErrorsHaveTheDocumentedShape(t *testing.T) {
	_, url := model(t, conversation, nil)
	large := `{"model":"x","messages":[{"role":"user","content":"` + strings.Repeat("x", maxBody) + `"}]}`
	for name, c := range map[string]struct {
		path, body string
		header     []string
		status     int
		kind, text string
		retry      string
	}{
		"limited":           {"/v1/messages", said("limited", true), nil, 429, "rate_limit_error", "slow down", "2"},
		"overloaded":        {"/v1/messages", said("overloaded", false), nil, 529, "overloaded_error", "Overloaded", ""},
		"unauthorised":      {"/v1/messages", said("unauthorised", true), nil, 401, "authentication_error", "invalid x-api-key", ""},
		"of another kind":   {"/v1/messages", said("another kind", true), nil, 400, "a_new_error", "x", ""},
		"no key":            {"/v1/messages", said("text", true), []string{"X-Api-Key", ""}, 401, "authentication_error", "invalid x-api-key", ""},
		"no key to count":   {"/v1/messages/count_tokens", said("text", true), []string{"X-Api-Key", ""}, 401, "authentication_error", "invalid x-api-key", ""},
		"unknown path":      {"/v1/complete", `{}`, nil, 404, "not_found_error", "not found", ""},
		"no JSON":           {"/v1/messages", `{`, nil, 400, "invalid_request_error", "request body:", ""},
		"no model":          {"/v1/messages", `{"messages":[{"role":"user","content":"x"}]}`, nil, 400, "invalid_request_error", "model: Field required", ""},
		"no messages":       {"/v1/messages", `{"model":"x","messages":[]}`, nil, 400, "invalid_request_error", "messages: at least one", ""},
		"an unknown role":   {"/v1/messages", `{"model":"x","messages":[{"role":"user","content":"x"},{"role":"tool","content":"x"}]}`, nil, 400, "invalid_request_error", "messages.1.role", ""},
		"nothing to count":  {"/v1/messages/count_tokens", `{"model":"x"}`, nil, 400, "invalid_request_error", "messages:", ""},
		"too large":         {"/v1/messages", large, nil, 413, "request_too_large", "maximum size", ""},
		"a broken template": {"/v1/messages", said("broken", true), nil, 500, "api_error", "script rule broken template:", ""},
	} {
		t.Run(name, func(t *testing.T) {
			res, b := post(t, url+c.path, c.body, c.header...)
			dec := json.NewDecoder(bytes.NewReader(b))
			dec.DisallowUnknownFields()
			var e struct {
				Type  string `json:"type"`
				Error struct {
					Type    string `json:"type"`
					Message string `json:"message"`
				} `json:"error"`
				RequestID string `json:"request_id"`
			}
			if err := dec.Decode(&e); err != nil {
				t.Fatalf("got %s %s, %v", res.Status, b, err)
			}
			if res.StatusCode != c.status || e.Type != "error" || e.Error.Type != c.kind || !strings.Contains(e.Error.Message, c.text) {
				t.Errorf("got %s %+v", res.Status, e)
			}
			if e.RequestID == "" || e.RequestID != res.Header.Get("Request-Id") {
				t.Errorf("request ids %q and %q", e.RequestID, res.Header.Get("Request-Id"))
			}
			if res.Header.Get("Retry-After") != c.retry || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("got %v", res.Header)
			}
		})
	}
}

func TestTheRequiredKeyIsTheOnlyOne(t *testing.T) {
	_, url := model(t, "require_key: right\nrules: []\n", nil)
	for k, want := range map[string]int{"right": 200, "wrong": 401, "righ": 401} {
		if res, _ := post(t, url+"/v1/messages", said("x", false), "X-Api-Key", k); res.StatusCode != want {
			t.Errorf("%s: got %s", k, res.Status)
		}
	}
}

func TestCountTokensAndModels(t *testing.T) {
	_, url := model(t, conversation, nil)
	res, b := post(t, url+"/v1/messages/count_tokens", said("text", false))
	var count map[string]int
	if err := json.Unmarshal(b, &count); err != nil || res.StatusCode != http.StatusOK || len(count) != 1 || count["input_tokens"] <= 0 {
		t.Errorf("got %s %s", res.Status, b)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/models", nil)
	if err != nil {
		t.Fatal(err)
	}
	list, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer list.Body.Close() //nolint:errcheck // read to its end
	var models struct {
		Data []struct{ Type, ID string } `json:"data"`
	}
	if err := json.NewDecoder(list.Body).Decode(&models); err != nil || len(models.Data) != 1 || models.Data[0].Type != "model" {
		t.Errorf("got %+v, %v", models, err)
	}
}

func TestEveryRequestIsKeptWithoutItsKey(t *testing.T) {
	var record bytes.Buffer
	s, url := model(t, conversation, &record)
	post(t, url+"/v1/messages", said("text", true))
	post(t, url+"/v1/messages", said("text", true), "X-Api-Key", "sk-another")
	post(t, url+"/v1/messages/count_tokens", said("text", true))
	kept := s.Log()
	if len(kept) != 3 || kept[0].Rule != "only text" || kept[2].Rule != "count_tokens" || !strings.Contains(string(kept[0].Body), "claude-x") {
		t.Errorf("got %+v", kept)
	}
	if kept[0].KeyDigest == kept[1].KeyDigest || kept[0].KeyDigest != kept[2].KeyDigest || kept[0].KeyLength != len(key) {
		t.Errorf("keys can't be told apart: %+v", kept)
	}
	lines := bufio.NewScanner(bytes.NewReader(record.Bytes()))
	n := 0
	for ; lines.Scan(); n++ {
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.Rule != kept[n].Rule {
			t.Errorf("line %d: %s, %v", n, lines.Bytes(), err)
		}
	}
	if n != 3 || strings.Contains(record.String(), key) || strings.Contains(fmt.Sprint(kept), key) {
		t.Errorf("the record has %d lines: %s", n, record.String())
	}
}

func TestTheLogIsBounded(t *testing.T) {
	s := New(Script{}, nil, zaptest.NewLogger(t))
	r := httptest.NewRequest(http.MethodPost, "/v1/messages", nil)
	body := []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
	for range 140 {
		s.keep(r, "x", body)
	}
	size := 0
	for _, e := range s.Log() {
		size += len(e.Body)
	}
	if size > maxLogBytes || size < maxLogBytes/4 {
		t.Errorf("%d bytes are kept", size)
	}
	for range maxLogEntries + 1 {
		s.keep(r, "last", nil)
	}
	if kept := s.Log(); len(kept) > maxLogEntries || kept[len(kept)-1].Rule != "last" {
		t.Errorf("%d entries are kept", len(kept))
	}
}

func TestManyAtATime(t *testing.T) {
	_, url := model(t, "rules:\n- {match: {user: once}, times: 1, reply: [{text: first}]}\n", nil)
	var mu sync.Mutex
	first := 0
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			_, b := post(t, url+"/v1/messages", said("once", false))
			mu.Lock()
			defer mu.Unlock()
			if strings.Contains(string(b), `"first"`) {
				first++
			}
		})
	}
	wg.Wait()
	if first != 1 {
		t.Errorf("a rule for once was used %d times", first)
	}
}

// ask is a request without a network.
func ask(t *testing.T, s *Server, body string) answered {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v1/messages", strings.NewReader(body))
	r.Header.Set("X-Api-Key", key)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var m answered
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || w.Code != http.StatusOK {
		t.Fatalf("got %d %s, %v", w.Code, w.Body, err)
	}
	return m
}
