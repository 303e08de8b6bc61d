package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agcluster/agcluster/core/event"
)

var update = flag.Bool("update", false, "accept the output of now as golden")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// story is a turn with one of everything.
func story() []event.Data {
	return []event.Data{
		event.Init{Model: "claude-test", Tools: []string{"Bash", "Write"}, Agents: []string{"rev"}, CLIVersion: "2.1.197", MCPServers: []event.MCP{{Name: "github", Status: "connected"}}},
		event.Thinking{Content: "A plan.\nThen a step."},
		event.TextDelta{Content: "I'll "},
		event.TextDelta{Content: "plan "},
		event.TextDelta{Content: "thïs."},
		event.Text{Content: "I'll plan thïs."},
		event.ToolUse{ID: "t1", Tool: "TodoWrite", Input: "2 todos", Arguments: json.RawMessage(`{}`)},
		event.ToolResult{ID: "t1", Tool: "TodoWrite", Output: "Todos have been modified"},
		event.TodoUpdate{Todos: []event.Todo{
			{Content: "Look", Status: "completed"}, {Content: "Write it", ActiveForm: "Writing it", Status: "in_progress"}, {Content: "Run it", Status: "pending"},
		}},
		event.ToolUse{ID: "t2", Tool: "Bash", Input: "ls -la", Arguments: json.RawMessage(`{"command":"ls -la"}`)},
		event.ToolResult{ID: "t2", Tool: "Bash", Output: strings.Repeat("a file\twith\ttabs\n", 12)},
		event.ToolUse{ID: "t3", Tool: "Read", Input: "/etc/passwd", Arguments: json.RawMessage(`{}`)},
		event.ToolUse{ID: "t4", Tool: "Bash", Input: "true", Arguments: json.RawMessage(`{}`)},
		event.Verdict{Gate: "path.access", Decision: "deny", By: "policy:path", Reason: "outside of /workspace", Tool: "Read", ToolUseID: "t3"},
		event.ToolResult{ID: "t3", Tool: "Read", Output: "outside of /workspace", IsError: true},
		event.ToolResult{ID: "t4", Tool: "Bash", Output: "\n"},
		event.Verdict{Gate: "tool.call", Decision: "ask", By: "policy:tools", Reason: "rm needs a person", Tool: "Bash", ToolUseID: "t5"},
		event.ApprovalRequired{
			Ask: "ask-1", Tool: "Bash", Input: "rm -rf build", Reason: "rm needs a person", ExpiresAt: "2026-11-24T12:10:00Z",
			Arguments: json.RawMessage(`{"command":"rm -rf build\nrm -rf \u001b[2Kdist","timeout":5}`),
		},
		event.ApprovalResolved{Ask: "ask-1", Decision: "allow", By: "person"},
		event.Verdict{Gate: "tool.result", Decision: "rewrite", By: "filter:secrets", Reason: "1 credential redacted", Tool: "Bash", ToolUseID: "t5"},
		event.ToolUse{ID: "t6", Tool: "Task", Input: "review it", Arguments: json.RawMessage(`{}`)},
		event.Text{Content: "Looks\ngood.", Parent: "t6"},
		event.ToolUse{ID: "t7", Tool: "Grep", Input: "needle", Arguments: json.RawMessage(`{}`), Parent: "t6"},
		event.ToolResult{ID: "t7", Tool: "Grep", Output: "none", Parent: "t6"},
		event.ToolResult{ID: "t6", Tool: "Task", Output: "reviewed"},
		event.TextDelta{Content: "Done"},
		event.TextDelta{Content: ":\nall of it.\n"},
		event.Text{Content: "Done:\nall of it.\n"},
		event.Status{Status: "asleep", Reason: "idle"},
		event.Settings{Model: "opus", PermissionMode: "plan"},
		event.Error{Code: "model_error", Message: "overloaded"},
		event.Complete{Status: "completed", Turns: 3, CostUSD: 0.0123, Usage: event.Usage{InputTokens: 1200, CacheReadTokens: 34000, OutputTokens: 567}},
	}
}

func tell(data ...event.Data) func(*fakeHost, string) {
	return func(h *fakeHost, _ string) { h.add(data...) }
}

func TestChatShowsATurn(t *testing.T) {
	h := newHost(t)
	h.script = tell(story()...)
	r := newCLI(t, h).run("chat", conv, "do", "it")
	r.want(t, 0, "", "")
	golden(t, "chat", r.out)
	if h.called("POST /api/agents/"+conv+"/chat") != 1 || h.called("GET") != 0 {
		t.Errorf("requests: %q", h.calls)
	}
}

func TestChatShowsAllLinesWhenAsked(t *testing.T) {
	h := newHost(t)
	h.script = tell(story()...)
	if r := newCLI(t, h).run("chat", conv, "do it", "--lines", "0"); strings.Count(r.out, "a file") != 12 || strings.Contains(r.out, "more line") {
		t.Error(r.out)
	}
}

func TestEventsShowTheSameTurnLater(t *testing.T) {
	h := newHost(t)
	h.turn = 1
	h.add(event.User{Content: "do it\nall"})
	h.add(story()...)
	r := newCLI(t, h).run("events", conv)
	r.want(t, 0, "", "")
	golden(t, "events", r.out)
	followed := newCLI(t, h).run("events", conv, "--follow", "--turn", "1")
	if followed.out != r.out {
		t.Errorf("--follow shows something else: %s", followed.out)
	}
	if r := newCLI(t, h).run("history", conv, "--turn", "2"); r.out != "" || r.code != 0 {
		t.Errorf("turn 2: %+v", r)
	}
	if r := newCLI(t, h).run("events", conv, "--after", "20", "--json"); strings.Count(r.out, "\n") != int(h.last)-20 {
		t.Errorf("after 20 of %d: %s", h.last, r.out)
	}
}

// ids are the event numbers of lines of JSON.
func ids(t testing.TB, out string) (all []int64, types string) {
	t.Helper()
	for l := range strings.Lines(out) {
		var head struct {
			ID   int64  `json:"event_id"`
			Type string `json:"type"`
		}
		if err := json.Unmarshal([]byte(l), &head); err != nil {
			t.Fatalf("%q: %v", l, err)
		}
		if head.ID > 0 {
			all = append(all, head.ID)
		}
		types += head.Type + " "
	}
	return all, types
}

func TestJSONIsOneEventALine(t *testing.T) {
	h := newHost(t)
	h.script = func(h *fakeHost, _ string) {
		h.addRaw(`{"event_id":%d,"type":"hologram","turn":1,"time":"2026-11-24T12:00:00Z"}`)
		h.add(event.TextDelta{Content: "h"}, event.Text{Content: "hi"}, event.Complete{Status: "completed"})
	}
	r := newCLI(t, h).run("chat", conv, "x", "--json")
	if _, types := ids(t, r.out); types != "hologram text complete " || r.code != 0 {
		t.Errorf("%d %s", r.code, types)
	}
	h2 := newHost(t)
	h2.script = h.script
	r = newCLI(t, h2).run("chat", conv, "x", "--json", "--deltas")
	if _, types := ids(t, r.out); types != "hologram text_delta text complete " {
		t.Errorf("with deltas: %s", types)
	}
	h3 := newHost(t)
	h3.script = h.script
	newCLI(t, h3).run("chat", conv, "x").want(t, 0, "hi\n\ncompleted", "")
}

// reset makes the host forget, and cut its streams anew.
func (h *fakeHost) reset(cut func(n int) int) {
	h.work.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries, h.last, h.turn, h.open, h.missed, h.streams, h.cut, h.calls = nil, 0, 0, false, 0, 0, cut, nil
}

func whole(int) int { return -1 }

// streamed is what a test has to cut: about the length of the whole stream.
func streamed(t testing.TB, data []event.Data) int {
	n := 100
	for _, d := range data {
		b, err := json.Marshal(event.Event{ID: 10, Turn: 1, Time: start, Data: d})
		if err != nil {
			t.Fatal(err)
		}
		n += len(b) + 20
	}
	return n
}

// A stream may break off at any byte; each event comes out once and in order, for scripts and for people.
func TestLostStreamIsTakenUpWhereItWas(t *testing.T) {
	h := newHost(t)
	c := newCLI(t, h)
	data := []event.Data{story()[1], event.Text{Content: "ï"}, event.Status{Status: "running"}, event.Complete{Status: "completed"}}
	h.script = tell(data...)
	json, people := c.run("chat", conv, "x", "--json"), ""
	if got, _ := ids(t, json.out); len(got) != 4 || got[0] != 2 || got[len(got)-1] != int64(len(got)+1) {
		t.Fatalf("the whole stream: %v", got)
	}
	h.reset(whole)
	people = c.run("chat", conv, "x").out
	check := func(cuts ...int) {
		t.Helper()
		cut := func(n int) int {
			if n > len(cuts) {
				return -1
			}
			return cuts[n-1]
		}
		h.reset(cut)
		if r := c.run("chat", conv, "x", "--json"); r.out != json.out || r.code != 0 {
			t.Fatalf("cut at %v: %+v", cuts, r)
		}
		if h.streams == 1 && cuts[0] < streamed(t, data)/2 {
			t.Fatalf("cut at %v: the stream was not cut", cuts)
		}
		h.reset(cut)
		if r := c.run("chat", conv, "x"); r.out != people || r.code != 0 {
			t.Fatalf("cut at %v: %+v", cuts, r)
		}
	}
	for at := range streamed(t, data) / 2 {
		check(at * 2)
	}
	data = story()
	h.reset(whole)
	h.script = tell(data...)
	json = c.run("chat", conv, "x", "--json")
	h.reset(whole)
	people = c.run("chat", conv, "x").out
	length := streamed(t, data)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 40 {
		var cuts []int
		for range 1 + random.IntN(12) {
			cuts = append(cuts, random.IntN(length/4))
		}
		check(cuts...)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// Previews of a text may get lost with the connection; the text itself is shown once all the same.
func TestLostPreviewsLeaveTheTextWhole(t *testing.T) {
	data := story()
	h := newHost(t)
	h.script = tell(data...)
	show := func(cuts ...int) string {
		h.reset(func(n int) int {
			if n > len(cuts) {
				return -1
			}
			return cuts[n-1]
		})
		var out bytes.Buffer
		c := newCLI(t, h)
		g := c.globals(c.in, &out, io.Discard)
		client, err := g.client()
		if err != nil {
			t.Fatal(err)
		}
		defer client.close()
		cv, stop := g.conversation(client, conv, defaultLines, true)
		defer stop()
		cv.deltas = true
		if err := cv.once(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	want := show()
	plain := newHost(t)
	plain.script = h.script
	if r := newCLI(t, plain).run("chat", conv, "x"); r.out != want {
		t.Fatalf("previews change what is there in the end:\n%s\ninstead of\n%s", want, r.out)
	}
	for at := 0; at < streamed(t, data); at += 19 {
		if got := show(at, 30); got != want {
			t.Fatalf("cut at %d:\n%s", at, got)
		}
	}
}

func TestExitCodesTellHowTheTurnEnded(t *testing.T) {
	for status, code := range map[string]int{"completed": 0, "failed": 1, "max_turns": 1, "interrupted": 130} {
		for _, flag := range []string{"--json", "--lines=3"} {
			h := newHost(t)
			h.script = tell(event.Complete{Status: status})
			newCLI(t, h).run("chat", conv, "x", flag).want(t, code, strings.Split(status, "_")[0], "")
		}
	}
}

func TestMessageIsPipedIn(t *testing.T) {
	h := newHost(t)
	h.script = func(h *fakeHost, message string) {
		h.add(event.Text{Content: "[" + message + "]"}, event.Complete{Status: "completed"})
	}
	c := newCLI(t, h)
	c.in = strings.NewReader("line 1\nline 2\n")
	c.run("chat", conv).want(t, 0, "[line 1\nline 2\n]", "")
	for in, why := range map[string]string{"": "the message is empty", " \n": "is empty", "a\xffb": "no valid UTF-8"} {
		c.in = strings.NewReader(in)
		c.run("chat", conv).want(t, 2, "", why)
	}
	c.in = strings.NewReader(strings.Repeat("x", maxMessage+1))
	c.run("chat", conv).want(t, 2, "", "larger than 4.0 MiB")
}

func TestInterruptingATurn(t *testing.T) {
	h := newHost(t)
	c := newCLI(t, h)
	h.script = func(h *fakeHost, _ string) {
		h.add(event.Text{Content: "working"})
		c.pressed <- os.Interrupt
		if h.until(func() bool { return h.interrupts == 1 }) {
			h.add(event.Complete{Status: "interrupted"})
		}
	}
	c.run("chat", conv, "x").want(t, 130, "interrupted", "interrupting")
}

func TestLeavingATurnThatDoesNotEnd(t *testing.T) {
	h := newHost(t)
	c := newCLI(t, h)
	h.script = func(h *fakeHost, _ string) {
		c.pressed <- os.Interrupt
		if h.until(func() bool { return h.interrupts == 1 }) {
			c.pressed <- os.Interrupt
		}
	}
	c.run("chat", conv, "x").want(t, 130, "", "agcluster events "+conv+" --follow")
}

// A host that sends again what was there already doubles nothing.
func TestRepeatedEventsAreShownOnce(t *testing.T) {
	h := newHost(t)
	h.script = tell(story()...)
	want := newCLI(t, h).run("chat", conv, "x", "--json").out
	h.reset(func(n int) int { return map[bool]int{true: 1500, false: -1}[n == 1] })
	h.instead["GET /api/agents/"+conv+"/events"] = func(w http.ResponseWriter, r *http.Request) { h.stream(w, r, 1, 0) }
	if got := newCLI(t, h).run("chat", conv, "x", "--json").out; got != want || h.streams != 2 {
		t.Errorf("after %d streams: %s", h.streams, got)
	}
}

// A stream that is lost before it says where it begins does not show what was there before the turn.
func TestTurnBeginsWithTheTurn(t *testing.T) {
	h := newHost(t)
	h.add(event.Status{Status: "asleep"})
	h.script = tell(event.Status{Status: "running"}, event.Complete{Status: "completed"})
	h.cut = func(n int) int { return map[bool]int{true: 3, false: -1}[n == 1] }
	if r := newCLI(t, h).run("chat", conv, "x"); strings.Contains(r.out, "asleep") || !strings.Contains(r.out, "running") || h.streams != 2 {
		t.Errorf("after %d streams: %+v", h.streams, r)
	}
}

func TestTerminationLeavesTheTurn(t *testing.T) {
	h := newHost(t)
	c := newCLI(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.ctx = ctx
	h.script = func(*fakeHost, string) { cancel() }
	c.run("chat", conv, "x").want(t, 143, "", "terminated")
	if h.interrupts != 0 {
		t.Error("the turn was interrupted")
	}
}

func TestStreamsThatCanNotGoOn(t *testing.T) {
	tests := map[string]struct {
		break_ func(h *fakeHost)
		code   int
		err    string
	}{
		"the session is stopped": {func(h *fakeHost) {
			h.script = func(h *fakeHost, _ string) {
				h.mu.Lock()
				h.gone = true
				h.wakeUp()
				h.mu.Unlock()
			}
		}, 1, "the session was stopped"},
		"the session is gone after a cut": {func(h *fakeHost) {
			h.cut = func(int) int { return 5 }
			h.instead["GET /api/agents/"+conv+"/events"] = func(w http.ResponseWriter, _ *http.Request) {
				fail(w, http.StatusNotFound, "there is no such session")
			}
		}, 1, "there is no such session"},
		"the host does not come back": {func(h *fakeHost) {
			h.cut = func(int) int { return 5 }
			h.instead["GET /api/agents/"+conv+"/events"] = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadGateway)
			}
		}, 1, "the connection was lost, and nothing came for 50ms"},
		"an event is no JSON": {func(h *fakeHost) {
			h.script = func(h *fakeHost, _ string) { h.addRaw(`{%d`) }
		}, 1, "reading an event"},
		"the host goes away without an answer": {func(h *fakeHost) {
			h.instead["POST /api/agents/"+conv+"/chat"] = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		}, 1, "see whether the message arrived: agcluster events " + conv},
		"it is no stream": {func(h *fakeHost) {
			h.instead["POST /api/agents/"+conv+"/chat"] = func(w http.ResponseWriter, _ *http.Request) { answer(w, 1) }
		}, 1, "is it an AgCluster host?"},
		"a turn runs": {func(h *fakeHost) { h.open = true }, 1, "a turn is running: wait for its end, or interrupt it"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			test.break_(h)
			c := newCLI(t, h)
			c.timing.patience = 50 * time.Millisecond
			c.run("chat", conv, "x").want(t, test.code, "", test.err)
		})
	}
}

// A connection that says nothing at all, not even that it is alive, is dropped for a new one.
func TestSilentConnectionIsReplaced(t *testing.T) {
	h := newHost(t)
	c := newCLI(t, h)
	c.timing.stall = 100 * time.Millisecond
	h.script = func(h *fakeHost, _ string) {
		h.add(event.Text{Content: "one"})
		if h.until(func() bool { return h.streams == 3 }) {
			h.add(event.Text{Content: "two"}, event.Complete{Status: "completed"})
		}
	}
	c.run("chat", conv, "x").want(t, 0, "one\n\ntwo\n\ncompleted", "")
}

func TestHostThatComesBackIsAskedAgain(t *testing.T) {
	h := newHost(t)
	h.script = tell(story()...)
	h.cut = func(n int) int { return map[bool]int{true: 900, false: -1}[n == 1] }
	refused := 0
	h.instead["GET /api/agents/"+conv+"/events"] = func(w http.ResponseWriter, r *http.Request) {
		if refused++; refused < 4 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		h.follow(w, r)
	}
	r := newCLI(t, h).run("chat", conv, "x")
	r.want(t, 0, "completed", lostNote)
	if strings.Count(r.err, "trying again") != 1 {
		t.Errorf("it complains more than once: %s", r.err)
	}
}
