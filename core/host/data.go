package host

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// dataDir is the folder that a host keeps for good, locked against a second host.
type dataDir struct {
	dir    string
	lock   *os.File
	hostID string
	secret []byte
}

// openDataDir makes the folders and locks the data folder. What is in it is for the host's user alone.
func openDataDir(dir, runDir string) (*dataDir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	// The kernel lets go of it when the process ends, however it ends.
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("another host uses it")
		}
		return nil, errors.Join(fmt.Errorf("data_dir %s: %w", dir, err), lock.Close())
	}
	d := &dataDir{dir: dir, lock: lock}
	if d.secret, err = d.random("secret", 32); err == nil {
		var id []byte
		if id, err = d.random("host-id", 8); err == nil {
			d.hostID = hex.EncodeToString(id)
		}
	}
	if err == nil {
		err = makeRunDir(runDir)
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// makeRunDir makes the folder of sockets. Others may pass through it, because sandboxes run as another user, but not look.
func makeRunDir(dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // see above
		return fmt.Errorf("run_dir: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("run_dir: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("run_dir %s: it must be a folder of the host's own user", dir)
	}
	// It may have been there with another mode.
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // see above
		return fmt.Errorf("run_dir: %w", err)
	}
	return nil
}

// random is a value of n random bytes that is made once and kept.
func (d *dataDir) random(name string, n int) ([]byte, error) {
	path := d.path(name)
	text, err := os.ReadFile(path)
	if err == nil {
		b, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil || len(b) != n {
			return nil, fmt.Errorf("data_dir: %s does not hold %d bytes in hex", path, n)
		}
		return b, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	b := make([]byte, n)
	rand.Read(b)
	// Written beside and renamed, so that a crash leaves no half of it.
	if err := os.WriteFile(path+".new", []byte(hex.EncodeToString(b)+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	return b, nil
}

func (d *dataDir) path(name string) string { return filepath.Join(d.dir, name) }

func (d *dataDir) close() error {
	if err := d.lock.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("unlocking the data folder: %w", err)
	}
	return nil
}
