package server

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/core/agent"
)

// Read opens a regular file, following links that stay in the workspace. The caller closes it.
func (w *Workspace) Read(name string) (*os.File, agent.Entry, error) {
	name, err := cleanFile(name)
	if err != nil {
		return nil, agent.Entry{}, err
	}
	f, st, err := w.open(name, 0)
	if err != nil {
		return nil, agent.Entry{}, missing(err, name)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return f, entry(-1, "", name, st), nil
	case unix.S_IFDIR:
		err = fmt.Errorf("%w: %.200q is a folder", agent.ErrConflict, name)
	default:
		err = fmt.Errorf("%w: %.200q is neither a file nor a folder", agent.ErrForbidden, name)
	}
	return nil, agent.Entry{}, errors.Join(err, f.Close())
}

// Stat describes what is at a path; a link is not followed.
func (w *Workspace) Stat(name string) (agent.Entry, error) {
	name, err := clean(name)
	if err != nil {
		return agent.Entry{}, err
	}
	parent, _, err := w.open(path.Dir(name), unix.O_DIRECTORY)
	if err != nil {
		return agent.Entry{}, missing(err, name)
	}
	defer parent.Close() //nolint:errcheck // only read
	var st unix.Stat_t
	fd, base := int(parent.Fd()), path.Base(name)
	if err := unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return agent.Entry{}, missing(err, name)
	}
	shown := name
	if shown == "." {
		shown = ""
	}
	return entry(fd, base, shown, &st), nil
}

// missing is explain for operations that make nothing: below a file there is nothing.
func missing(err error, name string) error {
	if errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w: %.200q: %w", agent.ErrNotFound, name, err)
	}
	return explain(err, name)
}

// Write puts a regular file of exactly size bytes with mode 0644 at a path at once: nobody sees half of it. A link at the path is
// replaced, not followed.
func (w *Workspace) Write(name string, size int64, r io.Reader, o agent.WriteOptions) error {
	name, err := cleanFile(name)
	if err != nil {
		return err
	}
	parent := path.Dir(name)
	if o.MkdirAll {
		if err := w.makeFolder(parent); err != nil {
			return err
		}
	}
	// Looked at before the body is read; the kernel decides for good in the end.
	switch info, err := w.root.Lstat(name); {
	case err == nil && info.IsDir():
		return fmt.Errorf("%w: %.200q is a folder", agent.ErrConflict, name)
	case err == nil && !o.Overwrite:
		return fmt.Errorf("%w: %.200q is there already", agent.ErrConflict, name)
	}
	base := newTemp()
	temp := path.Join(parent, base)
	w.mark(base, true)
	defer w.mark(base, false)
	if err := w.fill(temp, size, r); err != nil {
		w.root.Remove(temp) //nolint:errcheck // else the next walk removes it
		return explain(err, name)
	}
	if err = w.place(temp, name, o.Overwrite); err != nil {
		w.root.Remove(temp) //nolint:errcheck // as above
	}
	return explain(err, name)
}

// place gives the file temp its name.
func (w *Workspace) place(temp, name string, overwrite bool) error {
	if overwrite {
		return w.root.Rename(temp, name)
	}
	// Unlike rename, link fails when something is there.
	err := w.root.Link(temp, name)
	switch {
	case err == nil:
		return w.root.Remove(temp)
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
		// A file system without hard links. Write has seen that the name was free.
		return w.root.Rename(temp, name)
	default:
		return err
	}
}

func (w *Workspace) mark(temp string, on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if on {
		w.writing[temp] = struct{}{}
	} else {
		delete(w.writing, temp)
	}
}

func (w *Workspace) isWriting(temp string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.writing[temp]
	return ok
}

// fill makes the file temp of size bytes from r.
func (w *Workspace) fill(temp string, size int64, r io.Reader) error {
	f, err := w.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, r, size)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: the body is shorter than announced", agent.ErrInvalid)
	}
	if err == nil {
		if n, _ := r.Read(make([]byte, 1)); n > 0 { // only whether there is more
			err = fmt.Errorf("%w: the body is longer than announced", agent.ErrInvalid)
		}
	}
	if err == nil {
		// Whatever the umask is.
		err = f.Chmod(fileMode)
	}
	return errors.Join(err, f.Close())
}

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

func (s *Server) readFile(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	offset, err := number(q, "offset")
	if err != nil {
		return err
	}
	length, err := number(q, "length")
	if err != nil {
		return err
	}
	f, e, err := s.files.Read(q.Get("path"))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	if offset > e.Size {
		return fmt.Errorf("%w: offset %d is behind the end at %d", errRange, offset, e.Size)
	}
	if left := e.Size - offset; length == 0 || length > left {
		length = left
	}
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding an entry: %w", err)
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("reading a file: %w", err)
	}
	w.Header().Set(agent.EntryHeader, base64.StdEncoding.EncodeToString(b))
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	w.WriteHeader(http.StatusOK)
	// A file that has become shorter leaves the answer short of its length, which breaks it off.
	io.CopyN(w, f, length) //nolint:errcheck // as above
	return nil
}

func (s *Server) writeFile(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	overwrite, err := flag(q, "overwrite")
	if err != nil {
		return err
	}
	mkdir, err := flag(q, "mkdir")
	if err != nil {
		return err
	}
	if r.ContentLength < 0 {
		return fmt.Errorf("%w: a Content-Length is needed", agent.ErrInvalid)
	}
	if err := s.storage.room(r.Context(), r.ContentLength); err != nil {
		return err
	}
	err = s.files.Write(q.Get("path"), r.ContentLength, r.Body, agent.WriteOptions{Overwrite: overwrite, MkdirAll: mkdir})
	if err != nil {
		return err
	}
	s.storage.touch(r.ContentLength)
	w.WriteHeader(http.StatusNoContent)
	return nil
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

func (s *Server) stat(w http.ResponseWriter, r *http.Request) error {
	e, err := s.files.Stat(r.URL.Query().Get("path"))
	if err != nil {
		return err
	}
	return reply(w, e)
}

func number(q url.Values, name string) (int64, error) {
	text := q.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%w: %s=%.40q must be a number from 0", agent.ErrInvalid, name, text)
	}
	return n, nil
}

func flag(q url.Values, name string) (bool, error) {
	switch text := q.Get(name); text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, fmt.Errorf("%w: %s=%.40q must be true or false", agent.ErrInvalid, name, text)
	}
}
