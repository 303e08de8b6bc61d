package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/agcluster/agcluster/core/agent"
)

// The types of a Preview.
const (
	TypeText   = "text"
	TypeImage  = "image"
	TypeBinary = "binary"
)

// Preview shows a file: a text with its content, anything else by description. Whether a file is a text or an image is told from
// its content, not from its name.
type Preview struct {
	// Type is text, image or binary.
	Type string `json:"type"`
	// Path and PathBytes are as in Node.
	Path      string `json:"path"`
	PathBytes []byte `json:"path_bytes,omitempty"`
	// Content is the text in UTF-8, without a byte order mark. Only of a text; an empty file has an empty one.
	Content *string `json:"content,omitempty"`
	// Language is a name that Highlight.js knows, or "text". Only of a text.
	Language string `json:"language,omitempty"`
	// Lines counts the lines of Content. Only of a text.
	Lines *int `json:"lines,omitempty"`
	// Encoding is what the file has: utf-8, utf-8-bom, utf-16le or utf-16be. Only of a text.
	Encoding  string    `json:"encoding,omitempty"`
	MediaType string    `json:"media_type"`
	SizeBytes int64     `json:"size_bytes"`
	Modified  time.Time `json:"modified_at,omitzero"`
	// ETag is what If-Match takes, without its quotes.
	ETag string `json:"etag"`
	// Truncated says that Content is the beginning only.
	Truncated bool `json:"truncated,omitempty"`
}

// Preview shows a file (see CleanPath), following links that stay in the workspace. It fails with ErrNotFound, ErrIsDirectory,
// ErrNotRegular and ErrForbidden.
func (s *Service) Preview(ctx context.Context, sessionID, path string) (Preview, error) {
	v, err := s.enter(ctx, sessionID, "read", path, true)
	if err != nil {
		return Preview{}, err
	}
	defer v.release()
	if err := v.needFile(path); err != nil {
		return Preview{}, err
	}
	body, e, err := v.files.Read(ctx, v.path, agent.ReadOptions{Length: s.cfg.MaxPreviewBytes})
	if err != nil {
		return Preview{}, translate(err)
	}
	b, err := io.ReadAll(io.LimitReader(body, s.cfg.MaxPreviewBytes))
	if err = errors.Join(err, body.Close()); err != nil {
		return Preview{}, fmt.Errorf("reading %q: %w", path, cutOff(err))
	}
	return preview(v.path, e, b), nil
}

// preview shows a file of which b is the beginning.
func preview(path string, e agent.Entry, b []byte) Preview {
	shown := agent.NewEntry(path)
	p := Preview{Path: shown.Path, PathBytes: shown.PathBytes, SizeBytes: e.Size, Modified: e.ModTime, ETag: e.Tag}
	cut := int64(len(b)) < e.Size
	t, ok := decode(b, cut)
	if !ok || isPDF(b) {
		p.Type, p.MediaType = TypeBinary, describe(b, path)
		if strings.HasPrefix(p.MediaType, "image/") {
			p.Type = TypeImage
		}
		return p
	}
	lines := strings.Count(t.content, "\n")
	if t.content != "" && !strings.HasSuffix(t.content, "\n") {
		lines++
	}
	p.Type, p.MediaType, p.Encoding = TypeText, textType(path), t.encoding
	p.Content, p.Lines, p.Language, p.Truncated = &t.content, &lines, language(path, t.content), cut
	return p
}
