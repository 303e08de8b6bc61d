package sdk

import (
	"context"
	"io"
)

// Exporter turns a workspace into one file that leaves the host. Export is safe for concurrent use and works at constant memory:
// it reads the tar stream once, in order, and writes as it goes.
type Exporter interface {
	// Export reads tar (POSIX pax; regular files, directories and symlinks with clean relative names) to its end and writes
	// the product to out. It calls begin exactly once, before the first write. An error leaves the product unusable.
	Export(ctx context.Context, req ExportRequest, tar io.Reader, begin func(ExportHeader) error, out io.Writer) error
}

// ExportRequest describes what is exported.
type ExportRequest struct {
	SessionID string
	// Name is a suggestion for the file's name, without extension: [A-Za-z0-9._-]+.
	Name string
	// Options are the exporter's own, as JSON.
	Options []byte
}

// ExportHeader names the product.
type ExportHeader struct {
	FileName  string
	MediaType string
}
