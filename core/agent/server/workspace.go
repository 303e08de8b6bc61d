package server

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/core/agent"
)

const (
	// maxPath and maxName bound a path and one name of it, in bytes, as Linux does.
	maxPath = 4096
	maxName = 255
	// tempPrefix begins the names of files that are being written; 32 hex digits follow.
	tempPrefix = ".agcluster-upload-"

	fileMode   = 0o644
	folderMode = 0o755
)

// Workspace is the folder that the agent works in, as the host may see and change it: through os.Root, so that no link leads out of
// it. Its files belong to the agent, who may change anything at any moment and make links, pipes and names of every kind; the methods
// expect that. It is safe for concurrent use.
type Workspace struct {
	path string
	root *os.Root

	// placing is held from the last look at a path until it has its new file.
	placing sync.Mutex

	mu sync.Mutex
	// writing holds the temporary files of writes that run; any other was left by an agent server that died.
	writing map[string]struct{}
}

// OpenWorkspace opens the folder at an absolute path. The caller closes it.
func OpenWorkspace(path string) (*Workspace, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("opening the workspace: %q is not absolute", path)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("opening the workspace: %w", err)
	}
	return &Workspace{path: filepath.Clean(path), root: root, writing: map[string]struct{}{}}, nil
}

// Close closes the folder.
func (w *Workspace) Close() error {
	if err := w.root.Close(); err != nil {
		return fmt.Errorf("closing the workspace: %w", err)
	}
	return nil
}

// clean checks a path of the API and brings it into its shortest form; "." is the workspace itself.
func clean(path string) (string, error) {
	invalid := func(why string) (string, error) {
		return "", fmt.Errorf("%w: path %.200q %s", agent.ErrInvalid, path, why)
	}
	switch {
	case len(path) > maxPath:
		return invalid(fmt.Sprintf("is longer than %d bytes", maxPath))
	case strings.HasPrefix(path, "/"):
		return invalid("is absolute: it must be relative to the workspace")
	case strings.ContainsRune(path, 0):
		return invalid("has a NUL")
	}
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			return invalid(`must not have ".."`)
		case len(part) > maxName:
			return invalid(fmt.Sprintf("has a name longer than %d bytes", maxName))
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return ".", nil
	}
	if isTemp(parts[len(parts)-1]) {
		return "", fmt.Errorf("%w: names that begin with %s are the agent server's own", agent.ErrForbidden, tempPrefix)
	}
	return strings.Join(parts, "/"), nil
}

// cleanFile is clean for what must not be the workspace itself.
func cleanFile(path string) (string, error) {
	path, err := clean(path)
	if err == nil && path == "." {
		return "", fmt.Errorf("%w: a path is needed", agent.ErrInvalid)
	}
	return path, err
}

func isTemp(name string) bool {
	digits, ok := strings.CutPrefix(name, tempPrefix)
	_, err := hex.DecodeString(digits)
	return ok && len(digits) == 32 && err == nil
}

func newTemp() string {
	b := make([]byte, 16)
	rand.Read(b) // crypto/rand.Read never fails since Go 1.24
	return tempPrefix + hex.EncodeToString(b)
}

// relative turns an absolute path in the workspace, as a session names it, into one of the API.
func (w *Workspace) relative(path string) (string, error) {
	rest, ok := strings.CutPrefix(path, w.path)
	if !ok || rest != "" && rest[0] != '/' {
		return "", fmt.Errorf("%w: %.200q is not in %s", agent.ErrInvalid, path, w.path)
	}
	return clean(strings.TrimLeft(rest, "/"))
}

// makeFolder makes a folder with its parents if it is not there.
func (w *Workspace) makeFolder(path string) error {
	if path == "." {
		return nil
	}
	return explain(w.root.MkdirAll(path, folderMode), path)
}

// explain gives an error of the file system its sentinel.
func explain(err error, path string) error {
	if err == nil {
		return nil
	}
	kind := errKind(err)
	if kind == nil {
		return fmt.Errorf("%.200q: %w", path, err)
	}
	return fmt.Errorf("%w: %.200q: %w", kind, path, err)
}

func errKind(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return agent.ErrNotFound
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTEMPTY):
		return agent.ErrConflict
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.ENXIO), escapes(err):
		return agent.ErrForbidden
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errDiskFull
	case errors.Is(err, syscall.EFBIG):
		return agent.ErrTooLarge
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENAMETOOLONG):
		return agent.ErrInvalid
	default:
		return nil
	}
}

// escapes recognises what os.Root says of a path that leaves it; the standard library exports no name for it.
func escapes(err error) bool { return strings.HasSuffix(err.Error(), "path escapes from parent") }

// entry describes what st is of. The target of a link is read from the folder dir.
func entry(dir int, name, path string, st *unix.Stat_t) agent.Entry {
	e := agent.NewEntry(path)
	e.Mode = st.Mode & 0o7777
	e.ModTime = modTime(st)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.Type, e.Size = agent.EntryFile, st.Size
	case unix.S_IFDIR:
		e.Type = agent.EntryDirectory
	case unix.S_IFLNK:
		e.Type, e.Size = agent.EntrySymlink, st.Size
		e.Target, _ = readlink(dir, name) // it may be gone by now
	default:
		e.Type = agent.EntryOther
	}
	return e
}

func readlink(dir int, name string) (string, error) {
	buf := make([]byte, maxPath)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", fmt.Errorf("reading a link: %w", err)
	}
	return string(buf[:n]), nil
}

// modTime keeps to the years that JSON and tar can say; the agent may set any.
func modTime(st *unix.Stat_t) time.Time {
	const latest = 253402300799 // the last second of the year 9999
	sec := min(max(st.Mtim.Sec, 0), latest)
	return time.Unix(sec, 0).UTC()
}

// open opens a folder or a file without ever waiting for somebody at the other end of a pipe.
func (w *Workspace) open(path string, flags int) (*os.File, *unix.Stat_t, error) {
	f, err := w.root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|flags, 0)
	if err != nil {
		return nil, nil, err
	}
	st, err := fstat(f)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, st, nil
}

func fstat(f *os.File) (*unix.Stat_t, error) {
	var st unix.Stat_t
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("looking at an open file: %w", err)
	}
	var statErr error
	if err := raw.Control(func(fd uintptr) { statErr = unix.Fstat(int(fd), &st) }); err != nil {
		return nil, fmt.Errorf("looking at an open file: %w", err)
	}
	if statErr != nil {
		return nil, fmt.Errorf("looking at an open file: %w", statErr)
	}
	return &st, nil
}
