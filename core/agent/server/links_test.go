package server

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/core/agent"
)

func TestNoLinkLeadsOut(t *testing.T) {
	r := newRig(t, nil, nil)
	outside := filepath.Join(filepath.Dir(r.dir), "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("SECRET"), 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, r, "in/file", "inside")
	links := map[string]string{
		"absolute": secret, "relative": "../outside/secret", "dir": outside, "updir": "..", "self": "self", "dangling": "nowhere",
		"first": "second", "second": "third", "third": "../outside/secret", "proc": "/proc/self/environ", "root": "/",
		"fine": "in/file", "finedir": "in", "chain": "fine", "in/back": "../in/file", "absolute-in": filepath.Join(r.dir, "in/file"),
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(r.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{
		"absolute", "relative", "dir/secret", "updir/outside/secret", "first", "proc", "root/etc/passwd", "self", "self/x", "absolute-in", "dir", "root",
	} {
		if got, _, err := get(t, r, path, agent.ReadOptions{}); !errors.Is(err, agent.ErrForbidden) {
			t.Errorf("reading %s: %q %v", path, got, err)
		}
	}
	if _, _, err := get(t, r, "dangling", agent.ReadOptions{}); !errors.Is(err, agent.ErrNotFound) {
		t.Errorf("reading a dangling link: %v", err)
	}
	for _, path := range []string{"fine", "chain", "finedir/file", "in/back", "finedir/back"} {
		if got, _, err := get(t, r, path, agent.ReadOptions{}); err != nil || got != "inside" {
			t.Errorf("reading %s: %q %v", path, got, err)
		}
	}
	for _, path := range []string{"dir/new", "updir/new", "root/new", "self/new"} {
		_, err := r.client.Write(within(t), path, 1, strings.NewReader("x"), agent.WriteOptions{Overwrite: true, MkdirAll: true})
		if !errors.Is(err, agent.ErrForbidden) && !errors.Is(err, agent.ErrConflict) {
			t.Errorf("writing %s: %v", path, err)
		}
		if err := r.client.Delete(within(t), "dir/secret", true); !errors.Is(err, agent.ErrForbidden) {
			t.Errorf("deleting through a link: %v", err)
		}
	}
	// What is at the path itself is replaced or removed, not what it points to.
	put(t, r, "absolute", "new")
	put(t, r, "fine", "new")
	if err := r.client.Delete(within(t), "dir", true); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{secret: "SECRET", filepath.Join(r.dir, "in/file"): "inside", filepath.Join(r.dir, "absolute"): "new"} {
		if b, err := os.ReadFile(path); err != nil || string(b) != want {
			t.Errorf("%s: %q %v", path, b, err)
		}
	}
	for _, name := range []string{"absolute", "fine"} {
		if e, err := r.client.Stat(within(t), name); err != nil || e.Type != agent.EntryFile {
			t.Errorf("%s: %+v %v", name, e, err)
		}
	}
	if e, err := r.client.Stat(within(t), "relative"); err != nil || e.Type != agent.EntrySymlink || e.Target != "../outside/secret" {
		t.Errorf("%+v %v", e, err)
	}
	// A tree of what a link leads to, inside; and none outside.
	if err := r.client.Tree(within(t), "finedir", func(agent.Entry) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := r.client.Tree(within(t), "updir", func(agent.Entry) error { return nil }); !errors.Is(err, agent.ErrForbidden) {
		t.Errorf("%v", err)
	}
}

// TestHardLinksAreFilesLikeOthers holds the decision of README.md: a second name of a file can only have been made in the sandbox, of
// a file in the workspace, and a write never goes through it.
func TestHardLinksAreFilesLikeOthers(t *testing.T) {
	r := newRig(t, nil, nil)
	put(t, r, "one", "content")
	if err := os.Link(filepath.Join(r.dir, "one"), filepath.Join(r.dir, "two")); err != nil {
		t.Fatal(err)
	}
	if got, _, err := get(t, r, "two", agent.ReadOptions{}); err != nil || got != "content" {
		t.Errorf("%q %v", got, err)
	}
	put(t, r, "two", "changed")
	if got, _, err := get(t, r, "one", agent.ReadOptions{}); err != nil || got != "content" {
		t.Errorf("a write went through a hard link: %q %v", got, err)
	}
}

func TestPipesSocketsAndDevicesNeverBlock(t *testing.T) {
	r := newRig(t, nil, nil)
	if err := syscall.Mkfifo(filepath.Join(r.dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	// Not through net.Listen, whose names must be short.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) }) //nolint:errcheck // only bound
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(r.dir, "socket")}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fifo", "socket"} {
		if _, _, err := get(t, r, name, agent.ReadOptions{}); !errors.Is(err, agent.ErrForbidden) {
			t.Errorf("reading a %s: %v", name, err)
		}
		if e, err := r.client.Stat(within(t), name); err != nil || e.Type != agent.EntryOther {
			t.Errorf("%s: %+v %v", name, e, err)
		}
		if err := r.client.Tree(within(t), name, func(agent.Entry) error { return nil }); !errors.Is(err, agent.ErrConflict) {
			t.Errorf("tree of a %s: %v", name, err)
		}
		if _, err := r.client.Stat(within(t), name+"/x"); !errors.Is(err, agent.ErrNotFound) {
			t.Errorf("below a %s: %v", name, err)
		}
		_, err := r.client.Write(within(t), name+"/x", 1, strings.NewReader("x"), agent.WriteOptions{MkdirAll: true})
		if !errors.Is(err, agent.ErrConflict) {
			t.Errorf("writing below a %s: %v", name, err)
		}
		put(t, r, name, "replaced")
	}
}
