package baseline

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/agcluster/agcluster/core/agent"
)

type sum [sha256.Size]byte

// record is what is remembered of a file. It is never changed.
type record struct {
	kind              agent.EntryType
	size              int64
	inode             uint64
	modified, changed int64
	target            string
	// sum is of the content; zero when that was not read.
	sum sum
	// binary says that it is no text.
	binary bool
	// fresh says that the file may have been changed again without its facts telling.
	fresh bool
}

// same says whether a file has the facts of a record, so that its content is the same, too.
func (r *record) same(f *File) bool {
	return r != nil && !r.fresh && r.kind == f.Kind && r.size == f.Size && r.inode == f.Inode && r.modified == f.Modified &&
		r.changed == f.Changed && r.target == f.Target
}

// moment is what had changed in the workspace when a turn began, since the moment before; the first has everything.
type moment struct {
	// turn is 0 for the launch.
	turn int64
	// began is when the look began, in nanoseconds since 1970.
	began int64
	// partial says that there were more files than were looked at.
	partial bool
	// changed maps a path to its new record, or to nil when it was gone.
	changed map[string]*record
}

// past is all that is remembered. It is never changed.
type past struct {
	// moments are in order, the launch first.
	moments []moment
	// latest is the workspace at the last of them.
	latest map[string]*record
}

func (p *past) newest() moment { return p.moments[len(p.moments)-1] }

func (p *past) with(m moment, latest map[string]*record) *past {
	return &past{append(p.moments[:len(p.moments):len(p.moments)], m), latest}
}

func newPast(moments []moment) *past {
	p := &past{moments: moments}
	p.latest = p.state(len(moments) - 1)
	return p
}

// state is the workspace at a moment.
func (p *past) state(i int) map[string]*record {
	switch {
	case i == 0:
		return p.moments[0].changed
	case i == len(p.moments)-1 && p.latest != nil:
		return p.latest
	}
	all := maps.Clone(p.moments[0].changed)
	for _, m := range p.moments[1 : i+1] {
		for path, r := range m.changed {
			if r == nil {
				delete(all, path)
			} else {
				all[path] = r
			}
		}
	}
	return all
}

// merged is the past without its n oldest turns: what changed then is part of the next one's. There must be one.
func (p *past) merged(n int) *past {
	last := p.moments[n+1]
	changed := maps.Clone(p.moments[1].changed)
	for _, m := range p.moments[2 : n+2] {
		maps.Copy(changed, m.changed)
	}
	last.changed = changed
	return &past{append([]moment{p.moments[0], last}, p.moments[n+2:]...), p.latest}
}

// records counts what is remembered.
func (p *past) records() int {
	n := 0
	for _, m := range p.moments {
		n += len(m.changed)
	}
	return n
}

// contents are the sums of all contents that are remembered.
func (p *past) contents() map[sum]struct{} {
	all := map[sum]struct{}{}
	for _, m := range p.moments {
		for _, r := range m.changed {
			if r != nil && r.sum != (sum{}) {
				all[r.sum] = struct{}{}
			}
		}
	}
	return all
}

// find is the moment that since names ("launch", "turn" or "turn:N"), and its name. Before the first turn, "turn" is the launch.
func (p *past) find(since string) (i int, name string, err error) {
	last := len(p.moments) - 1
	switch n, isTurn := strings.CutPrefix(since, "turn:"); {
	case since == "launch" || since == "turn" && last == 0:
		return 0, "launch", nil
	case since == "turn":
		return last, "turn:" + strconv.FormatInt(p.moments[last].turn, 10), nil
	case isTurn:
		turn, err := strconv.ParseInt(n, 10, 64)
		if err != nil || turn < 1 {
			break
		}
		for i := range p.moments {
			if p.moments[i].turn == turn {
				return i, since, nil
			}
		}
		if turn > p.moments[last].turn {
			return 0, "", fmt.Errorf("%w: turn %d has not begun", agent.ErrNotFound, turn)
		}
		return 0, "", fmt.Errorf("%w: how turn %d began is not kept any more", agent.ErrNotFound, turn)
	}
	return 0, "", fmt.Errorf("%w: since=%.40q must be launch, turn or turn:N", agent.ErrInvalid, since)
}
