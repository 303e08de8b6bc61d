package host_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/agcluster/agcluster/core/event"
)

// shell is a terminal as the dashboard has it.
type shell struct {
	t     testing.TB
	ws    *websocket.Conn
	shown strings.Builder
}

func (r *rig) shell(id string) *shell {
	r.t.Helper()
	var out struct{ Terminal, Ticket string }
	r.request(http.MethodPost, "/api/agents/"+id+"/terminal", map[string]int{"cols": 80, "rows": 24}).into(r.t, http.StatusCreated, &out)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, r.url+"/api/agents/"+id+"/terminal/"+out.Terminal, &websocket.DialOptions{
		Subprotocols: []string{"agcluster.terminal.v1", "ticket." + out.Ticket},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = ws.CloseNow() })
	return &shell{t: r.t, ws: ws}
}

func (s *shell) say(kind websocket.MessageType, text string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.ws.Write(ctx, kind, []byte(text)); err != nil {
		s.t.Fatal(err)
	}
}

// run types a command and returns what it shows. The command's echo is told from its output by quotes in the mark.
func (s *shell) run(command string) string {
	s.t.Helper()
	s.say(websocket.MessageBinary, " echo be''gin; "+command+"; echo e''nd\n")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		shown := s.shown.String()
		_, after, begun := strings.Cut(shown, "begin\r\n")
		if output, _, ended := strings.Cut(after, "end\r\n"); begun && ended {
			s.shown.Reset()
			return strings.ReplaceAll(output, "\r\n", "\n")
		}
		_, b, err := s.ws.Read(ctx)
		if err != nil {
			s.t.Fatalf("%v after %q", err, shown)
		}
		s.shown.Write(b)
	}
}

// end reads until the terminal ends, and returns the texts before that.
func (s *shell) end() (texts []string, closed websocket.CloseError) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		kind, b, err := s.ws.Read(ctx)
		switch {
		case errors.As(err, &closed):
			return texts, closed
		case err != nil:
			s.t.Fatal(err)
		case kind == websocket.MessageText:
			texts = append(texts, string(b))
		}
	}
}

func jobTerminal(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(func(c map[string]any) { c["env"] = map[string]string{"OF_THE_SESSION": "yes"} }))
	s := r.shell(id)
	if got := s.run("echo $((6*7))"); got != "42\n" {
		t.Errorf("6*7 is %q", got)
	}
	if got := s.run("pwd; stty size; echo $TERM $OF_THE_SESSION"); got != "/workspace\n24 80\nxterm-256color yes\n" {
		t.Errorf("it begins with %q", got)
	}
	s.say(websocket.MessageText, `{"type":"resize","cols":132,"rows":43}`)
	if got := s.run("stty size"); got != "43 132\n" {
		t.Errorf("after a resize it has %q", got)
	}
	s.run("echo from a person > note.txt")
	r.turn(id, "run: cat note.txt").ended(event.CompleteOK).says("from a person")

	// It is the sandbox's user, and what its environment holds is what the agent's own tools have.
	x := r.turn(id, "run: id -u; env | cut -d= -f1 | sort | tr '\\n' ' '").ended(event.CompleteOK)
	tool := strings.Fields(of[event.ToolResult](x.events)[0].Output)
	own := strings.Fields(s.run("id -u; env | cut -d= -f1 | sort | tr '\\n' ' '"))
	if own[0] != tool[0] {
		t.Errorf("the shell is user %s, the agent's tools are %s", own[0], tool[0])
	}
	for _, name := range own {
		if !slices.Contains(tool, name) && name != "TERM" {
			t.Errorf("the shell has %s, which the agent's tools do not have: %v", name, tool)
		}
	}
	if all := s.run("env"); strings.Contains(all, key) || !strings.Contains(all, "ANTHROPIC_API_KEY=agcluster-placeholder-key") {
		t.Errorf("its environment:\n%s", all)
	}
	path := strings.Split(strings.TrimSpace(s.run("echo $PATH")), ":")
	x = r.turn(id, "run: echo $PATH").ended(event.CompleteOK)
	for _, dir := range strings.Split(of[event.ToolResult](x.events)[0].Output, ":") {
		if !slices.Contains(path, dir) {
			t.Errorf("the agent's tools look for programs in %s, the shell only in %v", dir, path)
		}
	}

	s.say(websocket.MessageBinary, "exit 3\n")
	if texts, closed := s.end(); !slices.Contains(texts, `{"type":"exit","code":3}`) || closed.Code != websocket.StatusNormalClosure {
		t.Errorf("it ended with %q and %v", texts, closed)
	}
}

func jobTerminalEndsWithItsConnection(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(nil))
	s := r.shell(id)
	s.run("sleep 61.123 & setsid -f sleep 61.123; nohup sleep 61.123 >/dev/null 2>&1 & (trap '' HUP; exec sleep 61.123) & true")
	s.say(websocket.MessageBinary, "sleep 61.123\n")
	eventually(t, "all of them run", func() bool { return len(r.find("sleep 61.123")) >= 5 })
	_ = s.ws.CloseNow() // cut off
	eventually(t, "nothing is left", func() bool { return len(r.find("sleep 61.123")) == 0 && len(r.find("bash -l")) == 0 })

	// What else ends it: the sandbox, which a person is told.
	s = r.shell(id)
	s.run("true")
	r.request(http.MethodDelete, "/api/agents/sessions/"+id, nil).into(t, 200, nil)
	if texts, closed := s.end(); closed.Code != websocket.StatusGoingAway || len(texts) != 0 {
		t.Errorf("it ended with %q and %v", texts, closed)
	}
}

func jobTerminalIsForTheOwner(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(nil))
	size := map[string]int{"cols": 80, "rows": 24}
	if a := r.requestAs("sk-another", http.MethodPost, "/api/agents/"+id+"/terminal", size); a.status != http.StatusForbidden {
		t.Errorf("with another key: %v", a)
	}
	var out struct{ Terminal, Ticket string }
	r.request(http.MethodPost, "/api/agents/"+id+"/terminal", size).into(t, http.StatusCreated, &out)
	dial := func(ticket string) int {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		ws, res, err := websocket.Dial(ctx, r.url+"/api/agents/"+id+"/terminal/"+out.Terminal, &websocket.DialOptions{
			Subprotocols: []string{"agcluster.terminal.v1", "ticket." + ticket},
		})
		if err == nil {
			_ = ws.CloseNow() // it was only to be opened
			return http.StatusSwitchingProtocols
		}
		return res.StatusCode
	}
	if got := dial("wrong"); got != http.StatusForbidden {
		t.Errorf("a wrong ticket: %d", got)
	}
	if got := dial(out.Ticket); got != http.StatusSwitchingProtocols {
		t.Errorf("the ticket: %d", got)
	}
	if got := dial(out.Ticket); got != http.StatusForbidden {
		t.Errorf("a used ticket: %d", got)
	}
	// An operator can do without.
	r = newRig(t, options{on: on, env: []string{"AGCLUSTER_TERMINAL_ENABLED=false"}})
	id = r.launch(inline(nil))
	if a := r.request(http.MethodPost, "/api/agents/"+id+"/terminal", size); a.status != http.StatusForbidden || !strings.Contains(a.problem(), "terminal.enabled") {
		t.Errorf("switched off: %v", a)
	}
}

func jobTerminalKeepsAwakeWhileItIsUsed(t *testing.T, on string) {
	r := newRig(t, options{on: on, env: []string{"SESSION_IDLE_TIMEOUT=2s", "SESSION_CLEANUP_INTERVAL=100ms"}})
	id := r.launch(inline(nil))
	s := r.shell(id)
	pid := s.run("echo $$")
	for began := time.Now(); time.Since(began) < 5*time.Second; {
		if got := s.run("sleep 0.2; echo $$"); got != pid {
			t.Fatalf("shell %q became %q", pid, got)
		}
	}
	if texts, closed := s.end(); closed.Code != websocket.StatusGoingAway || len(texts) != 0 {
		t.Errorf("an idle terminal ended with %q and %v", texts, closed)
	}
	eventually(t, "it sleeps", func() bool { return r.session(id).Status == "asleep" })
	// Whoever wants a terminal wakes the session.
	if got := r.shell(id).run("echo $((6*7))"); got != "42\n" {
		t.Errorf("after it woke: %q", got)
	}
}

func jobApprovalForTheSession(t *testing.T, on string) {
	r := newRig(t, options{on: on})
	id := r.launch(inline(func(c map[string]any) { c["permission_mode"] = "default" }))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := r.send(ctx, id, "write /workspace/a.txt one")
	a, _ := s.until("an approval", func(e event.Event) bool { return e.Data.Type() == event.TypeApprovalRequired }).Data.(event.ApprovalRequired)
	var info struct {
		Waiting int  `json:"waiting"`
		Running bool `json:"turn_running"`
	}
	r.request(http.MethodGet, "/api/agents/sessions/"+id, nil).into(t, 200, &info)
	if info.Waiting != 1 || !info.Running {
		t.Errorf("while it is open: %+v", info)
	}
	r.request(http.MethodPost, "/api/agents/"+id+"/approvals/"+a.Ask, map[string]string{"decision": "allow", "scope": "session"}).into(t, 200, nil)
	turn{t, s.rest()}.ended(event.CompleteOK)

	x := r.turn(id, "write /workspace/b.txt two").ended(event.CompleteOK)
	if asked := of[event.ApprovalRequired](x.events); len(asked) != 0 {
		t.Fatalf("asked again: %s", describe(x.events))
	}
	if told := of[event.ApprovalResolved](x.events); len(told) != 1 || told[0].By != "person" || told[0].Scope != "session" || told[0].Tool != "Write" {
		t.Errorf("told %s", describe(x.events))
	}
	if got := r.request(http.MethodGet, "/api/files/"+id+"/b.txt?raw=true", nil); string(got.body) != "two" {
		t.Errorf("b.txt: %v", got)
	}
	// What a policy denies stays denied.
	r.turn(id, "write /etc/x no").ended(event.CompleteOK).denied("path.access")
}
