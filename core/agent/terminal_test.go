package agent

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// TestATerminalTrustsNoSandbox has an agent server that says something of its own once it has heard what terminal is wanted.
func TestATerminalTrustsNoSandbox(t *testing.T) {
	for _, c := range []struct {
		name string
		kind websocket.MessageType
		say  string
		want error
	}{
		{"no JSON", websocket.MessageText, "bye", ErrProtocol},
		{"another type", websocket.MessageText, `{"type":"resize","code":0}`, ErrProtocol},
		{"no code", websocket.MessageText, `{"type":"exit"}`, ErrProtocol},
		{"a code that is none", websocket.MessageText, `{"type":"exit","code":256}`, ErrProtocol},
		{"a negative code", websocket.MessageText, `{"type":"exit","code":-1}`, ErrProtocol},
		{"a message that is too large", websocket.MessageBinary, strings.Repeat("x", MaxTerminalMessage+1), ErrGone},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := against(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer tok" {
					t.Errorf("%v", r.Header)
				}
				ws, err := websocket.Accept(w, r, nil)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = ws.CloseNow() }() // the client has ended it
				if _, first, err := ws.Read(r.Context()); err != nil || string(first) != `{"cols":80,"rows":24,"env":{"A":"1"},"cwd":"/workspace"}` {
					t.Errorf("%s %v", first, err)
				}
				_ = ws.Write(r.Context(), c.kind, []byte(c.say)) // the client may end it in the middle
				for err == nil {
					_, _, err = ws.Read(r.Context())
				}
			})
			term, err := client.Terminal(t.Context(), TerminalSpec{
				TerminalSize: TerminalSize{Cols: 80, Rows: 24}, Env: map[string]string{"A": "1"}, Cwd: "/workspace",
			})
			if err != nil {
				t.Fatal(err)
			}
			defer term.Close()
			if b, err := term.Read(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("got %d bytes, %v", len(b), err)
			}
			if err := term.Resize(t.Context(), TerminalSize{}); !errors.Is(err, ErrInvalid) {
				t.Errorf("no size: %v", err)
			}
		})
	}
}

func TestATerminalThatIsRefused(t *testing.T) {
	spec := TerminalSpec{TerminalSize: TerminalSize{Cols: 80, Rows: 24}, Cwd: "/workspace"}
	for status, want := range map[int]error{http.StatusConflict: ErrConflict, http.StatusNotFound: ErrNotFound, http.StatusUnauthorized: ErrUnauthorized} {
		c := against(t, answers(status, `{"message":"no"}`))
		if _, err := c.Terminal(t.Context(), spec); !errors.Is(err, want) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestTheEndOfATerminalHasItsReason(t *testing.T) {
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		_ = ws.Close(websocket.StatusInternalError, "no bash\x1b[2J here") // the client has ended it
	})
	term, err := c.Terminal(t.Context(), TerminalSpec{TerminalSize: TerminalSize{Cols: 80, Rows: 24}, Cwd: "/workspace"})
	if err != nil {
		t.Fatal(err)
	}
	defer term.Close()
	if _, err := term.Read(t.Context()); !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), "no bash") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("got %v", err)
	}
}
