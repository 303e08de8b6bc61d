package server

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/core/agent"
)

// folderSize is about what a new folder takes, in bytes.
const folderSize = 4096

// Delete removes a file, a link, or a folder; a folder that is not empty only with recursive.
func (w *Workspace) Delete(name string, recursive bool) error {
	name, err := cleanFile(name)
	if err != nil {
		return err
	}
	info, err := w.root.Lstat(name)
	if err != nil {
		return missing(err, name)
	}
	if info.IsDir() && recursive {
		return explain(w.root.RemoveAll(name), name)
	}
	return explain(w.root.Remove(name), name)
}

// Move gives what is at a path another one, whose missing parents are made; a link is moved itself. What is at the new path is a
// conflict; overwrite replaces it, unless it is a folder.
func (w *Workspace) Move(from, to string, overwrite bool) error {
	from, err := cleanFile(from)
	if err != nil {
		return err
	}
	if to, err = cleanFile(to); err != nil {
		return err
	}
	if inside(to, from) {
		return fmt.Errorf("%w: %.200q lies in %.200q", agent.ErrInvalid, to, from)
	}
	if _, _, err := w.look(from); err != nil {
		return missing(err, from)
	}
	if err := w.makeFolder(path.Dir(to)); err != nil {
		return err
	}
	w.placing.Lock()
	defer w.placing.Unlock()
	if _, err := w.replaces(to, agent.WriteOptions{Overwrite: overwrite}); err != nil {
		return err
	}
	if overwrite {
		return explain(w.root.Rename(from, to), to)
	}
	return explain(w.moveToFree(from, to), to)
}

// moveToFree moves to a path where nothing is; the kernel sees to that, where it can.
func (w *Workspace) moveToFree(from, to string) error {
	old, _, err := w.open(path.Dir(from), unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer old.Close() //nolint:errcheck // only read
	folder, _, err := w.open(path.Dir(to), unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer folder.Close() //nolint:errcheck // only read
	err = unix.Renameat2(int(old.Fd()), path.Base(from), int(folder.Fd()), path.Base(to), unix.RENAME_NOREPLACE)
	if errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL) {
		// A file system that can't. We have just seen that the name was free.
		return w.root.Rename(from, to)
	}
	return err
}

// inside says whether a clean path lies below another.
func inside(name, folder string) bool {
	return len(name) > len(folder) && name[:len(folder)] == folder && name[len(folder)] == '/'
}

// MakeFolder makes a folder with its parents; it is a conflict when something is there.
func (w *Workspace) MakeFolder(name string) error {
	name, err := cleanFile(name)
	if err != nil {
		return err
	}
	if err := w.makeFolder(path.Dir(name)); err != nil {
		return err
	}
	return explain(w.root.Mkdir(name, folderMode), name)
}

func (s *Server) deleteFile(w http.ResponseWriter, r *http.Request) error {
	recursive, err := flag(r.URL.Query(), "recursive")
	if err != nil {
		return err
	}
	if err := s.files.Delete(r.URL.Query().Get("path"), recursive); err != nil {
		return err
	}
	s.storage.touch(0)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) moveFile(w http.ResponseWriter, r *http.Request) error {
	var req agent.MoveRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	if err := s.files.Move(string(req.From), string(req.To), req.Overwrite); err != nil {
		return fmt.Errorf("moving: %w", err)
	}
	s.storage.touch(0)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) makeFolder(w http.ResponseWriter, r *http.Request) error {
	if err := s.storage.room(r.Context(), folderSize); err != nil {
		return err
	}
	if err := s.files.MakeFolder(r.URL.Query().Get("path")); err != nil {
		return err
	}
	s.storage.touch(folderSize)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
