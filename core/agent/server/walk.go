package server

import (
	"context"
	"errors"
	"os"
	"path"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/core/agent"
)

// maxDepth bounds how deep a walk goes, in folders: each holds a descriptor open.
const maxDepth = 512

var errDepth = errors.New("folders nested too deeply")

// found is one thing that a walk comes across. It is valid during the call only.
type found struct {
	// dir is the open folder that it is in.
	dir  int
	name string
	// path is relative to the workspace.
	path string
	stat unix.Stat_t
}

func (f *found) is(kind uint32) bool { return f.stat.Mode&unix.S_IFMT == kind }

// walk goes through a folder depth-first, parents first, names sorted by bytes. Every step is one name in an open folder, never
// followed when it is a link: however the agent moves things meanwhile, the walk can't be led out. What vanishes meanwhile is left out.
type walk struct {
	w     *Workspace
	visit func(*found) error
	// skip says whether to go on when a folder can't be entered.
	skip func(path string, err error) error
}

// below visits everything in the folder at path, which dir is open on and which it closes.
func (k *walk) below(ctx context.Context, dir *os.File, in string, depth int) error {
	defer dir.Close() //nolint:errcheck // only read
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return k.skip(in, err)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		f := &found{dir: int(dir.Fd()), name: name, path: path.Join(in, name)}
		if len(f.path) > maxPath {
			if err := k.skip(f.path, syscall.ENAMETOOLONG); err != nil {
				return err
			}
			continue
		}
		if unix.Fstatat(f.dir, name, &f.stat, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue
		}
		if isTemp(name) && f.is(unix.S_IFREG) {
			if !k.w.isWriting(name) {
				unix.Unlinkat(f.dir, name, 0) //nolint:errcheck // left over; the next walk tries again
			}
			continue
		}
		if err := k.visit(f); err != nil {
			return err
		}
		if !f.is(unix.S_IFDIR) {
			continue
		}
		if err := k.enter(ctx, f, depth); err != nil {
			return err
		}
	}
	return nil
}

func (k *walk) enter(ctx context.Context, f *found, depth int) error {
	if depth >= maxDepth {
		return k.skip(f.path, errDepth)
	}
	fd, err := unix.Openat(f.dir, f.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil // no longer what it was
	case err != nil:
		return k.skip(f.path, err)
	}
	return k.below(ctx, os.NewFile(uintptr(fd), f.name), f.path, depth+1)
}

// Tree calls fn for everything below the folder at path, depth-first, parents first, names sorted by bytes. Folders that can't be read,
// and what lies too deep to be named, are left out. An error of fn ends it and is returned.
func (w *Workspace) Tree(ctx context.Context, name string, fn func(agent.Entry) error) error {
	name, err := clean(name)
	if err != nil {
		return err
	}
	dir, _, err := w.open(name, unix.O_DIRECTORY)
	if err != nil {
		return explain(err, name)
	}
	k := &walk{
		w:     w,
		visit: func(f *found) error { return fn(entry(f.dir, f.name, f.path, &f.stat)) },
		skip:  func(string, error) error { return nil },
	}
	return k.below(ctx, dir, name, 0)
}
