package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"
)

// folder is what a sandbox has on this machine: a folder for its socket and marks. It outlives the plugin's process, as the sandbox
// does, so it lies in the data folder; the host dials through a link in the run folder, whose path is short enough for a socket.
//
//	DATA/sandboxes/HASH/            only the plugin's user may enter; a mount of its own with a socket endpoint
//	DATA/sandboxes/HASH/in/         the sandbox's /run/agent, with a socket endpoint
//	DATA/sandboxes/HASH/agent.sock  the host's name for in/agent.sock
//	DATA/sandboxes/HASH/ready       says that Create has succeeded once
//	RUN/s -> DATA/sandboxes
//	RUN/HASH.sock                   what the plugin itself listens on, with an exec endpoint
type folder struct{ dir, short, forward string }

const (
	sandboxesDir = "sandboxes"
	shortLink    = "s"
	readyMark    = "ready"
)

func (st *settings) folder(id string) folder {
	sum := sha256.Sum256([]byte(id))
	hash := hex.EncodeToString(sum[:8])
	return folder{
		dir: filepath.Join(st.dataDir, sandboxesDir, hash), short: filepath.Join(st.runDir, shortLink, hash),
		forward: filepath.Join(st.runDir, hash+".sock"),
	}
}

// makePlaces makes what all sandboxes share.
func (st *settings) makePlaces() error {
	dir := filepath.Join(st.dataDir, sandboxesDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the folder of sandboxes: %w", err)
	}
	if err := os.Symlink(dir, filepath.Join(st.runDir, shortLink)); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("making the link to the folder of sandboxes: %w", err)
	}
	return nil
}

// inside is what the sandbox sees as /run/agent.
func (f folder) inside() string { return filepath.Join(f.dir, "in") }

// make starts with an empty folder. A shared one is a tiny filesystem in memory: a sandbox must be able to fill, or to nest folders
// in, no more than that. Anybody may write into its inner folder, because the engine may map the sandbox's user to any other; nobody
// but the plugin's user gets there through the outer one.
func (f folder) make(shared bool) error {
	if err := f.remove(); err != nil {
		return err
	}
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		return fmt.Errorf("making the sandbox's folder: %w", err)
	}
	if !shared {
		return nil
	}
	if err := unix.Mount("tmpfs", f.dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=1m,nr_inodes=64,mode=0700"); err != nil {
		return errors.Join(fmt.Errorf("mounting the sandbox's folder: %w", err), f.remove())
	}
	err := os.Mkdir(f.inside(), 0o700)
	if err == nil {
		err = os.Chmod(f.inside(), 0o777) //nolint:gosec // see above
	}
	if err != nil {
		return errors.Join(fmt.Errorf("making the sandbox's folder: %w", err), f.remove())
	}
	return nil
}

// remove takes everything away.
func (f folder) remove() error {
	if err := unix.Unmount(f.dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !notMounted(err) {
		return fmt.Errorf("unmounting the sandbox's folder: %w", err)
	}
	if err := os.RemoveAll(f.dir); err != nil {
		return fmt.Errorf("removing the sandbox's folder: %w", err)
	}
	return nil
}

// notMounted says whether err of an unmount means that there is none; a user who may not unmount could not mount either.
func notMounted(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM)
}

func (f folder) markReady() error {
	err := os.MkdirAll(f.dir, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(f.dir, readyMark), nil, 0o600)
	}
	if err != nil {
		return fmt.Errorf("marking the sandbox as ready: %w", err)
	}
	return nil
}

func (f folder) wasReady() bool {
	_, err := os.Lstat(filepath.Join(f.dir, readyMark))
	return err == nil
}

// socket is where the host dials a socket endpoint: a second name of the agent server's socket, in a folder the sandbox can't see.
// The sandbox may replace the first by a link to any socket of the host; this one stays what it was when it was made.
func (f folder) socket() string { return filepath.Join(f.short, socketName) }

// await returns when the agent server accepts connections.
func (f folder) await(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching for the agent server: %w", err)
	}
	defer watcher.Close() //nolint:errcheck // only watched
	if err := watcher.Add(f.inside()); err != nil {
		return fmt.Errorf("watching for the agent server: %w", err)
	}
	for {
		// Between bind and listen the socket refuses; some filesystems report no changes. Both are bridged by a timer.
		pause := 500 * time.Millisecond
		linked, err := f.link()
		if err != nil {
			return err
		}
		if linked {
			if answers(ctx, f.socket()) {
				return nil
			}
			pause = 2 * time.Millisecond
		}
		timer := time.NewTimer(pause)
		select {
		case <-watcher.Events:
		case <-watcher.Errors: //nolint:errcheck // the timer bridges what a watcher misses
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("waiting for the agent server: %w", context.Cause(ctx))
		}
		timer.Stop()
	}
}

// answers says whether somebody listens on a socket.
func answers(ctx context.Context, socket string) bool {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	_ = conn.Close() // Nothing was sent.
	return true
}

// link gives the agent server's socket its second name. It reports false while there is no socket yet.
func (f folder) link() (bool, error) {
	first, second := filepath.Join(f.inside(), socketName), filepath.Join(f.dir, socketName)
	before, err := os.Lstat(first)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for the agent server's socket: %w", err)
	}
	now, err := os.Lstat(second)
	if err == nil && os.SameFile(before, now) {
		return true, nil
	}
	if err == nil {
		if err := os.Remove(second); err != nil {
			return false, fmt.Errorf("replacing the agent server's socket: %w", err)
		}
	}
	// A hard link never follows: what it names is checked afterwards, where the sandbox cannot change it.
	if err := os.Link(first, second); err != nil {
		return false, fmt.Errorf("linking the agent server's socket: %w", err)
	}
	if now, err = os.Lstat(second); err != nil {
		return false, fmt.Errorf("checking the agent server's socket: %w", err)
	}
	if now.Mode().Type() != fs.ModeSocket {
		return false, errors.Join(errors.New("checking the agent server's socket: it is not a socket"), os.Remove(second))
	}
	return true, nil
}
