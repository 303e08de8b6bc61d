package rule

import (
	"fmt"
	"slices"
)

// The modes of a rule. An empty one is Open.
const (
	None      = "none"
	Allowlist = "allowlist"
	Open      = "open"
)

// Modes lists the modes, the strictest first.
func Modes() []string { return []string{None, Allowlist, Open} }

// Rule is one layer's say in where connections may go: the operator's, or a session's. All layers must allow a connection, so that a
// layer can only narrow the others. The zero Rule allows everything.
type Rule struct {
	mode     string
	patterns []Pattern
}

// New returns the rule of a mode and its allow list, which only Allowlist looks at.
func New(mode string, allow []string) (Rule, error) {
	if mode == "" {
		mode = Open
	}
	if !slices.Contains(Modes(), mode) {
		return Rule{}, fmt.Errorf("unknown mode %.80q", mode)
	}
	patterns, err := parsePatterns(allow)
	if err != nil {
		return Rule{}, err
	}
	return Rule{mode: mode, patterns: patterns}, nil
}

// Check returns why a target is refused, for people, with the keys called after their group ("network" or "egress"); it is empty when
// the target is allowed.
func (r Rule) Check(t Target, modeKey, allowKey string) string {
	switch r.mode {
	case "", Open:
		return ""
	case Allowlist:
		if slices.ContainsFunc(r.patterns, func(p Pattern) bool { return p.Match(t) }) {
			return ""
		}
		return "no entry of " + allowKey + " stands for it"
	default:
		return modeKey + " is " + r.mode
	}
}
