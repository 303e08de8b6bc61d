package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func newTestVolumes(t testing.TB) *volumes {
	t.Helper()
	v, err := newVolumes(t.Context(), newPlace(t).data, -1, -1)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestHostileVolumeIsRemoved(t *testing.T) {
	v := newTestVolumes(t)
	outside := t.TempDir()
	keep := filepath.Join(outside, "keep")
	writeFile(t, keep, "precious")
	dir := v.path("hostile", false)
	workspace, _, err := v.ensure(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plain", "new\nline", "\xff\xfe", "-rf", "...", strings.Repeat("n", 255), "1", "0", "18446744073709551615"} {
		writeFile(t, filepath.Join(workspace, name, "file"), "x")
	}
	if err := os.Symlink(outside, filepath.Join(workspace, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(keep, filepath.Join(workspace, "plain", "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(workspace, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		writeFile(t, filepath.Join(workspace, "many", strconv.Itoa(i)), "")
	}
	for _, mode := range []os.FileMode{0, 0o500} {
		locked := filepath.Join(workspace, "locked"+strconv.Itoa(int(mode)))
		writeFile(t, filepath.Join(locked, "below", "file"), "x")
		for _, path := range []string{filepath.Join(locked, "below"), locked} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	dig(t, workspace, 3000)
	if err := v.remove(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{volumesDir, trashDir} {
		if entries, err := os.ReadDir(filepath.Join(v.data, sub)); err != nil || len(entries) != 0 {
			t.Errorf("%s: %v, %v", sub, entries, err)
		}
	}
	if raw, err := os.ReadFile(keep); err != nil || string(raw) != "precious" {
		t.Errorf("a link was followed: %q, %v", raw, err)
	}
	if info, err := os.Stat(outside); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("a link's target changed its mode: %v, %v", info.Mode(), err)
	}
}

// dig makes a chain of folders far deeper than a path may be long.
func dig(t testing.TB, dir string, depth int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range depth {
		if err := unix.Mkdirat(fd, "deep", 0o700); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, "deep", unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Close(fd); err != nil {
			t.Fatal(err)
		}
		fd = next
	}
	if err := unix.Close(fd); err != nil {
		t.Fatal(err)
	}
}

func TestInterruptedRemovalIsFinishedAtTheNextStart(t *testing.T) {
	v := newTestVolumes(t)
	dir := v.path("half", false)
	workspace, _, err := v.ensure(dir)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(workspace, "a", "file"), "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.remove(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("a volume under removal is still there under its name")
	}
	if _, err := newVolumes(t.Context(), v.data, -1, -1); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(filepath.Join(v.data, trashDir)); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestVolumeThatIsALinkIsRefused(t *testing.T) {
	v := newTestVolumes(t)
	dir := v.path("link", false)
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.ensure(dir); err == nil || !strings.Contains(err.Error(), "is not a folder") {
		t.Errorf("got %v", err)
	}
}

func TestRemovingAnUnknownVolumeIsNoError(t *testing.T) {
	v := newTestVolumes(t)
	if err := v.remove(t.Context(), v.path("unknown", false)); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(filepath.Join(v.data, trashDir)); err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}
