package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/plugins/sdk"
	"github.com/agcluster/agcluster/plugins/sdk/plugintest"
)

func TestConformance(t *testing.T) {
	t.Run("in process", func(t *testing.T) { look(t, plugintest.ExporterHarness{Exporter: exporter{}}) })
	t.Run("binary", func(t *testing.T) {
		path := plugintest.Build(t, ".")
		plugintest.TestBinary(t, path, sdk.KindExporter, "zip", nil)
		p := plugintest.Start(t, path, nil)
		look(t, plugintest.ExporterHarness{Exporter: p.Exporter, PID: p.PID})
	})
}

func look(t *testing.T, h plugintest.ExporterHarness) {
	t.Helper()
	header, product := plugintest.TestExporter(t, h)
	if header.FileName != "workspace.zip" || header.MediaType != "application/zip" {
		t.Errorf("got %+v", header)
	}
	r, err := zip.NewReader(bytes.NewReader(product), int64(len(product)))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"src/": "", "src/main.go": "hello, world\n", "src/run.sh": "hello, world\n", "empty/": "", "empty.txt": "",
		"link": "src/main.go", "with space.txt": "hello, world\n", "naïve-日本.txt": "hello, world\n", "new\nline.txt": "hello, world\n",
	}
	for _, f := range r.File {
		rc, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(rc)
		if text, ok := want[f.Name]; err != nil || !ok || text != string(b) {
			t.Errorf("%q: got %q, %v", f.Name, b, err)
		}
		delete(want, f.Name)
		if f.Name == "link" && f.Mode().Type() != os.ModeSymlink {
			t.Errorf("link has mode %v", f.Mode())
		}
		if f.Name == "src/run.sh" && f.Mode().Perm() != 0o755 {
			t.Errorf("run.sh has mode %v", f.Mode())
		}
		if f.Modified.Year() != 2026 {
			t.Errorf("%q was modified %v", f.Name, f.Modified)
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	path := filepath.Join(t.TempDir(), "x.zip")
	if err := os.WriteFile(path, product, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("unzip", "-t", path).CombinedOutput(); err != nil {
		t.Errorf("unzip -t: %v\n%s", err, out)
	}
}

func TestNamesThatAreNoUTF8Stay(t *testing.T) {
	var in, out bytes.Buffer
	w := tar.NewWriter(&in)
	if err := w.WriteHeader(&tar.Header{Name: "a\xff\xfe.txt", Typeflag: tar.TypeReg, Mode: 0o644, Format: tar.FormatGNU}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	err := exporter{}.Export(context.Background(), sdk.ExportRequest{}, &in, func(sdk.ExportHeader) error { return nil }, &out)
	if err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil || r.File[0].Name != "a\xff\xfe.txt" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestWhatIsNoWorkspaceIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		header tar.Header
		want   string
	}{
		"a name that climbs":         {tar.Header{Name: "../x", Typeflag: tar.TypeReg}, "no clean relative name"},
		"a name that climbs later":   {tar.Header{Name: "a/../../x", Typeflag: tar.TypeReg}, "no clean relative name"},
		"an absolute name":           {tar.Header{Name: "/etc/passwd", Typeflag: tar.TypeReg}, "no clean relative name"},
		"the folder above":           {tar.Header{Name: "../", Typeflag: tar.TypeDir}, "no clean relative name"},
		"a hard link":                {tar.Header{Name: "a", Linkname: "b", Typeflag: tar.TypeLink}, "which no workspace has"},
		"a socket is left out":       {tar.Header{Name: "a", Typeflag: tar.TypeFifo}, ""},
		"two dots in a name are one": {tar.Header{Name: "a..b", Typeflag: tar.TypeReg}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var in bytes.Buffer
			w := tar.NewWriter(&in)
			if err := errors.Join(w.WriteHeader(&c.header), w.Close()); err != nil {
				t.Fatal(err)
			}
			err := exporter{}.Export(t.Context(), sdk.ExportRequest{}, &in, func(sdk.ExportHeader) error { return nil }, io.Discard)
			if (c.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestUnknownOptionsAreRefused(t *testing.T) {
	for options, ok := range map[string]bool{"": true, "{}": true, `{"level":9}`: false} {
		err := exporter{}.Export(t.Context(), sdk.ExportRequest{Options: []byte(options)}, bytes.NewReader(plugintest.Tar(t)),
			func(sdk.ExportHeader) error { return nil }, io.Discard)
		if (err == nil) != ok || (err != nil && !sdk.IsPermanent(err)) {
			t.Errorf("%q: got %v", options, err)
		}
	}
}

func BenchmarkExport(b *testing.B) {
	var in bytes.Buffer
	w := tar.NewWriter(&in)
	line := bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog 0123456789\n"), 200)
	for i := range 500 {
		h := &tar.Header{Name: filepath.Join("d", string(rune('a'+i%26)), "f"+string(rune('a'+i/26))), Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(line))}
		if err := w.WriteHeader(h); err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(line); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(in.Len()))
	for b.Loop() {
		err := exporter{}.Export(context.Background(), sdk.ExportRequest{}, bytes.NewReader(in.Bytes()), func(sdk.ExportHeader) error { return nil }, io.Discard)
		if err != nil {
			b.Fatal(err)
		}
	}
}
