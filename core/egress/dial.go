package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/agcluster/agcluster/core/egress/rule"
)

const (
	// maxAddresses bounds how many addresses of one name are looked at.
	maxAddresses = 32
	// minAttempt is the least time for one of several addresses, so that a dead one does not take all.
	minAttempt = 2 * time.Second
)

// errDial says that the target was allowed but did not answer.
var errDial = errors.New("dialling")

// dial resolves a target once, checks every address, and dials only those: a name that answers otherwise the next time (DNS rebinding)
// has nobody who asks it.
func (p *Proxy) dial(ctx context.Context, t rule.Target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.DialTimeout)
	defer cancel()
	addrs, err := p.resolve(ctx, t)
	if err != nil {
		return nil, err
	}
	for _, addr := range addrs {
		if err := p.check(t, addr); err != nil {
			return nil, err
		}
	}
	var last error
	for i, addr := range addrs {
		conn, err := attempt(ctx, addr, t.Port, len(addrs)-i)
		if err == nil {
			return conn, nil
		}
		if last = err; ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("%w %s: %w", errDial, t, last)
}

func (p *Proxy) resolve(ctx context.Context, t rule.Target) ([]netip.Addr, error) {
	if t.Addr.IsValid() {
		return []netip.Addr{t.Addr}, nil
	}
	// The dot at the end keeps the host's search domains out of it.
	addrs, err := p.resolver.LookupNetIP(ctx, "ip", t.Host+".")
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", errDial, t, err)
	}
	if len(addrs) == 0 || len(addrs) > maxAddresses {
		return nil, fmt.Errorf("%w %s: the name has %d addresses", errDial, t, len(addrs))
	}
	for i, addr := range addrs {
		addrs[i] = addr.Unmap()
	}
	return addrs, nil
}

// check refuses an address that is not public, or this machine's own, unless the operator lists it.
func (p *Proxy) check(t rule.Target, addr netip.Addr) error {
	what, public := rule.Public(addr)
	if public {
		own, err := p.isOwn(addr)
		if err != nil {
			return err
		}
		if !own {
			return nil
		}
		what = "an address of the host's machine"
	}
	if p.private.Lists(t, addr) {
		return nil
	}
	return &deniedError{byHost, fmt.Sprintf("%s is %s, and egress.private does not list it", addr, what)}
}

// isOwn looks each time: addresses come and go.
func (p *Proxy) isOwn(addr netip.Addr) (bool, error) {
	list, err := p.own()
	if err != nil {
		return false, fmt.Errorf("listing the machine's addresses: %w", err)
	}
	for _, a := range list {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap().WithZone("") == addr {
			return true, nil
		}
	}
	return false, nil
}

// attempt dials one of the left addresses.
func attempt(ctx context.Context, addr netip.Addr, port uint16, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		share := max(minAttempt, time.Until(deadline)/time.Duration(left))
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, share)
		defer cancel()
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", netip.AddrPortFrom(addr, port).String())
}

// cause is the part of an error that a sandbox may see: not which addresses and resolvers the host uses.
func cause(err error) string {
	var lookup *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "no such host"
	case errors.As(err, &lookup):
		return "the name can't be resolved"
	case errors.As(err, &op):
		return op.Err.Error()
	default:
		return "no connection"
	}
}
