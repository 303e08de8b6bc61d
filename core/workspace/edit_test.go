package workspace

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/agcluster/agcluster/core/agent"
)

func editable() *box {
	return newBox(map[string]string{"f": "old", "d/x": "X", "guarded/key": "K", "l@": "f", "out@": "/etc/passwd", "dl@": "d", "s!": "", "empty/": ""})
}

func TestWriteDemandsWhatWasSeen(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		path string
		req  func(tag string) WriteRequest
		body io.Reader
		want func(error) bool
		// at is where the body is afterwards.
		at string
	}{
		"unseen":             {"f", func(string) WriteRequest { return WriteRequest{} }, nil, is(nil), "f"},
		"as it was seen":     {"f", func(tag string) WriteRequest { return WriteRequest{IfMatch: []string{"x", tag}} }, nil, is(nil), "f"},
		"through a link":     {"l", func(tag string) WriteRequest { return WriteRequest{IfMatch: []string{tag}} }, nil, is(nil), "f"},
		"in a linked folder": {"dl/new", func(string) WriteRequest { return WriteRequest{IfNone: true} }, nil, is(nil), "d/new"},
		"in a new folder":    {"/workspace/a/b/c", func(string) WriteRequest { return WriteRequest{} }, nil, is(nil), "a/b/c"},
		"changed meanwhile":  {"f", func(string) WriteRequest { return WriteRequest{IfMatch: []string{"00"}} }, nil, is(ErrStale), ""},
		"gone meanwhile":     {"gone", func(string) WriteRequest { return WriteRequest{IfMatch: []string{"*"}} }, nil, is(ErrStale), ""},
		"there meanwhile":    {"f", func(string) WriteRequest { return WriteRequest{IfNone: true} }, nil, is(ErrStale), ""},
		"a folder":           {"d", func(string) WriteRequest { return WriteRequest{} }, nil, is(ErrConflict), ""},
		"a socket":           {"s", func(string) WriteRequest { return WriteRequest{} }, nil, is(ErrNotRegular), ""},
		"out of it":          {"out", func(string) WriteRequest { return WriteRequest{} }, nil, is(ErrForbidden), ""},
		"the workspace":      {".", func(string) WriteRequest { return WriteRequest{} }, nil, isInvalidPath, ""},
		"a bad path":         {"../f", func(string) WriteRequest { return WriteRequest{} }, nil, isInvalidPath, ""},
		"denied":             {"guarded/key", func(string) WriteRequest { return WriteRequest{} }, nil, isRefused, ""},
		"too many tags":      {"f", func(string) WriteRequest { return WriteRequest{IfMatch: make([]string, 21)} }, nil, tooLarge("tags", "", 20, 21), ""},
		"too large":          {"f", func(string) WriteRequest { return WriteRequest{} }, strings.NewReader("123456789"), tooLarge("file", "f", 8, 9), ""},
		"a broken body":      {"f", func(string) WriteRequest { return WriteRequest{} }, iotest.ErrReader(io.ErrUnexpectedEOF), is(io.ErrUnexpectedEOF), ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, editable(), Config{MaxFileBytes: 8}, nil)
			r.gates.denied["write guarded/key"] = true
			before := len(r.box.items)
			body := c.body
			if body == nil {
				body = iotest.OneByteReader(strings.NewReader("new"))
			}
			got, err := r.Write(ctx, "s", c.path, c.req(r.box.entry("f").Tag), body)
			if !c.want(err) {
				t.Fatalf("got %v", err)
			}
			if left, err := os.ReadDir(r.cfg.SpoolDir); err != nil || len(left) > 0 {
				t.Errorf("the spool has %v, %v", left, err)
			}
			if c.at == "" {
				if len(r.box.items) != before || r.box.items["f"].content != "old" {
					t.Errorf("the workspace has %v", r.box.items)
				}
				return
			}
			e := r.box.entry(c.at)
			if r.box.items[c.at].content != "new" || got.Path != c.at || got.ETag != e.Tag || got.SizeBytes != 3 || !got.Modified.Equal(modified) {
				t.Errorf("got %+v, there is %+v", got, r.box.items[c.at])
			}
			if !r.gates.asked("write", c.at) || r.box.items["l"].kind != agent.EntrySymlink {
				t.Errorf("the gates heard %q", r.gates.paths)
			}
		})
	}
}

func TestMoveIsReadingDeletingAndWriting(t *testing.T) {
	for name, c := range map[string]struct {
		from, to  string
		overwrite bool
		denied    string
		want      func(error) bool
		gone      string
		there     string
	}{
		"a file":                   {"f", "g", false, "", is(nil), "f", "g"},
		"a folder":                 {"d", "a/b", false, "", is(nil), "d/x", "a/b/x"},
		"a link itself":            {"l", "m", false, "", is(nil), "l", "m"},
		"through a link":           {"dl/x", "dl/y", false, "", is(nil), "d/x", "d/y"},
		"over a file":              {"f", "d/x", true, "", is(nil), "f", "d/x"},
		"onto a file":              {"f", "d/x", false, "", is(ErrConflict), "", "f"},
		"onto a folder":            {"f", "empty", true, "", is(ErrConflict), "", "f"},
		"into itself":              {"d", "d/e", false, "", isInvalidPath, "", "d/x"},
		"into itself by a link":    {"d", "dl/e", false, "", isInvalidPath, "", "d/x"},
		"nothing":                  {"nothing", "g", false, "", is(ErrNotFound), "", "f"},
		"the workspace":            {"", "g", false, "", isInvalidPath, "", "f"},
		"to the workspace":         {"f", "/workspace", true, "", isInvalidPath, "", "f"},
		"out":                      {"f", "out/x", false, "", is(ErrForbidden), "", "f"},
		"what may not be read":     {"f", "g", false, "read f", isRefused, "", "f"},
		"what may not be deleted":  {"f", "g", false, "delete f", isRefused, "", "f"},
		"where it may not go":      {"f", "g", false, "write g", isRefused, "", "f"},
		"in it, not to be read":    {"guarded", "g", false, "read guarded/key", isRefused, "", "guarded/key"},
		"in it, not to be deleted": {"guarded", "g", false, "delete guarded/key", isRefused, "", "guarded/key"},
		"in it, not to go there":   {"guarded", "g", false, "write g/key", isRefused, "", "guarded/key"},
		"by a link, not to read":   {"dl/x", "g", false, "read d/x", isRefused, "", "d/x"},
		"by a link, not to write":  {"f", "dl/y", false, "write d/y", isRefused, "", "f"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, editable(), Config{}, nil)
			r.gates.denied[c.denied] = true
			got, err := r.Move(context.Background(), "s", c.from, c.to, c.overwrite)
			if !c.want(err) {
				t.Fatalf("got %v", err)
			}
			if _, left := r.box.items[c.gone]; left {
				t.Errorf("%s is left", c.gone)
			}
			if _, there := r.box.items[c.there]; !there {
				t.Errorf("%s is not there: %v", c.there, r.box.paths())
			}
			if err == nil && !below(c.there, got) {
				t.Errorf("it says %q", got)
			}
		})
	}
	r := start(t, newBox(map[string]string{"d/x": "", "d/y": ""}), Config{MaxExportEntries: 1}, nil)
	if _, err := r.Move(context.Background(), "s", "d", "e", false); !tooLarge("entries", "", 1, 2)(err) {
		t.Errorf("got %v", err)
	}
}

func TestMakeFolder(t *testing.T) {
	for path, want := range map[string]func(error) bool{
		"a/b": is(nil), "dl/y": is(nil), "d": is(ErrConflict), "f": is(ErrConflict), "f/x": is(ErrNotDirectory), "": isInvalidPath, "closed": isRefused,
	} {
		r := start(t, editable(), Config{}, nil)
		r.gates.denied["write closed"] = true
		got, err := r.MakeFolder(context.Background(), "s", path)
		if !want(err) {
			t.Errorf("%q: got %v", path, err)
		}
		if err == nil && r.box.items[got].kind != agent.EntryDirectory {
			t.Errorf("%q: %q is %+v", path, got, r.box.items[got])
		}
	}
}

func TestWhatIsSeenHasItsETag(t *testing.T) {
	r := start(t, editable(), Config{}, nil)
	want := r.box.entry("f").Tag
	p, err := r.Preview(context.Background(), "s", "l")
	if err != nil || p.ETag != want {
		t.Errorf("preview: %q, want %q (%v)", p.ETag, want, err)
	}
	c, err := r.Open(context.Background(), "s", "f")
	if err != nil || c.ETag != `"`+want+`"` {
		t.Errorf("download: %q, want %q (%v)", c.ETag, want, err)
	}
	if err := errors.Join(err, c.Close()); err != nil {
		t.Error(err)
	}
}
