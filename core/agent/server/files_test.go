package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/agent"
)

// hostileNames are names that a file may well have.
func hostileNames() []string {
	return []string{
		"plain", "with space", "new\nline", "quote\"'`", "back\\slash", "ünïcödé", "\u202egpj.exe", "latin\xe9\xff", "-rf", "$(reboot)", "a..b.txt", "...",
		"%2e%2e", "%2F", "?x=1&y", "#hash", "tab\t", "\x01\x7f", "<b>", strings.Repeat("n", maxName), "*", "~", "\u2028", ".hidden",
	}
}

func put(t *testing.T, r *rig, name, content string) {
	t.Helper()
	o := agent.WriteOptions{Overwrite: true, MkdirAll: true}
	if _, err := r.client.Write(within(t), name, int64(len(content)), strings.NewReader(content), o); err != nil {
		t.Fatal(err)
	}
}

// failed is the error of a call that has a result, too.
func failed[T any](_ T, err error) error { return err }

func get(t *testing.T, r *rig, name string, o agent.ReadOptions) (string, agent.Entry, error) {
	t.Helper()
	body, e, err := r.client.Read(within(t), name, o)
	if err != nil {
		return "", e, err
	}
	defer shut(t, body)
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), e, nil
}

func TestNamesOfEveryKindGoThereAndBack(t *testing.T) {
	r := newRig(t, nil, nil)
	for i, name := range hostileNames() {
		path := "dir/" + name
		put(t, r, path, strconv.Itoa(i))
		if b, err := os.ReadFile(filepath.Join(r.dir, path)); err != nil || string(b) != strconv.Itoa(i) {
			t.Errorf("%q: %q %v", name, b, err)
		}
		got, e, err := get(t, r, path, agent.ReadOptions{})
		if err != nil || got != strconv.Itoa(i) || e.Raw() != path || e.Type != agent.EntryFile || e.Mode != 0o644 {
			t.Errorf("%q: read %q, %+v, %v", name, got, e, err)
		}
		if e, err := r.client.Stat(within(t), path); err != nil || e.Raw() != path || e.Size != int64(len(got)) || time.Since(e.ModTime) > time.Hour {
			t.Errorf("%q: %+v %v", name, e, err)
		}
	}
	seen := map[string]bool{}
	if err := r.client.Tree(within(t), "dir", func(e agent.Entry) error { seen[e.Raw()] = true; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, name := range hostileNames() {
		if !seen["dir/"+name] {
			t.Errorf("%q is not in the tree", name)
		}
		if err := r.client.Delete(within(t), "dir/"+name, false); err != nil {
			t.Errorf("deleting %q: %v", name, err)
		}
	}
	if err := r.client.Delete(within(t), "dir", false); err != nil {
		t.Errorf("something is left: %v", err)
	}
}

func TestMalformedPathsAreInvalidEverywhere(t *testing.T) {
	r := newRig(t, nil, nil)
	for name, path := range map[string]string{
		"absolute": "/etc/passwd", "up": "../x", "up inside": "a/../../x", "up at the end": "a/..", "only up": "..", "NUL": "a\x00b",
		"too long": strings.Repeat("a/", 2100), "name too long": strings.Repeat("n", maxName+1),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := within(t)
			_, _, readErr := r.client.Read(ctx, path, agent.ReadOptions{})
			_, statErr := r.client.Stat(ctx, path)
			_, archiveErr := r.client.Archive(ctx, []string{path})
			for what, err := range map[string]error{
				"read": readErr, "stat": statErr, "archive": archiveErr, "delete": r.client.Delete(ctx, path, true),
				"write":  failed(r.client.Write(ctx, path, 1, strings.NewReader("x"), agent.WriteOptions{Overwrite: true, MkdirAll: true})),
				"move":   r.client.Move(ctx, "x", path, true),
				"folder": r.client.MakeFolder(ctx, path),
				"tree":   r.client.Tree(ctx, path, func(agent.Entry) error { return nil }),
			} {
				if !errors.Is(err, agent.ErrInvalid) {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
	for _, path := range []string{"", ".", "./", "//"} {
		if err := r.client.Delete(within(t), path, true); !errors.Is(err, agent.ErrInvalid) && !errors.Is(err, agent.ErrForbidden) {
			t.Errorf("deleting %q: %v", path, err)
		}
	}
	if _, err := os.Stat(r.dir); err != nil {
		t.Fatal("the workspace is gone")
	}
}

func TestRanges(t *testing.T) {
	r := newRig(t, nil, nil)
	put(t, r, "f", "0123456789")
	for _, c := range []struct {
		offset, length int64
		want           string
	}{{0, 0, "0123456789"}, {0, 3, "012"}, {7, 0, "789"}, {7, 100, "789"}, {10, 0, ""}, {10, 5, ""}, {9, 1, "9"}} {
		got, e, err := get(t, r, "f", agent.ReadOptions{Offset: c.offset, Length: c.length})
		if err != nil || got != c.want || e.Size != 10 {
			t.Errorf("%d+%d: %q %+v %v", c.offset, c.length, got, e, err)
		}
	}
	if _, _, err := get(t, r, "f", agent.ReadOptions{Offset: 11}); !errors.Is(err, agent.ErrInvalid) {
		t.Errorf("%v", err)
	}
	for _, q := range []string{"offset=-1", "length=-1", "offset=x", "length=99999999999999999999"} {
		if res := r.raw(t, http.MethodGet, "/v1/files?path=f&"+q, "Bearer "+token, ""); res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", q, res.StatusCode)
		}
	}
	put(t, r, "empty", "")
	if got, e, err := get(t, r, "empty", agent.ReadOptions{}); err != nil || got != "" || e.Size != 0 {
		t.Errorf("%q %+v %v", got, e, err)
	}
}

func TestWriteConflicts(t *testing.T) {
	r := newRig(t, nil, nil)
	put(t, r, "there", "old")
	put(t, r, "dir/x", "x")
	if err := os.Symlink("nowhere", filepath.Join(r.dir, "link")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path string
		o    agent.WriteOptions
		want error
	}{
		"exists":            {"there", agent.WriteOptions{}, agent.ErrConflict},
		"a link exists":     {"link", agent.WriteOptions{}, agent.ErrConflict},
		"folder":            {"dir", agent.WriteOptions{Overwrite: true}, agent.ErrConflict},
		"no parent":         {"a/b/c", agent.WriteOptions{Overwrite: true}, agent.ErrNotFound},
		"a file as parent":  {"there/x", agent.WriteOptions{Overwrite: true, MkdirAll: true}, agent.ErrConflict},
		"a reserved name":   {"dir/" + tempPrefix + strings.Repeat("0", 32), agent.WriteOptions{}, agent.ErrForbidden},
		"no name":           {"", agent.WriteOptions{}, agent.ErrInvalid},
		"new":               {"new", agent.WriteOptions{}, nil},
		"parents":           {"p/q/r", agent.WriteOptions{MkdirAll: true}, nil},
		"over":              {"dir/x", agent.WriteOptions{Overwrite: true}, nil},
		"nearly a reserved": {tempPrefix + "x", agent.WriteOptions{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := r.client.Write(within(t), c.path, 3, strings.NewReader("new"), c.o); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	if got, _, err := get(t, r, "there", agent.ReadOptions{}); err != nil || got != "old" {
		t.Errorf("%q %v", got, err)
	}
	if left := leftovers(t, r.dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func leftovers(t *testing.T, dir string) []string {
	t.Helper()
	var left []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if isTemp(filepath.Base(path)) {
			left = append(left, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func TestOneOfManyWritersWithoutOverwriteWins(t *testing.T) {
	r := newRig(t, nil, nil)
	results := make(chan error, 20)
	for i := range cap(results) {
		go func() {
			results <- failed(r.client.Write(within(t), "f", 3, strings.NewReader(strconv.Itoa(100+i)), agent.WriteOptions{}))
		}()
	}
	won := 0
	for range cap(results) {
		switch err := receive(t, "result", results); {
		case err == nil:
			won++
		case !errors.Is(err, agent.ErrConflict):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
	if left := leftovers(t, r.dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestAWriteIsSeenWholeOrNotAtAll(t *testing.T) {
	r := newRig(t, nil, nil)
	put(t, r, "f", "old")
	body, sender := io.Pipe()
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(within(t))
	go func() { done <- failed(r.client.Write(ctx, "f", 10, body, agent.WriteOptions{Overwrite: true})) }()
	if _, err := sender.Write([]byte("half ")); err != nil {
		t.Fatal(err)
	}
	for len(leftovers(t, r.dir)) == 0 {
		if ctx.Err() != nil {
			t.Fatal("the write never began")
		}
	}
	if got, _, err := get(t, r, "f", agent.ReadOptions{}); err != nil || got != "old" {
		t.Errorf("%q %v", got, err)
	}
	if err := r.client.Tree(within(t), "", func(e agent.Entry) error {
		if e.Path != "f" {
			t.Errorf("the tree shows %q", e.Path)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if len(leftovers(t, r.dir)) != 1 {
		t.Error("a walk removed the file of a running write")
	}
	cancel()
	sender.Close() //nolint:errcheck // it never fails
	if err := receive(t, "end", done); err == nil {
		t.Error("half a file was accepted")
	}
	for len(leftovers(t, r.dir)) > 0 {
		if t.Context().Err() != nil {
			t.Fatal("something is left")
		}
	}
	if got, _, err := get(t, r, "f", agent.ReadOptions{}); err != nil || got != "old" {
		t.Errorf("%q %v", got, err)
	}
	// Without a length there is no promise to keep.
	res := r.raw(t, http.MethodPut, "/v1/files?path=g&overwrite=maybe", "Bearer "+token, "x")
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestSizeIsExactlyAsAnnounced(t *testing.T) {
	r := newRig(t, nil, nil)
	w := r.server.files
	for name, c := range map[string]struct {
		size int64
		body string
	}{"shorter": {5, "1234"}, "longer": {3, "1234"}, "nothing": {1, ""}} {
		if _, err := w.Write("f", c.size, strings.NewReader(c.body), agent.WriteOptions{}); !errors.Is(err, agent.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries, err := os.ReadDir(r.dir); err != nil || len(entries) != 0 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestModeIsFixedWhateverTheUmask(t *testing.T) {
	r := newRig(t, nil, nil)
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	put(t, r, "f", "x")
	if e, err := r.client.Stat(within(t), "f"); err != nil || e.Mode != 0o644 {
		t.Errorf("%+v %v", e, err)
	}
}

func TestDelete(t *testing.T) {
	r := newRig(t, nil, nil)
	put(t, r, "dir/sub/f", "x")
	for _, c := range []struct {
		path      string
		recursive bool
		want      error
	}{
		{"none", false, agent.ErrNotFound},
		{"none", true, agent.ErrNotFound},
		{"dir/sub/f/x", true, agent.ErrNotFound},
		{"dir", false, agent.ErrConflict},
		{"dir/sub/f", false, nil},
		{"dir/sub", false, nil},
		{"dir", true, nil},
	} {
		if err := r.client.Delete(within(t), c.path, c.recursive); !errors.Is(err, c.want) {
			t.Errorf("%s, recursive %v: %v, want %v", c.path, c.recursive, err, c.want)
		}
	}
}

func TestErrorsOfTheFileSystemHaveTheirStatus(t *testing.T) {
	for err, want := range map[error]int{
		syscall.ENOSPC: http.StatusInsufficientStorage, syscall.EDQUOT: http.StatusInsufficientStorage, syscall.EFBIG: http.StatusRequestEntityTooLarge,
		syscall.EACCES: http.StatusForbidden, syscall.EROFS: http.StatusInternalServerError, syscall.ENOTDIR: http.StatusConflict,
		syscall.EIO: http.StatusInternalServerError, syscall.ENAMETOOLONG: http.StatusBadRequest,
	} {
		if got, _ := status(explain(&os.PathError{Op: "write", Path: "x", Err: err}, "x")); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}

func TestABigFileGoesThereAndBack(t *testing.T) {
	r := newRig(t, nil, nil)
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	_, err := r.client.Write(within(t), "big", int64(len(content)), bytes.NewReader(content), agent.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := get(t, r, "big", agent.ReadOptions{})
	if err != nil || got != string(content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
