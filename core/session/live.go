package session

import (
	"context"
	"sync"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// live is the part of a session that is only in memory.
type live struct {
	id    string
	owner []byte

	// gate is a one-slot semaphore: who holds it may start, free or remove the sandbox. It is held across I/O; mu never is.
	gate chan struct{}
	// saving is one as well: who holds it writes the record.
	saving chan struct{}
	// life ends when the session has been removed.
	life context.Context //nolint:containedctx // it is the session's own
	end  context.CancelFunc

	// onProgress, if any, is told where its first start is.
	onProgress func(event.Status)
	// idle is after what time without use its sandbox is freed; 0 is never.
	idle time.Duration

	mu   sync.Mutex
	rec  Session
	key  string
	box  *box
	turn *turn
	// leases counts those who use the sandbox at this moment, next to a turn.
	leases int
	// progress is where the start of its sandbox is that is under way.
	progress Progress
	// abort ends the start of a sandbox that is under way; nil when none is.
	abort context.CancelFunc
	// removal is under way or done; nil when it has not begun or has failed.
	removal *removal
	removed bool
	results results
	// commands are the slash commands that its CLI offered when it was asked last.
	commands []agent.Command
}

// box is a sandbox with what the session did to it.
type box struct {
	Sandbox
	// configured says that the agent server has the session's spec and runs its CLI. Guarded by live.gate.
	configured bool
	// spoiled says that its agent may be in the middle of a turn, so that it serves no other. Guarded by live.mu.
	spoiled bool
	// released is closed when the session gives the box up by itself.
	released chan struct{}
}

func newLive(rec Session, idle time.Duration) *live {
	life, end := context.WithCancel(context.Background())
	return &live{
		id: rec.ID, owner: rec.Owner, rec: rec, life: life, end: end, idle: idle,
		gate: make(chan struct{}, 1), saving: make(chan struct{}, 1),
	}
}

func (l *live) lock(ctx context.Context) error {
	select {
	case l.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *live) unlock() { <-l.gate }

func (l *live) snapshot() Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.snapshotLocked()
}

func (l *live) snapshotLocked() Session {
	rec := l.rec
	rec.Activity = ActivityIdle
	if l.turn != nil {
		rec.Activity, rec.TurnRunning, rec.Waiting = ActivityWorking, true, len(l.turn.asks)
		if rec.Waiting > 0 {
			rec.Activity = ActivityWaiting
		}
	}
	if since, ok := l.idleSinceLocked(); ok && l.idle > 0 {
		rec.IdleExpires = since.Add(l.idle)
	}
	return rec
}

// update changes the record; keep writes it.
func (l *live) update(change func(*Session)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.rec)
}

func (l *live) openTurn() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.turn == nil {
		return 0
	}
	return l.turn.number
}

func (l *live) scope() Scope {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.scopeLocked()
}

func (l *live) scopeLocked() Scope {
	return Scope{SessionID: l.id, ConfigID: l.rec.ConfigID, Config: l.rec.Config, Source: l.rec.Source, Provider: l.rec.Provider}
}

// idleSince reports since when nobody has used the session's sandbox, and whether there is one to free.
func (l *live) idleSince() (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.idleSinceLocked()
}

func (l *live) idleSinceLocked() (time.Time, bool) {
	return l.rec.LastActive, l.box != nil && l.turn == nil && l.leases == 0
}

// Touch says that somebody uses the session's sandbox just now, without a lease on it.
func (s *Service) Touch(id string) {
	s.mu.Lock()
	l := s.sessions[id]
	s.mu.Unlock()
	if l != nil {
		l.update(func(rec *Session) { rec.LastActive = time.Now().UTC() })
	}
}

// Meter adds tokens that the session's model calls used, as the gateway counted them.
func (s *Service) Meter(id string, u event.Usage) {
	s.mu.Lock()
	l := s.sessions[id]
	s.mu.Unlock()
	if l == nil {
		return
	}
	l.update(func(rec *Session) {
		rec.Usage.InputTokens += u.InputTokens
		rec.Usage.OutputTokens += u.OutputTokens
		rec.Usage.CacheReadTokens += u.CacheReadTokens
		rec.Usage.CacheWriteTokens += u.CacheWriteTokens
	})
}
