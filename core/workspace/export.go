package workspace

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// ExportRequest says what leaves and how.
type ExportRequest struct {
	// Exporter is the name of a plugin; empty is zip.
	Exporter string
	// Paths are files and folders, as CleanPath takes them; none is everything.
	Paths []string
	// Name suggests the product's file name without extension: letters, digits, ".", "_" and "-"; empty is "workspace".
	Name string
	// Options are the exporter's own: a JSON object, or nothing.
	Options json.RawMessage
}

// Exported tells what has left.
type Exported struct {
	// Entries and Bytes count what the exporter got: files, folders and links, and the bytes in files.
	Entries, Bytes int64
	// Dropped counts what was left out: links that point out of the workspace, sockets, devices.
	Dropped int64
	// BytesOut counts the product's bytes.
	BytesOut int64
}

const (
	maxExportPaths = 1000
	maxOptions     = 64 << 10
	maxExportName  = 100
)

// errStopped ends the filter when the exporter has ended.
var errStopped = errors.New("the exporter has ended")

// Export writes the workspace, or parts of it, to out as the exporter makes it, without holding it in memory. It calls begin exactly
// once, just before the first byte, with a file name and a media type that are fit for headers. An error before that is an answer
// like any other: denied, too large (TooLargeError "archive" is what the gate archive.entry says of a limit), not found,
// InvalidError. An error after it means that what was written is no whole product: the transfer must be broken off so that nobody
// takes it for one. A product of up to 1 MiB is held back until all of it is known to be good.
func (s *Service) Export(
	ctx context.Context, sessionID string, req ExportRequest, begin func(sdk.ExportHeader) error, out io.Writer,
) (Exported, error) {
	req.Exporter, req.Name = cmp.Or(req.Exporter, "zip"), cmp.Or(req.Name, "workspace")
	asked, err := req.check()
	if err != nil {
		return Exported{}, err
	}
	exporter, err := s.exporters.Exporter(ctx, req.Exporter)
	if err != nil {
		s.log.Warn("finding an exporter", zap.String("session", sessionID), zap.Error(err))
		return Exported{}, &InvalidError{"exporter", fmt.Sprintf("must be one that there is; %q is none", req.Exporter)}
	}
	for _, p := range asked {
		if err := s.gates.Path(ctx, sessionID, "read", p); err != nil {
			return Exported{}, err
		}
	}
	files, release, err := s.boxes.Open(ctx, sessionID)
	if err != nil {
		return Exported{}, err
	}
	defer release()
	v := &visit{service: s, sessionID: sessionID, files: files, release: release}
	c, err := newCargo(ctx, v, asked)
	if err != nil {
		return Exported{}, err
	}
	if err := c.list(ctx); err != nil {
		return Exported{}, err
	}
	product := &product{begin: begin, out: out}
	err = c.pack(ctx, exporter, req, product)
	done := Exported{Entries: c.sentEntries, Bytes: c.sentBytes, Dropped: c.dropped, BytesOut: product.bytes()}
	if err != nil {
		return done, fmt.Errorf("exporting with %s: %w", req.Exporter, err)
	}
	if err := product.finish(); err != nil {
		return done, err
	}
	s.log.Debug("exported", zap.String("session", sessionID), zap.String("exporter", req.Exporter), zap.Int64("entries", done.Entries),
		zap.Int64("bytes", done.Bytes), zap.Int64("dropped", done.Dropped), zap.Int64("bytes_out", done.BytesOut))
	return done, nil
}

// check returns the clean paths; none is everything.
func (r ExportRequest) check() ([]string, error) {
	if len(r.Name) > maxExportName || strings.Trim(r.Name, ".") == "" || strings.ContainsFunc(r.Name, notInName) {
		return nil, &InvalidError{"name", fmt.Sprintf("must be at most %d letters, digits, dots, underscores and hyphens", maxExportName)}
	}
	if len(r.Options) > maxOptions {
		return nil, &TooLargeError{What: "options", Limit: maxOptions, Got: int64(len(r.Options))}
	}
	var object map[string]json.RawMessage
	if len(r.Options) > 0 && (json.Unmarshal(r.Options, &object) != nil || object == nil) {
		return nil, &InvalidError{"options", "must be a JSON object"}
	}
	if len(r.Paths) > maxExportPaths {
		return nil, &TooLargeError{What: "paths", Limit: maxExportPaths, Got: int64(len(r.Paths))}
	}
	asked := make([]string, len(r.Paths))
	for i, p := range r.Paths {
		var err error
		if asked[i], err = CleanPath(p); err != nil {
			return nil, err
		}
	}
	if len(asked) == 0 {
		asked = []string{""}
	}
	return outermost(asked), nil
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
}

// outermost leaves out what is given twice or lies below another.
func outermost(paths []string) []string {
	all := make(map[string]bool, len(paths))
	for _, p := range paths {
		all[p] = true
	}
	var kept []string
	for p := range all {
		inner := false
		for up := p; up != "" && !inner; {
			up = parent(up)
			inner = all[up]
		}
		if !inner {
			kept = append(kept, p)
		}
	}
	slices.Sort(kept)
	return kept
}

// pack streams the cargo through the exporter.
func (c *cargo) pack(ctx context.Context, exporter sdk.Exporter, req ExportRequest, out *product) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	in, err := c.visit.files.Archive(inner, c.archived())
	if err != nil {
		return translate(err)
	}
	pr, pw := io.Pipe()
	filtered := make(chan error, 1)
	go func() {
		err := c.filter(inner, in, pw, out)
		_ = in.Close() // read to its end or given up
		// The exporter must never take a part for the whole; only nil is an end.
		_ = pw.CloseWithError(err)
		filtered <- err
	}()
	err = exporter.Export(inner, sdk.ExportRequest{SessionID: c.visit.sessionID, Name: req.Name, Options: req.Options}, pr, out.head, out)
	_ = pr.CloseWithError(errStopped)
	cancel()
	filterErr := <-filtered
	switch {
	case err != nil && (filterErr == nil || errors.Is(filterErr, errStopped) || (errors.Is(filterErr, context.Canceled) && ctx.Err() == nil)):
		return err
	case errors.Is(filterErr, errStopped):
		return errors.New("the exporter did not read the workspace to its end")
	case filterErr != nil:
		// What the exporter says of it is an echo.
		return filterErr
	}
	return c.checkRatio(ctx, out, 0)
}
