package preset

import (
	"slices"

	"github.com/agcluster/agcluster/core/config/strict"
	"github.com/agcluster/agcluster/core/egress/rule"
)

// network checks where the agent may connect to. A list without the mode that looks at it is an error: whoever wrote it believes that
// it holds.
func (v *validation) network() {
	n := v.c.Network
	v.oneOf("network.egress", n.Egress, rule.Modes()...)
	switch {
	case n.Egress != rule.Allowlist && len(n.Allow) > 0:
		v.add("network.allow", "needs egress: allowlist")
	case n.Egress == rule.Allowlist && len(n.Allow) == 0:
		v.add("network.allow", "must name a host; egress: none allows nothing")
	case len(n.Allow) > maxHosts:
		v.add("network.allow", "has %d entries, more than %d", len(n.Allow), maxHosts)
		return
	}
	for i, text := range n.Allow {
		at := strict.Index("network.allow", i)
		if _, err := rule.ParsePattern(text); err != nil {
			v.add(at, "%s, got %.80q", err, text)
		} else if slices.Contains(n.Allow[:i], text) {
			v.add(at, "%q is given twice", text)
		}
	}
}
