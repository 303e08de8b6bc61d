package workspace

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/agcluster/agcluster/core/agent"
)

// scripted makes a tar of lines "<type> <name> <target or content>": what a hostile sandbox could send, with valid checksums.
func scripted(script string) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for line := range strings.SplitSeq(script, "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		name, value, _ := strings.Cut(rest, " ")
		h := tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(value))}
		switch kind {
		case "d":
			h.Typeflag, h.Size = tar.TypeDir, 0
		case "l":
			h.Typeflag, h.Size, h.Linkname = tar.TypeSymlink, 0, value
		case "h":
			h.Typeflag, h.Size, h.Linkname = tar.TypeLink, 0, value
		case "p":
			h.Typeflag, h.Size = tar.TypeFifo, 0
		}
		if w.WriteHeader(&h) != nil {
			continue // not what a tar can hold
		}
		if h.Size > 0 {
			_, _ = io.WriteString(w, value) // as announced
		}
	}
	_ = w.Close() // of a buffer
	return buf.Bytes()
}

// disk is what an unpacker makes of a tar: it follows links, as the kernel does, and says when that leads out.
type disk map[string]string // "/" is a folder, "> target" a link, anything else a file

var errOut = errors.New("out of the workspace")

// walk finds where a path ends up. Missing parts are made up, as a later entry could make them.
func (d disk) walk(at []string, p string, steps *int) ([]string, error) {
	if strings.HasPrefix(p, "/") {
		return nil, errOut
	}
	for part := range strings.SplitSeq(p, "/") {
		if *steps++; *steps > 1000 {
			return at, nil // a loop leads nowhere
		}
		switch part {
		case "", ".":
			continue
		case "..":
			if len(at) == 0 {
				return nil, errOut
			}
			at = at[:len(at)-1]
			continue
		}
		next := append(append([]string(nil), at...), part)
		if target, ok := strings.CutPrefix(d[strings.Join(next, "/")], "> "); ok {
			var err error
			if at, err = d.walk(at, target, steps); err != nil {
				return nil, err
			}
			continue
		}
		at = next
	}
	return at, nil
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{
		"d a/\nf a/b hello\nl a/c b", "l a ..\nf a/x evil", "l q x/y\nl x/y/z ../..\nl e x/y/z/../..", "f ../x y", "f /etc/passwd y",
		"l a/b/c ../../d\nl d a/b/c/../../../x", "h a /etc/passwd\np fifo", "f a\xff b\nf a\\..\\b c", "d ./\nd ./a/\nf ./a/b x",
		"f a 1\nf a 2", "f a/b 1\nl a ..", "l l .\nl l/m ..", "l a b\nl b ../x",
	} {
		f.Add([]byte(nil), s)
		f.Add(scripted(s), "")
	}
	f.Fuzz(func(t *testing.T, raw []byte, script string) {
		if script != "" {
			raw = scripted(script)
		}
		g := &gates{denied: map[string]bool{}, maxBytes: 1 << 20, maxEntries: 1000}
		v := &visit{service: New(Config{MaxExportEntries: 1000}, nil, g, nil, nil), sessionID: "s", files: newBox(nil)}
		c, err := newCargo(context.Background(), v, []string{""})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err = c.filter(context.Background(), bytes.NewReader(raw), &out, &product{})
		d := disk{}
		bytesOut := int64(0)
		for r := tar.NewReader(&out); ; {
			h, readErr := r.Next()
			if readErr != nil {
				if err == nil && !errors.Is(readErr, io.EOF) {
					t.Fatalf("a clean end, and what left is no tar: %v", readErr)
				}
				break
			}
			name := strings.TrimSuffix(h.Name, "/")
			if name == "" || path.IsAbs(name) || path.Clean(name) != name || strings.HasPrefix(name, "..") && (name == ".." || name[2] == '/') ||
				strings.ContainsRune(name, 0) || d[name] != "" {
				t.Fatalf("%q left", h.Name)
			}
			switch h.Typeflag {
			case tar.TypeDir:
				d[name] = "/"
			case tar.TypeSymlink:
				d[name] = "> " + h.Linkname
			case tar.TypeReg:
				d[name] = fmt.Sprint(h.Size)
				bytesOut += h.Size
			default:
				t.Fatalf("%q left with type %q", h.Name, h.Typeflag)
			}
		}
		if bytesOut > 1<<20 || len(d) > 1000 {
			t.Fatalf("%d bytes in %d entries left", bytesOut, len(d))
		}
		for name := range d {
			if at, err := d.walk(nil, name, new(int)); err != nil {
				t.Fatalf("%q leads out: %v", name, d)
			} else if up := parent(name); up != "" {
				// Nothing is unpacked through a link.
				if where, err := d.walk(nil, up, new(int)); err != nil || strings.Join(where, "/") != up {
					t.Fatalf("%q is below a link (%v, %v)", name, at, where)
				}
			}
		}
	})
}

// archiveOf makes a box whose archive is made of headers, whatever its listing says. Files hold as many x as their size says.
func archiveOf(b *box, headers ...tar.Header) *box {
	b.archive = func() io.ReadCloser {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		for _, h := range headers {
			if h.Typeflag == 0 {
				h.Typeflag = tar.TypeReg
			}
			if err := w.WriteHeader(&h); err != nil {
				return io.NopCloser(iotest.ErrReader(err))
			}
			if h.Typeflag == tar.TypeReg {
				if _, err := io.WriteString(w, strings.Repeat("x", int(h.Size))); err != nil {
					return io.NopCloser(iotest.ErrReader(err))
				}
			}
		}
		if err := w.Close(); err != nil {
			return io.NopCloser(iotest.ErrReader(err))
		}
		return io.NopCloser(&buf)
	}
	return b
}

func link(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}
}

func TestAHostileArchiveBreaksTheExport(t *testing.T) {
	dir := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir} }
	file := func(name string) tar.Header { return tar.Header{Name: name} }
	for name, headers := range map[string][]tar.Header{
		"climbing":            {file("../evil")},
		"climbing later":      {file("a/../../evil")},
		"absolute":            {file("/etc/evil")},
		"absolute in root":    {file("/workspace/evil")},
		"a dot":               {file("a/./b")},
		"the root as a file":  {file(".")},
		"an empty part":       {file("a//b")},
		"no name":             {file("")},
		"a name too long":     {file(strings.Repeat("x", 300))},
		"twice":               {file("a"), file("a")},
		"a folder twice":      {dir("a/"), dir("a/")},
		"below a file":        {file("a"), file("a/b")},
		"below a link":        {link("a", "b"), file("a/b")},
		"below an inner link": {link("a", "b"), file("a/b/c/d")},
		"a link over folders": {file("a/b/c"), link("a", "..")},
		"a link over its own": {file("a/b/c"), link("a/b", "x")},
		"below a dropped one": {link("a", "/etc"), file("a/passwd")},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := start(t, archiveOf(newBox(nil), headers...), Config{}, exporter(plain)).export(ExportRequest{})
			if !errors.Is(err, ErrBroken) || len(out.began) > 0 {
				t.Errorf("got %v and %d bytes", err, out.Len())
			}
		})
	}
	t.Run("what was not asked for", func(t *testing.T) {
		b := archiveOf(newBox(map[string]string{"a/b": "", "c": ""}), dir("a/"), file("a/b"), file("c"))
		if _, _, err := start(t, b, Config{}, exporter(plain)).export(ExportRequest{Paths: []string{"a/b"}}); !errors.Is(err, ErrBroken) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no tar", func(t *testing.T) {
		b := newBox(nil)
		b.archive = func() io.ReadCloser { return io.NopCloser(strings.NewReader(strings.Repeat("no tar", 1000))) }
		if _, _, err := start(t, b, Config{}, exporter(plain)).export(ExportRequest{}); !errors.Is(err, ErrBroken) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("without end", func(t *testing.T) {
		var many []tar.Header
		for i := range 100 {
			many = append(many, tar.Header{Name: fmt.Sprint(i), Typeflag: tar.TypeFifo})
		}
		_, _, err := start(t, archiveOf(newBox(nil), many...), Config{MaxExportEntries: 50}, exporter(plain)).export(ExportRequest{})
		if !tooLarge("entries", "", 50, 51)(err) {
			t.Errorf("got %v", err)
		}
	})
}

func TestWhatMayNotLeaveIsDropped(t *testing.T) {
	b := archiveOf(newBox(nil),
		tar.Header{Name: "./", Typeflag: tar.TypeDir}, tar.Header{Name: "./a/", Typeflag: tar.TypeDir}, tar.Header{Name: "./a/b", Size: 3},
		tar.Header{Name: "hard", Linkname: "/etc/passwd", Typeflag: tar.TypeLink}, tar.Header{Name: "pipe", Typeflag: tar.TypeFifo},
		tar.Header{Name: "disk", Typeflag: tar.TypeBlock}, tar.Header{Name: "tty", Typeflag: tar.TypeChar},
		tar.Header{Name: `..\..\evil`, Size: 5}, tar.Header{Name: `C:\evil`}, tar.Header{Name: `\evil`}, tar.Header{Name: `fine\name`},
		link("l", `..\..\x`), link("a/l", "/etc"), link("a/m", "b"),
	)
	c, done, err := start(t, b, Config{}, exporter(plain)).export(ExportRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(tarOf(t, c.Bytes())), `map[a:/ a/b:xxx a/m:-> b fine\name:]`; got != want || done.Dropped != 9 {
		t.Errorf("got %s and %d dropped, want %s", got, done.Dropped, want)
	}
}

func TestLinksLeaveOnlyWhenTheyStayInAnyCompany(t *testing.T) {
	for _, c := range []struct {
		name, target string
		leads        bool
	}{
		{"l", "a", false},
		{"l", "./a/b/", false},
		{"l", "l", false},
		{"a/b/l", "../x", false},
		{"a/b/l", "../../x/y", false},
		{"a/b/l", "../..", false},
		{"a/l", "..b/c..", false},
		{"l", "", true},
		{"l", "/etc/passwd", true},
		{"l", "/workspace/a", true},
		{"l", "..", true},
		{"l", "../workspace/a", true},
		{"a/l", "../../x", true},
		{"a/l", ".././../x", true},
		{"l", "a/../b", true}, // a could be a link
		{"x/y/e", "q/../../z", true},
		{"l", "a/..", true},
		{"l", "a\x00b", true},
		{"l", `..\x`, true},
		{"l", `a/..\..\x`, true},
		{"l", `C:\x`, true},
		{"l", `a\b`, false},
		{"l", strings.Repeat("x/", 3000), true},
	} {
		if got := leads(c.name, c.target); got != c.leads {
			t.Errorf("%s -> %q: got %v", c.name, c.target, got)
		}
	}
}

func TestWhatDiffersFromItsAnnouncementIsJudgedAnew(t *testing.T) {
	at := func(content string) item { return item{kind: agent.EntryFile, content: content, mod: modified} }
	for name, c := range map[string]struct {
		change func(*box)
		denied string
		want   func(error) bool
	}{
		"grown within the limit":     {func(b *box) { b.items["f"] = at("123456") }, "", is(nil)},
		"grown over the limit":       {func(b *box) { b.items["f"] = at("12345678901") }, "", isOverLimit("max_bytes")},
		"new within the limit":       {func(b *box) { b.items["new"] = at("1") }, "", is(nil)},
		"new and too large":          {func(b *box) { b.items["new"] = at("1234567") }, "", isOverLimit("max_bytes")},
		"new and denied":             {func(b *box) { b.items["new"] = at("1") }, "read new", isRefused},
		"one too many":               {func(b *box) { b.put("x", ""); b.put("y", ""); b.put("z", "") }, "", isOverLimit("max_entries")},
		"a link by now":              {func(b *box) { b.put("f@", "g") }, "", is(nil)},
		"smaller, gone or as it was": {func(b *box) { b.items["f"] = at("1"); delete(b.items, "g") }, "", is(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(map[string]string{"f": "12345", "g": ""})
			b.beforeArchive = func() { c.change(b) }
			r := start(t, b, Config{}, exporter(plain))
			r.gates.maxBytes, r.gates.maxEntries = 10, 4
			if c.denied != "" {
				r.gates.denied[c.denied] = true
			}
			out, _, err := r.export(ExportRequest{})
			if !c.want(err) {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				return
			}
			want := map[string]string{}
			for p, i := range b.items {
				want[p] = i.content
				if i.kind == agent.EntrySymlink {
					want[p] = "-> " + i.target
				}
			}
			if got := tarOf(t, out.Bytes()); !maps.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}
