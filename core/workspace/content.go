package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/agcluster/agcluster/core/agent"
)

// File describes a file that is read.
type File struct {
	// Name is the last part of the path, its bytes as on disk; it may be no UTF-8 and may have quotes and newlines in it.
	Name string
	// Path is relative to /workspace, its bytes as on disk.
	Path string
	Size int64
	// MediaType is one that a browser may be told: text is text/plain whatever it holds, and what is neither text, image, sound,
	// film nor PDF is application/octet-stream.
	MediaType string
	ModTime   time.Time
	// ETag is quoted and strong: it names this very state of the file (agent.Entry's Tag).
	ETag string
}

// sniffed is how many bytes tell what a file is.
const sniffed = 4096

// Content is an open file, made for http.ServeContent: a range costs one request to the sandbox, and a file that is changed after
// it was opened ends with ErrChanged where that shows. Read and Seek are for one goroutine.
type Content struct {
	File
	open    func(offset int64) (io.ReadCloser, agent.Entry, error)
	release func()
	entry   agent.Entry
	pos     int64
	// body gives the bytes from at on; nil before the first Read.
	body io.ReadCloser
	at   int64
	once sync.Once
}

var _ io.ReadSeekCloser = (*Content)(nil)

// Open opens a file (see CleanPath) for download, of any size, following links that stay in the workspace. The caller closes it;
// the end of ctx ends its reads. It fails with ErrNotFound, ErrIsDirectory, ErrNotRegular and ErrForbidden.
func (s *Service) Open(ctx context.Context, sessionID, path string) (_ *Content, err error) {
	v, err := s.enter(ctx, sessionID, "read", path, true)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			v.release()
		}
	}()
	if err := v.needFile(path); err != nil {
		return nil, err
	}
	body, e, err := v.files.Read(ctx, v.path, agent.ReadOptions{Length: sniffed})
	if err != nil {
		return nil, translate(err)
	}
	head, err := io.ReadAll(io.LimitReader(body, sniffed))
	if err = errors.Join(err, body.Close()); err != nil {
		return nil, fmt.Errorf("reading %q: %w", path, cutOff(err))
	}
	return &Content{
		File: File{
			Name: v.path[strings.LastIndexByte(v.path, '/')+1:], Path: v.path, Size: e.Size, ModTime: e.ModTime,
			MediaType: served(head, int64(len(head)) < e.Size, v.path),
			ETag:      `"` + e.Tag + `"`,
		},
		open: func(offset int64) (io.ReadCloser, agent.Entry, error) {
			return v.files.Read(ctx, v.path, agent.ReadOptions{Offset: offset})
		},
		release: v.release, entry: e,
	}, nil
}

// served is the media type that a browser may be told.
func served(head []byte, cut bool, name string) string {
	t, ok := decode(head, cut)
	switch {
	case isPDF(head) || !ok:
		return safe(describe(head, name))
	case strings.HasPrefix(t.encoding, "utf-16"):
		return "text/plain; charset=" + t.encoding
	default:
		return plainText
	}
}

// Read implements io.Reader.
func (c *Content) Read(p []byte) (int, error) {
	if c.pos >= c.Size {
		return 0, io.EOF
	}
	if c.body != nil && c.at != c.pos {
		c.drop()
	}
	if c.body == nil {
		body, e, err := c.open(c.pos)
		if err != nil {
			return 0, translate(err)
		}
		c.body, c.at = body, c.pos
		if e.Tag != c.entry.Tag {
			c.drop()
			return 0, fmt.Errorf("%w: %q", ErrChanged, c.Path)
		}
	}
	n, err := c.body.Read(p)
	c.pos += int64(n)
	c.at = c.pos
	switch {
	case err == nil, errors.Is(err, io.EOF) && c.pos >= c.Size:
		return n, nil
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, fmt.Errorf("reading %q: %w", c.Path, cutOff(err))
}

// drop gives up a body that is not needed to its end; it has nothing to tell.
func (c *Content) drop() {
	_ = c.body.Close() // nothing was written
	c.body = nil
}

// Seek implements io.Seeker. It costs nothing.
func (c *Content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.pos
	case io.SeekEnd:
		offset += c.Size
	}
	if offset < 0 {
		return 0, fmt.Errorf("reading %q: negative offset", c.Path)
	}
	c.pos = offset
	return offset, nil
}

// Close frees the sandbox. It is safe to call twice.
func (c *Content) Close() error {
	c.once.Do(func() {
		if c.body != nil {
			c.drop()
		}
		c.release()
	})
	return nil
}
