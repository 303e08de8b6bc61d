package rule

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Private is a list of places that may be dialled although their address is not public: "10.0.0.0/8", "10.1.2.3", "10.0.0.0/8:443",
// "[fd00::/8]:443" or "host:port". A host is taken for what it resolves to, so it needs its port.
type Private struct {
	networks []network
	hosts    []Target
}

type network struct {
	prefix netip.Prefix
	port   uint16
}

// NewPrivate reads the list. The error names the first entry that is wrong.
func NewPrivate(list []string) (Private, error) {
	var p Private
	for i, text := range list {
		if err := p.add(text); err != nil {
			return Private{}, fmt.Errorf("private[%d]: %w", i, err)
		}
	}
	return p, nil
}

// CheckPrivate says what is wrong with one entry.
func CheckPrivate(text string) error { return new(Private).add(text) }

func (p *Private) add(text string) error {
	host, port, err := split(text)
	if err != nil {
		return err
	}
	var n network
	if port != "" {
		if n.port, err = readPort(port); err != nil {
			return err
		}
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.Contains(bare, "/") {
		if n.prefix, err = netip.ParsePrefix(bare); err != nil {
			return fmt.Errorf("%.80q is no network such as 10.0.0.0/8", bare)
		}
		if n.prefix != n.prefix.Masked() {
			return fmt.Errorf("%s has bits behind its length; the network is %s", n.prefix, n.prefix.Masked())
		}
		if n.prefix.Addr().Is4In6() {
			return fmt.Errorf("%s is an IPv4 network: write it as one", n.prefix)
		}
		p.networks = append(p.networks, n)
		return nil
	}
	t := Target{Port: n.port}
	if t.Host, t.Addr, err = readHost(host); err != nil {
		return err
	}
	switch {
	case t.Addr.IsValid():
		n.prefix = netip.PrefixFrom(t.Addr, t.Addr.BitLen())
		p.networks = append(p.networks, n)
	case n.port == 0:
		return fmt.Errorf("the host %s needs a port, as in %s:443", t.Host, t.Host)
	default:
		p.hosts = append(p.hosts, t)
	}
	return nil
}

// Lists says whether the list allows dialling addr for a target.
func (p Private) Lists(t Target, addr netip.Addr) bool {
	if slices.ContainsFunc(p.hosts, func(h Target) bool { return h == t }) {
		return true
	}
	return slices.ContainsFunc(p.networks, func(n network) bool {
		return (n.port == 0 || n.port == t.Port) && n.prefix.Contains(addr)
	})
}
