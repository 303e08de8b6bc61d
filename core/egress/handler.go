package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/egress/rule"
)

const (
	schemeConnect = "connect"
	schemeHTTP    = "http"
	portHTTP      = 80
)

// ServeHTTP implements http.Handler: read the target, judge it, dial it, then pass on what comes.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target, err := readTarget(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	conn, err := h.open(ctx, target, r)
	if err != nil {
		h.fail(ctx, w, target, err)
		return
	}
	defer conn.finish()
	began := time.Now()
	if r.Method == http.MethodConnect {
		h.tunnel(ctx, w, conn)
	} else {
		forward(ctx, cancel, w, r, target, conn)
	}
	h.log.Debug("connection ended", zap.Stringer("target", target), zap.Stringer("address", conn.RemoteAddr()),
		zap.String("method", r.Method), zap.Int64("in", conn.in.Load()), zap.Int64("out", conn.out.Load()),
		zap.Duration("took", time.Since(began)))
}

// readTarget reads where a request wants to go. Its Host header has no say in it.
func readTarget(r *http.Request) (rule.Target, error) {
	if r.Method == http.MethodConnect {
		// As it came: net/url would take a user, a path and escapes off it.
		t, err := rule.ParseTarget(r.RequestURI, 0)
		if err != nil {
			return rule.Target{}, fmt.Errorf("CONNECT needs host:port: %w", err)
		}
		return t, nil
	}
	switch u := r.URL; {
	case !u.IsAbs():
		return rule.Target{}, errors.New("this is a proxy: a request needs a whole URL, or CONNECT")
	case !strings.EqualFold(u.Scheme, "http"):
		return rule.Target{}, fmt.Errorf("%.20q can't be fetched for you: use CONNECT", u.Scheme)
	case u.Opaque != "" || u.Host == "":
		return rule.Target{}, errors.New("the URL has no host")
	case u.User != nil:
		return rule.Target{}, errors.New("a URL with a user in it is not taken: use the Authorization header")
	default:
		t, err := rule.ParseTarget(u.Host, portHTTP)
		if err != nil {
			return rule.Target{}, fmt.Errorf("the URL's host: %w", err)
		}
		return t, nil
	}
}

// open judges a target and dials it.
func (h *Handler) open(ctx context.Context, t rule.Target, r *http.Request) (*conn, error) {
	if err := h.judge(ctx, t, r); err != nil {
		return nil, err
	}
	select {
	case h.slots <- struct{}{}:
	default:
		return nil, errBusy
	}
	free := func() { <-h.slots }
	raw, err := h.proxy.dial(ctx, t)
	if err != nil {
		free()
		return nil, err
	}
	return h.newConn(raw, free), nil
}

// judge asks the rules, then the policies. Names are resolved after it, so that a denied one leaves no query behind: a query is a way
// out, too.
func (h *Handler) judge(ctx context.Context, t rule.Target, r *http.Request) error {
	mode, allow, err := h.session.Network(ctx)
	if err != nil {
		return fmt.Errorf("reading the session's rule: %w", err)
	}
	if err := h.proxy.Check(t, mode, allow); err != nil {
		return err
	}
	c := Connection{Host: t.Host, Port: t.Port, Scheme: schemeConnect}
	if t.Addr.IsValid() {
		c.Address = t.Host
	}
	if r.Method != http.MethodConnect {
		c.Scheme, c.Method = schemeHTTP, r.Method
	}
	return h.session.Judge(ctx, c)
}

// Check asks the operator's rule and then a session's, which is its configuration's mode and list. A refusal has Denied.
func (p *Proxy) Check(t rule.Target, mode string, allow []string) error {
	if reason := p.rule.Check(t, "egress.mode", "egress.allow"); reason != "" {
		return &deniedError{byHost, "the operator's " + reason}
	}
	own, err := rule.New(mode, allow)
	if err != nil {
		return fmt.Errorf("reading the session's rule: %w", err)
	}
	if reason := own.Check(t, "network.egress", "network.allow"); reason != "" {
		return &deniedError{byHost, "the session's " + reason}
	}
	return nil
}

// CheckAddress refuses a target that is an address which may not be dialled. What a name stands for is only known when it is dialled.
func (p *Proxy) CheckAddress(t rule.Target) error {
	if !t.Addr.IsValid() {
		return nil
	}
	return p.check(t, t.Addr)
}

var errBusy = errors.New("the session has too many connections open")

// fail answers when there is no connection, and records a denial.
func (h *Handler) fail(ctx context.Context, w http.ResponseWriter, t rule.Target, err error) {
	var denied interface {
		Denied() (gate, by, reason string)
	}
	var timeout net.Error
	switch {
	case errors.As(err, &denied):
		_, by, reason := denied.Denied()
		reason = "connection to " + t.String() + ": " + reason
		h.deny(ctx, t, by, reason)
		refuse(w, http.StatusForbidden, "denied: "+reason)
	case ctx.Err() != nil:
		// The client has gone; nobody reads an answer.
	case errors.Is(err, errBusy):
		refuse(w, http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, errDial) && errors.As(err, &timeout) && timeout.Timeout():
		refuse(w, http.StatusGatewayTimeout, t.String()+" did not answer in time")
	case errors.Is(err, errDial):
		h.log.Debug("no connection", zap.Stringer("target", t), zap.Error(err))
		refuse(w, http.StatusBadGateway, t.String()+" can't be reached: "+cause(err))
	default:
		h.log.Error("judging a connection", zap.Stringer("target", t), zap.Error(err))
		refuse(w, http.StatusServiceUnavailable, "the connection to "+t.String()+" can't be judged now")
	}
}

// refuse answers in the proxy's own name.
func refuse(w http.ResponseWriter, status int, text string) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	//nolint:gosec // plain text, and sniffing is off
	_, _ = w.Write([]byte("AgCluster: " + text + "\n")) // the client has gone; there is nobody to tell
}
