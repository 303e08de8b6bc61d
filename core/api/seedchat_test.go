package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/session"
)

// chatty notes what is sent, and lets only one key in.
type chatty struct {
	fake
	id, key, sent string
}

func (c *chatty) Authorize(_ context.Context, id, key string) (session.Session, error) {
	c.id, c.key = id, key
	if key != "sk-ant-x" {
		return session.Session{}, session.ErrForbidden
	}
	return c.rec, nil
}

func (c *chatty) Send(_ context.Context, _, message string) (session.Turn, error) {
	c.sent = message
	return session.Turn{Number: 1}, c.err
}

func serveChat(t *testing.T, c *chatty) string {
	t.Helper()
	_, h := New(Config{}, Deps{Sessions: c, Turns: c, Status: c}, zap.NewNop())
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s.URL + "/api/agents/chat"
}

const seedBody = `{"messages":[{"role":"user","content":"first"},{"role":"assistant","content":"yes"},{"role":"user","content":"second"},{"role":"assistant","content":""}],"sessionId":"conv-1"}`

func TestTheSeedsUIReadsItsOwnShape(t *testing.T) {
	c := &chatty{fake: fake{events: events(
		event.User{Content: "second"}, event.Thinking{Content: "hm"}, event.Text{Content: "I look."}, event.Text{Content: "not mine", Parent: "t0"},
		event.ToolUse{ID: "t1", Tool: "Bash", Arguments: json.RawMessage(`{"command":"ls"}`)}, event.ToolResult{ID: "t1", Tool: "Bash", Output: "a\nb", IsError: true},
		event.TodoUpdate{Todos: []event.Todo{{Content: "x", Status: "pending"}}}, event.Error{Code: "model_error", Message: "busy"}, event.Text{Content: "Done."},
		event.Complete{Status: event.CompleteOK, Usage: event.Usage{InputTokens: 3, OutputTokens: 4}, CostUSD: 0.5}, event.Text{Content: "of another turn"},
	)}}
	status, body := send(t, http.MethodPost, serveChat(t, c), seedBody, "Authorization", "Bearer sk-ant-x")
	want := []string{
		`{"type":"message","msg_type":"thinking","data":{"content":"hm","timestamp":"1970-01-01T00:00:00Z","type":"thinking"},"sequence":1}`,
		`{"type":"message","msg_type":"content","data":{"content":"I look.","role":"assistant","type":"content"},"sequence":2}`,
		`{"type":"message","msg_type":"tool_use","data":{"content":"Using tool: Bash","timestamp":"1970-01-01T00:00:00Z","tool_input":{"command":"ls"},"tool_name":"Bash","tool_use_id":"t1","type":"tool_use"},"sequence":3}`,
		`{"type":"message","msg_type":"tool_complete","data":{"is_error":true,"output":"a\nb","timestamp":"1970-01-01T00:00:00Z","tool_name":"t1","tool_use_id":"t1","type":"tool_complete"},"sequence":4}`,
		`{"type":"message","msg_type":"todo_update","data":{"timestamp":"1970-01-01T00:00:00Z","todos":[{"content":"x","status":"pending"}],"type":"todo_update"},"sequence":5}`,
		`{"type":"error","message":"busy","error_type":"model_error"}`,
		`{"type":"message","msg_type":"content","data":{"content":"Done.","role":"assistant","type":"content"},"sequence":6}`,
		`{"type":"message","msg_type":"metadata","data":{"cost_usd":0.5,"duration_ms":0,"final_content":"Done.","type":"metadata","usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}},"sequence":7}`,
		`{"type":"complete","status":"success","total_messages":7}`,
		`[DONE]`,
	}
	var got []string
	for line := range strings.Lines(body) {
		if data, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "data: "); ok {
			got = append(got, data)
		}
	}
	if status != http.StatusOK || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%d\ngot\n%s\nwant\n%s", status, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if c.sent != "second" || c.id != "conv-1" || c.key != "sk-ant-x" {
		t.Errorf("sent %q to %q as %q", c.sent, c.id, c.key)
	}
}

func TestTheSeedsChatRefuses(t *testing.T) {
	const mine = "Bearer sk-ant-x"
	for name, c := range map[string]struct {
		body, key, header string
		err               error
		status            int
		says              string
	}{
		"no key":            {seedBody, "", "", nil, 401, "Bearer"},
		"another key":       {seedBody, "Bearer sk-ant-y", "", nil, 403, "another key"},
		"no session":        {`{"messages":[{"role":"user","content":"x"}]}`, mine, "", nil, 422, `"location":"body.sessionId"`},
		"no message":        {`{"messages":[],"sessionId":"conv-1"}`, mine, "", nil, 422, `"location":"body.messages"`},
		"nobody's message":  {`{"messages":[{"role":"assistant","content":"x"}],"sessionId":"conv-1"}`, mine, "", nil, 422, `"location":"body.messages"`},
		"while a turn runs": {seedBody, mine, "", session.ErrTurnRunning, 409, "a turn is running"},
	} {
		chat := &chatty{fake: fake{err: c.err}}
		if status, body := send(t, http.MethodPost, serveChat(t, chat), c.body, "Authorization", c.key); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	chat := &chatty{fake: fake{events: events(event.Complete{Status: event.CompleteInterrupted})}}
	status, body := send(t, http.MethodPost, serveChat(t, chat), `{"messages":[{"role":"user","content":"x"}]}`, "Authorization", mine, "X-Session-ID", "conv-2")
	if status != 200 || chat.id != "conv-2" || !strings.Contains(body, `{"type":"complete","status":"interrupted","total_messages":1}`) {
		t.Errorf("%d %s to %q", status, body, chat.id)
	}
}

func TestTheSeedsChatEndsWithTheSession(t *testing.T) {
	for end, want := range map[error]string{
		nil:                   `data: {"type":"error","message":"the session was stopped","error_type":"session_stopped"}`,
		event.ErrShutdown:     "",
		errors.New("on fire"): "",
	} {
		c := &chatty{fake: fake{end: end}}
		_, body := send(t, http.MethodPost, serveChat(t, c), seedBody, "Authorization", "Bearer sk-ant-x")
		if strings.TrimSpace(body) != want {
			t.Errorf("%v: %q", end, body)
		}
	}
}

func TestAToolsBrokenInputBreaksNoStream(t *testing.T) {
	var got SeedChatEvent
	turn := &seedTurn{write: func(e SeedChatEvent) error { got = e; return nil }, began: time.Now()}
	if err := turn.take(event.Event{Data: event.ToolUse{Tool: "X", Arguments: json.RawMessage(`{`)}}); err != nil {
		t.Fatal(err)
	}
	if b, err := encode(got); err != nil || !strings.Contains(string(b), `"tool_input":{}`) {
		t.Errorf("%s %v", b, err)
	}
}
