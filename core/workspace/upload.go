package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/agcluster/agcluster/core/agent"
)

// Uploaded tells what an upload has written.
type Uploaded struct {
	SessionID string `json:"session_id"`
	// TargetPath is relative to /workspace; the workspace itself is "".
	TargetPath string         `json:"target_path"`
	Uploaded   []UploadedFile `json:"uploaded"`
	TotalFiles int            `json:"total_files"`
	TotalSize  int64          `json:"total_size_bytes"`
}

// UploadedFile is one file of an upload. Path is relative to /workspace. Bytes that are no UTF-8 show as U+FFFD.
type UploadedFile struct {
	Name string `json:"name"`
	Path string `json:"path"`
	Size int64  `json:"size_bytes"`
}

// Upload writes files into the folder target (see CleanPath; it is made if need be). next gives the next file with its bare name,
// and io.EOF after the last; r is read before next is called again. Errors of both are wrapped and returned.
//
// All files are taken in, counted and put to the gates before the first is written, so that a limit (TooLargeError), a bad name
// (InvalidPathError), a denial, or a file that is there already (ErrConflict; a folder always, a file without overwrite) leaves
// the workspace as it was. An error after that (the disk is full, the sandbox has gone, the agent was faster) leaves what Uploaded
// then tells; no file is ever half written.
func (s *Service) Upload(
	ctx context.Context, sessionID, target string, overwrite bool, next func() (name string, r io.Reader, err error),
) (Uploaded, error) {
	folder, err := CleanPath(target)
	if err != nil {
		return Uploaded{}, err
	}
	// Whoever may not write there need not send anything.
	if err := s.gates.Path(ctx, sessionID, "write", folder); err != nil {
		return Uploaded{}, err
	}
	in, err := s.takeIn(next)
	if err != nil {
		return Uploaded{}, err
	}
	defer in.close()
	for _, f := range in.files {
		full, err := CleanPath(path.Join(folder, f.name))
		if err != nil {
			return Uploaded{}, err
		}
		if err := s.gates.Path(ctx, sessionID, "write", full); err != nil {
			return Uploaded{}, err
		}
	}
	v, err := s.enter(ctx, sessionID, "write", folder, true)
	if err != nil {
		return Uploaded{}, err
	}
	defer v.release()
	if err := v.roomFor(ctx, folder, in, overwrite); err != nil {
		return Uploaded{}, err
	}
	done := Uploaded{SessionID: sessionID, TargetPath: agent.NewEntry(v.path).Path, Uploaded: []UploadedFile{}}
	for _, f := range in.files {
		full := path.Join(v.path, f.name)
		_, err := v.files.Write(ctx, full, f.size, in.open(f), agent.WriteOptions{Overwrite: overwrite, MkdirAll: true})
		if err != nil {
			return done, fmt.Errorf("after %d of %d files: %w", done.TotalFiles, len(in.files), translate(err))
		}
		done.Uploaded = append(done.Uploaded, UploadedFile{agent.NewEntry(f.name).Path, agent.NewEntry(full).Path, f.size})
		done.TotalFiles++
		done.TotalSize += f.size
	}
	return done, nil
}

// roomFor fails when something is in the way of an upload, or when a gate denies where a link has led it.
func (v *visit) roomFor(ctx context.Context, asked string, in *spool, overwrite bool) error {
	if v.exists() && v.entry.Type != agent.EntryDirectory {
		return fmt.Errorf("%w: %q", ErrNotDirectory, asked)
	}
	for _, f := range in.files {
		full := path.Join(v.path, f.name)
		if v.path != asked {
			if err := v.service.gates.Path(ctx, v.sessionID, "write", full); err != nil {
				return err
			}
		}
		if !v.exists() {
			continue
		}
		switch e, err := v.files.Stat(ctx, full); {
		case errors.Is(err, agent.ErrNotFound):
		case err != nil:
			return translate(err)
		case e.Type == agent.EntryDirectory:
			return fmt.Errorf("%w: %q is a folder", ErrConflict, full)
		case !overwrite:
			return fmt.Errorf("%w: %q is there already", ErrConflict, full)
		}
	}
	return nil
}
