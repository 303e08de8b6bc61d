package workspace

import (
	"context"
	"errors"
	"path"
	"strings"
	"testing"
)

func TestCleanPathTakesWhatIsPlainlyOnePath(t *testing.T) {
	for raw, want := range map[string]string{
		"": "", ".": "", "/workspace": "", "/workspace/": "", "/workspace/.": "",
		"a": "a", "a/b": "a/b", "a/": "a", "/workspace/a/b": "a/b", "workspace/a": "workspace/a",
		"a..b.txt": "a..b.txt", "...": "...", "..a/b..": "..a/b..", "~": "~", "%2e%2e": "%2e%2e", "%2e%2e/x": "%2e%2e/x",
		`..\..\x`: `..\..\x`, "a\nb": "a\nb", `"q'`: `"q'`, "\u202Eevil": "\u202Eevil", "a\xff\xfe": "a\xff\xfe", "-rf": "-rf",
		strings.Repeat("x", 255): strings.Repeat("x", 255),
	} {
		if got, err := CleanPath(raw); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", raw, got, err, want)
		}
	}
}

func TestCleanPathRefusesWhatIsNot(t *testing.T) {
	for raw, reason := range map[string]string{
		"..": "a part that is ..", "../x": "..", "a/../../b": "..", "a/..": "..", "a/../b": "..", "/workspace/..": "..",
		"/workspace/../etc/passwd": "..", "./a": "a part that is .", "a/./b": ".", "a//b": "empty part", "a//": "empty part",
		"/workspace//a": "empty part", "/": "outside of /workspace", "/etc/passwd": "outside", "//a": "outside",
		"/workspaces": "outside", "/workspace\x00": "NUL", "a\x00b": "NUL",
		strings.Repeat("x", 256): "the limit is 255", strings.Repeat("x/", 2048) + "xx": "the limit is 4096",
	} {
		var bad *InvalidPathError
		if got, err := CleanPath(raw); !errors.As(err, &bad) || !strings.Contains(bad.Reason, reason) {
			t.Errorf("%q: got %q, %v; want %q", raw, got, err, reason)
		}
	}
}

func FuzzCleanPath(f *testing.F) {
	for _, s := range []string{"", "/workspace/a", "../a", "a/./b", "a\x00", "a\xff", "/workspace//workspace", "a/", ".", "/workspace/."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := CleanPath(raw)
		if err != nil {
			var bad *InvalidPathError
			if !errors.As(err, &bad) || got != "" {
				t.Fatalf("%q: got %q, %v", raw, got, err)
			}
			return
		}
		// The result is where a plain join would end up, and nowhere else.
		full := path.Join(Root, got)
		if want := path.Join(Root, strings.TrimPrefix(raw, Root)); strings.HasPrefix(raw, "/") && full != want || !below(full, Root) {
			t.Fatalf("%q: got %q", raw, got)
		}
		if got != "" && (path.Clean(got) != got || path.IsAbs(got)) {
			t.Fatalf("%q: %q is not clean", raw, got)
		}
		if again, err := CleanPath(got); err != nil || again != got {
			t.Fatalf("%q: %q becomes %q, %v", raw, got, again, err)
		}
	})
}

func TestUploadedNamesAreBare(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "../a", "/a", "a\x00", strings.Repeat("x", 256)} {
		if err := checkName(name); err == nil {
			t.Errorf("%q must be refused", name)
		}
	}
	for _, name := range []string{"a", "a..b", "..a", `..\a`, "a\nb", "a\xff", `"`} {
		if err := checkName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestResolveFollowsLinksThatStay(t *testing.T) {
	b := newBox(map[string]string{
		"dir/file": "x", "dir/sub/deep": "y", "to-file@": "dir/file", "to-dir@": "dir/", "dir/up@": "../dir/sub", "abs@": "/workspace/dir",
		"root@": "/workspace", "out@": "/etc", "climb@": "../etc", "dir/climb@": "../../etc", "loop@": "loop", "a@": "b", "b@": "a",
		"dangling@": "nowhere", "near@": "/workspace/../etc", "twice@": "to-dir/up/deep", "outside@": "/workspaces/x", "self@": "dir/..",
	})
	for _, c := range []struct {
		asked  string
		follow bool
		want   string
		err    error
	}{
		{"dir/file", true, "dir/file", nil},
		{"to-file", true, "dir/file", nil},
		{"to-file", false, "to-file", nil},
		{"to-dir/file", false, "dir/file", nil},
		{"to-dir/up/deep", true, "dir/sub/deep", nil},
		{"twice", true, "dir/sub/deep", nil},
		{"abs/file", true, "dir/file", nil},
		{"root/abs/file", true, "dir/file", nil},
		{"root", true, "", nil},
		{"self/to-file", true, "dir/file", nil},
		{"new/file", true, "new/file", nil},
		{"to-dir/new", true, "dir/new", nil},
		{"dangling", true, "nowhere", nil},
		{"dangling", false, "dangling", nil},
		{"out/passwd", true, "", ErrForbidden},
		{"out", true, "", ErrForbidden},
		{"climb", true, "", ErrForbidden},
		{"dir/climb/x", false, "", ErrForbidden},
		{"near", true, "", ErrForbidden},
		{"outside", true, "", ErrForbidden},
		{"loop", true, "", ErrForbidden},
		{"a/x", true, "", ErrForbidden},
		{"dir/file/x", true, "", ErrNotDirectory},
		{"dangling/../x", true, "", ErrNotFound}, // CleanPath lets no such path through
	} {
		got, err := resolve(context.Background(), b, c.asked, c.follow)
		if got.path != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s (%v): got %q, %v; want %q, %v", c.asked, c.follow, got.path, err, c.want, c.err)
		}
	}
}

func TestALinkDoesNotLeadAroundAGate(t *testing.T) {
	r := start(t, newBox(map[string]string{"secret/key": "x", "key@": "secret/key", "folder@": "secret"}), Config{}, nil)
	for _, denied := range []string{"read secret/key", "write secret", "write secret/new", "delete secret/key", "list secret"} {
		r.gates.denied[denied] = true
	}
	ctx := context.Background()
	_, preview := r.Preview(ctx, "s", "key")
	_, content := r.Open(ctx, "s", "folder/key")
	_, upload := r.Upload(ctx, "s", "folder", true, parcels("new", "y"))
	_, tree := r.Tree(ctx, "s", "folder")
	_, export := r.Export(ctx, "s", ExportRequest{Paths: []string{"folder/key"}}, nil, nil)
	for what, err := range map[string]error{
		"preview": preview, "open": content, "upload": upload, "tree": tree, "export": export,
		"delete": r.Delete(ctx, "s", "folder/key", false),
	} {
		if !isRefused(err) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	// A link itself may go.
	if err := r.Delete(ctx, "s", "key", false); err != nil || r.box.items["secret/key"].content != "x" {
		t.Errorf("deleting a link: %v", err)
	}
}
