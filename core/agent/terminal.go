package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/coder/websocket"
)

// Bounds of terminals.
const (
	// MaxTerminals is how many shells one sandbox has at the same time.
	MaxTerminals = 4
	// MaxTerminalMessage bounds one message of a terminal's connection, in bytes, either way; MaxTerminalSpec the first one.
	MaxTerminalMessage = 256 << 10
	MaxTerminalSpec    = 8 << 20
	// MaxTerminalSize bounds columns and rows.
	MaxTerminalSize = 1000
)

// TerminalSize is the size of a screen, in characters.
type TerminalSize struct {
	Cols int `json:"cols"`
	Rows int `json:"rows"`
}

// Check says what is wrong with a size.
func (s TerminalSize) Check() error {
	if s.Cols < 1 || s.Cols > MaxTerminalSize || s.Rows < 1 || s.Rows > MaxTerminalSize {
		return fmt.Errorf("%w: a terminal of %d columns and %d rows; each must be 1 to %d", ErrInvalid, s.Cols, s.Rows, MaxTerminalSize)
	}
	return nil
}

// TerminalSpec is the first message, a text, of GET /v1/terminal, a WebSocket. After it binary messages are bytes to and from a login
// shell, and texts are a TerminalControl each.
type TerminalSpec struct {
	TerminalSize
	// Env are the variables of the session's configuration.
	Env map[string]string `json:"env,omitempty"`
	// Cwd is absolute and within /workspace.
	Cwd string `json:"cwd"`
}

// The types of TerminalControl: the screen changed its size (to the shell), the shell ended (from it, the last message).
const (
	TerminalResize = "resize"
	TerminalExit   = "exit"
)

// TerminalControl is what is said of a terminal. Cols and Rows come with a resize, Code with an exit.
type TerminalControl struct {
	Type string `json:"type"`
	Cols int    `json:"cols,omitempty"`
	Rows int    `json:"rows,omitempty"`
	Code *int   `json:"code,omitempty"`
}

// ExitError says that the shell of a terminal ended.
type ExitError struct {
	// Code is its exit code, 0 to 255.
	Code int
}

// Error implements error.
func (e *ExitError) Error() string { return fmt.Sprintf("the shell ended with code %d", e.Code) }

// Terminal is the host's end of a shell in a sandbox. One goroutine may read while another writes.
type Terminal struct {
	ws     *websocket.Conn
	buffer bytes.Buffer
}

// Terminal starts a shell. It fails with ErrConflict when there are MaxTerminals already.
func (c *Client) Terminal(ctx context.Context, spec TerminalSpec) (*Terminal, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	first, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encoding a terminal: %w", err)
	}
	header := http.Header{}
	c.sign(header)
	//nolint:bodyclose // Dial says that it never needs closing
	ws, res, err := websocket.Dial(ctx, c.base+"/v1/terminal", &websocket.DialOptions{HTTPClient: c.http, HTTPHeader: header})
	if err != nil {
		if res != nil && res.StatusCode != http.StatusSwitchingProtocols {
			return nil, fmt.Errorf("opening a terminal: %w", failure(res))
		}
		return nil, fmt.Errorf("opening a terminal: %w", gone(err))
	}
	ws.SetReadLimit(MaxTerminalMessage)
	t := &Terminal{ws: ws}
	if err := ws.Write(ctx, websocket.MessageText, first); err != nil {
		t.Close()
		return nil, fmt.Errorf("opening a terminal: %w", gone(err))
	}
	return t, nil
}

// Read waits for output, which is valid until the next call. The end of the shell is an *ExitError. When ctx ends, so does the terminal.
func (t *Terminal) Read(ctx context.Context) ([]byte, error) {
	kind, r, err := t.ws.Reader(ctx)
	if err == nil {
		t.buffer.Reset()
		_, err = t.buffer.ReadFrom(r)
	}
	if err != nil {
		return nil, t.ended("reading from a terminal", err)
	}
	if kind == websocket.MessageBinary {
		return t.buffer.Bytes(), nil
	}
	var c TerminalControl
	if json.Unmarshal(t.buffer.Bytes(), &c) != nil || c.Type != TerminalExit || c.Code == nil || *c.Code < 0 || *c.Code > 255 {
		return nil, fmt.Errorf("reading from a terminal: %w: a text that is no exit", ErrProtocol)
	}
	return nil, &ExitError{Code: *c.Code}
}

// Write sends input, at most MaxTerminalMessage. It waits while the shell takes none. When ctx ends, so does the terminal.
func (t *Terminal) Write(ctx context.Context, input []byte) error {
	if err := t.ws.Write(ctx, websocket.MessageBinary, input); err != nil {
		return t.ended("writing to a terminal", err)
	}
	return nil
}

// Resize tells the shell the size of its screen.
func (t *Terminal) Resize(ctx context.Context, size TerminalSize) error {
	if err := size.Check(); err != nil {
		return err
	}
	b, err := json.Marshal(TerminalControl{Type: TerminalResize, Cols: size.Cols, Rows: size.Rows})
	if err != nil {
		return fmt.Errorf("encoding a resize: %w", err)
	}
	if err := t.ws.Write(ctx, websocket.MessageText, b); err != nil {
		return t.ended("resizing a terminal", err)
	}
	return nil
}

// ended explains the end of the connection, and makes sure of it.
func (t *Terminal) ended(doing string, err error) error {
	t.Close()
	var closed websocket.CloseError
	switch {
	case errors.As(err, &closed) && closed.Reason != "":
		return fmt.Errorf("%s: %w: %s", doing, ErrGone, line(closed.Reason))
	case errors.Is(err, io.EOF), errors.As(err, &closed):
		return fmt.Errorf("%s: %w", doing, ErrGone)
	default:
		return fmt.Errorf("%s: %w", doing, gone(err))
	}
}

// Close ends the shell with all that it started. It is safe to call twice.
func (t *Terminal) Close() {
	t.ws.CloseNow() //nolint:errcheck // it is closed, which is all that is wanted
}
