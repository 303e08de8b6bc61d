package egress

import (
	"context"
	"fmt"
	"sync"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/egress/rule"
	"github.com/agcluster/agcluster/core/event"
)

const (
	gate   = "network.connect"
	byHost = "host:egress"
	// maxDenials bounds how many denials of one turn are recorded.
	maxDenials = 64
)

// deniedError is a denial by a rule or by the address.
type deniedError struct{ by, reason string }

// Error implements error.
func (e *deniedError) Error() string { return gate + " denied by " + e.by + ": " + e.reason }

// Denied returns what refused and why.
func (e *deniedError) Denied() (string, string, string) { return gate, e.by, e.reason }

// denials knows what was recorded in the current turn.
type denials struct {
	mu   sync.Mutex
	turn int64
	seen map[denialKey]struct{}
}

type denialKey struct {
	target rule.Target
	by     string
}

// news says whether a denial is to be recorded, and whether it is the last one of its turn.
func (d *denials) news(turn int64, t rule.Target, by string) (record, last bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil || d.turn != turn {
		d.turn, d.seen = turn, map[denialKey]struct{}{}
	}
	key := denialKey{t, by}
	if _, told := d.seen[key]; told || len(d.seen) == maxDenials {
		return false, false
	}
	d.seen[key] = struct{}{}
	return true, len(d.seen) == maxDenials
}

// forget makes a denial news again.
func (d *denials) forget(t rule.Target, by string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.seen, denialKey{t, by})
}

// deny records a denial, once for each target and turn: a program that tries again a thousand times must not fill the log. It is a
// denial also when it can't be recorded.
func (h *Handler) deny(ctx context.Context, t rule.Target, by, reason string) {
	// What was denied is told, also when the client did not wait for its answer.
	ctx = context.WithoutCancel(ctx)
	record, last := h.denials.news(h.session.Turn(ctx), t, by)
	if !record {
		h.log.Debug("connection denied again", zap.Stringer("target", t), zap.String("by", by))
		return
	}
	if last {
		reason += fmt.Sprintf(" (denial %d of this turn: further ones are not recorded)", maxDenials)
	}
	if err := h.session.Record(ctx, event.Verdict{Gate: gate, Decision: "deny", By: by, Reason: reason}); err != nil {
		h.denials.forget(t, by)
		h.log.Error("recording a denied connection", zap.Stringer("target", t), zap.String("by", by), zap.Error(err))
	}
}
