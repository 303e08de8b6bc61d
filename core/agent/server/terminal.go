package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
)

const (
	// specTimeout is how long a host may take to say what terminal it wants.
	specTimeout = 10 * time.Second
	// goodbyeTimeout bounds telling the host how a shell ended.
	goodbyeTimeout = 5 * time.Second
	// probeInterval is how often a host whose input nobody takes is looked for.
	probeInterval = time.Second
	// outputChunk is how much of a shell's output one message carries at most, in bytes.
	outputChunk = 32 << 10
)

// terminal gives the host a shell for as long as its connection lasts. Whoever takes its output slowly holds up the shell and nobody else.
func (s *Server) terminal(w http.ResponseWriter, r *http.Request) error {
	leave, err := s.enterTerminal()
	if err != nil {
		return err
	}
	defer leave()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		// Accept has answered.
		s.log.Info("refusing a terminal", zap.Error(err))
		return nil
	}
	defer ws.CloseNow() //nolint:errcheck // broken off, or closed already
	// The request's own context means nothing for a connection that was taken over.
	sh, err := s.openShell(s.ctx, ws)
	if err != nil {
		s.log.Warn("opening a terminal", zap.Error(err))
		ws.Close(websocket.StatusInternalError, reason(err)) //nolint:errcheck // the host has gone; there is nobody to tell
		return nil
	}
	s.relay(ws, sh)
	return nil
}

// enterTerminal takes one of the sandbox's terminals, and holds up Close until leave is called.
func (s *Server) enterTerminal() (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, fmt.Errorf("%w: the agent server is closing", errUnavailable)
	}
	if s.terminals >= agent.MaxTerminals {
		return nil, fmt.Errorf("%w: %d terminals are open, which is the limit", agent.ErrConflict, s.terminals)
	}
	s.terminals++
	s.work.Add(1)
	return func() {
		s.mu.Lock()
		s.terminals--
		s.mu.Unlock()
		s.work.Done()
	}, nil
}

// openShell reads what terminal the host wants and starts its shell.
func (s *Server) openShell(ctx context.Context, ws *websocket.Conn) (*shell, error) {
	ctx, cancel := context.WithTimeout(ctx, specTimeout)
	defer cancel()
	ws.SetReadLimit(agent.MaxTerminalSpec)
	kind, b, err := ws.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what terminal is wanted: %w", err)
	}
	var spec agent.TerminalSpec
	if err := json.Unmarshal(b, &spec); err != nil || kind != websocket.MessageText {
		return nil, fmt.Errorf("%w: the first message must be a terminal's spec", agent.ErrInvalid)
	}
	ws.SetReadLimit(agent.MaxTerminalMessage)
	if err := spec.Check(); err != nil {
		return nil, err
	}
	rel, err := s.files.relative(spec.Cwd)
	if err != nil {
		return nil, fmt.Errorf("%w: cwd: %w", agent.ErrInvalid, err)
	}
	dir := spec.Cwd
	if err := s.files.makeFolder(rel); err != nil {
		// The agent may have put something else there; a person can still look at it.
		dir = s.files.path
	}
	return startShell(s.driver.Environment(spec.Env), dir, spec.TerminalSize)
}

// relay carries bytes between the host and a shell until one of them has ended; then nothing is left of the shell.
func (s *Server) relay(ws *websocket.Conn, sh *shell) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, sh.hangUp)()
	var ways sync.WaitGroup
	ways.Go(func() {
		// When the host is gone, or the server closes, so is the shell; that ends the other way, too.
		defer sh.hangUp()
		if err := input(ctx, ws, sh); ctx.Err() == nil && !sh.ended() {
			s.log.Info("a terminal's host is gone", zap.Error(err))
		}
	})
	if err := output(ctx, ws, sh); err == nil {
		s.goodbye(ctx, ws, sh)
	}
	cancel()
	sh.hangUp()
	ways.Wait()
	sh.end()
}

// input passes on what a person types until the connection or the shell ends, and returns which.
func input(ctx context.Context, ws *websocket.Conn, sh *shell) error {
	for {
		kind, b, err := ws.Read(ctx)
		if err != nil {
			return err
		}
		if kind == websocket.MessageBinary {
			if err := feed(ctx, ws, sh, b); err != nil {
				return err
			}
			continue
		}
		var c agent.TerminalControl
		size := agent.TerminalSize{}
		if err := json.Unmarshal(b, &c); err == nil {
			size = agent.TerminalSize{Cols: c.Cols, Rows: c.Rows}
		}
		if c.Type != agent.TerminalResize || size.Check() != nil {
			return fmt.Errorf("%w: a text that is no resize", agent.ErrInvalid)
		}
		if err := sh.resize(size); err != nil {
			return err
		}
	}
}

// feed gives a shell its input, and waits while it takes none. Who waits does not read, and would not see that the host is gone: so it
// says nothing to it now and then, which fails then.
func feed(ctx context.Context, ws *websocket.Conn, sh *shell, b []byte) error {
	for {
		if err := sh.pty.SetWriteDeadline(time.Now().Add(probeInterval)); err != nil {
			return err
		}
		n, err := sh.pty.Write(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		b = b[n:]
		if err := ws.Write(ctx, websocket.MessageBinary, nil); err != nil {
			return err
		}
	}
}

// output passes on what a shell shows. It returns nil when there is no more.
func output(ctx context.Context, ws *websocket.Conn, sh *shell) error {
	buffer := make([]byte, outputChunk)
	for {
		n, err := sh.pty.Read(buffer)
		if n > 0 {
			if err := ws.Write(ctx, websocket.MessageBinary, buffer[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			// The terminal of a shell that has ended is an I/O error; there is no other end.
			return nil //nolint:nilerr // as said
		}
	}
}

// goodbye tells the host how the shell ended, when it did.
func (s *Server) goodbye(ctx context.Context, ws *websocket.Conn, sh *shell) {
	code, ok := sh.wait(ctx)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, goodbyeTimeout)
	defer cancel()
	b, err := json.Marshal(agent.TerminalControl{Type: agent.TerminalExit, Code: &code})
	if err == nil {
		err = ws.Write(ctx, websocket.MessageText, b)
	}
	if err == nil {
		err = ws.Close(websocket.StatusNormalClosure, "")
	}
	if err != nil && ctx.Err() == nil {
		s.log.Info("telling how a shell ended", zap.Error(err))
	}
}

// reason is an error in the form that a WebSocket may close with.
func reason(err error) string {
	// 125 bytes are a control frame, two of them the status.
	const limit = 123
	text := agent.Line(err.Error())
	if errors.Is(err, context.Canceled) {
		text = "the agent server is closing"
	}
	if len(text) > limit {
		text = text[:limit]
	}
	return text
}
