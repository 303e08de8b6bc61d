package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/agcluster/agcluster/core/agent"
)

var screen = agent.TerminalSize{Cols: 80, Rows: 24}

// terminal is a shell with what it has shown so far.
type terminal struct {
	*agent.Terminal
	t     *testing.T
	shown strings.Builder
}

func (r *rig) terminal(t *testing.T) *terminal {
	t.Helper()
	term, err := r.client.Terminal(within(t), agent.TerminalSpec{TerminalSize: screen, Cwd: r.dir, Env: map[string]string{"OWN": "mine"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(term.Close)
	return &terminal{Terminal: term, t: t}
}

func (term *terminal) say(text string) {
	term.t.Helper()
	if err := term.Write(within(term.t), []byte(text)); err != nil {
		term.t.Fatal(err)
	}
}

// until reads on until the screen has shown text.
func (term *terminal) until(text string) {
	term.t.Helper()
	ctx := within(term.t)
	for !strings.Contains(term.shown.String(), text) {
		b, err := term.Read(ctx)
		if err != nil {
			term.t.Fatalf("%v: never %q in %q", err, text, term.shown.String())
		}
		term.shown.Write(b)
	}
	term.shown.Reset()
}

// end reads until the terminal ends.
func (term *terminal) end() error {
	term.t.Helper()
	ctx := within(term.t)
	for {
		if _, err := term.Read(ctx); err != nil {
			return err
		}
	}
}

func TestAShellWorksAndTellsHowItEnded(t *testing.T) {
	r := newRig(t, nil, nil)
	term := r.terminal(t)
	term.say("echo $((6*7))\n")
	term.until("42\r\n")
	term.say("stty size\n")
	term.until("24 80\r\n")
	if err := term.Resize(within(t), agent.TerminalSize{Cols: 132, Rows: 43}); err != nil {
		t.Fatal(err)
	}
	term.say("stty size\n")
	term.until("43 132\r\n")
	term.say("echo \"[$PWD $OWN $AGENT $TERM]\"; shopt -q login_shell && tty -s && echo log''in\n")
	term.until("[" + r.dir + " mine here xterm-256color]\r\n")
	term.until("login\r\n")
	term.say("exit 3\n")
	var exit *agent.ExitError
	if err := term.end(); !errors.As(err, &exit) || exit.Code != 3 {
		t.Errorf("got %v", err)
	}
}

func TestAShellThatIsKilledTellsTheSignal(t *testing.T) {
	r := newRig(t, nil, nil)
	term := r.terminal(t)
	term.say("kill -9 $$\n")
	var exit *agent.ExitError
	if err := term.end(); !errors.As(err, &exit) || exit.Code != 137 {
		t.Errorf("got %v", err)
	}
}

// sleepers counts the processes whose command line is this sleep.
func sleepers(t *testing.T, seconds string) int {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, dir := range dirs {
		if b, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil && strings.HasSuffix(string(b), "sleep\x00"+seconds+"\x00") {
			n++
		}
	}
	return n
}

// settled waits for the process table, which tells nobody of its changes.
func settled(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("never: %s", what)
		}
	}
}

func TestNothingOfAShellIsLeft(t *testing.T) {
	for name, end := range map[string]func(*rig, *terminal){
		"the connection is cut": func(_ *rig, term *terminal) { term.Close() },
		"the server closes":     func(r *rig, _ *terminal) { r.server.Close() },
		"the shell exits":       func(_ *rig, term *terminal) { term.say("\x03exit\nexit\n") },
		"the context ends": func(_ *rig, term *terminal) {
			ctx, cancel := context.WithCancel(term.t.Context())
			cancel()
			for err := error(nil); err == nil; { // what had come already may still be read
				_, err = term.Read(ctx)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			term := r.terminal(t)
			// Each test's own number of seconds, so that it counts its own processes only.
			seconds := fmt.Sprintf("7%d.25", time.Now().UnixNano()%1e8)
			term.say("sleep " + seconds + " & (trap '' HUP; exec sleep " + seconds + ") & nohup sleep " + seconds + " >/dev/null 2>&1 &\n" +
				"setsid -f sleep " + seconds + "; (trap '' HUP TERM; env -i $(command -v sleep) " + seconds + ") & echo rea''dy\n")
			term.until("ready\r\n")
			term.say("sleep " + seconds + "\n")
			settled(t, "they run", func() bool { return sleepers(t, seconds) >= 6 })
			end(r, term)
			settled(t, "they are gone", func() bool { return sleepers(t, seconds) == 0 })
		})
	}
}

func TestASlowReaderHoldsUpItsOwnShellOnly(t *testing.T) {
	r := newRig(t, nil, nil)
	slow, quick := r.terminal(t), r.terminal(t)
	slow.say("yes; echo\n")
	slow.until("y\r\ny\r\n")
	// Nobody reads from the slow one now; what it writes fills all buffers on the way and stops.
	for n := range 3 {
		quick.say("echo $((" + strconv.Itoa(n) + "+100))\n")
		quick.until(strconv.Itoa(n+100) + "\r\n")
	}
	if h, err := r.client.Health(within(t)); err != nil || h.Status != "ok" {
		t.Errorf("%+v %v", h, err)
	}
	slow.Close()
}

func TestInputThatNobodyTakesDoesNotHoldUpTheEnd(t *testing.T) {
	r := newRig(t, nil, nil)
	term := r.terminal(t)
	term.say("stty raw -echo; echo rea''dy; sleep 1000\n")
	term.until("ready")
	ctx, cancel := context.WithCancel(within(t))
	stuck := make(chan error, 1)
	go func() {
		for {
			if err := term.Write(ctx, make([]byte, agent.MaxTerminalMessage)); err != nil {
				stuck <- err
				return
			}
		}
	}()
	select {
	case err := <-stuck:
		t.Fatalf("writing failed: %v", err)
	case <-time.After(300 * time.Millisecond): // all buffers are full by now, or will be while it ends
	}
	cancel()
	if err := receive(t, "end of writing", stuck); err == nil {
		t.Error("writing ended by itself")
	}
	term.Close()
}

func TestTerminalsAreBounded(t *testing.T) {
	r := newRig(t, nil, nil)
	var open []*terminal
	for range agent.MaxTerminals {
		term := r.terminal(t)
		term.say("echo he''re\n")
		term.until("here\r\n")
		open = append(open, term)
	}
	spec := agent.TerminalSpec{TerminalSize: screen, Cwd: r.dir}
	if _, err := r.client.Terminal(within(t), spec); !errors.Is(err, agent.ErrConflict) {
		t.Errorf("one more: %v", err)
	}
	open[0].Close()
	settled(t, "there is room again", func() bool {
		term, err := r.client.Terminal(within(t), spec)
		if err == nil {
			term.Close()
		}
		return err == nil
	})
}

func TestWhatIsNoTerminalIsRefused(t *testing.T) {
	r := newRig(t, nil, nil)
	for name, spec := range map[string]agent.TerminalSpec{
		"no size":    {Cwd: r.dir},
		"too large":  {TerminalSize: agent.TerminalSize{Cols: 1001, Rows: 1}, Cwd: r.dir},
		"no rows":    {TerminalSize: agent.TerminalSize{Cols: 80}, Cwd: r.dir},
		"a negative": {TerminalSize: agent.TerminalSize{Cols: 80, Rows: -1}, Cwd: r.dir},
	} {
		if _, err := r.client.Terminal(within(t), spec); !errors.Is(err, agent.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, send := range map[string][]string{
		"no spec":             {`hello`},
		"a size that is none": {`{"cols":0,"rows":5,"cwd":"` + r.dir + `"}`},
		"a folder outside":    {`{"cols":80,"rows":24,"cwd":"/etc"}`},
		"no control":          {`{"cols":80,"rows":24,"cwd":"` + r.dir + `"}`, `{"type":"dance"}`},
		"a huge screen":       {`{"cols":80,"rows":24,"cwd":"` + r.dir + `"}`, `{"type":"resize","cols":65535,"rows":2}`},
		"a huge message":      {`{"cols":80,"rows":24,"cwd":"` + r.dir + `"}`, strings.Repeat("x", agent.MaxTerminalMessage+1)},
	} {
		t.Run(name, func(t *testing.T) {
			ws := r.bare(t)
			for _, text := range send {
				if err := ws.Write(within(t), websocket.MessageText, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			for {
				kind, b, err := ws.Read(within(t))
				if err != nil {
					break
				}
				// What it may still say is that the shell has ended: by the signal, or, when it was only about to begin, because its
				// terminal was gone (0).
				if kind == websocket.MessageText && string(b) != `{"type":"exit","code":129}` && string(b) != `{"type":"exit","code":0}` {
					t.Errorf("got %s", b)
				}
			}
		})
	}
	if res := r.raw(t, http.MethodGet, "/v1/terminal", "Bearer wrong", ""); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("without the token: %d", res.StatusCode)
	}
}

// bare is a terminal's connection without the client.
func (r *rig) bare(t *testing.T) *websocket.Conn {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", r.socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	ws, _, err := websocket.Dial(within(t), "http://sandbox/v1/terminal", &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() }) // closed already, or not
	return ws
}
