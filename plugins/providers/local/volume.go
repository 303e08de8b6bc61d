package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Folders below the data folder.
const (
	volumesDir   = "volumes"
	ephemeralDir = "ephemeral"
	trashDir     = "trash"
)

// volumes keeps the storage of sandboxes: <data>/volumes/<name>/{workspace,home}. Only workspace and home belong to the service
// user; the folders above them do not, and no sandbox sees them, so a sandbox cannot replace them by links.
type volumes struct {
	data string
	// uid and gid own workspace and home; -1 means the provider's own.
	uid, gid int
}

// newVolumes makes the folders and finishes removals that a killed provider left.
func newVolumes(ctx context.Context, data string, uid, gid int) (*volumes, error) {
	v := &volumes{data: data, uid: uid, gid: gid}
	for _, dir := range []string{volumesDir, ephemeralDir, trashDir} {
		if err := os.MkdirAll(filepath.Join(data, dir), 0o700); err != nil {
			return nil, fmt.Errorf("making the folder of volumes: %w", err)
		}
	}
	// Ephemeral storage ends with its sandbox, and no sandbox outlives its provider.
	entries, err := os.ReadDir(filepath.Join(data, ephemeralDir))
	if err != nil {
		return nil, fmt.Errorf("listing left storage: %w", err)
	}
	for _, entry := range entries {
		if err := v.remove(ctx, v.path(entry.Name(), true)); err != nil {
			return nil, err
		}
	}
	return v, v.emptyTrash(ctx)
}

func (v *volumes) path(name string, ephemeral bool) string {
	if ephemeral {
		return filepath.Join(v.data, ephemeralDir, name)
	}
	return filepath.Join(v.data, volumesDir, name)
}

// ensure makes dir with its workspace and home, or finds it there.
func (v *volumes) ensure(dir string) (workspace, home string, err error) {
	workspace, home = filepath.Join(dir, "workspace"), filepath.Join(dir, "home")
	if err := ensureDir(dir, -1, -1); err != nil {
		return "", "", fmt.Errorf("making the volume: %w", err)
	}
	for _, sub := range []string{workspace, home} {
		if err := ensureDir(sub, v.uid, v.gid); err != nil {
			return "", "", fmt.Errorf("making the volume: %w", err)
		}
	}
	return workspace, home, nil
}

// ensureDir makes one folder, mode 0700, owned by uid (unless -1). What is there must be a folder and no link.
func ensureDir(dir string, uid, gid int) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err //nolint:wrapcheck // The caller says what for.
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err //nolint:wrapcheck // The caller says what for.
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", dir)
	}
	if uid == -1 {
		return nil
	}
	return os.Lchown(dir, uid, gid) //nolint:wrapcheck // The caller says what for.
}

// remove takes dir away at once and then deletes it. A missing one is no error. No process may still use it.
func (v *volumes) remove(ctx context.Context, dir string) error {
	grave, err := os.MkdirTemp(filepath.Join(v.data, trashDir), "v-")
	if err != nil {
		return fmt.Errorf("removing a volume: %w", err)
	}
	err = os.Rename(dir, filepath.Join(grave, "0"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		_ = os.Remove(grave) // Empty.
		return fmt.Errorf("removing a volume: %w", err)
	}
	if err := bury(ctx, grave); err != nil {
		return fmt.Errorf("removing a volume: %w", err)
	}
	return nil
}

func (v *volumes) emptyTrash(ctx context.Context) error {
	trash := filepath.Join(v.data, trashDir)
	entries, err := os.ReadDir(trash)
	if err != nil {
		return fmt.Errorf("listing removed volumes: %w", err)
	}
	for _, entry := range entries {
		if err := bury(ctx, filepath.Join(trash, entry.Name())); err != nil {
			return fmt.Errorf("finishing the removal of a volume: %w", err)
		}
	}
	return nil
}

// bury deletes grave and all in it. It never follows a link, never recurses and holds two descriptors at most: folders found
// deeper are hoisted to the top and emptied there, so that a tree of any depth cannot exhaust stack, path length or descriptors
// (os.RemoveAll holds one descriptor a level). Folders without permissions are given them first.
func bury(ctx context.Context, grave string) error {
	top, err := os.Open(grave)
	if err != nil {
		return fmt.Errorf("opening it: %w", err)
	}
	defer func() { _ = top.Close() }() // Only read.
	b := burial{ctx: ctx, top: int(top.Fd())}
	for {
		names, err := listAll(b.top)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			break
		}
		for _, name := range names {
			b.hoisted = max(b.hoisted, number(name))
		}
		for _, name := range names {
			if err := b.removeTop(name); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(grave); err != nil {
		return fmt.Errorf("removing the emptied folder: %w", err)
	}
	return nil
}

type burial struct {
	ctx context.Context //nolint:containedctx // Lives for one call of bury.
	top int
	// hoisted is the highest number given to a folder at the top.
	hoisted uint64
}

func (b *burial) removeTop(name string) error {
	if err := unix.Unlinkat(b.top, name, 0); err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	dir, err := openWritable(b.top, name)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(dir) }() // Only read.
	for {
		names, err := listSome(dir)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			break
		}
		for _, child := range names {
			if err := b.removeChild(dir, child); err != nil {
				return err
			}
		}
	}
	if err := unix.Unlinkat(b.top, name, unix.AT_REMOVEDIR); err != nil {
		return fmt.Errorf("removing a folder: %w", err)
	}
	return nil
}

func (b *burial) removeChild(dir int, child string) error {
	if err := b.ctx.Err(); err != nil {
		return fmt.Errorf("deleting files: %w", err)
	}
	if unix.Unlinkat(dir, child, 0) == nil || unix.Unlinkat(dir, child, unix.AT_REMOVEDIR) == nil {
		return nil
	}
	// Moving a folder elsewhere writes its "..", so it must be writable itself.
	fd, err := openWritable(dir, child)
	if err != nil {
		return err
	}
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("closing a folder: %w", err)
	}
	b.hoisted++
	if err := unix.Renameat(dir, child, b.top, strconv.FormatUint(b.hoisted, 10)); err != nil {
		return fmt.Errorf("moving a folder: %w", err)
	}
	return nil
}

// openWritable gives the owner every permission on folder name and opens it. It fails on anything that is not a folder.
func openWritable(parent int, name string) (int, error) {
	pin, err := unix.Openat(parent, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening a folder: %w", err)
	}
	defer func() { _ = unix.Close(pin) }() // Only a handle.
	// fchmod refuses O_PATH handles; their /proc link does not.
	if err := unix.Chmod("/proc/self/fd/"+strconv.Itoa(pin), 0o700); err != nil {
		return -1, fmt.Errorf("making a folder writable: %w", err)
	}
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening a folder: %w", err)
	}
	return fd, nil
}

// listSome returns up to a thousand names of a folder, from its beginning; none means that it is empty.
func listSome(dir int) ([]string, error) {
	again, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a folder: %w", err)
	}
	file := os.NewFile(uintptr(again), "folder")
	defer func() { _ = file.Close() }() // Only read.
	names, err := file.Readdirnames(1000)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading a folder: %w", err)
	}
	return names, nil
}

func listAll(dir int) ([]string, error) {
	again, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a folder: %w", err)
	}
	file := os.NewFile(uintptr(again), "folder")
	defer func() { _ = file.Close() }() // Only read.
	names, err := file.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("reading a folder: %w", err)
	}
	return names, nil
}

func number(name string) uint64 {
	n, err := strconv.ParseUint(name, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
