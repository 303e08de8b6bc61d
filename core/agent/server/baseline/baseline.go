// Package baseline remembers how a workspace was when its session was launched and when each of its turns began, so that people can see
// what has changed since. It keeps what it knows in a folder outside of the workspace that survives the sandbox. It knows neither HTTP nor
// how a workspace is walked; core/agent/server is around it. README.md of that folder has the decisions.
//
// What is kept are facts of every file (kind, size, times, inode), and the content of texts up to MaxText, each content once, within a
// budget. Facts that are the same as last time cost one look and nothing else. The agent runs as the same user and can reach the folder:
// whatever is read from it is checked, and at worst is wrong about the agent's own files.
package baseline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
)

const (
	// MaxText bounds a file whose content is kept, in bytes.
	MaxText = agent.MaxChangeText
	// maxFiles bounds how many files one look at the workspace takes in; what is more is not compared, and the answer says so.
	maxFiles = 100_000
	// maxReads and maxReadBytes bound what one look reads of files that it does not know.
	maxReads     = 20_000
	maxReadBytes = 256 << 20
	// lookTimeout bounds one look: the turn's first tool call waits for it.
	lookTimeout = 20 * time.Second
	// maxMoments bounds how many turns are kept, maxRecords all their facts together: older turns are merged.
	maxMoments = 200
	maxRecords = 4 * maxFiles
	// tick is how coarse the kernel's clock for files may be: what was changed so shortly before it was looked at may be changed again
	// without its facts telling.
	tick = 20 * time.Millisecond
)

// File is one thing of the workspace that is no folder. It is valid during the call that hands it out.
type File struct {
	// Path is relative to the workspace, its bytes as on disk.
	Path  string
	Kind  agent.EntryType
	Size  int64
	Inode uint64
	// Modified and Changed are the times of the content and of the inode, in nanoseconds since 1970.
	Modified, Changed int64
	// Target of a link.
	Target string
	// Open opens a regular file, or fails when it is another thing by now. It never waits.
	Open func() (*os.File, error)
}

// Tree is the workspace. Its methods are safe for concurrent use, follow no link and wait for nobody, whatever the agent does meanwhile.
type Tree interface {
	// Walk calls fn for every file; hidden are the folders that it could not look into. An error of fn ends it and is returned.
	Walk(ctx context.Context, fn func(*File) error) (hidden []string, err error)
	// Find calls fn with the file at path, or fails with agent.ErrNotFound.
	Find(path string, fn func(*File) error) error
}

// Config says where and how much is kept.
type Config struct {
	// Dir is an absolute path outside of the workspace. It is made when it is needed.
	Dir string
	// Budget bounds the contents that are kept, in bytes.
	Budget int64
}

// Keeper keeps the baselines of one workspace. It is safe for concurrent use.
type Keeper struct {
	cfg  Config
	tree Tree
	log  *zap.Logger
	// slot is held by who takes a moment.
	slot   chan struct{}
	stored atomic.Int64
	shelf  *shelf

	mu   sync.Mutex
	past *past
}

// New returns a Keeper that has done nothing yet. The caller closes it when none of its methods runs.
func New(cfg Config, tree Tree, log *zap.Logger) *Keeper {
	return &Keeper{cfg: cfg, tree: tree, log: log, slot: make(chan struct{}, 1)}
}

// Stored is about how many bytes the Keeper takes on disk.
func (k *Keeper) Stored() int64 { return k.stored.Load() }

// Close closes what is open.
func (k *Keeper) Close() {
	if k.shelf != nil {
		k.shelf.close()
	}
}

// Launch remembers the workspace as it is now, unless it was done before: in this sandbox or in an earlier one of the session.
func (k *Keeper) Launch(ctx context.Context) error { return k.moment(ctx, 0) }

// Turn remembers the workspace as the turn begins. It does nothing for a turn that has begun before.
func (k *Keeper) Turn(ctx context.Context, turn int64) error { return k.moment(ctx, turn) }

func (k *Keeper) moment(ctx context.Context, turn int64) error {
	free, err := k.open(ctx)
	if err != nil {
		return err
	}
	defer free()
	for _, n := range []int64{0, turn} {
		if p := k.now(); p != nil && n <= p.newest().turn {
			continue
		}
		if err := k.take(ctx, n); err != nil {
			return fmt.Errorf("looking at the workspace: %w", err)
		}
	}
	return nil
}

// open takes the slot, and reads what an earlier sandbox has kept when nobody has yet.
func (k *Keeper) open(ctx context.Context) (free func(), err error) {
	select {
	case k.slot <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if k.shelf == nil {
		k.shelf = openShelf(k.cfg, k.log)
		k.publish(k.shelf.load())
	}
	return func() { <-k.slot }, nil
}

func (k *Keeper) now() *past {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.past
}

func (k *Keeper) publish(p *past) {
	k.mu.Lock()
	k.past = p
	k.mu.Unlock()
	k.stored.Store(k.shelf.stored())
}

// take looks at the workspace and adds a moment.
func (k *Keeper) take(ctx context.Context, turn int64) error {
	old := k.now()
	if old != nil {
		old = k.shelf.trim(old, k.cfg.Budget)
	} else {
		old = &past{}
	}
	bounded, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	l := &look{
		shelf: k.shelf, before: old.latest, latest: make(map[string]*record, len(old.latest)),
		moment: moment{turn: turn, began: time.Now().UnixNano(), changed: map[string]*record{}},
	}
	hidden, err := k.tree.Walk(bounded, l.file)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if l.partial = err != nil; l.partial {
		k.log.Warn("the workspace was not looked at to its end", zap.Int("files", len(l.latest)), zap.Error(err))
	}
	l.gone(hidden)
	next := old.with(l.moment, l.latest)
	// Without it the moment is there as long as this sandbox is.
	if err := k.shelf.save(l.moment); err != nil {
		k.log.Warn("keeping a baseline", zap.Int64("turn", turn), zap.Error(err))
	}
	k.publish(next)
	return nil
}

var errEnough = errors.New("more files than are compared")
