package rule

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Pattern is one entry of an allow list: HOST, HOST:PORT, *.DOMAIN or *.DOMAIN:PORT, where HOST is a name or an IP address. Without a
// port it stands for all. *.DOMAIN is every name below DOMAIN, at any depth, and not DOMAIN itself.
type Pattern struct {
	// Host is in the spelling of Target; of a wildcard it is what follows "*.".
	Host string
	Wild bool
	// Port is 0 for all.
	Port uint16
}

// ParsePattern reads a pattern; the error says what is wrong with it.
func ParsePattern(text string) (Pattern, error) {
	if strings.Contains(text, "://") || strings.Contains(text, "/") {
		return Pattern{}, errors.New("must be a host such as git.example.org, *.example.org or git.example.org:443, not a URL, a path or a network")
	}
	host, port, err := split(text)
	if err != nil {
		return Pattern{}, err
	}
	var p Pattern
	host, p.Wild = strings.CutPrefix(host, "*.")
	if strings.Contains(host, "*") {
		return Pattern{}, errors.New(`a wildcard is only possible as the first label, as in "*.example.org"`)
	}
	var addr netip.Addr
	if p.Host, addr, err = readHost(host); err != nil {
		return Pattern{}, err
	}
	if p.Wild && addr.IsValid() {
		return Pattern{}, errors.New("an address has no wildcard")
	}
	if port == "" {
		return p, nil
	}
	if p.Port, err = readPort(port); err != nil {
		return Pattern{}, err
	}
	return p, nil
}

// String is the pattern in its canonical spelling.
func (p Pattern) String() string {
	host := p.Host
	if p.Wild {
		host = "*." + host
	}
	if p.Port == 0 {
		return host
	}
	return joinPort(host, p.Port)
}

// Match says whether the pattern stands for a target.
func (p Pattern) Match(t Target) bool {
	if p.Port != 0 && p.Port != t.Port {
		return false
	}
	if !p.Wild {
		return p.Host == t.Host
	}
	return !t.Addr.IsValid() && strings.HasSuffix(t.Host, "."+p.Host)
}

// parsePatterns reads a list; the error names the first entry that is wrong.
func parsePatterns(list []string) ([]Pattern, error) {
	patterns := make([]Pattern, len(list))
	for i, text := range list {
		var err error
		if patterns[i], err = ParsePattern(text); err != nil {
			return nil, fmt.Errorf("allow[%d]: %w", i, err)
		}
	}
	return patterns, nil
}
