package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/event"
)

// script is what the model of the end-to-end tests answers.
const script = `
rules:
  - match: {user: '(?is)^run:\s*(.+)$'}
    reply: [{tool: {name: Bash, input: {command: '{{index .Match 1}}', description: run}}}]
  - match: {user: '(?is)^write:?\s+(\S+)\s+(.+)$'}
    reply: [{tool: {name: Write, input: {file_path: '{{index .Match 1}}', content: '{{index .Match 2}}'}}}]
  - match: {user: '(?i)^read:?\s+(\S+)$'}
    reply: [{tool: {name: Read, input: {file_path: '{{index .Match 1}}'}}}]
  - match: {user: '^todo'}
    reply: [{tool: {name: TodoWrite, input: {todos: [{content: one, status: pending, activeForm: doing one}]}}}]
  - match: {user: '(?is)^ask (\w+):\s*(.+)$'}
    reply: [{tool: {name: Task, input: {description: ask it, prompt: '{{index .Match 2}}', subagent_type: '{{index .Match 1}}'}}}]
  - match: {user: '^slow (\d+)'}
    reply: [{text: "one "}, {delay: 300ms}, {tool: {name: Bash, input: {command: 'sleep 0.3; echo first', description: first}}}]
  - match: {user: '^slow', result: 'first'}
    reply: [{text: "two "}, {delay: 300ms}, {tool: {name: Bash, input: {command: 'sleep 0.3; echo second', description: second}}}]
  - match: {user: '^slow', result: 'second'}
    reply: [{thinking: "nearly"}, {delay: 300ms}, {text: "three"}]
  - match: {user: '(?i)what did I say'}
    reply: [{text: 'You said: {{join .History " | "}}'}]
  - match: {user: '^overloaded'}
    reply: [{error: {status: 401, type: authentication_error, message: invalid x-api-key}}]
  - match: {result: '(?s)(.*)'}
    reply: [{text: 'The tool said: {{.Result}}'}]
  - match: {user: '.*'}
    reply: [{text: 'You said: {{.User}}'}]
`

// launch starts a session of a preset or an inline configuration and returns its id.
func (r *rig) launch(config any) string {
	r.t.Helper()
	body := map[string]any{"api_key": key}
	if id, ok := config.(string); ok {
		body["config_id"] = id
	} else {
		body["config"] = config
	}
	var out struct {
		SessionID string `json:"session_id"`
		AgentID   string `json:"agent_id"`
		Status    string `json:"status"`
	}
	r.requestAs("", http.MethodPost, "/api/agents/launch", body).into(r.t, http.StatusOK, &out)
	if !strings.HasPrefix(out.SessionID, "conv-") || !strings.HasPrefix(out.AgentID, "agent-") || out.Status != "running" {
		r.t.Fatalf("launched %+v", out)
	}
	return out.SessionID
}

// stream is a reader of server-sent events.
type stream struct {
	t      testing.TB
	events []event.Event
	// last is the newest id line, done says that [DONE] came.
	last int64
	done bool
	next chan event.Event
}

// consume reads a stream in the background until it ends; next has each event and is closed at the end.
func (r *rig) consume(ctx context.Context, res *http.Response) *stream {
	r.t.Helper()
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		r.t.Fatalf("no stream: %d %s", res.StatusCode, res.Header)
	}
	s := &stream{t: r.t, next: make(chan event.Event, 4096)}
	go func() {
		defer close(s.next)
		defer func() { _ = res.Body.Close() }()
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 32<<20)
		for lines.Scan() {
			text := lines.Text()
			if id, ok := strings.CutPrefix(text, "id: "); ok {
				n, err := strconv.ParseInt(id, 10, 64)
				if err != nil {
					r.t.Errorf("id line %q", text)
				}
				s.last = n
			}
			data, ok := strings.CutPrefix(text, "data: ")
			if !ok {
				continue
			}
			if data == "[DONE]" {
				s.done = true
				return
			}
			var e event.Event
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				r.t.Errorf("event %s: %v", data, err)
				return
			}
			s.next <- e
		}
		_ = ctx
	}()
	return s
}

// rest waits for the end of the stream and returns everything in it.
func (s *stream) rest() []event.Event {
	s.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case e, ok := <-s.next:
			if !ok {
				return s.events
			}
			s.events = append(s.events, e)
		case <-limit:
			s.t.Fatalf("the stream does not end; so far: %s", describe(s.events))
		}
	}
}

// until waits for an event that ok accepts.
func (s *stream) until(what string, ok func(event.Event) bool) event.Event {
	s.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case e, open := <-s.next:
			if !open {
				s.t.Fatalf("the stream ended before %s; it had: %s", what, describe(s.events))
			}
			s.events = append(s.events, e)
			if ok(e) {
				return e
			}
		case <-limit:
			s.t.Fatalf("no %s; so far: %s", what, describe(s.events))
		}
	}
}

// send starts a turn and returns its stream.
func (r *rig) send(ctx context.Context, id, message string) *stream {
	r.t.Helper()
	return r.consume(ctx, r.open(ctx, key, http.MethodPost, "/api/agents/"+id+"/chat?deltas=false", map[string]string{"message": message},
		"Accept", "text/event-stream"))
}

// turn runs a turn to its end.
func (r *rig) turn(id, message string) turn {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	s := r.send(ctx, id, message)
	return turn{r.t, s.rest()}
}

// turn is what happened in a turn.
type turn struct {
	t      testing.TB
	events []event.Event
}

func of[T event.Data](events []event.Event) []T {
	var all []T
	for _, e := range events {
		if d, ok := e.Data.(T); ok {
			all = append(all, d)
		}
	}
	return all
}

func describe(events []event.Event) string {
	var b strings.Builder
	for _, e := range events {
		text, err := json.Marshal(e)
		if err != nil {
			text = []byte(err.Error())
		}
		if len(text) > 600 {
			text = append(text[:600:600], "…"...)
		}
		b.WriteString("\n  ")
		b.Write(text)
	}
	return b.String()
}

// ended demands exactly one Complete, the last event, with this status.
func (x turn) ended(status string) turn {
	x.t.Helper()
	all := of[event.Complete](x.events)
	if len(all) != 1 || all[0].Status != status {
		x.t.Fatalf("want a turn that ended %s, got %s", status, describe(x.events))
	}
	if _, last := x.events[len(x.events)-1].Data.(event.Complete); !last {
		x.t.Fatalf("complete is not the last event: %s", describe(x.events))
	}
	return x
}

func (x turn) text() string {
	var b strings.Builder
	for _, d := range of[event.Text](x.events) {
		b.WriteString(d.Content)
	}
	return b.String()
}

// says demands that the agent said something with part in it.
func (x turn) says(part string) turn {
	x.t.Helper()
	if !strings.Contains(x.text(), part) {
		x.t.Fatalf("the agent did not say %q in %q: %s", part, x.text(), describe(x.events))
	}
	return x
}

// denied demands a denial at this gate and returns it.
func (x turn) denied(gate string) event.Verdict {
	x.t.Helper()
	for _, v := range of[event.Verdict](x.events) {
		if v.Gate == gate && v.Decision == "deny" {
			return v
		}
	}
	x.t.Fatalf("no denial at %s: %s", gate, describe(x.events))
	return event.Verdict{}
}

// history reads the whole log of a session and checks its numbering.
func (r *rig) history(id string) []event.Event {
	r.t.Helper()
	var all []event.Event
	for after := int64(0); ; {
		var page struct {
			Messages []event.Event `json:"messages"`
			HasMore  bool          `json:"has_more"`
		}
		r.request(http.MethodGet, "/api/agents/"+id+"/messages?limit=50&after="+strconv.FormatInt(after, 10), nil).into(r.t, 200, &page)
		for _, e := range page.Messages {
			if e.ID != after+1 {
				r.t.Fatalf("event %d follows %d", e.ID, after)
			}
			after = e.ID
			all = append(all, e)
		}
		if !page.HasMore {
			return all
		}
	}
}

type sessionInfo struct {
	Status   string            `json:"status"`
	Activity string            `json:"activity"`
	Reason   string            `json:"reason"`
	Turn     int64             `json:"turn"`
	Limits   map[string]string `json:"limits"`
	Usage    event.Usage       `json:"usage"`
}

func (r *rig) session(id string) sessionInfo {
	r.t.Helper()
	var s sessionInfo
	r.request(http.MethodGet, "/api/agents/sessions/"+id, nil).into(r.t, 200, &s)
	return s
}

// inline is a small configuration.
func inline(change func(map[string]any)) map[string]any {
	c := map[string]any{
		"id": "e2e", "name": "End to end", "allowed_tools": []string{"Bash", "Read", "Write", "TodoWrite"},
		"permission_mode": "acceptEdits",
		"policies":        []map[string]any{{"name": "tools"}, {"name": "path"}, {"name": "archive"}},
		"filters":         []string{"secrets"},
		"resource_limits": map[string]any{"cpu_quota": 200000, "memory_limit": "2g", "storage_limit": "1g"},
	}
	if change != nil {
		change(c)
	}
	return c
}
