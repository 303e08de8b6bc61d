package baseline

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/agcluster/agcluster/core/agent"
)

const (
	// version is of the files' format. Another one is not read.
	version = 1
	// maxMomentFile bounds a moment's file, maxLine a line in it, in bytes.
	maxMomentFile = 128 << 20
	maxLine       = 32 << 10
)

var errFormat = errors.New("it is not as it was written")

// headLine is the first line of a moment's file.
type headLine struct {
	Version int   `json:"version"`
	Turn    int64 `json:"turn"`
	Began   int64 `json:"began"`
	Partial bool  `json:"partial,omitempty"`
}

// recordLine is every other line. Paths and targets are bytes.
type recordLine struct {
	Path     []byte          `json:"p"`
	Kind     agent.EntryType `json:"k,omitempty"` // empty is gone
	Size     int64           `json:"s,omitempty"`
	Inode    uint64          `json:"i,omitempty"`
	Modified int64           `json:"m,omitempty"`
	Changed  int64           `json:"c,omitempty"`
	Target   []byte          `json:"t,omitempty"`
	Sum      []byte          `json:"h,omitempty"`
	Binary   bool            `json:"b,omitempty"`
	Fresh    bool            `json:"f,omitempty"`
}

func newLine(path string, r *record) recordLine {
	if r == nil {
		return recordLine{Path: []byte(path)}
	}
	l := recordLine{
		Path: []byte(path), Kind: r.kind, Size: r.size, Inode: r.inode, Modified: r.modified, Changed: r.changed, Target: []byte(r.target),
		Binary: r.binary, Fresh: r.fresh,
	}
	if r.sum != (sum{}) {
		l.Sum = r.sum[:]
	}
	return l
}

// record reads a line back; nil is a file that was gone.
func (l recordLine) record() (*record, error) {
	if l.Kind == "" {
		return nil, nil //nolint:nilnil // it is what nil stands for
	}
	r := &record{
		kind: l.Kind, size: l.Size, inode: l.Inode, modified: l.Modified, changed: l.Changed, target: string(l.Target), binary: l.Binary, fresh: l.Fresh,
	}
	if len(l.Sum) > 0 {
		if len(l.Sum) != len(r.sum) {
			return nil, errFormat
		}
		r.sum = sum(l.Sum)
	}
	switch l.Kind {
	case agent.EntryFile, agent.EntrySymlink, agent.EntryOther:
		return r, nil
	default:
		return nil, errFormat
	}
}

// writeMoment writes a moment's file at once, and returns its size.
func writeMoment(root *os.Root, name string, m moment) (int64, error) {
	temp := name + ".new"
	f, _, err := openRegular(root, temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriterSize(f, packBuffer)
	enc := json.NewEncoder(out)
	err = enc.Encode(headLine{version, m.turn, m.began, m.partial})
	for path, r := range m.changed {
		if err != nil {
			break
		}
		err = enc.Encode(newLine(path, r))
	}
	if err == nil {
		err = out.Flush()
	}
	size, seekErr := f.Seek(0, io.SeekCurrent)
	if err = errors.Join(err, seekErr, f.Close()); err == nil {
		err = root.Rename(temp, name)
	}
	if err != nil {
		root.Remove(temp) //nolint:errcheck // it is never read
		return 0, fmt.Errorf("writing %s: %w", name, err)
	}
	return size, nil
}

// readMoment reads a moment's file, and returns its size.
func readMoment(root *os.Root, name string, turn int64) (moment, int64, error) {
	if _, err := root.Lstat(name); err != nil {
		return moment{}, 0, fmt.Errorf("reading %s: %w", name, err)
	}
	f, info, err := openRegular(root, name, os.O_RDONLY)
	if err != nil {
		return moment{}, 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	broken := func(err error) (moment, int64, error) {
		return moment{}, 0, fmt.Errorf("reading %s: %w", name, err)
	}
	lines := bufio.NewScanner(io.LimitReader(f, maxMomentFile))
	lines.Buffer(make([]byte, 0, 4096), maxLine)
	var head headLine
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &head) != nil || head.Version != version || head.Turn != turn {
		return broken(errFormat)
	}
	m := moment{turn: turn, began: head.Began, partial: head.Partial, changed: map[string]*record{}}
	for lines.Scan() {
		var l recordLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return broken(err)
		}
		r, err := l.record()
		if err != nil || len(l.Path) == 0 || r == nil && turn == 0 || len(m.changed) >= maxRecords {
			return broken(errFormat)
		}
		m.changed[string(l.Path)] = r
	}
	if err := lines.Err(); err != nil {
		return broken(err)
	}
	return m, info.Size(), nil
}
