package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/agcluster/agcluster/plugins/sdk"
)

const (
	// readyLimit bounds the start of an agent server when the caller sets no earlier deadline.
	readyLimit = 60 * time.Second
	// socketPathLimit is what a unix socket address holds, less the final zero.
	socketPathLimit = 104
	runPrefix       = "s-"
)

// sandbox is one entry of the provider, from the moment its id is taken until it is destroyed.
type sandbox struct {
	id     string
	labels map[string]string
	volume string
	// cancel ends a Create that is under way.
	cancel context.CancelFunc
	// created closes when Create has its outcome: createErr, or the fields below it.
	created   chan struct{}
	createErr error

	// The fields below are written before created closes and only read after.
	runDir    string
	volumeDir string
	ephemeral bool
	limits    map[string]string
	lim       limits
	group     group
	proc      *process
	// teardown holds one token: whoever has it may take the sandbox apart.
	teardown chan struct{}
}

func newSandbox(req sdk.CreateRequest, cancel context.CancelFunc) *sandbox {
	s := &sandbox{id: req.ID, labels: maps.Clone(req.Labels), volume: req.Volume, cancel: cancel, created: make(chan struct{}), teardown: make(chan struct{}, 1)}
	s.teardown <- struct{}{}
	return s
}

// ready says whether Create has succeeded.
func (s *sandbox) ready() bool {
	select {
	case <-s.created:
		return s.createErr == nil
	default:
		return false
	}
}

// running says whether the sandbox has processes, or may get some.
func (s *sandbox) running() bool {
	select {
	case <-s.created:
	default:
		return true
	}
	if s.proc == nil {
		return false
	}
	select {
	case <-s.proc.gone:
		return false
	default:
		return true
	}
}

// describe tells of a sandbox that was created.
func (s *sandbox) describe() sdk.Sandbox {
	out := sdk.Sandbox{
		ID:       s.id,
		Labels:   maps.Clone(s.labels),
		State:    sdk.StateRunning,
		Endpoint: sdk.Endpoint{URL: "unix:" + s.socket()},
		Limits:   maps.Clone(s.limits),
	}
	if !s.running() {
		out.State = sdk.StateExited
		out.Detail = s.proc.exitDetail(s.group.oomKills() > 0)
	}
	return out
}

// socket is where the host dials: a second name of the agent server's socket, in a folder the sandbox cannot see. The sandbox may
// replace the first name by a link to any socket of the host; this one stays what it was when the agent server made it.
func (s *sandbox) socket() string { return filepath.Join(s.runDir, socketName) }

// inside is the folder that the sandbox sees as /run/agent.
func (s *sandbox) inside() string { return filepath.Join(s.runDir, "in") }

// makeRunDir makes the sandbox's folder of sockets. uid and gid own the part it sees, -1 means the provider's own.
func (s *sandbox) makeRunDir(uid, gid int) error {
	if length := len(s.socket()); length > socketPathLimit {
		return sdk.Permanent(fmt.Errorf("socket path %s has %d bytes, more than %d; fix: a shorter run folder", s.socket(), length, socketPathLimit))
	}
	// A leftover of an earlier sandbox with this id whose removal failed.
	if err := os.RemoveAll(s.runDir); err != nil {
		return fmt.Errorf("clearing the run folder: %w", err)
	}
	if err := ensureDir(s.runDir, -1, -1); err != nil {
		return fmt.Errorf("making the run folder: %w", err)
	}
	if err := ensureDir(s.inside(), uid, gid); err != nil {
		return fmt.Errorf("making the run folder: %w", err)
	}
	return nil
}

// awaitAgent returns when the agent server accepts connections. events reports changes in the folder the sandbox sees.
func (s *sandbox) awaitAgent(ctx context.Context, watcher *fsnotify.Watcher) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyLimit, fmt.Errorf("the agent server did not listen within %s", readyLimit))
	defer cancel()
	for {
		// Between bind and listen the socket refuses; some filesystems report no changes. Both are bridged by a timer.
		pause := 500 * time.Millisecond
		linked, err := s.linkSocket()
		if err != nil {
			return err
		}
		if linked {
			if answers(ctx, s.socket()) {
				return nil
			}
			pause = 2 * time.Millisecond
		}
		timer := time.NewTimer(pause)
		select {
		case <-watcher.Events:
		case <-watcher.Errors: //nolint:errcheck // the timer bridges what a watcher misses
		case <-timer.C:
		case <-s.proc.gone:
			timer.Stop()
			return s.startFailure()
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("waiting for the agent server: %w", context.Cause(ctx))
		}
		timer.Stop()
	}
}

// linkSocket gives the agent server's socket its second name. It reports false while there is no socket yet.
func (s *sandbox) linkSocket() (bool, error) {
	first := filepath.Join(s.inside(), socketName)
	before, err := os.Lstat(first)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for the agent server's socket: %w", err)
	}
	now, err := os.Lstat(s.socket())
	if err == nil && os.SameFile(before, now) {
		return true, nil
	}
	if err == nil {
		if err := os.Remove(s.socket()); err != nil {
			return false, fmt.Errorf("replacing the agent server's socket: %w", err)
		}
	}
	// A hard link never follows: what it names is checked afterwards, where the sandbox cannot change it.
	if err := os.Link(first, s.socket()); err != nil {
		return false, fmt.Errorf("linking the agent server's socket: %w", err)
	}
	now, err = os.Lstat(s.socket())
	if err != nil {
		return false, fmt.Errorf("checking the agent server's socket: %w", err)
	}
	if now.Mode().Type() != fs.ModeSocket {
		return false, errors.New("checking the agent server's socket: it is not a socket")
	}
	return true, nil
}

// startFailure explains a sandbox that ended before its agent server listened.
func (s *sandbox) startFailure() error {
	if fix := diagnose(s.proc.out.spoken()); fix != nil {
		return sdk.Permanent(fmt.Errorf("starting the sandbox: %w (%s)", fix, s.proc.out.lastLine()))
	}
	return fmt.Errorf("starting the sandbox: it ended before the agent server listened: %s", s.proc.exitDetail(s.group.oomKills() > 0))
}
