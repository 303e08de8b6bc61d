package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/core/agent"
)

func TestTreeHasTheDocumentedShape(t *testing.T) {
	r := start(t, newBox(map[string]string{
		"Makefile": "all:\n", "src.d/": "", "src.d/main.go": "package main\n", "empty/": "", "link@": "src.d/main.go", "z": "", "pipe!": "",
		"new\nline": "1", "bad\xff\xfe": "2", "\u202Etxt.exe": "3", `q"uote'`: "4",
	}), Config{}, nil)
	tree, err := r.Tree(context.Background(), "s", "")
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(tree, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	leaf := func(name, kind, more string, size int) string {
		quoted, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		base, err := json.Marshal(name[strings.LastIndexByte(name, '/')+1:])
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`{"name":%s,"type":%q,"path":%s,"size":%d,"modified":"2026-01-02T03:04:06Z"%s}`, base, kind, quoted, size, more)
	}
	want := `{"root":"/workspace","total_files":9,"tree":{"name":"workspace","type":"directory","path":"","size":0,"children":[` + strings.Join([]string{
		leaf("empty", "directory", `,"children":[]`, 0),
		leaf("src.d", "directory", `,"children":[`+leaf("src.d/main.go", "file", "", 13)+`]`, 0),
		leaf("Makefile", "file", "", 5),
		leaf("bad\uFFFD", "file", `,"path_bytes":"YmFk//4="`, 1),
		leaf("link", "symlink", `,"target":"src.d/main.go"`, 0),
		leaf("new\nline", "file", "", 1),
		leaf("pipe", "other", "", 0),
		leaf(`q"uote'`, "file", "", 1),
		leaf("z", "file", "", 0),
		leaf("\u202Etxt.exe", "file", "", 1),
	}, ",") + `]}}`
	var a, b any
	if err := errors.Join(json.Unmarshal(got, &a), json.Unmarshal([]byte(want), &b)); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("got %s\nwant %s", got, want)
	}
	// What the tree shows addresses the file.
	if p, err := r.Preview(context.Background(), "s", "bad\xff\xfe"); err != nil || *p.Content != "2" || string(p.PathBytes) != "bad\xff\xfe" {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestTreeOfAFolder(t *testing.T) {
	r := start(t, newBox(map[string]string{"a/b/c": "", "a/d": "", "a-b": "", "to@": "a/b", "f": ""}), Config{}, nil)
	for asked, want := range map[string]string{"a": "a 2", "a/b": "a/b 1", "to": "a/b 1", "/workspace/a/": "a 2"} {
		tree, err := r.Tree(context.Background(), "s", asked)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(tree.Tree.Path, " ", tree.TotalFiles); got != want || tree.Root != "/workspace" {
			t.Errorf("%s: got %s, want %s", asked, got, want)
		}
	}
	for asked, want := range map[string]error{"f": ErrNotDirectory, "nothing": ErrNotFound, "f/x": ErrNotDirectory} {
		if _, err := r.Tree(context.Background(), "s", asked); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", asked, err, want)
		}
	}
	r.gates.denied["list a"] = true
	if _, err := r.Tree(context.Background(), "s", "a"); !isRefused(err) {
		t.Errorf("got %v", err)
	}
}

func TestALargeTreeIsCutShortAndSaysSo(t *testing.T) {
	b := newBox(map[string]string{"a": "", "b": "", "c": ""})
	tree, err := start(t, b, Config{MaxTreeEntries: 2}, nil).Tree(context.Background(), "s", "")
	if err != nil || !tree.Truncated || tree.TotalFiles != 2 {
		t.Errorf("got %+v, %v", tree, err)
	}
	tree, err = start(t, b, Config{MaxTreeEntries: 3}, nil).Tree(context.Background(), "s", "")
	if err != nil || tree.Truncated || tree.TotalFiles != 3 {
		t.Errorf("got %+v, %v", tree, err)
	}
	b = newBox(map[string]string{strings.Repeat("d/", maxDepth+5) + "f": "", "x": ""})
	tree, err = start(t, b, Config{}, nil).Tree(context.Background(), "s", "")
	if err != nil || !tree.Truncated || tree.TotalFiles != 1 {
		t.Errorf("a deep tree: got %d files, %v, %v", tree.TotalFiles, tree.Truncated, err)
	}
}

func TestAListingThatNoHonestSandboxSendsIsRefused(t *testing.T) {
	file := func(p string) agent.Entry { return agent.Entry{Path: p, Type: agent.EntryFile} }
	for name, list := range map[string][]agent.Entry{
		"twice":           {file("a"), file("a")},
		"without folder":  {file("a/b")},
		"below a file":    {file("a"), file("a/b")},
		"the root":        {{Path: "", Type: agent.EntryDirectory}},
		"empty part":      {{Path: "a", Type: agent.EntryDirectory}, file("a//b")},
		"dot":             {file("./a")},
		"trailing slash":  {{Path: "a/", Type: agent.EntryDirectory}},
		"hidden in bytes": {{Path: "\uFFFD", PathBytes: []byte("a\xff/../b"), Type: agent.EntryFile}},
	} {
		b := newBox(nil)
		b.listing = list
		if _, err := start(t, b, Config{}, nil).Tree(context.Background(), "s", ""); !errors.Is(err, ErrBroken) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func BenchmarkTreeOf10000(b *testing.B) {
	for name, path := range map[string]func(int) string{
		"flat": func(i int) string { return fmt.Sprintf("file-%05d", i) },
		"deep": func(i int) string { return fmt.Sprintf("d%d/d%d/d%d/file-%d", i%10, i%100, i%1000, i) },
	} {
		b.Run(name, func(b *testing.B) {
			bx := newBox(nil)
			for i := range 10_000 {
				bx.put(path(i), "x")
			}
			for _, p := range bx.paths() {
				bx.listing = append(bx.listing, bx.entry(p))
			}
			r := start(b, bx, Config{}, nil)
			b.ReportAllocs()
			for b.Loop() {
				tree, err := r.Tree(context.Background(), "s", "")
				if err != nil || tree.TotalFiles != 10_000 {
					b.Fatal(tree.TotalFiles, err)
				}
				if _, err := json.Marshal(tree); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
