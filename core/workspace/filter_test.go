package workspace

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"testing"
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
