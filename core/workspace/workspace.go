// Package workspace owns what people do with a session's files: the tree, previews with their language, downloads, uploads,
// deletions and exports. It stands between three that know nothing of each other: the client of the agent server in the sandbox,
// the gates, and the exporter plugins. It knows nothing of HTTP; its errors (errors.go) can be told apart. README.md has the
// decisions.
package workspace

import (
	"cmp"
	"context"
	"io"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// Root is where the workspace is, as people and agents see it.
const Root = "/workspace"

// Reader is what is read of a sandbox; *agent.Client is one. Paths are relative to /workspace, their bytes as on disk; "" is the
// workspace itself. Methods are safe for concurrent use and fail with the errors of core/agent.
type Reader interface {
	// Tree calls fn for everything below path, parents first.
	Tree(ctx context.Context, path string, fn func(agent.Entry) error) error
	// Stat does not follow path when it is a link.
	Stat(ctx context.Context, path string) (agent.Entry, error)
	Read(ctx context.Context, path string, o agent.ReadOptions) (io.ReadCloser, agent.Entry, error)
	// Archive streams paths with all below them as tar; no path is everything.
	Archive(ctx context.Context, paths []string) (io.ReadCloser, error)
}

// Writer is what is changed in a sandbox; *agent.Client is one. See Reader.
type Writer interface {
	// Write puts a file of exactly size bytes in place at once and returns what is there then.
	Write(ctx context.Context, path string, size int64, r io.Reader, o agent.WriteOptions) (agent.Entry, error)
	Delete(ctx context.Context, path string, recursive bool) error
	// Move makes missing parents of to; only with overwrite it replaces what is there, and never a folder.
	Move(ctx context.Context, from, to string, overwrite bool) error
	// MakeFolder makes a folder with its parents; something that is there is a conflict.
	MakeFolder(ctx context.Context, path string) error
}

// Comparer tells how a sandbox's files differ from what they were at a moment: launch, turn (when the last began) or turn:N; *agent.Client is
// one. See Reader.
type Comparer interface {
	Changes(ctx context.Context, since string) (agent.ChangeList, error)
	// Change goes through no link, and shows a link itself.
	Change(ctx context.Context, path, since string) (agent.FileChange, error)
}

// Files are the files of one sandbox.
type Files interface {
	Reader
	Writer
	Comparer
}

var _ Files = (*agent.Client)(nil)

// Sandboxes opens the files of a session.
type Sandboxes interface {
	// Open wakes the session's sandbox if need be and keeps it until release is called. Its errors are returned as they are.
	Open(ctx context.Context, sessionID string) (files Files, release func(), err error)
}

// Gates judges what comes and goes; *guard.Files is one. What they refuse is a *guard.DeniedError, which is returned as it is.
type Gates interface {
	// Path judges one access (op is read, write, delete or list) to a path relative to /workspace.
	Path(ctx context.Context, sessionID, op, rel string) error
	// Paths judges many at once, which costs a small part of what one by one does. A refusal names the path.
	Paths(ctx context.Context, sessionID, op string, rels []string) error
	// Batch judges a Batch.
	Batch(ctx context.Context, sessionID string, batch any) error
}

// Exporters finds exporter plugins by name; *plugin.Set is one.
type Exporters interface {
	Exporter(ctx context.Context, name string) (sdk.Exporter, error)
}

// Config bounds what one request may do. Zero fields take the defaults in brackets.
type Config struct {
	// MaxFileBytes bounds one uploaded file [50 MiB].
	MaxFileBytes int64
	// MaxUploadBytes bounds all files of an upload together [200 MiB].
	MaxUploadBytes int64
	// MaxUploadFiles bounds how many files an upload has [50].
	MaxUploadFiles int
	// MaxPreviewBytes bounds how much of a text a preview reads [1 MiB].
	MaxPreviewBytes int64
	// MaxTreeEntries bounds the entries of a tree; what is more is left out and the tree says so [100,000].
	MaxTreeEntries int
	// MaxExportEntries bounds the entries of an export, and of a folder that is deleted, whatever the policies say [1,000,000].
	MaxExportEntries int
	// SpoolDir holds uploads while they arrive; empty is the system's folder for temporary files.
	SpoolDir string
}

// Service does the file operations of all sessions. It is safe for concurrent use and keeps nothing between requests.
type Service struct {
	cfg       Config
	boxes     Sandboxes
	gates     Gates
	exporters Exporters
	log       *zap.Logger
}

// New returns a Service.
func New(cfg Config, boxes Sandboxes, gates Gates, exporters Exporters, log *zap.Logger) *Service {
	cfg.MaxFileBytes = cmp.Or(cfg.MaxFileBytes, 50<<20)
	cfg.MaxUploadBytes = cmp.Or(cfg.MaxUploadBytes, 200<<20)
	cfg.MaxUploadFiles = cmp.Or(cfg.MaxUploadFiles, 50)
	cfg.MaxPreviewBytes = cmp.Or(cfg.MaxPreviewBytes, 1<<20)
	cfg.MaxTreeEntries = cmp.Or(cfg.MaxTreeEntries, 100_000)
	cfg.MaxExportEntries = cmp.Or(cfg.MaxExportEntries, 1_000_000)
	return &Service{cfg: cfg, boxes: boxes, gates: gates, exporters: exporters, log: log}
}
