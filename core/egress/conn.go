package egress

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a connection to the network: counted, and ended when nothing passes for too long.
type conn struct {
	net.Conn
	handler *Handler
	in, out atomic.Int64
	// free gives the session's slot back.
	free func()

	mu       sync.Mutex
	finished bool
	timer    *time.Timer
	idle     func()
}

func (h *Handler) newConn(raw net.Conn, free func()) *conn {
	c := &conn{Conn: raw, handler: h, free: free}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = time.AfterFunc(h.proxy.cfg.IdleTimeout, c.expire)
	return c
}

// whenIdle sets what is done, next to closing, when nothing has passed for too long.
func (c *conn) whenIdle(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = fn
}

// expire holds also for a connection that is closed already: a client may not take what came through it.
func (c *conn) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return
	}
	c.Close() //nolint:errcheck // broken off on purpose
	if c.idle != nil {
		c.idle()
	}
}

// passed puts the end off.
func (c *conn) passed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.finished {
		c.timer.Reset(c.handler.proxy.cfg.IdleTimeout)
	}
}

// finish closes the connection for good and gives its slot back. It is called once, by the handler; nothing is done about idleness
// after it.
func (c *conn) finish() {
	c.mu.Lock()
	c.finished = true
	c.timer.Stop()
	c.mu.Unlock()
	c.Close() //nolint:errcheck // at its end, or broken
	c.free()
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.in.Add(int64(n))
		c.handler.in.Add(int64(n))
		c.passed()
	}
	return n, err
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.out.Add(int64(n))
		c.handler.out.Add(int64(n))
		c.passed()
	}
	return n, err
}

// CloseWrite ends what is sent; what comes can still be read.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}
