package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/hashicorp/yamux"
	"go.uber.org/zap"
)

const (
	tunnelHeader = 10 * time.Second
	// maxStreams bounds the connections that a sandbox has open through its tunnel at once.
	maxStreams = 512
)

// TunnelConfig is the multiplexing that both ends of a tunnel use.
func TunnelConfig() *yamux.Config {
	cfg := yamux.DefaultConfig()
	cfg.LogOutput = io.Discard
	cfg.KeepAliveInterval = 10 * time.Second
	cfg.ConnectionWriteTimeout = 20 * time.Second
	cfg.MaxStreamWindowSize = 1 << 20
	// How long a stream that one end has closed may keep what the other end sent: a sandbox must not pile that up.
	cfg.StreamCloseTimeout = 15 * time.Second
	return cfg
}

// Tunnel dials the sandbox's tunnel and serves what comes through it until ctx ends or the connection breaks; it returns why.
// Each connection out of the sandbox names with its first byte the handler it wants. All handlers have returned when Tunnel does.
func (c *Client) Tunnel(ctx context.Context, handlers map[byte]http.Handler) error {
	dial, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	header := http.Header{}
	c.sign(header)
	//nolint:bodyclose // Dial says that it never needs closing
	ws, res, err := websocket.Dial(dial, c.base+"/v1/tunnel", &websocket.DialOptions{HTTPClient: c.http, HTTPHeader: header})
	if err != nil {
		if res != nil && res.StatusCode != http.StatusSwitchingProtocols {
			return fmt.Errorf("dialling the tunnel: %w", failure(res))
		}
		return fmt.Errorf("dialling the tunnel: %w", gone(err))
	}
	defer ws.CloseNow() //nolint:errcheck // the session's end is what counts
	ws.SetReadLimit(-1)
	conn := websocket.NetConn(ctx, ws, websocket.MessageBinary)
	mux, err := yamux.Server(conn, TunnelConfig())
	if err != nil {
		return fmt.Errorf("opening the tunnel: %w", err)
	}
	s := newExit(ctx, handlers, c.log)
	defer s.wait()
	defer mux.Close()                                      //nolint:errcheck // as above
	stop := context.AfterFunc(ctx, func() { mux.Close() }) //nolint:errcheck // as above
	defer stop()
	for {
		stream, err := mux.AcceptStream()
		if err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("serving the tunnel: %w", ctx.Err())
			}
			return fmt.Errorf("serving the tunnel: %w", gone(err))
		}
		if !s.take(stream) {
			c.log.Warn("refusing a tunnel connection: too many", zap.Int("limit", maxStreams))
			stream.Close() //nolint:errcheck // refused anyway
		}
	}
}

// exit serves the connections of one tunnel.
type exit struct {
	servers map[byte]*http.Server
	queues  map[byte]*queue
	slots   chan struct{}
	work    sync.WaitGroup
	log     *zap.Logger
	// cancel ends the requests that are under way, also those whose connection was taken over.
	cancel context.CancelFunc

	mu      sync.Mutex
	closing bool
	calls   sync.WaitGroup
}

func newExit(ctx context.Context, handlers map[byte]http.Handler, log *zap.Logger) *exit {
	ctx, cancel := context.WithCancel(ctx)
	e := &exit{
		servers: map[byte]*http.Server{}, queues: map[byte]*queue{},
		slots: make(chan struct{}, maxStreams), log: log, cancel: cancel,
	}
	for kind, h := range handlers {
		q := &queue{conns: make(chan net.Conn), done: make(chan struct{})}
		srv := &http.Server{
			Handler: e.counted(h), ReadHeaderTimeout: tunnelHeader,
			ErrorLog:    zap.NewStdLog(log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
			BaseContext: func(net.Listener) context.Context { return ctx },
		}
		e.servers[kind], e.queues[kind] = srv, q
		e.work.Go(func() {
			if err := srv.Serve(q); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				log.Warn("serving a tunnel", zap.Error(err))
			}
		})
	}
	return e
}

// counted lets wait know of every call, also of those whose connection was hijacked.
func (e *exit) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		if e.closing {
			e.mu.Unlock()
			return
		}
		e.calls.Add(1)
		e.mu.Unlock()
		defer e.calls.Done()
		h.ServeHTTP(w, r)
	})
}

// take hands a connection to the server it names, unless too many are open.
func (e *exit) take(stream net.Conn) bool {
	select {
	case e.slots <- struct{}{}:
	default:
		return false
	}
	conn := &slotConn{Conn: stream, free: sync.OnceFunc(func() { <-e.slots })}
	e.work.Go(func() {
		var kind [1]byte
		err := stream.SetReadDeadline(time.Now().Add(tunnelHeader))
		if err == nil {
			_, err = io.ReadFull(stream, kind[:])
		}
		if err == nil {
			err = stream.SetReadDeadline(time.Time{})
		}
		q := e.queues[kind[0]]
		if err != nil || q == nil || !q.put(conn) {
			conn.Close() //nolint:errcheck // nobody serves it
		}
	})
	return true
}

func (e *exit) wait() {
	e.mu.Lock()
	e.closing = true
	e.mu.Unlock()
	e.cancel()
	for kind, srv := range e.servers {
		srv.Close() //nolint:errcheck // its connections are broken already
		e.queues[kind].close()
	}
	e.work.Wait()
	e.calls.Wait()
}

// slotConn gives its slot back when it is closed.
type slotConn struct {
	net.Conn
	free func()
}

// Close implements net.Conn. Closing a stream ends only what is sent; the deadline ends whoever still reads.
func (c *slotConn) Close() error {
	defer c.free()
	return errors.Join(c.SetDeadline(time.Now()), c.Conn.Close())
}

// CloseWrite ends what is sent; what comes can still be read.
func (c *slotConn) CloseWrite() error { return c.Conn.Close() }

// queue is a net.Listener over connections that were accepted elsewhere.
type queue struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

var _ net.Listener = (*queue)(nil)

func (q *queue) put(c net.Conn) bool {
	select {
	case q.conns <- c:
		return true
	case <-q.done:
		return false
	}
}

func (q *queue) close() { q.once.Do(func() { close(q.done) }) }

// Accept implements net.Listener.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (q *queue) Close() error {
	q.close()
	return nil
}

// Addr implements net.Listener.
func (q *queue) Addr() net.Addr { return tunnelAddr{} }

type tunnelAddr struct{}

// Network implements net.Addr.
func (tunnelAddr) Network() string { return "tunnel" }

// String implements net.Addr.
func (tunnelAddr) String() string { return "tunnel" }
