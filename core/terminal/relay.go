package terminal

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/session"
)

const (
	// openTimeout bounds starting a shell in a sandbox that is awake.
	openTimeout = 30 * time.Second
	// writeTimeout is how long a client may take for one message, at most 256 KiB: one that takes nothing for so long is gone.
	writeTimeout = 30 * time.Second
	// goodbyeTimeout bounds telling a client how its shell ended.
	goodbyeTimeout = 5 * time.Second
	// pingInterval keeps proxies on the way from taking the connection for dead, pingTimeout finds out that it is.
	pingInterval = 25 * time.Second
	pingTimeout  = 20 * time.Second
)

// Why a terminal ends, as its client is told. The reasons of a WebSocket have at most 123 bytes.
var (
	errShutdown = &ending{websocket.StatusGoingAway, "the host is shutting down"}
	errGone     = &ending{websocket.StatusGoingAway, "the sandbox is gone"}
	errMessage  = &ending{websocket.StatusPolicyViolation, "a text must be {type: resize, cols: 1 to 1000, rows: 1 to 1000}"}
)

type ending struct {
	code   websocket.StatusCode
	reason string
}

// Error implements error.
func (e *ending) Error() string { return e.reason }

// Serve carries bytes between a client and a new shell until one of them ends. It closes ws, whose subprotocol is agreed on.
func (s *Service) Serve(t *Terminal, ws *websocket.Conn) {
	defer s.Drop(t)
	defer ws.CloseNow() //nolint:errcheck // closed already, or broken off
	ws.SetReadLimit(agent.MaxTerminalMessage)
	log := s.log.With(zap.String("session", t.session), zap.String("terminal", t.id))
	shell, err := s.start(t)
	if err != nil {
		log.Warn("opening a terminal", zap.Error(err))
		ws.Close(websocket.StatusInternalError, explain(err)) //nolint:errcheck // the client has gone; there is nobody to tell
		return
	}
	defer shell.Close()
	log.Info("a terminal is open")
	r := &relay{Service: s, t: t, ws: ws, shell: shell}
	cause := r.run()
	log.Info("a terminal has ended", zap.NamedError("cause", cause))
}

// start gives a terminal its shell.
func (s *Service) start(t *Terminal) (Shell, error) {
	// It may have fallen asleep since the ticket was given.
	release, err := s.sessions.Acquire(s.ctx, t.session)
	if err != nil {
		return nil, err
	}
	defer release()
	scope, err := s.sessions.Scope(s.ctx, t.session)
	if err != nil {
		return nil, err
	}
	spec := agent.TerminalSpec{TerminalSize: t.size, Env: scope.Config.Env, Cwd: scope.Config.Cwd}
	if spec.Cwd == "" {
		spec.Cwd = session.Workspace
	}
	ctx, cancel := context.WithTimeout(s.ctx, openTimeout)
	defer cancel()
	return s.shells.Open(ctx, t.session, spec)
}

// explain is an error for a client that can be told 123 bytes.
func explain(err error) string {
	switch {
	case errors.Is(err, session.ErrDraining), errors.Is(err, context.Canceled):
		return errShutdown.reason
	case errors.Is(err, session.ErrNotFound), errors.Is(err, session.ErrStopping):
		return "the session was stopped"
	case errors.Is(err, agent.ErrConflict):
		return "the sandbox has no room for another terminal"
	default:
		return "the sandbox could not be reached; try again"
	}
}

// relay is one terminal that is open. What one side does not take, the other waits for.
type relay struct {
	*Service
	t     *Terminal
	ws    *websocket.Conn
	shell Shell
	// feeding says that input waits for the shell, so that nobody reads from the client and its pongs are not seen.
	feeding atomic.Bool
}

// run returns why the terminal ended.
func (r *relay) run() (cause error) {
	// Not the service's own: a connection whose context ends is cut before its client can be told why.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var ways sync.WaitGroup
	ended := make(chan error, 3)
	for _, way := range []func(context.Context) error{r.down, r.up, r.ping} {
		ways.Go(func() { ended <- way(ctx) })
	}
	select {
	case cause = <-ended:
	case <-r.ctx.Done():
		cause = errShutdown
	}
	r.goodbye(cause)
	cancel()
	r.shell.Close()
	ways.Wait()
	return cause
}

// goodbye tells a client that is still there why its terminal ends. Its answer is read by up, which must still run.
func (r *relay) goodbye(cause error) {
	var exit *agent.ExitError
	var e *ending
	switch {
	case errors.As(cause, &exit):
		ctx, cancel := context.WithTimeout(context.Background(), goodbyeTimeout)
		defer cancel()
		b, err := json.Marshal(agent.TerminalControl{Type: agent.TerminalExit, Code: &exit.Code})
		if err == nil {
			err = r.ws.Write(ctx, websocket.MessageText, b)
		}
		if err == nil {
			r.ws.Close(websocket.StatusNormalClosure, "") //nolint:errcheck // the client has gone; there is nobody to tell
		}
	case errors.As(cause, &e):
		r.ws.Close(e.code, e.reason) //nolint:errcheck // as above
	}
}

// down carries what the shell shows.
func (r *relay) down(ctx context.Context) error {
	for {
		b, err := r.shell.Read(ctx)
		var exit *agent.ExitError
		switch {
		case errors.As(err, &exit):
			return err
		case err != nil:
			return errors.Join(errGone, err)
		case len(b) == 0:
			continue // the sandbox looks whether we are there
		}
		if err := r.write(ctx, b); err != nil {
			return err
		}
		r.sessions.Touch(r.t.session)
	}
}

func (r *relay) write(ctx context.Context, b []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return r.ws.Write(ctx, websocket.MessageBinary, b)
}

// up carries what the person types.
func (r *relay) up(ctx context.Context) error {
	for {
		kind, b, err := r.ws.Read(ctx)
		if err != nil {
			return err
		}
		r.feeding.Store(true)
		if kind == websocket.MessageBinary {
			err = r.shell.Write(ctx, b)
			r.sessions.Touch(r.t.session)
		} else {
			err = r.control(ctx, b)
		}
		r.feeding.Store(false)
		if err != nil {
			return err
		}
	}
}

func (r *relay) control(ctx context.Context, b []byte) error {
	var c agent.TerminalControl
	if err := json.Unmarshal(b, &c); err != nil {
		return errMessage
	}
	size := agent.TerminalSize{Cols: c.Cols, Rows: c.Rows}
	if c.Type != agent.TerminalResize || size.Check() != nil {
		return errMessage
	}
	return r.shell.Resize(ctx, size)
}

// ping looks whether the client is there, which a connection alone does not tell.
func (r *relay) ping(ctx context.Context) error {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		pinging, cancel := context.WithTimeout(ctx, pingTimeout)
		err := r.ws.Ping(pinging)
		cancel()
		// While nobody reads from the client, its answer is not seen.
		unseen := r.feeding.Load() && errors.Is(err, context.DeadlineExceeded)
		if err != nil && !unseen {
			return err
		}
	}
}
