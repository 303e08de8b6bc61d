package rule

import (
	"net/netip"
)

// special are the networks that lead to no place on the public Internet, or to one that is not what it looks like (the IANA registries
// of special-purpose addresses, and what clouds put into public space). netip knows loopback, private, link-local and multicast.
func special() []netip.Prefix {
	var list []netip.Prefix
	for _, text := range []string{
		"0.0.0.0/8",        // this network
		"100.64.0.0/10",    // behind a provider's NAT; clouds have services in it
		"168.63.129.16/32", // Azure's own agent and metadata
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"240.0.0.0/4", // reserved, and the broadcast address
		"2001::/23",   // protocol assignments, with Teredo, which holds an IPv4 address
		"2001:db8::/32",
		"2002::/16", // 6to4 holds an IPv4 address
		"3fff::/20",
	} {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// Public says whether an address is one of the public Internet, and what it is otherwise.
func Public(addr netip.Addr) (what string, ok bool) {
	addr = addr.Unmap()
	switch {
	case !addr.IsValid() || addr.Zone() != "":
		return "no address", false
	case addr.IsUnspecified():
		return "the unspecified address", false
	case addr.IsLoopback():
		return "a loopback address", false
	case addr.IsLinkLocalUnicast():
		return "a link-local address, where clouds have their metadata", false
	case addr.IsMulticast():
		return "a multicast address", false
	case addr.IsPrivate():
		return "a private address", false
	}
	for _, p := range special() {
		if p.Contains(addr) {
			return "a special-purpose address (" + p.String() + ")", false
		}
	}
	if addr.Is4() {
		return "", true
	}
	b := addr.As16()
	if nat64 := netip.MustParsePrefix("64:ff9b::/96"); nat64.Contains(addr) {
		what, ok := Public(netip.AddrFrom4([4]byte(b[12:])))
		if !ok {
			what = "a NAT64 form of " + what
		}
		return what, ok
	}
	// Only 2000::/3 is given out.
	if b[0]>>5 != 1 {
		return "no public address", false
	}
	return "", true
}
