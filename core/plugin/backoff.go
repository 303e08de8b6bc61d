package plugin

import (
	"math/rand/v2"
	"time"
)

const (
	backoffMin = 100 * time.Millisecond
	backoffMax = 30 * time.Second
	// healthyAfter is how long a process must have lived for its successor to start without delay.
	healthyAfter = time.Minute
	// patience is how long a call waits for the next start; when that is further away it fails at once with the last error.
	patience = 2 * time.Second
)

// backoff says when a plugin that failed may be started again: one that dies again and again must not eat the machine.
type backoff struct {
	failures  int
	notBefore time.Time
}

// failed notes that a process ended, or did not start, at now after it had lived that long.
func (b *backoff) failed(now time.Time, lived time.Duration) {
	if lived > healthyAfter {
		b.failures = 0
	}
	// The first restart is at once: most crashes are single ones, and somebody is waiting.
	var wait time.Duration
	if b.failures > 0 {
		wait = min(backoffMin<<min(b.failures-1, 20), backoffMax)
	}
	b.failures++
	b.notBefore = now.Add(wait + time.Duration(rand.Int64N(int64(wait)/4+1))) //nolint:gosec // jitter is no secret
}

// wait is how long from now the next start is away.
func (b *backoff) wait(now time.Time) time.Duration { return max(0, b.notBefore.Sub(now)) }
