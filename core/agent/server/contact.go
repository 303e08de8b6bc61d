package server

import (
	"context"
	"sync"
	"time"
)

// contact knows whether there still is a host. A host that was killed leaves sandboxes which a platform may run for ever; each of them
// ends by itself when nobody who has the token has been there for long enough.
type contact struct {
	mu   sync.Mutex
	open int
	last time.Time
}

func newContact() *contact { return &contact{last: time.Now()} }

// begin notes a request; end must be called when it is over. The tunnel is one request, and open as long as the host is.
func (c *contact) begin() (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.open--
		c.last = time.Now()
	}
}

// silence is how long nobody has been there.
func (c *contact) silence() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open > 0 {
		return 0
	}
	return time.Since(c.last)
}

// lost returns true once nobody has been there for limit, or false when ctx ends.
func (c *contact) lost(ctx context.Context, limit time.Duration) bool {
	for {
		left := limit - c.silence()
		if left <= 0 {
			return true
		}
		select {
		case <-time.After(left):
		case <-ctx.Done():
			return false
		}
	}
}

// Abandoned returns true once no host has been there for limit, or false when ctx ends.
func (s *Server) Abandoned(ctx context.Context, limit time.Duration) bool {
	return s.contact.lost(ctx, limit)
}
