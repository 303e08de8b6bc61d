package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/server/baseline"
)

// compared is the workspace as baselines look at it.
type compared struct{ w *Workspace }

var _ baseline.Tree = compared{}

// Walk implements baseline.Tree.
func (t compared) Walk(ctx context.Context, fn func(*baseline.File) error) (hidden []string, err error) {
	dir, _, err := t.w.open(".", unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	k := &walk{
		w: t.w,
		visit: func(f *found) error {
			if f.is(unix.S_IFDIR) {
				return nil
			}
			return fn(facts(f))
		},
		skip: func(path string, _ error) error {
			hidden = append(hidden, path)
			return nil
		},
	}
	return hidden, k.below(ctx, dir, ".", 0)
}

// Find implements baseline.Tree. Like a walk it goes from open folder to open folder.
func (t compared) Find(name string, fn func(*baseline.File) error) error {
	dir, _, err := t.w.open(".", unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer func() { dir.Close() }() //nolint:errcheck // only read
	parts := strings.Split(name, "/")
	for _, part := range parts[:len(parts)-1] {
		fd, err := unix.Openat(int(dir.Fd()), part, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return notThere(err, name)
		}
		dir.Close() //nolint:errcheck // only read
		dir = os.NewFile(uintptr(fd), part)
	}
	f := &found{dir: int(dir.Fd()), name: path.Base(name), path: name}
	if err := unix.Fstatat(f.dir, f.name, &f.stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return notThere(err, name)
	}
	if f.is(unix.S_IFDIR) {
		return notThere(unix.EISDIR, name)
	}
	return fn(facts(f))
}

// notThere is the error of a path that leads to no file.
func notThere(err error, name string) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.EISDIR):
		return fmt.Errorf("%w: %.200q: %w", agent.ErrNotFound, name, err)
	default:
		return explain(err, name)
	}
}

// facts is what a walk has found, as baselines look at it.
func facts(f *found) *baseline.File {
	e := entry(f.dir, f.name, f.path, &f.stat)
	return &baseline.File{
		Path: f.path, Kind: e.Type, Size: e.Size, Inode: f.stat.Ino, Modified: f.stat.Mtim.Nano(), Changed: f.stat.Ctim.Nano(), Target: e.Target,
		Open: func() (*os.File, error) {
			fd, err := unix.Openat(f.dir, f.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
			if err != nil {
				return nil, fmt.Errorf("opening a file: %w", err)
			}
			file := os.NewFile(uintptr(fd), f.name)
			st, err := fstat(file)
			if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
				err = fmt.Errorf("%w: no file any more", agent.ErrNotFound)
			}
			if err != nil {
				return nil, errors.Join(err, file.Close())
			}
			return file, nil
		},
	}
}

var errNoBaseline = fmt.Errorf("%w: this agent server keeps no baselines", errUnavailable)

// remembered waits until a turn that has just begun can be compared with.
func (s *Server) remembered(ctx context.Context) error {
	if s.baseline == nil {
		return errNoBaseline
	}
	s.mu.Lock()
	t := s.turn
	s.mu.Unlock()
	if t == nil {
		return nil
	}
	select {
	case <-t.remembered:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Server) changes(w http.ResponseWriter, r *http.Request) error {
	if err := s.remembered(r.Context()); err != nil {
		return err
	}
	list, err := s.baseline.List(r.Context(), r.URL.Query().Get("since"))
	if err != nil {
		return err
	}
	return reply(w, list)
}

func (s *Server) change(w http.ResponseWriter, r *http.Request) error {
	if err := s.remembered(r.Context()); err != nil {
		return err
	}
	name, err := cleanFile(r.URL.Query().Get("path"))
	if err != nil {
		return err
	}
	change, err := s.baseline.Show(r.Context(), name, r.URL.Query().Get("since"))
	if err != nil {
		return err
	}
	return reply(w, change)
}
