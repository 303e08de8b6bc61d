// Package terminal gives people shells in the sandboxes of their sessions: it hands out tickets, which open a WebSocket where no
// Authorization header can be sent, and carries bytes between that and the shell. What a shell is, core/agent knows; who may have one,
// core/api has asked before.
package terminal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/session"
)

const (
	// TicketLife is how long a ticket is good for.
	TicketLife = 30 * time.Second
	// maxTickets bounds the tickets of all sessions together that were not used yet.
	maxTickets = 4096
)

// Errors that callers tell apart.
var (
	ErrTooMany = fmt.Errorf("the session has %d terminals, which is the limit", agent.MaxTerminals)
	// ErrTicket says nothing of whether there is such a terminal.
	ErrTicket   = errors.New("the ticket is wrong, was used, or is older than 30 s")
	ErrBusy     = errors.New("too many terminals are being opened; try again")
	ErrDraining = session.ErrDraining
)

// Sessions wakes sessions and keeps them awake; *session.Service does.
type Sessions interface {
	// Acquire wakes the session's sandbox and keeps it until release is called.
	Acquire(ctx context.Context, id string) (release func(), err error)
	// Scope has the session's configuration.
	Scope(ctx context.Context, id string) (session.Scope, error)
	// Touch says that somebody uses the sandbox.
	Touch(id string)
}

// Shells starts shells in sandboxes that are awake.
type Shells interface {
	Open(ctx context.Context, sessionID string, spec agent.TerminalSpec) (Shell, error)
}

// Shell is a shell in a sandbox; *agent.Terminal is one. One goroutine may read while another writes.
type Shell interface {
	// Read waits for output, which is valid until the next call. The end of the shell is an *agent.ExitError.
	Read(ctx context.Context) ([]byte, error)
	// Write waits while the shell takes no input.
	Write(ctx context.Context, input []byte) error
	Resize(ctx context.Context, size agent.TerminalSize) error
	// Close ends the shell with all that it started. It is safe to call twice.
	Close()
}

var _ Shell = (*agent.Terminal)(nil)

// Ticket opens a terminal, once.
type Ticket struct {
	// Terminal names it, Secret is what must be shown.
	Terminal string
	Secret   string
	Expires  time.Time
}

// Terminal is one that may be served now, and must be.
type Terminal struct {
	id, session string
	size        agent.TerminalSize
}

// pending is a terminal that nobody has opened yet.
type pending struct {
	Terminal
	sum     [sha256.Size]byte
	expires time.Time
}

// Service is safe for concurrent use.
type Service struct {
	sessions Sessions
	shells   Shells
	log      *zap.Logger

	ctx    context.Context //nolint:containedctx // it ends with the service
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	closing bool
	tickets map[string]pending
	// open counts the terminals of each session that are served.
	open map[string]int
}

// New returns a Service; call Close at the end.
func New(sessions Sessions, shells Shells, log *zap.Logger) *Service {
	s := &Service{sessions: sessions, shells: shells, log: log, tickets: map[string]pending{}, open: map[string]int{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Open wakes the session and returns a ticket for a terminal of this size. It fails with ErrTooMany while the session has
// agent.MaxTerminals, with those counted whose tickets are still good.
func (s *Service) Open(ctx context.Context, sessionID string, size agent.TerminalSize) (Ticket, error) {
	if err := size.Check(); err != nil {
		return Ticket{}, err
	}
	secret := rand.Text()
	p := pending{
		Terminal: Terminal{id: "term-" + randomHex(8), session: sessionID, size: size}, sum: sha256.Sum256([]byte(secret)),
	}
	if err := s.reserve(p); err != nil {
		return Ticket{}, err
	}
	// Now and not with the WebSocket: a browser can't tell its person why that failed.
	release, err := s.sessions.Acquire(ctx, sessionID)
	if err != nil {
		s.mu.Lock()
		delete(s.tickets, p.id)
		s.mu.Unlock()
		return Ticket{}, err
	}
	release()
	// The time that it took to wake counts for nobody.
	p.expires = time.Now().Add(TicketLife)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return Ticket{}, ErrDraining
	}
	s.tickets[p.id] = p
	return Ticket{Terminal: p.id, Secret: secret, Expires: p.expires.UTC()}, nil
}

// reserve makes sure that there is room for a terminal. Its ticket is not good yet.
func (s *Service) reserve(p pending) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return ErrDraining
	}
	n, now := s.open[p.session], time.Now()
	for id, other := range s.tickets {
		switch {
		case !other.expires.IsZero() && now.After(other.expires):
			delete(s.tickets, id)
		case other.session == p.session:
			n++
		}
	}
	switch {
	case n >= agent.MaxTerminals:
		return ErrTooMany
	case len(s.tickets) >= maxTickets:
		return ErrBusy
	}
	s.tickets[p.id] = p
	return nil
}

// Redeem takes a ticket, which is good for one time. Who gets a Terminal must call Serve or Drop.
func (s *Service) Redeem(sessionID, terminal, secret string) (*Terminal, error) {
	sum := sha256.Sum256([]byte(secret))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, ErrDraining
	}
	p := s.tickets[terminal]
	// What is not there has a sum that nothing has.
	good := subtle.ConstantTimeCompare(sum[:], p.sum[:]) == 1
	if !good || p.session != sessionID || time.Now().After(p.expires) {
		return nil, ErrTicket
	}
	delete(s.tickets, terminal)
	s.open[sessionID]++
	s.work.Add(1)
	return &p.Terminal, nil
}

// Drop gives back a terminal that can't be served.
func (s *Service) Drop(t *Terminal) {
	s.mu.Lock()
	if s.open[t.session]--; s.open[t.session] <= 0 {
		delete(s.open, t.session)
	}
	s.mu.Unlock()
	s.work.Done()
}

// Close ends all terminals and waits for them. It is safe to call twice.
func (s *Service) Close() {
	s.mu.Lock()
	s.closing = true
	clear(s.tickets)
	s.mu.Unlock()
	s.cancel()
	s.work.Wait()
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}
