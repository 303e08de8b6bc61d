// Package rule says which hosts may be connected to: how a target is read, how a pattern matches it, and what the rules of the operator
// and of a session allow together. It opens no connection and resolves no name; core/egress does, and core/preset and core/config check
// with it what people write.
package rule

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// Target is where a connection is to go, in one spelling for each host: lower case, ASCII, no trailing dot, addresses in their canonical
// form. What was judged is then what is dialled.
type Target struct {
	// Host is a name, or the text of Addr.
	Host string
	// Addr is valid when Host is an IP address. An IPv4 address that was written as IPv6 is IPv4.
	Addr netip.Addr
	Port uint16
}

// String is host:port, with brackets around IPv6.
func (t Target) String() string { return joinPort(t.Host, t.Port) }

func joinPort(host string, port uint16) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port))
}

// maxTarget bounds what is looked at: a name has at most 253 bytes, more of them before it is put into ASCII.
const maxTarget = 1024

// ParseTarget reads HOST:PORT or, when fallback is not 0, HOST. It is strict: what two programs might read in two ways is refused.
func ParseTarget(text string, fallback uint16) (Target, error) {
	host, port, err := split(text)
	if err != nil {
		return Target{}, err
	}
	t := Target{Port: fallback}
	if t.Host, t.Addr, err = readHost(host); err != nil {
		return Target{}, err
	}
	switch {
	case port != "":
		if t.Port, err = readPort(port); err != nil {
			return Target{}, err
		}
	case fallback == 0:
		return Target{}, errors.New("a port is needed")
	}
	return t, nil
}

// split cuts the port off; host keeps its brackets.
func split(text string) (host, port string, err error) {
	if len(text) > maxTarget {
		return "", "", fmt.Errorf("has %d bytes, more than %d", len(text), maxTarget)
	}
	at := strings.LastIndexByte(text, ':')
	switch {
	case at < 0 || strings.HasSuffix(text, "]"):
		return text, "", nil
	case strings.Contains(text[:at], ":") && !strings.HasPrefix(text, "["):
		// More than one colon: an IPv6 address, which can't have a port without brackets.
		return "[" + text + "]", "", nil
	case at == len(text)-1:
		return "", "", errors.New("the port is empty")
	}
	return text[:at], text[at+1:], nil
}

func readPort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 || strings.HasPrefix(text, "0") {
		return 0, fmt.Errorf("the port %.20q is no number from 1 to 65535", text)
	}
	return uint16(n), nil
}

// readHost reads an address or a name.
func readHost(text string) (string, netip.Addr, error) {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if !closed || err != nil || addr.Zone() != "" || !strings.Contains(inner, ":") {
			return "", netip.Addr{}, fmt.Errorf("%.80q is no IPv6 address", text)
		}
		addr = addr.Unmap()
		return addr.String(), addr, nil
	}
	name, err := readName(text)
	if err != nil {
		return "", netip.Addr{}, err
	}
	if !numeric(name) {
		return name, netip.Addr{}, nil
	}
	// 127.1, 0x7f.1, 0177.0.0.1 and 2130706433 are all 127.0.0.1 to some programs and names to others.
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return "", netip.Addr{}, fmt.Errorf("%.80q is no address: write four decimal numbers without leading zeros", text)
	}
	return addr.String(), addr, nil
}

// numeric says whether a name's last label is a number: no domain is called so, and resolvers take such names for addresses.
func numeric(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// readName puts a name into lower case and ASCII, and takes one trailing dot off.
func readName(text string) (string, error) {
	name := strings.TrimSuffix(text, ".")
	if !ascii(name) {
		var err error
		if name, err = idna.Lookup.ToASCII(name); err != nil {
			return "", fmt.Errorf("%.80q is no host name: %w", text, err)
		}
	}
	name = strings.ToLower(name)
	if name == "" {
		return "", errors.New("the host is empty")
	}
	if len(name) > 253 {
		return "", fmt.Errorf("the host has %d characters, more than 253", len(name))
	}
	for label := range strings.SplitSeq(name, ".") {
		if !isLabel(label) {
			return "", fmt.Errorf("%.80q is no host name", text)
		}
	}
	return name, nil
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// isLabel allows the underscore too: hosts are called so, whatever the RFCs say.
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
