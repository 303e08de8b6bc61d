package baseline

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/agcluster/agcluster/core/agent"
)

const (
	// maxCounted and countTime bound for how many files of one list lines are counted, and for how long.
	maxCounted = 1000
	countTime  = 2 * time.Second
)

var errNothing = fmt.Errorf("%w: no baseline was taken yet", agent.ErrConflict)

// changed is one file that differs.
type changed struct {
	path   string
	status agent.ChangeStatus
	size   int64
	// was is nil for a file that was added.
	was *record
	// binary says that it is known to be no text.
	binary bool
	bulk   bool
}

// comparison is one comparison of the workspace with a moment.
type comparison struct {
	keeper *Keeper
	// was is the workspace at the moment, latest at the newest one: it spares reading what has not changed since that.
	was, latest map[string]*record
	moment      moment
	seen        map[string]struct{}
	found       []changed
	reads       int
	bytes       int64
}

func (k *Keeper) compare(ctx context.Context, since string) (*comparison, string, error) {
	p := k.now()
	if p == nil {
		// A sandbox that was woken for this very question: its agent has not started.
		free, err := k.open(ctx)
		if err != nil {
			return nil, "", err
		}
		free()
		if p = k.now(); p == nil {
			return nil, "", errNothing
		}
	}
	i, name, err := p.find(since)
	if err != nil {
		return nil, "", err
	}
	return &comparison{keeper: k, was: p.state(i), latest: p.latest, moment: p.moments[i], seen: map[string]struct{}{}}, name, nil
}

// List tells which files differ from a moment: launch, turn (the newest) or turn:N. Folders by themselves are not told. What tools fill
// (see bulk) comes last, so that it is what a list over its bound leaves out.
func (k *Keeper) List(ctx context.Context, since string) (agent.ChangeList, error) {
	c, name, err := k.compare(ctx, since)
	if err != nil {
		return agent.ChangeList{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	hidden, err := k.tree.Walk(ctx, c.file)
	partial := errors.Is(err, errEnough)
	if err != nil && !partial {
		return agent.ChangeList{}, fmt.Errorf("looking at the workspace: %w", err)
	}
	c.deleted(hidden, partial)
	slices.SortFunc(c.found, func(a, b changed) int {
		if a.bulk != b.bulk {
			if a.bulk {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.path, b.path)
	})
	list := agent.ChangeList{
		Since: name, Changes: []agent.Change{}, Total: len(c.found),
		Truncated: partial || c.moment.partial || len(c.found) > agent.MaxChanges || len(hidden) > 0,
	}
	ends := time.Now().Add(countTime)
	for i, f := range c.found[:min(len(c.found), agent.MaxChanges)] {
		change := agent.NewChange(f.path)
		change.Status, change.Size, change.Binary = f.status, f.size, f.binary
		if i < maxCounted && !f.bulk && !f.binary && time.Now().Before(ends) && ctx.Err() == nil {
			c.count(f, &change)
		}
		list.Changes = append(list.Changes, change)
	}
	return list, nil
}

// file compares one file.
func (c *comparison) file(f *File) error {
	if len(c.seen) >= maxFiles {
		return errEnough
	}
	c.seen[f.Path] = struct{}{}
	was := c.was[f.Path]
	if was == nil && c.moment.partial && f.Changed < c.moment.began {
		return nil // it was there already, and nobody knows how
	}
	status, binary := c.judge(f, was)
	if status == agent.Unchanged {
		return nil
	}
	c.found = append(c.found, changed{
		path: f.Path, status: status, size: f.Size, was: was, binary: binary || was != nil && was.binary, bulk: bulk(f.Path),
	})
	return nil
}

// judge compares a file with what it was. binary says that it is known to be none that has lines.
func (c *comparison) judge(f *File, was *record) (status agent.ChangeStatus, binary bool) {
	binary = f.Kind == agent.EntryOther
	switch {
	case was == nil:
		return agent.Added, binary
	case was.same(f):
		return agent.Unchanged, binary
	case was.kind != f.Kind:
		return agent.Modified, binary
	case f.Kind == agent.EntrySymlink && was.target != f.Target:
		return agent.Modified, binary
	case f.Kind != agent.EntryFile:
		return agent.Unchanged, binary
	}
	if was.sum != (sum{}) {
		if now, binary, ok := c.sum(f); ok {
			if now == was.sum {
				return agent.Unchanged, binary
			}
			return agent.Modified, binary
		}
	}
	if was.size == f.Size && was.modified == f.Modified {
		return agent.Unchanged, binary
	}
	return agent.Modified, binary
}

// sum is that of a file's content, if it can be had.
func (c *comparison) sum(f *File) (s sum, binary, ok bool) {
	if known := c.latest[f.Path]; known.same(f) && known.sum != (sum{}) {
		return known.sum, known.binary, true
	}
	if f.Size > MaxText || c.reads >= maxReads || c.bytes+f.Size > maxReadBytes {
		return s, false, false
	}
	c.reads++
	c.bytes += f.Size
	content, err := readAll(f)
	if err != nil {
		return s, false, false
	}
	return sha256.Sum256(content), !isText(content), true
}

// deleted finds what is not there any more.
func (c *comparison) deleted(hidden []string, partial bool) {
	for path, was := range c.was {
		if _, there := c.seen[path]; there || within(path, hidden) {
			continue
		}
		if partial && !errors.Is(c.keeper.tree.Find(path, func(*File) error { return nil }), agent.ErrNotFound) {
			continue
		}
		c.found = append(c.found, changed{
			path: path, status: agent.Deleted, size: was.size, was: was, binary: was.binary || was.kind == agent.EntryOther, bulk: bulk(path),
		})
	}
}

// count counts the lines of a change, where both of its sides can be had.
func (c *comparison) count(f changed, change *agent.Change) {
	before := side{}
	if f.was != nil {
		before = c.before(f.was)
	}
	after := side{}
	if f.status != agent.Deleted {
		after = c.after(f.path)
	}
	if before.binary || after.binary {
		change.Binary = true
		return
	}
	if before.missing || after.missing {
		return
	}
	added, deleted := countLines(before.content, after.content)
	change.Additions, change.Deletions = &added, &deleted
}

// side is a file before or after a change.
type side struct {
	// content is nil when there is no file, and when missing or binary says why it is not shown.
	content         []byte
	binary, missing bool
	found           bool
	size            int64
	status          agent.ChangeStatus
}

func (c *comparison) before(was *record) side {
	s := side{found: true, size: was.size}
	switch {
	case was.binary || was.kind == agent.EntryOther:
		s.binary = true
	case was.kind == agent.EntrySymlink:
		s.content = []byte(was.target)
	default:
		var ok bool
		if s.content, ok = c.keeper.shelf.get(was.sum); !ok {
			s.content, s.missing = nil, true
		}
	}
	return s
}

func (c *comparison) after(path string) side {
	s := side{}
	// A file that is gone by now is one that is not there.
	c.keeper.tree.Find(path, func(f *File) error { //nolint:errcheck // as above
		s.found, s.size = true, f.Size
		s.status, _ = c.judge(f, c.was[path])
		switch f.Kind {
		case agent.EntrySymlink:
			s.content = []byte(f.Target)
		case agent.EntryFile:
			s.read(f)
		default:
			s.binary = true
		}
		return nil
	})
	return s
}

// read takes in the content of a file.
func (s *side) read(f *File) {
	content, err := []byte(nil), errLarge
	if f.Size <= MaxText {
		content, err = readAll(f)
	}
	switch {
	case err == nil && isText(content):
		s.content = content
	case err == nil:
		s.binary = true
	default:
		s.missing = true
		if file, err := f.Open(); err == nil {
			s.binary = !sniff(file)
			file.Close() //nolint:errcheck // only read
		}
	}
}

// Show tells how one file differs from a moment. A content that is no text, was not kept or is larger than MaxText is not shown, and the
// answer says which. It fails with agent.ErrNotFound when there is no such file on either side.
func (k *Keeper) Show(ctx context.Context, path, since string) (agent.FileChange, error) {
	c, _, err := k.compare(ctx, since)
	if err != nil {
		return agent.FileChange{}, err
	}
	var before side
	if was := c.was[path]; was != nil {
		before = c.before(was)
	}
	after := c.after(path)
	change := agent.FileChange{Change: agent.NewChange(path)}
	switch {
	case !before.found && !after.found:
		return agent.FileChange{}, fmt.Errorf("%w: %.200q", agent.ErrNotFound, path)
	case !after.found:
		change.Status, change.Size = agent.Deleted, before.size
	default:
		change.Status, change.Size = after.status, after.size
	}
	change.Binary, change.Truncated = before.binary || after.binary, before.missing || after.missing
	if !change.Binary {
		change.Before, change.After = before.content, after.content
	}
	if !change.Binary && !change.Truncated {
		added, deleted := countLines(before.content, after.content)
		change.Additions, change.Deletions = &added, &deleted
	}
	return change, nil
}
