// Package egress is the forward proxy: the only way from a sandbox to the network. It takes CONNECT and plain HTTP requests from a
// session's tunnel, asks the rules and the session's policies, dials only addresses that it has checked, counts the bytes, and tells the
// session of every denial. It looks into nothing that passes: there is no certificate of ours anywhere.
package egress

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/egress/rule"
	"github.com/agcluster/agcluster/core/event"
)

// Config is the operator's layer, and the bounds. Zero fields take the defaults in brackets.
type Config struct {
	// Mode and Allow are the operator's rule (package rule); a session's can only narrow it.
	Mode  string
	Allow []string
	// Private lists places with addresses that are not public which may be dialled (rule.Private).
	Private []string
	// DialTimeout bounds resolving and dialling together [10 s].
	DialTimeout time.Duration
	// IdleTimeout ends a connection on which nothing passes, either way [10 min].
	IdleTimeout time.Duration
	// Connections bounds the open connections of one session [128].
	Connections int
}

// Resolver turns a name into addresses; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Connection is what is asked about before anything is resolved or dialled.
type Connection struct {
	// Host is lower case and ASCII, without a trailing dot; an address is in its canonical form.
	Host string
	Port uint16
	// Scheme is "connect" or "http".
	Scheme string
	// Method is that of a plain HTTP request.
	Method string
	// Address is Host when that is an IP address.
	Address string
}

// Session is the session on the other end of a tunnel. Its functions are called from many goroutines at once.
type Session struct {
	ID string
	// Network returns the mode and allow list of the session's own configuration.
	Network func(ctx context.Context) (mode string, allow []string, err error)
	// Judge asks the session's policies. It returns nil to allow; an error that has Denied is a denial with its source and reason.
	Judge func(ctx context.Context, c Connection) error
	// Record keeps a denial.
	Record func(ctx context.Context, v event.Verdict) error
	// Turn is the number of the session's newest turn: within one, the same denial is recorded once.
	Turn func(ctx context.Context) int64
}

// Proxy makes the handlers of sessions. It is safe for concurrent use and holds nothing that must be closed.
type Proxy struct {
	cfg      Config
	rule     rule.Rule
	private  rule.Private
	resolver Resolver
	// own lists the addresses of this machine's interfaces.
	own func() ([]net.Addr, error)
	log *zap.Logger
}

// New returns a Proxy. The error names the entry of cfg that is wrong.
func New(cfg Config, resolver Resolver, log *zap.Logger) (*Proxy, error) {
	p := &Proxy{cfg: cfg, resolver: resolver, own: net.InterfaceAddrs, log: log}
	var err error
	if p.rule, err = rule.New(cfg.Mode, cfg.Allow); err != nil {
		return nil, fmt.Errorf("egress: %w", err)
	}
	if p.private, err = rule.NewPrivate(cfg.Private); err != nil {
		return nil, fmt.Errorf("egress: %w", err)
	}
	if p.cfg.DialTimeout <= 0 {
		p.cfg.DialTimeout = 10 * time.Second
	}
	if p.cfg.IdleTimeout <= 0 {
		p.cfg.IdleTimeout = 10 * time.Minute
	}
	if p.cfg.Connections <= 0 {
		p.cfg.Connections = 128
	}
	return p, nil
}

// Handler serves the connections of one session's sandbox. It must be served by an http.Server for HTTP/1 whose connections are closed
// for good by Close; what a request started ends with its handler, and that ends with the request's context.
type Handler struct {
	proxy   *Proxy
	session Session
	slots   chan struct{}
	denials denials
	in, out atomic.Int64
	log     *zap.Logger
}

var _ http.Handler = (*Handler)(nil)

// Handler returns a session's handler.
func (p *Proxy) Handler(s Session) *Handler {
	return &Handler{
		proxy: p, session: s, slots: make(chan struct{}, p.cfg.Connections),
		log: p.log.With(zap.String("session", s.ID)),
	}
}

// Stats is what has passed.
type Stats struct {
	// In and Out are bytes: from the network into the sandbox, and out of it. TLS and HTTP headers are among them.
	In, Out int64
	// Open is how many connections there are now.
	Open int
}

// Stats returns what has passed so far.
func (h *Handler) Stats() Stats {
	return Stats{In: h.in.Load(), Out: h.out.Load(), Open: len(h.slots)}
}
