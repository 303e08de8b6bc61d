package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/core/event"
)

// console is a person at a terminal: a real one, whose other end the test holds.
type console struct {
	t      testing.TB
	c      *cli
	g      *globals
	master *os.File
	slave  *os.File
	code   chan int

	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
	// seen is how much of text was waited for already.
	seen int
	read sync.WaitGroup
}

// sit starts a command on a terminal.
func sit(t testing.TB, c *cli, args ...string) *console {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	s := &console{t: t, c: c, g: c.globals(slave, slave, slave), master: master, slave: slave, code: make(chan int, 1), more: make(chan struct{}, 1)}
	s.read.Go(func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			s.mu.Lock()
			s.text.Write(b[:n])
			s.mu.Unlock()
			select {
			case s.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	})
	go func() { s.code <- c.runOn(s.g, args...) }()
	t.Cleanup(func() {
		_ = unix.IoctlSetInt(int(slave.Fd()), unix.TIOCVHANGUP, 0)
		_ = slave.Close()
		_ = master.Close()
		s.read.Wait()
		if s.g.lines != nil {
			for range s.g.lines.c { // until its goroutine has ended
			}
		}
		if strings.Contains(s.screen(), testKey) {
			t.Errorf("the key is on the screen: %q", s.screen())
		}
	})
	return s
}

var colour = regexp.MustCompile("\x1b\\[[0-9]+m")

// screen is all that was shown, without colours.
func (s *console) screen() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.ReplaceAll(colour.ReplaceAllString(s.text.String(), ""), "\r\n", "\n")
}

// see waits until the screen has text that was not waited for yet.
func (s *console) see(text string) {
	s.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		screen := s.screen()
		if i := strings.Index(screen[s.seen:], text); i >= 0 {
			s.seen += i + len(text)
			return
		}
		select {
		case <-s.more:
		case <-limit:
			s.t.Fatalf("%q does not appear; the screen: %q", text, screen)
		}
	}
}

func (s *console) typeIn(text string) {
	s.t.Helper()
	if _, err := s.master.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

func (s *console) exits(code int) {
	s.t.Helper()
	select {
	case got := <-s.code:
		if got != code {
			s.t.Errorf("exit code %d, want %d; the screen: %q", got, code, s.screen())
		}
	case <-time.After(20 * time.Second):
		s.t.Fatalf("it does not end; the screen: %q", s.screen())
	}
}

const ctrlD = "\x04"

func TestConversation(t *testing.T) {
	h := newHost(t)
	c := newCLI(t, h)
	h.script = func(h *fakeHost, message string) {
		switch message {
		case "long":
			h.add(event.TextDelta{Content: "wor"}, event.TextDelta{Content: "king\x1b[2J\u202e"})
			if h.until(func() bool { return h.interrupts > 0 }) {
				h.add(event.Complete{Status: "interrupted"})
			}
		default:
			h.add(event.TextDelta{Content: "You sa"}, event.Text{Content: "You said: " + message}, event.Complete{Status: "completed", Turns: 1})
		}
	}
	s := sit(t, c, "chat", "0f1e")
	s.see("Code assistant · running · Ctrl-C interrupts a turn, Ctrl-D leaves\n\n› ")
	s.typeIn("hello\n")
	s.see("hello\n\nYou said: hello\n\ncompleted · 1 round trip")
	s.see("\n\n› ")
	s.typeIn("\n")
	s.see("› ")
	s.typeIn("two \\\n")
	s.see("… ")
	s.typeIn("lines\n")
	s.see("You said: two \nlines")
	s.see("› ")
	s.typeIn("long\n")
	s.see("working")
	c.pressed <- os.Interrupt
	s.see("\ninterrupting")
	s.see("interrupted · ")
	s.see("› ")
	c.pressed <- os.Interrupt
	s.see("once more, or Ctrl-D, to leave\n› ")
	s.typeIn("again\n")
	s.see("You said: again")
	s.see("› ")
	s.typeIn(ctrlD)
	s.exits(0)
	if screen := s.screen(); strings.ContainsAny(screen, "\x1b\u202e") {
		t.Errorf("the session steers the terminal: %q", screen)
	}
}

func TestConversationGoesOnAfterTrouble(t *testing.T) {
	h := newHost(t)
	c := newCLI(t, h)
	h.open = true
	s := sit(t, c, "chat", conv)
	s.see("› ")
	s.typeIn("hello\n")
	s.see("a turn is running: wait for its end, or interrupt it")
	s.see("› ")
	s.typeIn("caf\xe9\n")
	s.see("no valid UTF-8")
	s.see("› ")
	c.pressed <- os.Interrupt
	s.see("once more")
	c.pressed <- os.Interrupt
	s.exits(130)
}

func TestConversationTakesUpTheTurnThatRuns(t *testing.T) {
	h := newHost(t)
	h.turn, h.open = 2, true
	h.list[0].Activity = "working"
	h.add(event.User{Content: "earlier"}, event.Text{Content: "still at it"})
	s := sit(t, newCLI(t, h), "chat", conv)
	s.see("still at it")
	h.add(event.Complete{Status: "completed"})
	s.see("completed")
	s.see("› ")
	s.typeIn(ctrlD)
	s.exits(0)
}

// approvals is a turn that asks for n approvals, one after the other, and says how they were answered.
func approvalsTurn(n int) func(*fakeHost, string) {
	return func(h *fakeHost, _ string) {
		for i := range n {
			ask := fmt.Sprintf("ask-%d", i)
			h.add(event.ApprovalRequired{
				Ask: ask, Tool: "Bash", Reason: "rm needs a person", ExpiresAt: "2026-11-24T12:10:00Z",
				Arguments: json.RawMessage(fmt.Sprintf(`{"command":"rm -rf %d\nrm \u001b[1A\u202edist"}`, i)),
			})
			if !h.until(func() bool { _, ok := h.answers[ask]; return ok }) {
				return
			}
			h.mu.Lock()
			a := h.answers[ask]
			h.mu.Unlock()
			h.add(event.ApprovalResolved{Ask: ask, Decision: a.Decision, By: "person", Reason: a.Reason})
			if a.Decision == "deny" {
				h.add(event.Verdict{Gate: "tool.call", Decision: "deny", By: "person", Reason: a.Reason, Tool: "Bash"})
			}
		}
		h.add(event.Complete{Status: "completed"})
	}
}

func TestApprovalsAreAnsweredInline(t *testing.T) {
	h := newHost(t)
	h.script = approvalsTurn(4)
	s := sit(t, newCLI(t, h), "chat", conv, "clean up")
	s.see("? Bash needs an approval: rm needs a person\n    command: rm -rf 0\n      rm \\x1b[1A\\u202edist\n  allow Bash?")
	s.see("[y/n/a] ")
	s.typeIn("maybe\n")
	s.see("[y/n/a] ")
	s.typeIn("yes but only the first\n") // is no yes
	s.see("[y/n/a] ")
	s.typeIn("\n")
	s.see("[y/n/a] ")
	s.typeIn("y\n")
	s.see("✓ allowed by person")
	s.see("rm -rf 1")
	s.see("[y/n/a] ")
	s.typeIn("no, not that one\n")
	s.see("✗ denied by person: not that one (Bash)")
	s.see("[y/n/a] ")
	s.typeIn("A\n")
	s.see("✓ allowed")
	s.see("[y/n/a] ")
	s.typeIn("n\n")
	s.see("✗ denied by person")
	s.see("completed")
	s.exits(0)
	want := `map[ask-0:{allow  } ask-1:{deny not that one } ask-2:{allow  session} ask-3:{deny  }]`
	if got := fmt.Sprint(h.answers); got != want {
		t.Errorf("answers: %s, want %s", got, want)
	}
}

// What is typed before a question is on the screen agrees to nothing.
func TestTypingAheadIsNoApproval(t *testing.T) {
	h := newHost(t)
	c := newCLI(t, h)
	asked := make(chan struct{})
	h.script = func(h *fakeHost, message string) {
		if message != "first" {
			h.add(event.Text{Content: "You said: " + message}, event.Complete{Status: "completed"})
			return
		}
		h.add(event.Text{Content: "wait"})
		select {
		case <-asked:
			approvalsTurn(1)(h, message)
		case <-h.quit:
		}
	}
	s := sit(t, c, "chat", conv)
	s.see("› ")
	s.typeIn("first\n")
	s.see("wait")
	s.typeIn("y\n")
	s.see("y\n") // the terminal's echo: it has the line
	for len(s.g.lines.c) == 0 {
		time.Sleep(time.Millisecond) // until the program has it, too
	}
	close(asked)
	s.see("[y/n/a] ")
	s.see("[y/n/a] ")
	if len(h.answers) != 0 {
		t.Fatalf("an early y was taken for an answer: %v", h.answers)
	}
	s.typeIn("n\n")
	s.see("✗ denied by person")
	s.see("› y\n\nYou said: y") // it was the next message
	s.see("› ")
	s.typeIn(ctrlD)
	s.exits(0)
}

func TestApprovalAnsweredElsewhere(t *testing.T) {
	h := newHost(t)
	h.script = func(h *fakeHost, _ string) {
		h.add(event.ApprovalRequired{Ask: "ask-0", Tool: "Bash", Arguments: json.RawMessage(`{}`), ExpiresAt: "2026-11-24T12:10:00Z"})
		if !h.until(func() bool { return h.streams == 2 }) {
			return
		}
		h.add(event.ApprovalResolved{Ask: "ask-0", Decision: "deny", By: "timeout"}, event.Verdict{Decision: "deny", By: "timeout", Tool: "Bash"})
		h.add(event.Complete{Status: "completed"})
	}
	s := sit(t, newCLI(t, h), "chat", conv, "x")
	s.see("[y/n/a] ")
	h.mu.Lock()
	h.streams = 2
	h.wakeUp()
	h.mu.Unlock()
	s.see("\n  ✗ denied by timeout (Bash)")
	s.see("completed")
	s.exits(0)
}

func TestApprovalWhenNobodyTypesAnyMore(t *testing.T) {
	h := newHost(t)
	h.script = approvalsTurn(1)
	s := sit(t, newCLI(t, h), "chat", conv, "x")
	s.see("[y/n/a] ")
	s.typeIn(ctrlD)
	s.see("agcluster approve " + conv + " ask-0 allow|deny")
	newCLI(t, h).run("approve", conv, "ask-0", "allow").want(t, 0, "allowed", "")
	s.see("✓ allowed by person")
	s.exits(0)
}

func TestKeyIsAskedForWithoutShowingIt(t *testing.T) {
	h := newHost(t)
	c := newCLI(t, h)
	delete(c.env, "AGCLUSTER_API_KEY")
	s := sit(t, c, "sessions", conv)
	s.see("Anthropic API key (not shown): ")
	s.typeIn(testKey + "\n")
	s.see("agent-0f1e2d3c4b5a")
	s.exits(0)
	if h.called("GET /api/agents/sessions/") != 1 {
		t.Errorf("requests: %q", h.calls)
	}
}

func TestKeyPromptCanBeLeft(t *testing.T) {
	for name, leave := range map[string]func(c *cli, s *console){
		"Ctrl-C": func(c *cli, _ *console) { close(c.pressed) },
		"Enter":  func(_ *cli, s *console) { s.typeIn("\n") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			c := newCLI(t, h)
			delete(c.env, "AGCLUSTER_API_KEY")
			before := func(s *console) *unix.Termios {
				state, err := unix.IoctlGetTermios(int(s.slave.Fd()), unix.TCGETS)
				if err != nil {
					t.Fatal(err)
				}
				return state
			}
			s := sit(t, c, "sessions", conv)
			s.see("not shown): ")
			leave(c, s)
			s.exits(map[bool]int{true: 130, false: 1}[name == "Ctrl-C"])
			if before(s).Lflag&unix.ECHO == 0 {
				t.Error("the terminal is left without echo")
			}
			if len(h.calls) != 0 {
				t.Errorf("requests: %q", h.calls)
			}
		})
	}
}

func TestStoppingAllIsConfirmed(t *testing.T) {
	h := newHost(t)
	s := sit(t, newCLI(t, h), "stop", "--all")
	s.see("stop 1 session and remove workspaces and history? [y/N] ")
	s.typeIn("\n")
	s.see("nothing was done")
	s.exits(1)
	if h.called("DELETE") != 0 {
		t.Errorf("requests: %q", h.calls)
	}
	s = sit(t, newCLI(t, h), "stop", "--all")
	s.see("[y/N] ")
	s.typeIn("y\n")
	s.see("stopped " + conv)
	s.exits(0)
	s = sit(t, newCLI(t, h), "stop", "--all", "--yes")
	s.see("stopped")
	s.exits(0)
}

func TestTerminalHasColoursUnlessUnwanted(t *testing.T) {
	h := newHost(t)
	for name, env := range map[string]string{"": "", "NO_COLOR": "1", "TERM": "dumb"} {
		c := newCLI(t, h)
		c.env[name] = env
		s := sit(t, c, "sessions")
		s.see("conv-0f1e2d3c4b5a  code-assistant  running")
		s.exits(0)
		s.mu.Lock()
		coloured := strings.Contains(s.text.String(), "\x1b[32mrunning")
		s.mu.Unlock()
		if coloured != (name == "") {
			t.Errorf("%s=%s: coloured %v", name, env, coloured)
		}
	}
}
