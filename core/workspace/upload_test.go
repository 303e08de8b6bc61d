package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/agcluster/agcluster/core/agent"
)

// parcels gives names and contents in turn.
func parcels(pairs ...string) func() (string, io.Reader, error) {
	return func() (string, io.Reader, error) {
		if len(pairs) == 0 {
			return "", nil, io.EOF
		}
		name, content := pairs[0], pairs[1]
		pairs = pairs[2:]
		return name, iotest.HalfReader(strings.NewReader(content)), nil
	}
}

func TestUploadWritesIntoAFolder(t *testing.T) {
	for _, target := range []string{"", "in", "/workspace/in/deeper/"} {
		r := start(t, newBox(map[string]string{"in/old": "1"}), Config{}, nil)
		got, err := r.Upload(context.Background(), "conv-1", target, false, parcels("a.txt", "hello", "empty", "", "b\xff\nc", "x"))
		if err != nil {
			t.Fatal(err)
		}
		folder, err := CleanPath(target)
		if err != nil {
			t.Fatal(err)
		}
		prefix := ""
		if folder != "" {
			prefix = folder + "/"
		}
		want := Uploaded{"conv-1", folder, []UploadedFile{
			{"a.txt", prefix + "a.txt", 5}, {"empty", prefix + "empty", 0}, {"b\uFFFD\nc", prefix + "b\uFFFD\nc", 1},
		}, 3, 6}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if r.box.items[prefix+"a.txt"].content != "hello" || r.box.items[prefix+"b\xff\nc"].content != "x" {
			t.Errorf("got %v", r.box.items)
		}
		if !r.gates.asked("write", folder) || !r.gates.asked("write", prefix+"b\xff\nc") {
			t.Errorf("the gates heard %q", r.gates.paths)
		}
	}
}

// asked says whether the gates heard of an access.
func (g *gates) asked(op, rel string) bool {
	for _, p := range g.paths {
		if p == op+" "+rel {
			return true
		}
	}
	return false
}

func TestAnUploadThatIsRefusedLeavesTheWorkspaceAsItWas(t *testing.T) {
	cfg := Config{MaxFileBytes: 10, MaxUploadBytes: 15, MaxUploadFiles: 3}
	broken := errors.New("the client has gone")
	for name, c := range map[string]struct {
		target string
		next   func() (string, io.Reader, error)
		want   func(error) bool
	}{
		"a file too large": {"", parcels("ok", "1", "big", strings.Repeat("x", 11)), tooLarge("file", "big", 10, 11)},
		"all too large":    {"", parcels("a", strings.Repeat("x", 10), "b", strings.Repeat("x", 6)), tooLarge("upload", "", 15, 16)},
		"too many":         {"", parcels("a", "", "b", "", "c", "", "d", ""), tooLarge("files", "", 3, 4)},
		"no file":          {"", parcels(), isInvalid("files")},
		"a bad target":     {"../x", parcels("a", ""), isInvalidPath},
		"a bad name":       {"", parcels("ok", "1", "../a", ""), isInvalidPath},
		"a name twice":     {"", parcels("a", "1", "a", "2"), isInvalidPath},
		"a path too long":  {strings.Repeat(strings.Repeat("d", 250)+"/", 16), parcels(strings.Repeat("x", 200), ""), isInvalidPath},
		"there already":    {"", parcels("new", "1", "old", "2"), is(ErrConflict)},
		"a folder":         {"", parcels("new", "1", "folder", "2"), is(ErrConflict)},
		"into a file":      {"old", parcels("new", "1"), is(ErrNotDirectory)},
		"below a file":     {"old/x", parcels("new", "1"), is(ErrNotDirectory)},
		"through a link":   {"out", parcels("new", "1"), is(ErrForbidden)},
		"a denied folder":  {"closed", parcels("new", "1"), isRefused},
		"a denied file":    {"", parcels("new", "1", ".env", "2"), isRefused},
		"a broken request": {"", func() (string, io.Reader, error) { return "", nil, broken }, is(broken)},
		"a broken file":    {"", func() (string, io.Reader, error) { return "a", iotest.ErrReader(broken), nil }, is(broken)},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, newBox(map[string]string{"old": "1", "folder/": "", "out@": "/etc"}), cfg, nil)
			r.gates.denied["write closed"], r.gates.denied["write .env"] = true, true
			if _, err := r.Upload(context.Background(), "s", c.target, false, c.next); !c.want(err) {
				t.Errorf("got %v", err)
			}
			if len(r.box.items) != 3 || r.box.items["old"].content != "1" {
				t.Errorf("the workspace has %v", r.box.items)
			}
			if left, err := os.ReadDir(r.cfg.SpoolDir); err != nil || len(left) > 0 {
				t.Errorf("the spool has %v, %v", left, err)
			}
		})
	}
}

func is(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }

func isInvalidPath(err error) bool {
	var bad *InvalidPathError
	return errors.As(err, &bad)
}

func isInvalid(field string) func(error) bool {
	return func(err error) bool {
		var bad *InvalidError
		return errors.As(err, &bad) && bad.Field == field && bad.Error() != ""
	}
}

func tooLarge(what, name string, limit, got int64) func(error) bool {
	return func(err error) bool {
		var large *TooLargeError
		return errors.As(err, &large) && large.What == what && large.Name == name && large.Limit == limit && large.Got == got &&
			strings.Contains(large.Error(), fmt.Sprint("the limit is ", limit))
	}
}

func TestUploadOverwritesOnlyWhenAsked(t *testing.T) {
	r := start(t, newBox(map[string]string{"old": "1", "folder/": ""}), Config{}, nil)
	if _, err := r.Upload(context.Background(), "s", "", true, parcels("old", "2")); err != nil || r.box.items["old"].content != "2" {
		t.Errorf("got %v, %v", r.box.items, err)
	}
	if _, err := r.Upload(context.Background(), "s", "", true, parcels("folder", "2")); !errors.Is(err, ErrConflict) {
		t.Errorf("a folder is never overwritten: got %v", err)
	}
}

func TestAnUploadThatBreaksOffTellsWhatIsThere(t *testing.T) {
	for cause, want := range map[error]func(error) bool{
		agent.ErrConflict: is(ErrConflict),
		agent.ErrGone:     is(ErrGone),
		agent.ErrTooLarge: func(err error) bool {
			var large *TooLargeError
			return errors.As(err, &large) && large.What == "workspace"
		},
	} {
		r := start(t, newBox(nil), Config{}, nil)
		r.box.writeErr["b"] = cause
		got, err := r.Upload(context.Background(), "s", "", false, parcels("a", "1", "b", "2", "c", "3"))
		if !want(err) || got.TotalFiles != 1 || got.Uploaded[0].Path != "a" || !strings.Contains(err.Error(), "after 1 of 3 files") {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

func TestDelete(t *testing.T) {
	for name, c := range map[string]struct {
		path      string
		recursive bool
		want      func(error) bool
		left      int
	}{
		"a file":                    {"f", false, is(nil), 6},
		"a link and not its target": {"l", true, is(nil), 6},
		"an empty folder":           {"empty", false, is(nil), 6},
		"a full folder":             {"d", false, is(ErrConflict), 7},
		"with all in it":            {"d", true, is(nil), 5},
		"with something denied":     {"guarded", true, isRefused, 7},
		"something denied":          {"guarded/key", false, isRefused, 7},
		"the workspace":             {"/workspace", true, isInvalidPath, 7},
		"a bad path":                {"a/../b", true, isInvalidPath, 7},
		"nothing":                   {"nothing", true, is(ErrNotFound), 7},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, newBox(map[string]string{"f": "", "l@": "f", "empty/": "", "d/x": "", "guarded/key": ""}), Config{}, nil)
			r.gates.denied["delete guarded/key"] = true
			if err := r.Delete(context.Background(), "s", c.path, c.recursive); !c.want(err) {
				t.Errorf("got %v", err)
			}
			if len(r.box.items) != c.left {
				t.Errorf("%d are left, want %d: %v", len(r.box.items), c.left, r.box.paths())
			}
		})
	}
	r := start(t, newBox(map[string]string{"d/x": "", "d/y": ""}), Config{MaxExportEntries: 1}, nil)
	if err := r.Delete(context.Background(), "s", "d", true); !tooLarge("entries", "", 1, 2)(err) {
		t.Errorf("got %v", err)
	}
}

func TestAFolderIsPutToTheGatesInBatches(t *testing.T) {
	items := map[string]string{"d/": "", "to/": ""}
	for i := range 120 {
		items[fmt.Sprintf("d/%03d", i)] = "x"
	}
	for name, c := range map[string]struct {
		do     func(r rig) error
		denied string
		many   []int
		// last is what was asked about last.
		last string
	}{
		"a deletion":                {func(r rig) error { return r.Delete(t.Context(), "s", "d", true) }, "", []int{50, 50, 20}, "delete d/119"},
		"a deletion that is denied": {func(r rig) error { return r.Delete(t.Context(), "s", "d", true) }, "delete d/060", []int{50, 50}, "delete d/060"},
		"a move": {func(r rig) error {
			_, err := r.Move(t.Context(), "s", "d", "to/e", false)
			return err
		}, "", []int{50, 50, 50, 50, 50, 50, 20, 20, 20}, "write to/e/119"},
		"a move to where it is denied": {func(r rig) error {
			_, err := r.Move(t.Context(), "s", "d", "to/e", false)
			return err
		}, "write to/e/003", []int{50, 50, 50}, "write to/e/003"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, newBox(items), Config{}, exporter(plain))
			if c.denied != "" {
				r.gates.denied[c.denied] = true
			}
			if err := c.do(r); c.denied == "" && err != nil || c.denied != "" && !isRefused(err) {
				t.Errorf("got %v", err)
			}
			if last := r.gates.paths[len(r.gates.paths)-1]; !slices.Equal(r.gates.many, c.many) || last != c.last {
				t.Errorf("asked about %v paths, last %q", r.gates.many, last)
			}
			if _, ok := r.box.items["d/000"]; ok != (c.denied != "") {
				t.Errorf("d/000 is there: %v", ok)
			}
		})
	}
	// Long names make small batches, also where they are to be long.
	long := strings.Repeat("n", 200)
	items = map[string]string{"d/": "", long + "/": ""}
	for i := range 100 {
		items[fmt.Sprintf("d/%03d%s", i, long)] = "x"
	}
	r := start(t, newBox(items), Config{}, exporter(plain))
	if _, err := r.Move(t.Context(), "s", "d", long+"/e", false); err != nil || !slices.Equal(r.gates.many, []int{41, 41, 41, 41, 41, 41, 18, 18, 18}) {
		t.Errorf("%v: asked about %v paths", err, r.gates.many)
	}
}
