package server

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/agent"
)

func write(t *testing.T, r *rig, name, content string, o agent.WriteOptions) (agent.Entry, error) {
	t.Helper()
	return r.client.Write(within(t), name, int64(len(content)), strings.NewReader(content), o)
}

func TestATagNamesOneStateOfAFile(t *testing.T) {
	r := newRig(t, nil, nil)
	made, err := write(t, r, "f", "one", agent.WriteOptions{})
	if err != nil || made.Tag == "" || made.Size != 3 || made.Raw() != "f" || made.Type != agent.EntryFile {
		t.Fatalf("%+v %v", made, err)
	}
	stat, err := r.client.Stat(within(t), "f")
	if err != nil || stat.Tag != made.Tag {
		t.Errorf("stat says %q, write said %q (%v)", stat.Tag, made.Tag, err)
	}
	if _, e, err := get(t, r, "f", agent.ReadOptions{Offset: 1}); err != nil || e.Tag != made.Tag {
		t.Errorf("read says %q, write said %q (%v)", e.Tag, made.Tag, err)
	}
	seen := map[string]string{made.Tag: "made"}
	path := filepath.Join(r.dir, "f")
	for name, change := range map[string]func() error{
		"another size": func() error { return os.WriteFile(path, []byte("three"), 0o644) },
		"the same size and times": func() error {
			return errors.Join(os.WriteFile(path, []byte("TWO"), 0o644), os.Chtimes(path, made.ModTime, made.ModTime))
		},
		"another file": func() error { return failed(write(t, r, "f", "one", agent.WriteOptions{Overwrite: true})) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		e, err := r.client.Stat(within(t), "f")
		if err != nil {
			t.Fatal(err)
		}
		if before, twice := seen[e.Tag]; twice {
			t.Errorf("%s: the tag is the one of %s", name, before)
		}
		seen[e.Tag] = name
	}
	if err := r.client.Tree(within(t), "", func(e agent.Entry) error {
		if e.Tag != "" {
			t.Error("a listing has tags")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestAWriteDemandsWhatItReplaces(t *testing.T) {
	for name, c := range map[string]struct {
		path  string
		tag   func(current string) string
		want  error
		after string
	}{
		"its tag":            {"f", func(tag string) string { return tag }, nil, "new"},
		"any file":           {"f", func(string) string { return "*" }, nil, "new"},
		"another tag":        {"f", func(string) string { return "00" }, agent.ErrPrecondition, "old"},
		"any of nothing":     {"nothing", func(string) string { return "*" }, agent.ErrPrecondition, ""},
		"nothing in nothing": {"no/folder/f", func(tag string) string { return tag }, agent.ErrPrecondition, ""},
		"a link's target":    {"link", func(tag string) string { return tag }, agent.ErrPrecondition, "old"},
		"a folder":           {"folder", func(string) string { return "*" }, agent.ErrConflict, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			put(t, r, "f", "old")
			if err := errors.Join(os.Symlink("f", filepath.Join(r.dir, "link")), os.Mkdir(filepath.Join(r.dir, "folder"), 0o755)); err != nil {
				t.Fatal(err)
			}
			e, err := r.client.Stat(within(t), "f")
			if err != nil {
				t.Fatal(err)
			}
			_, err = write(t, r, c.path, "new", agent.WriteOptions{Overwrite: true, MkdirAll: true, IfTag: []string{c.tag(e.Tag)}})
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if b, _ := os.ReadFile(filepath.Join(r.dir, c.path)); string(b) != c.after {
				t.Errorf("%q is there, want %q", b, c.after)
			}
			if _, err := os.Stat(filepath.Join(r.dir, "no")); err == nil {
				t.Error("a refused write made a folder")
			}
		})
	}
}

func TestOfWritesThatDemandTheSameOneWins(t *testing.T) {
	r := newRig(t, nil, nil)
	put(t, r, "f", "old")
	e, err := r.client.Stat(within(t), "f")
	if err != nil {
		t.Fatal(err)
	}
	const writers = 8
	results := make(chan error, writers)
	for i := range writers {
		go func() {
			text := "writer " + strconv.Itoa(i)
			_, err := r.client.Write(within(t), "f", int64(len(text)), strings.NewReader(text), agent.WriteOptions{Overwrite: true, IfTag: []string{e.Tag}})
			results <- err
		}()
	}
	won := 0
	for range writers {
		switch err := receive(t, "result", results); {
		case err == nil:
			won++
		case !errors.Is(err, agent.ErrPrecondition):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d writers won", won)
	}
}

func TestAWriteKeepsPermissions(t *testing.T) {
	r := newRig(t, nil, nil)
	path := filepath.Join(r.dir, "run.sh")
	if err := errors.Join(os.WriteFile(path, []byte("old"), 0o600), os.Chmod(path, 0o751|os.ModeSetuid)); err != nil {
		t.Fatal(err)
	}
	put(t, r, "run.sh", "new")
	put(t, r, "other", "new")
	for name, want := range map[string]os.FileMode{"run.sh": 0o751, "other": 0o644} {
		if info, err := os.Stat(filepath.Join(r.dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s has %v, want %v (%v)", name, info.Mode(), want, err)
		}
	}
}

func TestMove(t *testing.T) {
	for name, c := range map[string]struct {
		from, to  string
		overwrite bool
		want      error
		// there maps paths to content afterwards; "" is a folder, "-" nothing.
		there map[string]string
	}{
		"to a free name":         {"f", "g", false, nil, map[string]string{"f": "-", "g": "F"}},
		"to a new folder":        {"f", "a/b/g", false, nil, map[string]string{"f": "-", "a/b/g": "F"}},
		"onto a file":            {"f", "h", false, agent.ErrConflict, map[string]string{"f": "F", "h": "H"}},
		"over a file":            {"f", "h", true, nil, map[string]string{"f": "-", "h": "F"}},
		"over an empty folder":   {"f", "empty", true, agent.ErrConflict, map[string]string{"f": "F", "empty": ""}},
		"a folder":               {"d", "e", false, nil, map[string]string{"d": "-", "e/x": "X"}},
		"a folder over a file":   {"d", "f", true, agent.ErrConflict, map[string]string{"d/x": "X", "f": "F"}},
		"a folder over a folder": {"d", "empty", true, agent.ErrConflict, map[string]string{"d/x": "X", "empty": ""}},
		"a folder into itself":   {"d", "d/y/z", false, agent.ErrInvalid, map[string]string{"d/x": "X", "d/y": "-"}},
		"a link itself":          {"link", "d/link2", false, nil, map[string]string{"link": "-", "f": "F"}},
		"over a link":            {"h", "link", true, nil, map[string]string{"link": "H", "f": "F", "h": "-"}},
		"nothing":                {"nothing", "g", false, agent.ErrNotFound, map[string]string{"g": "-"}},
		"below a file":           {"h", "f/g", false, agent.ErrConflict, map[string]string{"h": "H", "f": "F"}},
		"out by a link":          {"f", "out/g", false, agent.ErrForbidden, map[string]string{"f": "F"}},
		"in by a link":           {"out/secret", "g", false, agent.ErrForbidden, map[string]string{"g": "-"}},
		"a hidden name":          {"f", tempPrefix + strings.Repeat("a", 32), false, agent.ErrForbidden, map[string]string{"f": "F"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			outside := filepath.Join(filepath.Dir(r.dir), "outside")
			put(t, r, "f", "F")
			put(t, r, "h", "H")
			put(t, r, "d/x", "X")
			if err := errors.Join(
				os.Mkdir(outside, 0o755), os.WriteFile(filepath.Join(outside, "secret"), []byte("S"), 0o600), os.Symlink("../outside", filepath.Join(r.dir, "out")),
				os.Symlink("f", filepath.Join(r.dir, "link")), os.Mkdir(filepath.Join(r.dir, "empty"), 0o755),
			); err != nil {
				t.Fatal(err)
			}
			if err := r.client.Move(within(t), c.from, c.to, c.overwrite); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			for path, want := range c.there {
				got := "-"
				if info, err := os.Lstat(filepath.Join(r.dir, path)); err == nil {
					b, _ := os.ReadFile(filepath.Join(r.dir, path))
					if got = string(b); info.IsDir() {
						got = ""
					}
				}
				if got != want {
					t.Errorf("%s: %q, want %q", path, got, want)
				}
			}
			if b, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || string(b) != "S" {
				t.Errorf("outside: %q %v", b, err)
			}
		})
	}
}

func TestMakeFolder(t *testing.T) {
	r := newRig(t, nil, nil)
	put(t, r, "f", "F")
	for _, c := range []struct {
		path string
		want error
	}{
		{"a/b/c", nil},
		{"a/b/c", agent.ErrConflict},
		{"a/new\nline \u202e", nil},
		{"f", agent.ErrConflict},
		{"f/x", agent.ErrConflict},
		{"", agent.ErrInvalid},
	} {
		if err := r.client.MakeFolder(within(t), c.path); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.path, err, c.want)
		}
		if e, err := r.client.Stat(within(t), c.path); c.want == nil && (err != nil || e.Type != agent.EntryDirectory || time.Since(e.ModTime) > time.Hour) {
			t.Errorf("%q: %+v %v", c.path, e, err)
		}
	}
}
