package workspace

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/plugins/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var modified = time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)

// item is a file, folder, link or other thing of a box.
type item struct {
	kind    agent.EntryType
	content string
	target  string
	mod     time.Time
}

// box is a sandbox in memory. It does what an honest agent server does, unless a test puts something else in its place.
type box struct {
	mu    sync.Mutex
	items map[string]item
	open  int
	// listing and archive stand in for what the items say.
	listing []agent.Entry
	archive func() io.ReadCloser
	// beforeArchive and beforeRead are the agent at work.
	beforeArchive, beforeRead func()
	writeErr                  map[string]error
	// changes and change are what a comparison says.
	changes   agent.ChangeList
	change    agent.FileChange
	changeErr error
	cut       int64
}

var (
	_ Files     = (*box)(nil)
	_ Sandboxes = (*box)(nil)
)

// newBox makes a box of paths: "x" is a file with the value as content, "x/" a folder, "x@" a link to the value, "x!" a socket.
func newBox(paths map[string]string) *box {
	b := &box{items: map[string]item{}, writeErr: map[string]error{}}
	for p, v := range paths {
		b.put(p, v)
	}
	return b
}

func (b *box) put(p, v string) {
	i := item{kind: agent.EntryFile, content: v, mod: modified}
	switch p[len(p)-1] {
	case '/':
		i = item{kind: agent.EntryDirectory, mod: modified}
	case '@':
		i = item{kind: agent.EntrySymlink, target: v, mod: modified}
	case '!':
		i = item{kind: agent.EntryOther, mod: modified}
	}
	p = strings.TrimRight(p, "/@!")
	for up := parent(p); up != ""; up = parent(up) {
		if _, there := b.items[up]; !there {
			b.items[up] = item{kind: agent.EntryDirectory, mod: modified}
		}
	}
	b.items[p] = i
}

// Open implements Sandboxes.
func (b *box) Open(context.Context, string) (Files, func(), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open++
	var once sync.Once
	return b, func() {
		once.Do(func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.open--
		})
	}, nil
}

func (b *box) entry(p string) agent.Entry {
	i := b.items[p]
	e := agent.NewEntry(p)
	e.Type, e.Size, e.Target, e.ModTime, e.Mode = i.kind, int64(len(i.content)), i.target, i.mod, 0o644
	if i.kind == agent.EntryFile {
		e.Tag = fmt.Sprintf("%x%08x", i.mod.UnixNano(), crc32.ChecksumIEEE([]byte(i.content)))
	}
	return e
}

func (b *box) paths(roots ...string) []string {
	var all []string
	for p := range b.items {
		if len(roots) == 0 || slices.ContainsFunc(roots, func(r string) bool { return below(p, r) }) {
			all = append(all, p)
		}
	}
	// Depth-first, as a walk has it: a slash sorts before everything.
	slices.SortFunc(all, func(x, y string) int {
		return strings.Compare(strings.ReplaceAll(x, "/", "\x00"), strings.ReplaceAll(y, "/", "\x00"))
	})
	return all
}

// Tree implements Reader.
func (b *box) Tree(_ context.Context, root string, fn func(agent.Entry) error) error {
	list := b.listing
	if list == nil {
		for _, p := range b.paths(root) {
			if p != root {
				list = append(list, b.entry(p))
			}
		}
	}
	for _, e := range list {
		if err := fn(e); err != nil {
			return err
		}
	}
	return nil
}

// Stat implements Reader.
func (b *box) Stat(_ context.Context, p string) (agent.Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.items[p]; !ok {
		return agent.Entry{}, fmt.Errorf("looking at %q: %w", p, agent.ErrNotFound)
	}
	return b.entry(p), nil
}

// Read implements Reader.
func (b *box) Read(_ context.Context, p string, o agent.ReadOptions) (io.ReadCloser, agent.Entry, error) {
	if b.beforeRead != nil {
		b.beforeRead()
	}
	i, ok := b.items[p]
	if !ok {
		return nil, agent.Entry{}, agent.ErrNotFound
	}
	rest := i.content[min(o.Offset, int64(len(i.content))):]
	if o.Length > 0 {
		rest = rest[:min(o.Length, int64(len(rest)))]
	}
	if b.cut > 0 {
		rest = rest[:min(b.cut, int64(len(rest)))]
	}
	return io.NopCloser(strings.NewReader(rest)), b.entry(p), nil
}

// Archive implements Reader.
func (b *box) Archive(_ context.Context, roots []string) (io.ReadCloser, error) {
	if b.beforeArchive != nil {
		b.beforeArchive()
	}
	if b.archive != nil {
		return b.archive(), nil
	}
	pr, pw := io.Pipe()
	go func() {
		w := tar.NewWriter(pw)
		for _, p := range b.paths(roots...) {
			i := b.items[p]
			h := &tar.Header{Name: p, Typeflag: tar.TypeReg, Size: int64(len(i.content)), Mode: 0o6644, ModTime: i.mod, Uname: "agent", Uid: 10001}
			switch i.kind {
			case agent.EntryDirectory:
				h.Typeflag, h.Name = tar.TypeDir, p+"/"
			case agent.EntrySymlink:
				h.Typeflag, h.Linkname = tar.TypeSymlink, i.target
			case agent.EntryOther:
				h.Typeflag = tar.TypeFifo
			}
			if err := w.WriteHeader(h); err != nil {
				_ = pw.CloseWithError(err)
				return
			}
			if _, err := io.WriteString(w, i.content); err != nil {
				_ = pw.CloseWithError(err)
				return
			}
		}
		_ = pw.CloseWithError(w.Close())
	}()
	return pr, nil
}

// Write implements Writer.
func (b *box) Write(_ context.Context, p string, size int64, r io.Reader, o agent.WriteOptions) (agent.Entry, error) {
	if err := b.writeErr[p]; err != nil {
		return agent.Entry{}, err
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return agent.Entry{}, err
	}
	if int64(len(content)) != size {
		return agent.Entry{}, fmt.Errorf("%d bytes were announced and %d came", size, len(content))
	}
	i, there := b.items[p]
	switch {
	case len(o.IfTag) > 0 && (i.kind != agent.EntryFile || !slices.Contains(o.IfTag, "*") && !slices.Contains(o.IfTag, b.entry(p).Tag)):
		return agent.Entry{}, agent.ErrPrecondition
	case there && !o.Overwrite:
		return agent.Entry{}, agent.ErrConflict
	}
	b.put(p, string(content))
	return b.entry(p), nil
}

// Move implements Writer.
func (b *box) Move(_ context.Context, from, to string, overwrite bool) error {
	if i, there := b.items[to]; there && (!overwrite || i.kind == agent.EntryDirectory) {
		return agent.ErrConflict
	}
	for _, p := range b.paths(from) {
		b.items[to+p[len(from):]] = b.items[p]
		delete(b.items, p)
	}
	return nil
}

// Changes implements Comparer.
func (b *box) Changes(_ context.Context, since string) (agent.ChangeList, error) {
	list := b.changes
	if list.Since == "" {
		list.Since = since
	}
	return list, b.changeErr
}

// Change implements Comparer.
func (b *box) Change(_ context.Context, p, _ string) (agent.FileChange, error) {
	c := b.change
	c.Path = p
	return c, b.changeErr
}

// MakeFolder implements Writer.
func (b *box) MakeFolder(_ context.Context, p string) error {
	b.put(p+"/", "")
	return nil
}

// Delete implements Writer.
func (b *box) Delete(_ context.Context, p string, recursive bool) error {
	gone := b.paths(p)
	if len(gone) > 1 && !recursive {
		return agent.ErrConflict
	}
	for _, p := range gone {
		delete(b.items, p)
	}
	return nil
}

// refused is what guard.DeniedError is.
type refused struct{ reason string }

func (e *refused) Error() string                     { return e.reason }
func (e *refused) Denied() (gate, by, reason string) { return "", "", e.reason }

func deny(format string, args ...any) error { return &refused{fmt.Sprintf(format, args...)} }

func isRefused(err error) bool {
	var r *refused
	return errors.As(err, &r)
}

// gates allow what a test doesn't deny, and remember what they were asked.
type gates struct {
	mu     sync.Mutex
	denied map[string]bool
	paths  []string
	// many has the lengths of what Paths was asked about.
	many       []int
	batches    []Batch
	maxEntries int64
	maxBytes   int64
	maxRatio   float64
}

// Path implements Gates.
func (g *gates) Path(_ context.Context, _, op, rel string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paths = append(g.paths, op+" "+rel)
	if g.denied[op+" "+rel] {
		return deny("%s %s", op, rel)
	}
	return nil
}

// Paths implements Gates.
func (g *gates) Paths(ctx context.Context, id, op string, rels []string) error {
	g.mu.Lock()
	g.many = append(g.many, len(rels))
	g.mu.Unlock()
	for _, rel := range rels {
		if err := g.Path(ctx, id, op, rel); err != nil {
			return err
		}
	}
	return nil
}

// Batch implements Gates.
func (g *gates) Batch(_ context.Context, _ string, batch any) error {
	b := batch.(Batch)
	g.mu.Lock()
	defer g.mu.Unlock()
	b.Entries = slices.Clone(b.Entries)
	g.batches = append(g.batches, b)
	entries, bytes := b.EntriesBefore+int64(len(b.Entries)), b.BytesBefore
	for _, e := range b.Entries {
		bytes += e.Size
		g.paths = append(g.paths, "read "+e.Path)
		if g.denied["read "+e.Path] {
			return deny("read %s", e.Path)
		}
	}
	switch {
	case g.maxEntries > 0 && entries > g.maxEntries:
		return deny("%d entries, the limit is max_entries = %d", entries, g.maxEntries)
	case g.maxBytes > 0 && bytes > g.maxBytes:
		return deny("%d bytes, the limit is max_bytes = %d", bytes, g.maxBytes)
	case g.maxRatio > 0 && b.BytesOut > 0 && float64(bytes)/float64(b.BytesOut) > g.maxRatio:
		return deny("too tight, the limit is max_ratio = %g", g.maxRatio)
	}
	return nil
}

// exporters has one exporter, called zip.
type exporters struct{ zip sdk.Exporter }

// Exporter implements Exporters.
func (e exporters) Exporter(_ context.Context, name string) (sdk.Exporter, error) {
	if name != "zip" {
		return nil, errors.New("there is no plugin exporter-" + name + " in /secret/place")
	}
	return e.zip, nil
}

// exporter is an sdk.Exporter made of a function.
type exporter func(in io.Reader, begin func(sdk.ExportHeader) error, out io.Writer) error

// Export implements sdk.Exporter.
func (f exporter) Export(
	_ context.Context, _ sdk.ExportRequest, in io.Reader, begin func(sdk.ExportHeader) error, out io.Writer,
) error {
	return f(in, begin, out)
}

var tarHeader = sdk.ExportHeader{FileName: "workspace.tar", MediaType: "application/x-tar"}

// plain exports the tar as it is.
func plain(in io.Reader, begin func(sdk.ExportHeader) error, out io.Writer) error {
	if err := begin(tarHeader); err != nil {
		return err
	}
	_, err := io.Copy(out, in)
	return err
}

type rig struct {
	*Service
	box   *box
	gates *gates
	id    string
}

// start makes a Service over b; the sandbox must be free again at the end.
func start(tb testing.TB, b *box, cfg Config, e sdk.Exporter) rig {
	tb.Helper()
	g := &gates{denied: map[string]bool{}}
	cfg.SpoolDir = tb.TempDir()
	tb.Cleanup(func() {
		if b.open != 0 {
			tb.Errorf("the sandbox is kept %d times", b.open)
		}
	})
	return rig{New(cfg, b, g, exporters{e}, zaptest.NewLogger(tb)), b, g, "s"}
}

// tarOf reads a tar: path to content, links as "-> target", folders as "/".
func tarOf(tb testing.TB, b []byte) map[string]string {
	tb.Helper()
	got := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			tb.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			tb.Fatal(err)
		}
		switch h.Typeflag {
		case tar.TypeDir:
			got[strings.TrimSuffix(h.Name, "/")] = "/"
		case tar.TypeSymlink:
			got[h.Name] = "-> " + h.Linkname
		case tar.TypeReg:
			got[h.Name] = string(content)
		default:
			tb.Errorf("%q has type %q", h.Name, h.Typeflag)
		}
		if h.Mode&^0o777 != 0 || h.Uid != 0 || h.Uname != "" {
			tb.Errorf("%q has mode %o and owner %d %q", h.Name, h.Mode, h.Uid, h.Uname)
		}
	}
}
