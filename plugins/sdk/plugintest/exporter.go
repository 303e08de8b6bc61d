package plugintest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// Tar makes the workspace that the exporter kit exports: folders (one of them empty), files (one of them empty), a symlink, and
// names with spaces, newlines and other alphabets.
func Tar(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	mtime := time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)
	for _, h := range []tar.Header{
		{Name: "src/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "src/main.go", Typeflag: tar.TypeReg, Mode: 0o644, Size: 13},
		{Name: "src/run.sh", Typeflag: tar.TypeReg, Mode: 0o755, Size: 13},
		{Name: "empty/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "empty.txt", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "src/main.go", Mode: 0o777},
		{Name: "with space.txt", Typeflag: tar.TypeReg, Mode: 0o644, Size: 13},
		{Name: "naïve-日本.txt", Typeflag: tar.TypeReg, Mode: 0o644, Size: 13},
		{Name: "new\nline.txt", Typeflag: tar.TypeReg, Mode: 0o644, Size: 13},
	} {
		h.ModTime, h.Format = mtime, tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, "hello, world\n"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestExporter checks what every exporter must do: begin once and before it writes, fail on a broken stream, and end when its
// reader or writer fails. It returns the product of Tar for the exporter's own tests to look into.
func TestExporter(t *testing.T, e sdk.Exporter) (sdk.ExportHeader, []byte) {
	t.Helper()
	req := sdk.ExportRequest{SessionID: "conv-1", Name: "workspace"}
	export := func(in io.Reader, out io.Writer) (sdk.ExportHeader, error) {
		var header sdk.ExportHeader
		begun := 0
		err := e.Export(context.Background(), req, in, func(h sdk.ExportHeader) error {
			begun++
			header = h
			return nil
		}, out)
		if err == nil && begun != 1 {
			t.Errorf("begin was called %d times", begun)
		}
		return header, err
	}
	whole := Tar(t)
	var product bytes.Buffer
	header, err := export(bytes.NewReader(whole), &product)
	if err != nil {
		t.Fatalf("exporting: %v", err)
	}
	if header.FileName == "" || header.MediaType == "" || product.Len() == 0 {
		t.Errorf("got %+v and %d bytes", header, product.Len())
	}
	t.Run("one byte at a time", func(t *testing.T) {
		var again bytes.Buffer
		if _, err := export(iotest.OneByteReader(bytes.NewReader(whole)), &again); err != nil || !bytes.Equal(again.Bytes(), product.Bytes()) {
			t.Errorf("got %d bytes, %v; want the same product", again.Len(), err)
		}
	})
	t.Run("a stream that is cut off", func(t *testing.T) {
		if _, err := export(bytes.NewReader(whole[:700]), io.Discard); err == nil {
			t.Error("it must fail")
		}
	})
	t.Run("a stream that is no tar", func(t *testing.T) {
		if _, err := export(bytes.NewReader(bytes.Repeat([]byte("x"), 4096)), io.Discard); err == nil {
			t.Error("it must fail")
		}
	})
	t.Run("a reader that fails", func(t *testing.T) {
		if _, err := export(io.MultiReader(bytes.NewReader(whole[:1024]), iotest.ErrReader(errors.New("gone"))), io.Discard); err == nil {
			t.Error("it must fail")
		}
	})
	t.Run("a writer that fails", func(t *testing.T) {
		if _, err := export(bytes.NewReader(whole), failing{}); err == nil {
			t.Error("it must fail")
		}
	})
	return header, product.Bytes()
}

type failing struct{}

// Write implements io.Writer.
func (failing) Write([]byte) (int, error) { return 0, errors.New("the client has gone") }
