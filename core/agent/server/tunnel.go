package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/hashicorp/yamux"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
)

const (
	// maxForwards bounds the connections of one listener that are forwarded or wait at once. Two listeners together stay within what
	// the host takes from one tunnel.
	maxForwards = 256
	openTimeout = 10 * time.Second
)

// Tunnel is the sandbox's only way out: loopback listeners whose connections go, as streams, through the one connection that the host
// has dialled. A new one replaces the old. It is safe for concurrent use.
type Tunnel struct {
	patience time.Duration
	log      *zap.Logger
	ctx      context.Context //nolint:containedctx // ends with Close
	stop     context.CancelFunc
	work     sync.WaitGroup

	mu        sync.Mutex
	closed    bool
	listeners []net.Listener
	current   *yamux.Session
	// changed is closed and replaced when current is.
	changed chan struct{}
}

// NewTunnel returns a Tunnel without listeners. A connection that comes while the host is away (it restarts, say) waits for it at most
// patience; 0 is 30 s.
func NewTunnel(patience time.Duration, log *zap.Logger) *Tunnel {
	if patience == 0 {
		patience = 30 * time.Second
	}
	t := &Tunnel{patience: patience, log: log, changed: make(chan struct{})}
	t.ctx, t.stop = context.WithCancel(context.Background())
	return t
}

// Listen opens a listener on loopback whose connections go to what kind names (agent.TunnelGateway, agent.TunnelEgress), and returns
// its address. It may be called once for each kind.
func (t *Tunnel) Listen(kind byte) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(t.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listening on loopback: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return "", errors.Join(errors.New("listening on loopback: the tunnel is closed"), l.Close())
	}
	t.listeners = append(t.listeners, l)
	t.work.Go(func() { t.accept(l, kind) })
	return l.Addr().String(), nil
}

func (t *Tunnel) accept(l net.Listener, kind byte) {
	slots := make(chan struct{}, maxForwards)
	for {
		select {
		case slots <- struct{}{}:
		case <-t.ctx.Done():
			return
		}
		conn, err := l.Accept()
		switch {
		case t.ctx.Err() != nil:
			if err == nil {
				conn.Close() //nolint:errcheck // it was not served
			}
			return
		case err != nil:
			// Out of descriptors, most likely: better times come.
			t.log.Warn("accepting on loopback", zap.Error(err))
			<-slots
			select {
			case <-time.After(50 * time.Millisecond):
			case <-t.ctx.Done():
			}
			continue
		}
		t.work.Go(func() {
			defer func() { <-slots }()
			t.forward(conn.(*net.TCPConn), kind) //nolint:forcetypeassert // it comes from a TCP listener
		})
	}
}

// serve makes an accepted connection the tunnel until it breaks or another replaces it.
func (t *Tunnel) serve(ctx context.Context, ws *websocket.Conn) error {
	defer ws.CloseNow() //nolint:errcheck // the session's end is what counts
	ws.SetReadLimit(-1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	mux, err := yamux.Client(websocket.NetConn(ctx, ws, websocket.MessageBinary), agent.TunnelConfig())
	if err != nil {
		return fmt.Errorf("opening a tunnel: %w", err)
	}
	defer mux.Close() //nolint:errcheck // as above
	if err := t.replace(mux); err != nil {
		return err
	}
	select {
	case <-mux.CloseChan():
	case <-t.ctx.Done():
	case <-ctx.Done():
	}
	t.mu.Lock()
	if t.current == mux {
		t.current = nil
	}
	t.mu.Unlock()
	return nil
}

func (t *Tunnel) replace(mux *yamux.Session) error {
	t.mu.Lock()
	old := t.current
	if t.closed {
		t.mu.Unlock()
		return errors.New("opening a tunnel: the agent server is closing")
	}
	t.current = mux
	close(t.changed)
	t.changed = make(chan struct{})
	t.mu.Unlock()
	if old != nil {
		old.Close() //nolint:errcheck // broken off on purpose
	}
	return nil
}

// open opens a stream through the tunnel, waiting for one if there is none.
func (t *Tunnel) open(ctx context.Context, kind byte) (*yamux.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	for {
		t.mu.Lock()
		mux, changed := t.current, t.changed
		t.mu.Unlock()
		if mux != nil {
			stream, err := begin(mux, kind)
			if err == nil || !mux.IsClosed() {
				return stream, err
			}
			// It broke just now; the host dials again.
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the host: %w", ctx.Err())
		}
	}
}

func begin(mux *yamux.Session, kind byte) (*yamux.Stream, error) {
	stream, err := mux.OpenStream()
	if err != nil {
		return nil, fmt.Errorf("opening a stream: %w", err)
	}
	err = stream.SetWriteDeadline(time.Now().Add(openTimeout))
	if err == nil {
		_, err = stream.Write([]byte{kind})
	}
	if err == nil {
		err = stream.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening a stream: %w", err), stream.Close())
	}
	return stream, nil
}

// Close closes the listeners, breaks the tunnel off and waits for all. It is safe to call twice.
func (t *Tunnel) Close() {
	t.mu.Lock()
	t.closed = true
	listeners, mux := t.listeners, t.current
	t.mu.Unlock()
	t.stop()
	for _, l := range listeners {
		l.Close() //nolint:errcheck // closing twice is fine
	}
	if mux != nil {
		mux.Close() //nolint:errcheck // broken off on purpose
	}
	t.work.Wait()
}

// dialled takes the host's connection as the tunnel.
func (s *Server) dialled(w http.ResponseWriter, r *http.Request) error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return fmt.Errorf("%w: the agent server is closing", errUnavailable)
	}
	s.work.Add(1)
	s.mu.Unlock()
	defer s.work.Done()
	ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		// Accept has answered.
		s.log.Info("refusing a tunnel", zap.Error(err))
		return nil
	}
	// The request's own context means nothing for a connection that was taken over.
	if err := s.tunnel.serve(context.WithoutCancel(r.Context()), ws); err != nil {
		s.log.Info("serving a tunnel", zap.Error(err))
	}
	return nil
}
