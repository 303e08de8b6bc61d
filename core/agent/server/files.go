package server

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
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
		e := entry(-1, "", name, st)
		e.Tag = tag(st)
		return f, e, nil
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
	e, _, err := w.look(name)
	if err != nil {
		return agent.Entry{}, missing(err, name)
	}
	return e, nil
}

// look describes what is at a clean path; a link is not followed.
func (w *Workspace) look(name string) (agent.Entry, *unix.Stat_t, error) {
	parent, _, err := w.open(path.Dir(name), unix.O_DIRECTORY)
	if err != nil {
		return agent.Entry{}, nil, err
	}
	defer parent.Close() //nolint:errcheck // only read
	var st unix.Stat_t
	fd, base := int(parent.Fd()), path.Base(name)
	if err := unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return agent.Entry{}, nil, err
	}
	shown := name
	if shown == "." {
		shown = ""
	}
	e := entry(fd, base, shown, &st)
	e.Tag = tag(&st)
	return e, &st, nil
}

// tag is an entry's Tag; only files have one. The device is not in it: a volume may be mounted as another one when its sandbox wakes.
func tag(st *unix.Stat_t) string {
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %d.%d %d.%d", st.Ino, st.Size, st.Mtim.Sec, st.Mtim.Nsec, st.Ctim.Sec, st.Ctim.Nsec))
	return hex.EncodeToString(sum[:16])
}

// missing is explain for operations that make nothing: below a file there is nothing.
func missing(err error, name string) error {
	if errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w: %.200q: %w", agent.ErrNotFound, name, err)
	}
	return explain(err, name)
}

// Write puts a regular file of exactly size bytes at a path at once, and tells what is there then: nobody sees half of it. It keeps the
// permissions of a file that it replaces, else they are 0644. A link at the path is replaced, not followed.
func (w *Workspace) Write(name string, size int64, r io.Reader, o agent.WriteOptions) (agent.Entry, error) {
	name, err := cleanFile(name)
	if err != nil {
		return agent.Entry{}, err
	}
	// Looked at before the body is read, too.
	if _, err := w.replaces(name, o); err != nil {
		return agent.Entry{}, err
	}
	parent := path.Dir(name)
	if o.MkdirAll {
		if err := w.makeFolder(parent); err != nil {
			return agent.Entry{}, err
		}
	}
	base := newTemp()
	temp := path.Join(parent, base)
	w.mark(base, true)
	defer w.mark(base, false)
	f, err := w.fill(temp, size, r)
	if err != nil {
		w.root.Remove(temp) //nolint:errcheck // else the next walk removes it
		return agent.Entry{}, explain(err, name)
	}
	defer f.Close() //nolint:errcheck // all is written
	if err := w.place(f, temp, name, o); err != nil {
		w.root.Remove(temp) //nolint:errcheck // as above
		return agent.Entry{}, explain(err, name)
	}
	// Of the file that is open and not of the path, where another may be by now. Getting its name has changed its times.
	st, err := fstat(f)
	if err != nil {
		return agent.Entry{}, err
	}
	e := entry(-1, "", name, st)
	e.Tag = tag(st)
	return e, nil
}

// replaces returns what a write would replace, nil for nothing, or says why it must not.
func (w *Workspace) replaces(name string, o agent.WriteOptions) (*unix.Stat_t, error) {
	e, st, err := w.look(name)
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		e, st = agent.Entry{}, nil
	case err != nil:
		return nil, explain(err, name)
	}
	switch {
	case e.Type == agent.EntryDirectory:
		return nil, fmt.Errorf("%w: %.200q is a folder", agent.ErrConflict, name)
	case len(o.IfTag) > 0 && e.Type != agent.EntryFile:
		return nil, fmt.Errorf("%w: there is no file %.200q", agent.ErrPrecondition, name)
	case len(o.IfTag) > 0 && !slices.Contains(o.IfTag, "*") && !slices.Contains(o.IfTag, e.Tag):
		return nil, fmt.Errorf("%w: %.200q was changed meanwhile", agent.ErrPrecondition, name)
	case st != nil && !o.Overwrite:
		return nil, fmt.Errorf("%w: %.200q is there already", agent.ErrConflict, name)
	}
	return st, nil
}

// place gives the open file temp its name. Of writes that demand the same tag one succeeds; only the agent itself can be faster between
// the look and the rename.
func (w *Workspace) place(f *os.File, temp, name string, o agent.WriteOptions) error {
	w.placing.Lock()
	defer w.placing.Unlock()
	old, err := w.replaces(name, o)
	if err != nil {
		return err
	}
	if old != nil && old.Mode&unix.S_IFMT == unix.S_IFREG {
		if err := f.Chmod(os.FileMode(old.Mode & 0o777)); err != nil {
			return err
		}
	}
	if o.Overwrite {
		return w.root.Rename(temp, name)
	}
	// Unlike rename, link fails when something is there.
	err = w.root.Link(temp, name)
	switch {
	case err == nil:
		return w.root.Remove(temp)
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
		// A file system without hard links. We have just seen that the name was free.
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

// fill makes the file temp of size bytes from r. The caller closes it.
func (w *Workspace) fill(temp string, size int64, r io.Reader) (*os.File, error) {
	f, err := w.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
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
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
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
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return fmt.Errorf("reading a file: %w", err)
	}
	if err := describe(w, e); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	w.WriteHeader(http.StatusOK)
	// A file that has become shorter leaves the answer short of its length, which breaks it off.
	io.CopyN(w, f, length) //nolint:errcheck // as above
	return nil
}

// describe puts an entry into an answer's header.
func describe(w http.ResponseWriter, e agent.Entry) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding an entry: %w", err)
	}
	w.Header().Set(agent.EntryHeader, base64.StdEncoding.EncodeToString(b))
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
	e, err := s.files.Write(q.Get("path"), r.ContentLength, r.Body, agent.WriteOptions{Overwrite: overwrite, MkdirAll: mkdir, IfTag: q["if_tag"]})
	if err != nil {
		return err
	}
	s.storage.touch(r.ContentLength)
	if err := describe(w, e); err != nil {
		return err
	}
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
