package baseline

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/agcluster/agcluster/core/agent"
)

// look is one look at the workspace, for a moment.
type look struct {
	moment

	shelf  *shelf
	before map[string]*record
	latest map[string]*record
	reads  int
	bytes  int64
}

// file takes in one file.
func (l *look) file(f *File) error {
	if len(l.latest) >= maxFiles {
		return errEnough
	}
	old := l.before[f.Path]
	if old.same(f) {
		l.latest[f.Path] = old
		return nil
	}
	r := facts(f)
	if f.Kind == agent.EntryFile && f.Size <= MaxText && !bulk(f.Path) && l.reads < maxReads && l.bytes+f.Size <= maxReadBytes {
		l.reads++
		l.bytes += f.Size
		if content, err := readAll(f); err == nil {
			r.sum, r.binary = sha256.Sum256(content), !isText(content)
			// It was changed while it was read.
			r.fresh = r.fresh || int64(len(content)) != f.Size
			if !r.binary {
				l.shelf.add(r.sum, content)
			}
		}
	}
	l.latest[f.Path] = r
	l.changed[f.Path] = r
	return nil
}

// gone notes what is not there any more. What could not be looked at is taken to be as it was.
func (l *look) gone(hidden []string) {
	for path, old := range l.before {
		switch _, there := l.latest[path]; {
		case there:
		case l.partial || within(path, hidden):
			l.latest[path] = old
		default:
			l.changed[path] = nil
		}
	}
}

// facts is the record of a file that was not read.
func facts(f *File) *record {
	newest := max(f.Modified, f.Changed)
	return &record{
		kind: f.Kind, size: f.Size, inode: f.Inode, modified: f.Modified, changed: f.Changed, target: f.Target,
		fresh: newest > time.Now().Add(-tick).UnixNano(),
	}
}

// errLarge means that a file has become larger than MaxText.
var errLarge = errors.New("too large")

// readAll reads a file whole, up to MaxText. It may have become another one.
func readAll(f *File) ([]byte, error) {
	file, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("opening %q: %w", f.Path, err)
	}
	defer file.Close() //nolint:errcheck // only read
	content := make([]byte, 0, min(f.Size, MaxText)+1)
	buf := bytes.NewBuffer(content)
	n, err := io.Copy(buf, io.LimitReader(file, MaxText+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %q: %w", f.Path, err)
	case n > MaxText:
		return nil, errLarge
	}
	return buf.Bytes(), nil
}

// sniffed is how many bytes tell a large text from something else.
const sniffed = 8 << 10

// sniff says whether a file begins like a text.
func sniff(file *os.File) bool {
	head := make([]byte, sniffed)
	n, err := io.ReadFull(file, head)
	return (err == nil || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)) && isText(head[:n])
}

// isText says whether a content may be a text. What has a NUL is none, save UTF-16 with its mark; core/workspace looks more closely.
func isText(b []byte) bool {
	return bytes.IndexByte(b, 0) < 0 || bytes.HasPrefix(b, []byte{0xFF, 0xFE}) || bytes.HasPrefix(b, []byte{0xFE, 0xFF})
}

// bulk says whether a path lies in a folder that a tool fills with what nobody reads: of that, only facts are kept.
func bulk(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		switch part {
		case ".git", ".hg", ".svn", "node_modules", ".venv", "venv", "__pycache__", ".cache", ".tox", ".mypy_cache", ".pytest_cache", ".ruff_cache":
			return true
		}
	}
	return false
}

// within says whether a path lies in one of the folders.
func within(path string, folders []string) bool {
	for _, f := range folders {
		if f == "." || strings.HasPrefix(path, f+"/") {
			return true
		}
	}
	return false
}
