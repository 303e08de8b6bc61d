package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zip"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// exporter writes zips as it reads: entries in the order of the tar, level 1, constant memory.
type exporter struct{}

var _ sdk.Exporter = exporter{}

// Export implements sdk.Exporter.
func (exporter) Export(
	ctx context.Context, req sdk.ExportRequest, in io.Reader, begin func(sdk.ExportHeader) error, out io.Writer,
) error {
	if err := sdk.DecodeOptions(req.Options, &struct{}{}); err != nil {
		return err
	}
	in = &reader{ctx: ctx, r: in}
	entries := tar.NewReader(in)
	h, err := entries.Next()
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the workspace: %w", err)
	}
	// A tar that is none fails above, before anybody was promised a zip.
	name := req.Name
	if name == "" {
		name = "workspace"
	}
	if err := begin(sdk.ExportHeader{FileName: name + ".zip", MediaType: "application/zip"}); err != nil {
		return err
	}
	z := zip.NewWriter(out)
	// One writer for all entries: a new one for each costs ten times as much.
	packer, newErr := flate.NewWriter(io.Discard, flate.BestSpeed)
	if newErr != nil {
		return fmt.Errorf("preparing compression: %w", newErr)
	}
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		packer.Reset(w)
		return packer, nil
	})
	for ; err == nil; h, err = entries.Next() {
		if err := add(z, h, entries); err != nil {
			return fmt.Errorf("adding %q: %w", h.Name, err)
		}
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the workspace: %w", err)
	}
	// What follows the end of the archive is nobody's, but it must be read: the sender waits until somebody has.
	if _, err := io.Copy(io.Discard, in); err != nil {
		return fmt.Errorf("reading the workspace: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("finishing the zip: %w", err)
	}
	return nil
}

func add(z *zip.Writer, h *tar.Header, content io.Reader) error {
	// The host sends clean relative names only. Who unpacks a zip may be less careful than it, so nothing else is passed on.
	if clean := strings.TrimSuffix(h.Name, "/"); clean == "" || path.IsAbs(clean) || path.Clean(clean) != clean || clean == ".." ||
		strings.HasPrefix(clean, "../") || strings.ContainsRune(clean, 0) {
		return errors.New("it is no clean relative name")
	}
	zh := &zip.FileHeader{Name: h.Name, Method: zip.Deflate, Modified: h.ModTime}
	if !utf8.ValidString(zh.Name) {
		// The format knows UTF-8 and one old code page. Unix tools take the raw bytes when no flag says UTF-8.
		zh.NonUTF8 = true
	}
	mode := fs.FileMode(h.Mode).Perm() //nolint:gosec // only the permission bits count
	switch h.Typeflag {
	case tar.TypeDir:
		zh.SetMode(mode | fs.ModeDir)
		zh.Method = zip.Store
		if !strings.HasSuffix(zh.Name, "/") {
			zh.Name += "/"
		}
		content = strings.NewReader("")
	case tar.TypeSymlink:
		zh.SetMode(mode | fs.ModeSymlink)
		zh.Method = zip.Store
		content = strings.NewReader(h.Linkname)
	case tar.TypeReg:
		zh.SetMode(mode)
		if packed(zh.Name) || h.Size == 0 {
			zh.Method = zip.Store
		}
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return nil // they have no place in a zip
	default:
		return fmt.Errorf("it has the type %q, which no workspace has", h.Typeflag)
	}
	w, err := z.CreateHeader(zh)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, content)
	return err
}

// packed says whether a file's name tells that it is compressed already.
func packed(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".br", ".lz4", ".jar", ".whl", ".apk",
		".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".heic", ".mp3", ".ogg", ".flac", ".m4a",
		".mp4", ".mkv", ".webm", ".mov", ".avi", ".woff", ".woff2", ".docx", ".xlsx", ".pptx", ".parquet":
		return true
	default:
		return false
	}
}

// reader ends when the caller does, also within a large file.
type reader struct {
	ctx context.Context //nolint:containedctx // lives for one export
	r   io.Reader
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
