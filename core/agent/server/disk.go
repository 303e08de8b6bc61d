package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/core/agent"
)

const (
	// lookEvery is how often the storage is counted while a turn runs. One count that took long is followed by a pause of lookPause
	// times as long, so that a large tree does not keep a processor busy.
	lookEvery = time.Second
	lookPause = 10
	// usageAge is how old a count may be for those who only want to show it.
	usageAge = 3 * time.Second
	// countTimeout bounds one count; what was known before stays then.
	countTimeout = 30 * time.Second
	// namesAtOnce bounds how many names of a folder are read at once.
	namesAtOnce = 1024
)

var errStorage = errors.New("there is no room")

// storage counts what the agent's folders hold: allocated blocks, hard links once. It is a count of the agent's own files by a process
// of the agent's own user: a limit for those who err, and no wall. It is safe for concurrent use.
type storage struct {
	limit int64
	// folders are absolute paths, none in another. They need not be there.
	folders []string
	log     *zap.Logger
	// slot is held by who counts.
	slot chan struct{}
	// ownDir is where the agent server keeps something itself, and own tells how much: that is not the agent's to answer for. What else is in
	// there is. Without them there is nothing.
	ownDir string
	own    func() int64

	mu   sync.Mutex
	used int64
	// at is when the newest count began, took how long it needed; the zero time is never.
	at   time.Time
	took time.Duration
	// stale says that something was done since that may have changed it.
	stale bool
}

func newStorage(limit int64, folders []string, log *zap.Logger) *storage {
	return &storage{limit: limit, folders: folders, log: log, slot: make(chan struct{}, 1)}
}

// now is what was counted last.
func (s *storage) now() agent.Disk {
	s.mu.Lock()
	defer s.mu.Unlock()
	return agent.Disk{Used: s.used, Limit: s.limit}
}

// touch notes that something was done which may have changed what is there, and that it grew by what is known.
func (s *storage) touch(grown int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stale = true
	s.used += grown
}

// judged is a count to decide by: one that is over the limit is taken anew, because something may have been deleted; another one only
// when something was done since and counting is cheap.
func (s *storage) judged(ctx context.Context) agent.Disk {
	s.mu.Lock()
	known := agent.Disk{Used: s.used, Limit: s.limit}
	need := known.Over() || s.at.IsZero() || s.stale && time.Since(s.at) > lookPause*s.took
	s.mu.Unlock()
	if s.limit > 0 && need {
		s.count(ctx)
	}
	return s.now()
}

// shown is a count that is not older than usageAge.
func (s *storage) shown(ctx context.Context) agent.Disk {
	s.mu.Lock()
	old := time.Since(s.at) > max(usageAge, lookPause*s.took)
	s.mu.Unlock()
	if old {
		s.count(ctx)
	}
	return s.now()
}

// room fails when a file of so many bytes has no room. That it may replace another does not count: for a moment both are there.
func (s *storage) room(ctx context.Context, size int64) error {
	if s.limit == 0 {
		return nil
	}
	d := s.judged(ctx)
	if d.Over() {
		return fmt.Errorf("%w: %w: %s; delete files first", agent.ErrTooLarge, errStorage, d)
	}
	if size > d.Limit-d.Used {
		return fmt.Errorf("%w: %w for %s more: %s", agent.ErrTooLarge, errStorage, humanize.IBytes(uint64(size)), d) //nolint:gosec // not negative
	}
	return nil
}

// pause is how long to wait for the next look.
func (s *storage) pause() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(lookEvery, lookPause*s.took)
}

// count counts anew, or returns when somebody else has who began later than it was called.
func (s *storage) count(ctx context.Context) {
	asked := time.Now()
	select {
	case s.slot <- struct{}{}:
		defer func() { <-s.slot }()
	case <-ctx.Done():
		return
	}
	s.mu.Lock()
	done := s.at.After(asked)
	s.mu.Unlock()
	if done {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	began := time.Now()
	s.mu.Lock()
	s.stale = false
	s.mu.Unlock()
	used, err := s.walk(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.took = began, time.Since(began)
	if err == nil {
		s.used = used
		return
	}
	s.stale = true
	if !errors.Is(err, context.Canceled) {
		s.log.Warn("counting what is stored", zap.Error(err))
	}
}

// walk adds up the folders. One that is not there holds nothing.
func (s *storage) walk(ctx context.Context) (int64, error) {
	t := &tally{seen: map[inode]struct{}{}}
	var own int64
	if s.own != nil {
		// Counted apart, so that what is written there during the count falsifies nothing.
		apart := &tally{seen: map[inode]struct{}{}}
		// One that the agent has made something else of is counted like all the rest.
		if apart.root(ctx, s.ownDir) == nil {
			t.apart = apart.at
			own = max(apart.bytes-s.own(), 0)
		}
	}
	for _, path := range s.folders {
		if err := t.root(ctx, path); err != nil {
			return 0, err
		}
	}
	return t.bytes + own, nil
}

// tally is a count as it goes on.
type tally struct {
	bytes int64
	// seen are the files of more than one name that were counted.
	seen map[inode]struct{}
	// at is the root that was counted last; apart is a folder that is not counted.
	at, apart inode
}

// root counts the folder at a path, if there is one.
func (t *tally) root(ctx context.Context, path string) error {
	dir, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	st, err := fstat(dir)
	if err != nil {
		return errors.Join(err, dir.Close())
	}
	t.at = inode{st.Dev, st.Ino}
	return t.folder(ctx, dir, 0)
}

type inode struct{ dev, ino uint64 }

func (t *tally) add(st *unix.Stat_t) {
	if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		id := inode{st.Dev, st.Ino}
		if _, ok := t.seen[id]; ok {
			return
		}
		t.seen[id] = struct{}{}
	}
	t.bytes += st.Blocks * 512
}

// folder counts what is in an open folder, which it closes. Like every walk it goes from open folder to open folder and follows no link.
// What vanishes meanwhile is not counted; nor is what lies deeper than maxDepth folders.
func (t *tally) folder(ctx context.Context, dir *os.File, depth int) error {
	defer dir.Close() //nolint:errcheck // only read
	for {
		names, err := dir.Readdirnames(namesAtOnce)
		if errors.Is(err, io.EOF) || err != nil && errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a folder: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, name := range names {
			if err := t.entry(ctx, int(dir.Fd()), name, depth); err != nil {
				return err
			}
		}
	}
}

func (t *tally) entry(ctx context.Context, dir int, name string, depth int) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil //nolint:nilerr // gone by now
	}
	if t.apart == (inode{st.Dev, st.Ino}) {
		return nil
	}
	t.add(&st)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || depth >= maxDepth {
		return nil
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EACCES) {
		fd, err = openClosed(dir, name, st.Mode)
	}
	if err != nil {
		return nil //nolint:nilerr // gone, or another thing by now
	}
	return t.folder(ctx, os.NewFile(uintptr(fd), name), depth+1)
}

// openClosed opens a folder of our own that its mode closes to us: nothing is hidden from the count by that.
func openClosed(dir int, name string, mode uint32) (int, error) {
	// A descriptor that can't be read, but named: chmod by the folder's own name would follow a link in its place.
	handle, err := unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening a closed folder: %w", err)
	}
	defer unix.Close(handle) //nolint:errcheck // only a name
	path := "/proc/self/fd/" + strconv.Itoa(handle)
	if err := unix.Chmod(path, mode&0o7777|0o500); err != nil {
		return -1, fmt.Errorf("opening a closed folder: %w", err)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return fd, errors.Join(err, unix.Chmod(path, mode&0o7777))
}
