package baseline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

const (
	launchFile = "launch.jsonl"
	turnPrefix = "turn-"
	turnSuffix = ".jsonl"
	packFile   = "contents"
	// blockSize is what a file takes at least, in bytes.
	blockSize = 4096
)

// shelf keeps moments and contents in a folder. Without the folder it keeps nothing, and says so once. The agent can put anything in
// there: everything is opened through os.Root, never waits, and is checked when it is read.
type shelf struct {
	root *os.Root
	log  *zap.Logger

	mu   sync.Mutex
	pack *pack
	// sizes are those of the moments' files.
	sizes map[int64]int64
}

// openShelf opens the folder, which it makes.
func openShelf(cfg Config, log *zap.Logger) *shelf {
	s := &shelf{log: log, sizes: map[int64]int64{}}
	err := os.MkdirAll(cfg.Dir, 0o700)
	if err == nil {
		s.root, err = os.OpenRoot(cfg.Dir)
	}
	if err == nil {
		s.pack, err = openPack(s.root, cfg.Budget)
	}
	if err != nil {
		log.Warn("baselines are kept for this sandbox only, and without contents", zap.Error(err))
	}
	return s
}

func (s *shelf) close() {
	if s.pack != nil {
		s.pack.file.Close() //nolint:errcheck // all was written
	}
	if s.root != nil {
		s.root.Close() //nolint:errcheck // only a folder
	}
}

// stored is what the shelf takes on disk.
func (s *shelf) stored() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n int64
	for _, size := range s.sizes {
		n += (size + blockSize - 1) / blockSize * blockSize
	}
	if s.pack != nil {
		n += (s.pack.written + blockSize - 1) / blockSize * blockSize
	}
	return n
}

// add keeps a content, unless there is no room.
func (s *shelf) add(id sum, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pack == nil {
		return
	}
	if err := s.pack.add(id, content); err != nil {
		s.log.Warn("keeping the contents of a baseline", zap.Error(err))
	}
}

// get is a content that was kept.
func (s *shelf) get(id sum) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pack == nil {
		return nil, false
	}
	return s.pack.get(id)
}

func momentFile(turn int64) string {
	if turn == 0 {
		return launchFile
	}
	return turnPrefix + strconv.FormatInt(turn, 10) + turnSuffix
}

// save keeps a moment, and makes sure of the contents before it.
func (s *shelf) save(m moment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root == nil {
		return nil
	}
	var err error
	if s.pack != nil {
		err = s.pack.flush()
	}
	size, saveErr := writeMoment(s.root, momentFile(m.turn), m)
	s.sizes[m.turn] = size
	return errors.Join(err, saveErr)
}

// load reads what is kept; nil is nothing. What comes after a moment that can't be read is worthless and removed.
func (s *shelf) load() *past {
	if s.root == nil {
		return nil
	}
	turns, err := s.turns()
	if err != nil {
		s.log.Warn("looking for baselines", zap.Error(err))
	}
	var moments []moment
	for i, turn := range append([]int64{0}, turns...) {
		m, size, err := readMoment(s.root, momentFile(turn), turn)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				s.log.Warn("reading a baseline", zap.Int64("turn", turn), zap.Error(err))
			}
			for _, lost := range append([]int64{0}, turns...)[i:] {
				s.root.Remove(momentFile(lost)) //nolint:errcheck // it is written anew, or not looked at again
			}
			break
		}
		s.sizes[turn] = size
		moments = append(moments, m)
	}
	if len(moments) == 0 {
		return nil
	}
	return newPast(moments)
}

// turns lists the turns that are kept.
func (s *shelf) turns() ([]int64, error) {
	dir, err := s.root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("opening the folder: %w", err)
	}
	defer dir.Close() //nolint:errcheck // only read
	// The agent may have put any number in there.
	names, err := dir.Readdirnames(4 * maxMoments)
	if len(names) == 0 {
		return nil, nil // empty
	}
	var turns []int64
	for _, name := range names {
		text, ok := strings.CutPrefix(name, turnPrefix)
		text, isTurn := strings.CutSuffix(text, turnSuffix)
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && ok && isTurn && n > 0 && momentFile(n) == name {
			turns = append(turns, n)
		}
	}
	slices.Sort(turns)
	return turns, err
}

// trim makes room: turns over the bounds are merged, oldest first, and contents that nothing refers to any more are dropped once the
// pack is three quarters full.
func (s *shelf) trim(p *past, budget int64) *past {
	s.mu.Lock()
	defer s.mu.Unlock()
	full := s.pack != nil && s.pack.written > budget/4*3
	before := p
	for len(p.moments) > 2 {
		n := 1
		if len(p.moments) <= maxMoments {
			if p.records() <= maxRecords && (!full || s.pack.weight(p.contents()) <= budget/2) {
				break
			}
			n = (len(p.moments) - 1) / 2
		}
		p = p.merged(n)
	}
	if p != before && s.root != nil {
		if err := s.forget(before, p.moments[1]); err != nil {
			s.log.Warn("merging baselines", zap.Error(err))
			return p
		}
	}
	if live := p.contents(); full && s.pack.weight(live) < s.pack.written/10*9 {
		if err := s.pack.keepOnly(live); err != nil {
			s.log.Warn("dropping contents of baselines", zap.Error(err))
		}
	}
	return p
}

// forget writes the turn that older ones were merged into, and removes those.
func (s *shelf) forget(before *past, first moment) error {
	size, err := writeMoment(s.root, momentFile(first.turn), first)
	if err != nil {
		return err
	}
	s.sizes[first.turn] = size
	for _, m := range before.moments[1:] {
		if m.turn < first.turn {
			s.root.Remove(momentFile(m.turn)) //nolint:errcheck // it changes nothing
			delete(s.sizes, m.turn)
		}
	}
	return nil
}

// openRegular opens a regular file without ever waiting. Whatever else is there is removed first.
func openRegular(root *os.Root, name string, flags int) (*os.File, os.FileInfo, error) {
	if info, err := root.Lstat(name); err == nil && !info.Mode().IsRegular() {
		if err := root.RemoveAll(name); err != nil {
			return nil, nil, fmt.Errorf("making room for %s: %w", name, err)
		}
	}
	f, err := root.OpenFile(name, flags|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("opening %s: %w", name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("opening %s: it is no file", name)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}
