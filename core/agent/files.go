package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// maxEntryLine bounds one line of a tree listing, in bytes.
const maxEntryLine = 64 << 10

// EntryHeader carries the JSON of the Entry, as base64, in the answer of GET /v1/files.
const EntryHeader = "Agcluster-Entry"

// ReadOptions says which part of a file to read.
type ReadOptions struct {
	Offset int64
	// Length 0 is all that follows Offset.
	Length int64
}

// WriteOptions says what a write may do.
type WriteOptions struct {
	// Overwrite replaces a file that is there; without it that is ErrConflict.
	Overwrite bool
	// MkdirAll makes missing parent folders.
	MkdirAll bool
	// IfTag demands that a file with one of these tags is there; "*" is any file. Else it is ErrPrecondition.
	IfTag []string
}

// MoveRequest is the body of POST /v1/move. Paths are bytes because names need not be UTF-8.
type MoveRequest struct {
	From []byte `json:"from"`
	To   []byte `json:"to"`
	// Overwrite replaces a file or link at To; a folder never.
	Overwrite bool `json:"overwrite,omitempty"`
}

// ArchiveRequest is the body of POST /v1/archive. Paths are bytes because names need not be UTF-8.
type ArchiveRequest struct {
	Paths [][]byte `json:"paths"`
}

func pathQuery(path string) url.Values { return url.Values{"path": {path}} }

// Tree calls fn for everything below path, depth-first, parents first. An error of fn ends it and is returned.
func (c *Client) Tree(ctx context.Context, path string, fn func(Entry) error) error {
	res, err := c.do(ctx, http.MethodGet, "/v1/tree", pathQuery(path), nil, -1)
	if err != nil {
		return fmt.Errorf("listing %q: %w", path, err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end or given up
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 0, 4096), maxEntryLine)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("listing %q: %w: %w", path, ErrProtocol, err)
		}
		if err := e.check(); err != nil {
			return fmt.Errorf("listing %q: %w", path, err)
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("listing %q: %w: a line over %d bytes", path, ErrProtocol, maxEntryLine)
	case err != nil:
		return fmt.Errorf("listing %q: %w", path, gone(err))
	default:
		return nil
	}
}

// Stat describes path itself: a symlink is not followed.
func (c *Client) Stat(ctx context.Context, path string) (Entry, error) {
	var e Entry
	if err := c.json(ctx, http.MethodGet, "/v1/stat", pathQuery(path), nil, &e); err != nil {
		return e, fmt.Errorf("looking at %q: %w", path, err)
	}
	if err := e.check(); err != nil {
		return Entry{}, fmt.Errorf("looking at %q: %w", path, err)
	}
	return e, nil
}

// Read opens a regular file, following links that stay in the workspace. The entry describes the whole file; the reader gives
// what was asked for, no more, and io.ErrUnexpectedEOF when there is less. The caller closes it.
func (c *Client) Read(ctx context.Context, path string, o ReadOptions) (io.ReadCloser, Entry, error) {
	if o.Offset < 0 || o.Length < 0 {
		return nil, Entry{}, fmt.Errorf("reading %q: %w: negative offset or length", path, ErrInvalid)
	}
	q := pathQuery(path)
	q.Set("offset", strconv.FormatInt(o.Offset, 10))
	q.Set("length", strconv.FormatInt(o.Length, 10))
	res, err := c.do(ctx, http.MethodGet, "/v1/files", q, nil, -1)
	if err != nil {
		return nil, Entry{}, fmt.Errorf("reading %q: %w", path, err)
	}
	e, err := headerEntry(res)
	if err != nil {
		return nil, Entry{}, errors.Join(fmt.Errorf("reading %q: %w", path, err), res.Body.Close())
	}
	want := max(e.Size-o.Offset, 0)
	if o.Length > 0 {
		want = min(want, o.Length)
	}
	return &limited{body: res.Body, left: want}, e, nil
}

func headerEntry(res *http.Response) (Entry, error) {
	var e Entry
	b, err := base64.StdEncoding.DecodeString(res.Header.Get(EntryHeader))
	if err != nil {
		return e, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if err := json.Unmarshal(b, &e); err != nil {
		return e, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return e, e.check()
}

// limited reads as much as was promised: more is not read, less is an error.
type limited struct {
	body io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	if l.left == 0 {
		return 0, io.EOF
	}
	n, err := l.body.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	if errors.Is(err, io.EOF) && l.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close implements io.Closer.
func (l *limited) Close() error { return l.body.Close() }

// Write puts a file of exactly size bytes in place at once: nobody sees half of it. It returns what is there then.
func (c *Client) Write(ctx context.Context, path string, size int64, r io.Reader, o WriteOptions) (Entry, error) {
	if size < 0 {
		return Entry{}, fmt.Errorf("writing %q: %w: negative size", path, ErrInvalid)
	}
	q := pathQuery(path)
	q.Set("overwrite", strconv.FormatBool(o.Overwrite))
	q.Set("mkdir", strconv.FormatBool(o.MkdirAll))
	q["if_tag"] = o.IfTag
	body := io.Reader(http.NoBody)
	if size > 0 {
		// A plain reader, so that net/http neither closes it nor guesses another length.
		body = struct{ io.Reader }{r}
	}
	res, err := c.do(ctx, http.MethodPut, "/v1/files", q, body, size)
	if err != nil {
		return Entry{}, fmt.Errorf("writing %q: %w", path, err)
	}
	defer res.Body.Close() //nolint:errcheck // its header says all
	e, err := headerEntry(res)
	if err != nil {
		return Entry{}, fmt.Errorf("writing %q: %w", path, err)
	}
	return e, nil
}

// Move gives a file, a link or a folder another path, whose missing parents are made. What is at To is ErrConflict, unless Overwrite
// replaces it.
func (c *Client) Move(ctx context.Context, from, to string, overwrite bool) error {
	req := MoveRequest{From: []byte(from), To: []byte(to), Overwrite: overwrite}
	if err := c.json(ctx, http.MethodPost, "/v1/move", nil, req, nil); err != nil {
		return fmt.Errorf("moving %q to %q: %w", from, to, err)
	}
	return nil
}

// MakeFolder makes a folder with its parents. It is ErrConflict when something is there.
func (c *Client) MakeFolder(ctx context.Context, path string) error {
	if err := c.json(ctx, http.MethodPost, "/v1/folders", pathQuery(path), nil, nil); err != nil {
		return fmt.Errorf("making the folder %q: %w", path, err)
	}
	return nil
}

// Delete removes a file, a link, or a folder; a folder that is not empty only with recursive.
func (c *Client) Delete(ctx context.Context, path string, recursive bool) error {
	q := pathQuery(path)
	q.Set("recursive", strconv.FormatBool(recursive))
	if err := c.json(ctx, http.MethodDelete, "/v1/files", q, nil, nil); err != nil {
		return fmt.Errorf("deleting %q: %w", path, err)
	}
	return nil
}

// Archive streams paths (none is everything) with all below them as tar. Links are kept as links. Nothing in the stream is checked:
// that is the reader's business. A stream that breaks off ends with an error, never with io.EOF. The caller closes it.
func (c *Client) Archive(ctx context.Context, paths []string) (io.ReadCloser, error) {
	req := ArchiveRequest{Paths: make([][]byte, len(paths))}
	for i, p := range paths {
		req.Paths[i] = []byte(p)
	}
	b, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("archiving: %w", err)
	}
	res, err := c.do(ctx, http.MethodPost, "/v1/archive", nil, bytes.NewReader(b), -1)
	if err != nil {
		return nil, fmt.Errorf("archiving: %w", err)
	}
	return res.Body, nil
}
