package server

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/core/agent"
)

func tree(t *testing.T, r *rig, path string) []string {
	t.Helper()
	var paths []string
	if err := r.client.Tree(within(t), path, func(e agent.Entry) error { paths = append(paths, e.Raw()); return nil }); err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestTreeIsDepthFirstSortedByBytes(t *testing.T) {
	r := newRig(t, nil, nil)
	for _, name := range []string{"b/z", "b/a/1", "b.txt", "a", "B", "ä", "b-", "empty/x"} {
		put(t, r, name, "x")
	}
	if err := os.Remove(filepath.Join(r.dir, "empty/x")); err != nil {
		t.Fatal(err)
	}
	want := []string{"B", "a", "b", "b/a", "b/a/1", "b/z", "b-", "b.txt", "empty", "ä"}
	if got := tree(t, r, ""); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := tree(t, r, "b"); !slices.Equal(got, want[3:6]) {
		t.Errorf("%q", got)
	}
	if got := tree(t, r, "empty"); got != nil {
		t.Errorf("%q", got)
	}
	for path, want := range map[string]error{"none": agent.ErrNotFound, "a": agent.ErrConflict} {
		if err := r.client.Tree(within(t), path, func(agent.Entry) error { return nil }); !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestTreeOfTenThousand(t *testing.T) {
	r := newRig(t, nil, nil)
	for i := range 10_000 {
		f, err := os.Create(filepath.Join(r.dir, fmt.Sprintf("f%05d", i)))
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	got := tree(t, r, "")
	t.Logf("10,000 entries in %s", time.Since(begun))
	if len(got) != 10_000 || !slices.IsSorted(got) {
		t.Errorf("%d entries", len(got))
	}
}

func TestTreeSurvivesWhatAnAgentCanMake(t *testing.T) {
	r := newRig(t, nil, nil)
	put(t, r, "file", "x")
	if err := os.Symlink("..", filepath.Join(r.dir, "up")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(".", filepath.Join(r.dir, "loop")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(r.dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A time that no JSON can say, and one before all times.
	for name, sec := range map[string]int64{"future": 1 << 39, "past": -1 << 39} {
		put(t, r, name, "x")
		ts := []unix.Timespec{{Sec: sec}, {Sec: sec}}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(r.dir, name), ts, 0); err != nil {
			t.Logf("this file system knows no such time: %v", err)
		}
	}
	// Left by an agent server that died in a write.
	left := filepath.Join(r.dir, newTemp())
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{"fifo", "file", "future", "loop", "past", "up"}
	if got := tree(t, r, ""); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if _, err := os.Lstat(left); !os.IsNotExist(err) {
		t.Errorf("what a dead write left is still there: %v", err)
	}
	if st := (&unix.Stat_t{Mtim: unix.Timespec{Sec: 1 << 60}}); modTime(st).Year() != 9999 {
		t.Error(modTime(st))
	}
}

// nest makes folders in folders, deeper than a path can name.
func nest(t *testing.T, dir string, depth int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range depth {
		if err := unix.Mkdirat(fd, "z", 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, "z", unix.O_DIRECTORY, 0)
		if err := errors.Join(err, unix.Close(fd)); err != nil {
			t.Fatal(err)
		}
		fd = next
	}
	if err := unix.Close(fd); err != nil {
		t.Fatal(err)
	}
}

func TestAFolderThatBecomesALinkIsNotEntered(t *testing.T) {
	r := newRig(t, nil, nil)
	put(t, r, "dir/inside", "x")
	dir, outside := filepath.Join(r.dir, "dir"), filepath.Join(filepath.Dir(r.dir), "outside")
	if err := errors.Join(os.Mkdir(outside, 0o700), os.WriteFile(filepath.Join(outside, "secret"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	err := r.server.files.Tree(t.Context(), "", func(e agent.Entry) error {
		if e.Path != "dir" {
			t.Errorf("the walk came to %q", e.Path)
			return nil
		}
		return errors.Join(os.Rename(dir, dir+".moved"), os.Symlink(outside, dir))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWalksEndHoweverDeep(t *testing.T) {
	r := newRig(t, nil, nil)
	nest(t, r.dir, maxDepth+50)
	if got := tree(t, r, ""); len(got) != maxDepth+1 {
		t.Errorf("%d entries", len(got))
	}
	body, err := r.client.Archive(within(t), nil)
	if err == nil {
		_, err = io.Copy(io.Discard, body)
		shut(t, body)
	}
	if err == nil {
		t.Error("an archive that leaves something out ends cleanly")
	}
}

// read is an archive as its reader sees it.
func read(t *testing.T, r *rig, paths ...string) (map[string]*tar.Header, map[string]string) {
	t.Helper()
	body, err := r.client.Archive(within(t), paths)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, body)
	headers, contents := map[string]*tar.Header{}, map[string]string{}
	for tr := tar.NewReader(body); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			// The stream ends as the archive does.
			if n, err := io.Copy(io.Discard, body); err != nil {
				t.Errorf("%d bytes behind the archive, %v", n, err)
			}
			return headers, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		if headers[h.Name] != nil {
			t.Errorf("%q is there twice", h.Name)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		headers[h.Name], contents[h.Name] = h, string(b)
	}
}

func TestArchiveKeepsNamesLinksAndFolders(t *testing.T) {
	r := newRig(t, nil, nil)
	for _, name := range hostileNames() {
		put(t, r, "dir/"+name, "content of "+name)
	}
	if err := os.Mkdir(filepath.Join(r.dir, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("long/", 60)
	put(t, r, long+"file", "deep")
	links := map[string]string{"out": "/etc/passwd", "up": "../../x", "dangling": "lat\xe9in", "to-dir": "dir"}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(r.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(r.dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(r.dir, "dir/plain"), filepath.Join(r.dir, "second-name")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, newTemp()), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	headers, contents := read(t, r)
	for _, name := range hostileNames() {
		if got := contents["dir/"+name]; got != "content of "+name {
			t.Errorf("%q: %q", name, got)
		}
	}
	for name, target := range links {
		if h := headers[name]; h == nil || h.Typeflag != tar.TypeSymlink || h.Linkname != target || h.Size != 0 {
			t.Errorf("%s: %+v", name, h)
		}
	}
	if h := headers["empty/"]; h == nil || h.Typeflag != tar.TypeDir || h.Mode != 0o700 {
		t.Errorf("%+v", h)
	}
	if contents[long+"file"] != "deep" || contents["second-name"] != "content of plain" {
		t.Error("the long name or the second name is missing")
	}
	for name, h := range headers {
		if h.Uname != "" || h.Gname != "" || h.Uid != 0 || h.Gid != 0 {
			t.Errorf("%q belongs to somebody: %+v", name, h)
		}
		if strings.Contains(name, "fifo") || strings.Contains(name, tempPrefix) {
			t.Errorf("%q is there", name)
		}
	}
}

func TestArchiveOfSomePaths(t *testing.T) {
	r := newRig(t, nil, nil)
	for _, name := range []string{"a/b/c", "a/b/d", "a/e", "f", "g/h", "ab"} {
		put(t, r, name, name)
	}
	if err := os.Symlink("a", filepath.Join(r.dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ paths, want []string }{
		"a file":            {[]string{"a/e"}, []string{"a/e"}},
		"a folder":          {[]string{"g"}, []string{"g/", "g/h"}},
		"one in the other":  {[]string{"a/b/c", "a", "a/b", "a"}, []string{"a/", "a/b/", "a/b/c", "a/b/d", "a/e"}},
		"one name's prefix": {[]string{"a/e", "ab"}, []string{"a/e", "ab"}},
		"a link":            {[]string{"link"}, []string{"link"}},
		"through a link":    {[]string{"link/b"}, []string{"link/b/", "link/b/c", "link/b/d"}},
		"all by name":       {[]string{"."}, []string{"a/", "a/b/", "a/b/c", "a/b/d", "a/e", "ab", "f", "g/", "g/h", "link"}},
	} {
		t.Run(name, func(t *testing.T) {
			headers, _ := read(t, r, c.paths...)
			var got []string
			for name := range headers {
				got = append(got, name)
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("%q", got)
			}
		})
	}
	for _, paths := range [][]string{{"none"}, {"f", "none"}, {"f/x"}} {
		if _, err := r.client.Archive(within(t), paths); !errors.Is(err, agent.ErrNotFound) {
			t.Errorf("%v: %v", paths, err)
		}
	}
}

// shrinking makes a file shorter once its header was written.
type shrinking struct {
	bytes.Buffer
	path string
	done bool
}

func (s *shrinking) Write(b []byte) (int, error) {
	if !s.done {
		s.done = true
		if err := os.Truncate(s.path, 10); err != nil {
			return 0, err
		}
	}
	return s.Buffer.Write(b)
}

func TestArchiveBreaksOffWhenAFileCanNotBeRead(t *testing.T) {
	r := newRig(t, nil, nil)
	put(t, r, "a", strings.Repeat("x", 1<<20))
	write, err := r.server.files.Archive(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(t.Context(), &shrinking{path: filepath.Join(r.dir, "a")}); !errors.Is(err, io.EOF) {
		t.Errorf("a file that became shorter: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := write(ctx, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestABrokenOffAnswerIsAnErrorToTheClient(t *testing.T) {
	r := newRig(t, nil, nil)
	// More than any buffer, then a folder too deep to go on with.
	put(t, r, "a", strings.Repeat("x", 4<<20))
	nest(t, r.dir, maxDepth+5)
	body, err := r.client.Archive(within(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, body)
	n, err := io.Copy(io.Discard, body)
	if n < 4<<20 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d bytes, %v", n, err)
	}
}
