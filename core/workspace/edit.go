package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/agcluster/agcluster/core/agent"
)

// WriteRequest says what a write demands of what is there; its zero value replaces any file, or makes one.
type WriteRequest struct {
	// IfMatch are ETags without quotes, one of which the file must have; "*" is any file. Empty demands nothing.
	IfMatch []string
	// IfNone demands that nothing is there.
	IfNone bool
}

// maxTags bounds IfMatch.
const maxTags = 20

// Written tells what is there after a write.
type Written struct {
	// Path is relative to /workspace, where a link has led; bytes that are no UTF-8 show as U+FFFD.
	Path      string    `json:"path"`
	SizeBytes int64     `json:"size_bytes"`
	ETag      string    `json:"etag"`
	Modified  time.Time `json:"modified_at"`
}

// Write puts a file in place at once, whose missing folders are made; it keeps the permissions of a file that it replaces. A link that
// stays in the workspace is followed, as Preview does, so that the file that was seen is the one that is written. r is taken in, counted
// (TooLargeError "file") and put to the gates before the sandbox is asked. What the request demands and is not so is ErrStale; a folder
// in the way is ErrConflict.
func (s *Service) Write(ctx context.Context, sessionID, to string, req WriteRequest, r io.Reader) (Written, error) {
	rel, err := notRoot(to)
	if err != nil {
		return Written{}, err
	}
	if len(req.IfMatch) > maxTags {
		return Written{}, &TooLargeError{What: "tags", Limit: maxTags, Got: int64(len(req.IfMatch))}
	}
	// Whoever may not write there need not send anything.
	if err := s.gates.Path(ctx, sessionID, "write", rel); err != nil {
		return Written{}, err
	}
	given := false
	in, err := s.takeIn(func() (string, io.Reader, error) {
		if given {
			return "", nil, io.EOF
		}
		given = true
		return path.Base(rel), r, nil
	})
	if err != nil {
		return Written{}, err
	}
	defer in.close()
	v, err := s.enter(ctx, sessionID, "write", rel, true)
	if err != nil {
		return Written{}, err
	}
	defer v.release()
	switch v.entry.Type {
	case "", agent.EntryFile:
	case agent.EntryDirectory:
		return Written{}, fmt.Errorf("%w: %q is a folder", ErrConflict, to)
	default:
		return Written{}, fmt.Errorf("%w: %q", ErrNotRegular, to)
	}
	e, err := v.files.Write(ctx, v.path, in.size, in.open(in.files[0]), agent.WriteOptions{
		Overwrite: !req.IfNone, MkdirAll: true, IfTag: req.IfMatch,
	})
	switch {
	case req.IfNone && errors.Is(err, agent.ErrConflict):
		return Written{}, fmt.Errorf("%w: %q is there already", ErrStale, to)
	case err != nil:
		return Written{}, translate(err)
	}
	return Written{Path: agent.NewEntry(v.path).Path, SizeBytes: e.Size, ETag: e.Tag, Modified: e.ModTime}, nil
}

// Move gives a file, a link (itself, not what it points to) or a folder another path (see CleanPath), whose missing folders are made, and
// returns that. What is there is ErrConflict; overwrite replaces it, unless it is a folder. Since content can be read, written and
// deleted by a move, reading and deleting of the old path and writing of the new one are put to the gates, also for all below a folder.
func (s *Service) Move(ctx context.Context, sessionID, from, to string, overwrite bool) (string, error) {
	target, err := notRoot(to)
	if err != nil {
		return "", err
	}
	source, err := notRoot(from)
	if err != nil {
		return "", err
	}
	for _, a := range []struct{ op, path string }{{"read", source}, {"write", target}} {
		if err := s.gates.Path(ctx, sessionID, a.op, a.path); err != nil {
			return "", err
		}
	}
	v, err := s.enter(ctx, sessionID, "delete", source, false)
	if err != nil {
		return "", err
	}
	defer v.release()
	if !v.exists() {
		return "", fmt.Errorf("%w: %q", ErrNotFound, from)
	}
	if v.path != source {
		if err := s.gates.Path(ctx, sessionID, "read", v.path); err != nil {
			return "", err
		}
	}
	at, err := v.find(ctx, "write", target, false)
	if err != nil {
		return "", err
	}
	if at.path != v.path && below(at.path, v.path) {
		return "", &InvalidPathError{to, "lies in what is to be moved"}
	}
	if v.entry.Type == agent.EntryDirectory {
		if err := v.gateBelow(ctx, wish{"read", v.path}, wish{"delete", v.path}, wish{"write", at.path}); err != nil {
			return "", err
		}
	}
	if err := v.files.Move(ctx, v.path, at.path, overwrite); err != nil {
		return "", translate(err)
	}
	return agent.NewEntry(at.path).Path, nil
}

// MakeFolder makes a folder (see CleanPath) with its parents and returns its path. Something that is there is ErrConflict.
func (s *Service) MakeFolder(ctx context.Context, sessionID, folder string) (string, error) {
	rel, err := notRoot(folder)
	if err != nil {
		return "", err
	}
	v, err := s.enter(ctx, sessionID, "write", rel, false)
	if err != nil {
		return "", err
	}
	defer v.release()
	if v.exists() {
		return "", fmt.Errorf("%w: %q is there already", ErrConflict, folder)
	}
	if err := v.files.MakeFolder(ctx, v.path); err != nil {
		return "", translate(err)
	}
	return agent.NewEntry(v.path).Path, nil
}

// notRoot is CleanPath for what must not be the workspace itself.
func notRoot(raw string) (string, error) {
	rel, err := CleanPath(raw)
	if err == nil && rel == "" {
		return "", &InvalidPathError{raw, "is the workspace itself"}
	}
	return rel, err
}
