package workspace

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/agcluster/agcluster/core/agent"
)

const (
	// batchEntries and batchBytes bound a Batch: its pieces, and the bytes of their names. A policy in Go that is asked about twice as many
	// needs more memory than its instance has, and an instance that grew can't be used again: starting another takes ten times as
	// long as the answer.
	batchEntries = 50
	batchBytes   = 16 << 10
)

// Batch is the input of the gate archive.entry: entries that are to leave, with what the gate has allowed before them. It stands for
// path.access too: a policy about paths that cares for exports judges both gates, because one question for each of 10,000 files
// would take seconds. A batch with BytesOut asks about the ratio: it has no entries, the totals are what was packed, and BytesOut
// is what came of it.
type Batch struct {
	// Op is export.
	Op      string       `json:"op"`
	Entries []BatchEntry `json:"entries"`
	// EntriesBefore and BytesBefore are the running totals without Entries.
	EntriesBefore int64 `json:"entries_before"`
	BytesBefore   int64 `json:"bytes_before"`
	BytesOut      int64 `json:"bytes_out,omitempty"`
}

// BatchEntry is one entry of a Batch. Path is relative; bytes that are no UTF-8 show as U+FFFD.
type BatchEntry struct {
	Path string          `json:"path"`
	Type agent.EntryType `json:"type"`
	// Size is a file's in bytes, a link's that of its target, else 0.
	Size int64 `json:"size"`
}

// cargo is what an export takes along: first as the listing announces it, then as the archive brings it. It remembers a few bytes
// for each entry and nothing of its content.
type cargo struct {
	visit *visit
	roots []place
	seed  maphash.Seed
	// allowed holds what the gate has allowed, by hash of path; entries and bytes are its totals.
	allowed        map[uint64]allowance
	entries, bytes int64

	// What follows belongs to the filter.
	sent                   map[uint64]mark
	sentEntries, sentBytes int64
	seen, dropped          int64
	checked                int64
}

type allowance struct {
	kind agent.EntryType
	size int64
}

// newCargo finds where paths lead. A link at their end is taken as a link, links on the way are followed.
func newCargo(ctx context.Context, v *visit, asked []string) (*cargo, error) {
	c := &cargo{visit: v, seed: maphash.MakeSeed(), allowed: map[uint64]allowance{}, sent: map[uint64]mark{}}
	found := map[string]place{}
	var paths []string
	for _, p := range asked {
		at, err := v.find(ctx, "read", p, false)
		if err != nil {
			return nil, err
		}
		if !at.exists() {
			return nil, fmt.Errorf("%w: %q", ErrNotFound, p)
		}
		found[at.path] = at
		paths = append(paths, at.path)
	}
	for _, p := range outermost(paths) {
		c.roots = append(c.roots, found[p])
	}
	return c, nil
}

// archived is what the sandbox is asked for; nothing is everything.
func (c *cargo) archived() []string {
	var paths []string
	for _, r := range c.roots {
		if r.path == "" {
			return nil
		}
		paths = append(paths, r.path)
	}
	return paths
}

func (c *cargo) hash(p string) uint64 { return maphash.String(c.seed, p) }

// list puts everything that would leave to the gate, before any of it does.
func (c *cargo) list(ctx context.Context) error {
	b := &batcher{cargo: c}
	for _, r := range c.roots {
		if r.path != "" {
			e := r.entry
			e.Path, e.PathBytes = r.path, nil
			if err := b.add(ctx, r.path, e); err != nil {
				return err
			}
		}
		if r.entry.Type != agent.EntryDirectory {
			continue
		}
		err := c.visit.files.Tree(ctx, r.path, func(e agent.Entry) error {
			if err := checkListed(e.Raw(), r.path); err != nil {
				return err
			}
			return b.add(ctx, e.Raw(), e)
		})
		if err != nil {
			return translate(err)
		}
	}
	return b.flush(ctx)
}

// batcher gathers entries for the gate.
type batcher struct {
	cargo   *cargo
	raw     []string
	entries []BatchEntry
	names   int
	total   int
}

func (b *batcher) add(ctx context.Context, raw string, e agent.Entry) error {
	limit := b.cargo.visit.service.cfg.MaxExportEntries
	if b.total++; b.total > limit {
		return &TooLargeError{What: "entries", Limit: int64(limit), Got: int64(b.total)}
	}
	b.raw = append(b.raw, raw)
	b.entries = append(b.entries, BatchEntry{agent.NewEntry(raw).Path, e.Type, weight(e.Type, e.Size, e.Target)})
	b.names += len(raw)
	if len(b.raw) < batchEntries && b.names < batchBytes {
		return nil
	}
	return b.flush(ctx)
}

func (b *batcher) flush(ctx context.Context) error {
	if len(b.raw) == 0 {
		return nil
	}
	err := b.cargo.ask(ctx, b.raw, b.entries)
	b.raw, b.entries, b.names = b.raw[:0], b.entries[:0], 0
	return err
}

// weight is how many bytes an entry counts for.
func weight(kind agent.EntryType, size int64, target string) int64 {
	switch kind {
	case agent.EntryFile:
		return size
	case agent.EntrySymlink:
		return int64(len(target))
	default:
		return 0
	}
}

// ask puts entries to the gate and adds what it allows. An entry that was allowed otherwise before is replaced.
func (c *cargo) ask(ctx context.Context, raw []string, entries []BatchEntry) error {
	for _, p := range raw {
		if old, again := c.allowed[c.hash(p)]; again {
			c.entries--
			c.bytes -= old.size
			delete(c.allowed, c.hash(p))
		}
	}
	err := c.visit.service.gates.Batch(ctx, c.visit.sessionID, Batch{
		Op: "export", Entries: entries, EntriesBefore: c.entries, BytesBefore: c.bytes,
	})
	if err != nil {
		return limitOf(err)
	}
	for i, p := range raw {
		c.entries++
		c.bytes += entries[i].Size
		c.allowed[c.hash(p)] = allowance{entries[i].Type, entries[i].Size}
	}
	return nil
}

// limitOf marks a refusal that is about a limit as such. A policy can only say so in words: ours say "the limit is".
func limitOf(err error) error {
	var refusal interface {
		Denied() (gate, by, reason string)
	}
	if errors.As(err, &refusal) {
		if _, _, reason := refusal.Denied(); strings.Contains(reason, "the limit is") {
			return &TooLargeError{What: "archive", Err: err}
		}
	}
	return err
}
