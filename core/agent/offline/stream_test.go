package offline

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"
)

// sent is one event of a stream.
type sent struct {
	name string
	data map[string]any
}

func events(t *testing.T, b []byte) []sent {
	t.Helper()
	var all []sent
	for _, block := range strings.Split(strings.TrimSuffix(string(b), "\n\n"), "\n\n") {
		name, data, ok := strings.Cut(block, "\ndata: ")
		var e sent
		if err := json.Unmarshal([]byte(data), &e.data); err != nil || !ok || !strings.HasPrefix(name, "event: ") {
			t.Fatalf("no event: %q, %v", block, err)
		}
		e.name = strings.TrimPrefix(name, "event: ")
		if e.data["type"] != e.name {
			t.Errorf("the event %s has the type %v", e.name, e.data["type"])
		}
		all = append(all, e)
	}
	return all
}

func TestAStreamHasTheDocumentedOrder(t *testing.T) {
	_, url := model(t, conversation, nil)
	res, b := post(t, url+"/v1/messages", said("everything", true))
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") || res.Header.Get("Request-Id") == "" {
		t.Fatalf("got %s, %v", res.Status, res.Header)
	}
	all := events(t, b)
	var order []string
	for _, e := range all {
		if e.name == "ping" || (e.name == "content_block_delta" && order[len(order)-1] == e.name) {
			continue
		}
		order = append(order, e.name)
	}
	block := []string{"content_block_start", "content_block_delta", "content_block_stop"}
	if want := slices.Concat([]string{"message_start"}, block, block, block, block, []string{"message_delta", "message_stop"}); !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
	if !slices.ContainsFunc(all, func(e sent) bool { return e.name == "ping" }) {
		t.Error("there is no ping")
	}
	start, ok := all[0].data["message"].(map[string]any)
	if !ok || start["stop_reason"] != nil || len(start["content"].([]any)) != 0 || start["role"] != "assistant" || !strings.HasPrefix(start["id"].(string), "msg_") || start["model"] != "claude-x" {
		t.Errorf("message_start has %v", all[0].data)
	}
	delta := all[len(all)-2].data
	if d, ok := delta["delta"].(map[string]any); !ok || d["stop_reason"] != "tool_use" {
		t.Errorf("message_delta has %v", delta)
	}
	if u, ok := delta["usage"].(map[string]any); !ok || u["output_tokens"].(float64) < start["usage"].(map[string]any)["output_tokens"].(float64) {
		t.Errorf("message_delta has %v after %v", delta, start["usage"])
	}
	checkBlocks(t, all)
}

// checkBlocks puts the deltas of each block together.
func checkBlocks(t *testing.T, all []sent) {
	t.Helper()
	texts, kinds, open := map[float64]string{}, map[float64]string{}, -1.0
	for _, e := range all {
		index, _ := e.data["index"].(float64)
		switch e.name {
		case "content_block_start":
			b := e.data["content_block"].(map[string]any)
			if open >= 0 || index != float64(len(kinds)) {
				t.Errorf("block %v begins while %v is open", index, open)
			}
			open = index
			kinds[index] = b["type"].(string)
			if input, ok := b["input"].(map[string]any); kinds[index] == "tool_use" && (!ok || len(input) != 0) {
				t.Errorf("a tool_use begins with an empty input, got %v", b)
			}
		case "content_block_delta":
			if index != open {
				t.Errorf("a delta of block %v while %v is open", index, open)
			}
			d := e.data["delta"].(map[string]any)
			field := map[string]string{"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json", "signature_delta": "signature"}[d["type"].(string)]
			piece, ok := d[field].(string)
			if !ok || len([]rune(piece)) > 5 && field != "signature" {
				t.Errorf("got the delta %v", d)
			}
			if field != "signature" {
				texts[index] += piece
			}
		case "content_block_stop":
			if index != open {
				t.Errorf("block %v ends while %v is open", index, open)
			}
			open = -1
		}
	}
	for index, want := range []struct{ kind, text string }{
		{"thinking", "Hm, 日本."},
		{"text", "Hello, world."},
		{"tool_use", `{"command":"echo everything","deep":[{"a":"EVERYTHING","n":1}]}`},
		{"tool_use", `{}`},
	} {
		if kinds[float64(index)] != want.kind || texts[float64(index)] != want.text {
			t.Errorf("block %d is %s %q", index, kinds[float64(index)], texts[float64(index)])
		}
	}
}

// TestDelays run in a bubble, where time passes as soon as everybody waits.
func TestDelays(t *testing.T) {
	script, err := Parse(strings.NewReader("chunk_size: 1\nchunk_delay: 1s\nrules:\n- {reply: [{text: abc}, {delay: 10s}, {text: d}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for stream, want := range map[bool]time.Duration{true: 14 * time.Second, false: 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := New(script, nil, zaptest.NewLogger(t))
			r := httptest.NewRequest(http.MethodPost, "/v1/messages", strings.NewReader(said("x", stream)))
			r.Header.Set("X-Api-Key", key)
			began := time.Now()
			s.ServeHTTP(httptest.NewRecorder(), r)
			if took := time.Since(began); took != want {
				t.Errorf("stream %v: it took %s, want %s", stream, took, want)
			}
		})
	}
}

func TestAClientThatGoesAwayEndsItsAnswer(t *testing.T) {
	_, url := model(t, "chunk_delay: 1h\nrules:\n- {reply: [{text: abc}]}\n", nil)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/messages", strings.NewReader(said("x", true)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", key)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil || line != "event: message_start\n" {
		t.Errorf("got %q, %v", line, err)
	}
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	// The server closes at the test's end only when its handler has ended.
}
