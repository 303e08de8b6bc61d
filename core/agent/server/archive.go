package server

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Archive returns a function that writes what is at the paths, with all below them, as tar; no paths are everything. Links stay links,
// whatever they point to; pipes, sockets and devices are left out. The paths are checked at once. The writing function fails when
// anything can't be read: the stream is useless then.
func (w *Workspace) Archive(paths []string) (func(context.Context, io.Writer) error, error) {
	list, err := w.roots(paths)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, out io.Writer) error {
		a := &archive{w: w, out: tar.NewWriter(out)}
		for _, name := range list {
			if err := a.add(ctx, name); err != nil {
				return fmt.Errorf("archiving %.200q: %w", name, err)
			}
		}
		if err := a.out.Close(); err != nil {
			return fmt.Errorf("ending an archive: %w", err)
		}
		return nil
	}, nil
}

// roots cleans the paths, makes sure that they are there, and drops those that lie in others.
func (w *Workspace) roots(paths []string) ([]string, error) {
	if len(paths) == 0 {
		return []string{"."}, nil
	}
	list := make([]string, 0, len(paths))
	for _, p := range paths {
		name, err := clean(p)
		if err != nil {
			return nil, err
		}
		if _, err := w.root.Lstat(name); err != nil {
			return nil, missing(err, name)
		}
		list = append(list, name)
	}
	slices.Sort(list)
	given := make(map[string]bool, len(list))
	return slices.DeleteFunc(slices.Compact(list), func(name string) bool {
		for up := path.Dir(name); ; up = path.Dir(up) {
			if given[up] {
				return true
			}
			if up == "." {
				given[name] = true
				return false
			}
		}
	}), nil
}

type archive struct {
	w   *Workspace
	out *tar.Writer
}

func (a *archive) add(ctx context.Context, name string) error {
	k := &walk{
		w: a.w, visit: a.put,
		skip: func(path string, err error) error { return fmt.Errorf("%.200q: %w", path, err) },
	}
	if name == "." {
		dir, _, err := a.w.open(name, unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		return k.below(ctx, dir, name, 0)
	}
	parent, _, err := a.w.open(path.Dir(name), unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer parent.Close() //nolint:errcheck // only read
	f := &found{dir: int(parent.Fd()), name: path.Base(name), path: name}
	if err := unix.Fstatat(f.dir, f.name, &f.stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if err := a.put(f); err != nil {
		return err
	}
	if !f.is(unix.S_IFDIR) {
		return nil
	}
	return k.enter(ctx, f, strings.Count(name, "/"))
}

// put writes one entry.
func (a *archive) put(f *found) error {
	h := &tar.Header{
		// Pax keeps the bytes of a name, whatever they are.
		Format: tar.FormatPAX, Name: f.path, Mode: int64(f.stat.Mode & 0o7777), ModTime: modTime(&f.stat),
	}
	switch f.stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, f.path+"/"
		return a.out.WriteHeader(h)
	case unix.S_IFLNK:
		target, err := readlink(f.dir, f.name)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
			return nil // no longer what it was
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, target
		return errors.Join(err, a.out.WriteHeader(h))
	case unix.S_IFREG:
		return a.file(f, h)
	default:
		return nil
	}
}

func (a *archive) file(f *found, h *tar.Header) error {
	fd, err := unix.Openat(f.dir, f.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		return nil // no longer what it was
	case err != nil:
		return fmt.Errorf("%.200q: %w", f.path, err)
	}
	file := os.NewFile(uintptr(fd), f.name)
	defer file.Close() //nolint:errcheck // only read
	st, err := fstat(file)
	if err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil
	}
	h.Typeflag, h.Size = tar.TypeReg, st.Size
	if err := a.out.WriteHeader(h); err != nil {
		return err
	}
	// A file that grows is cut at the size it had; one that shrinks can't be archived.
	if _, err := io.CopyN(a.out, file, st.Size); err != nil {
		return fmt.Errorf("%.200q: %w", f.path, err)
	}
	return nil
}
