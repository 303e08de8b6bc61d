package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/offspring"
)

const (
	// hangUpGrace is how long a shell whose terminal hung up may take to end by itself: editors save what was not saved.
	hangUpGrace = 500 * time.Millisecond
	// drainGrace is how long the terminal of a shell that ended is read on, in case a process that got away holds it open.
	drainGrace = time.Second
)

// shell is a login shell on a terminal of its own.
type shell struct {
	cmd  *exec.Cmd
	mark offspring.Mark
	// pty is the end of the terminal that we hold. Closing it hangs up.
	pty    *os.File
	closed sync.Once
	// done is closed when the shell has ended with all that it started; code says how.
	done chan struct{}
	code int
}

// startShell starts bash in dir with this environment and a mark, on a terminal of this size.
func startShell(env []string, dir string, size agent.TerminalSize) (*shell, error) {
	sh := &shell{mark: offspring.NewMark(), done: make(chan struct{})}
	sh.cmd = exec.Command("bash", "-l") //nolint:noctx // its connection ends it
	sh.cmd.Dir = dir
	for _, kv := range env {
		if name, _, _ := strings.Cut(kv, "="); name != "TERM" && name != offspring.Variable {
			sh.cmd.Env = append(sh.cmd.Env, kv)
		}
	}
	sh.cmd.Env = append(sh.cmd.Env, "TERM=xterm-256color", sh.mark.Env())
	terminal, err := pty.StartWithSize(sh.cmd, winsize(size))
	if err != nil {
		return nil, fmt.Errorf("starting a shell: %w", err)
	}
	sh.pty, err = pollable(terminal)
	if err != nil {
		sh.mark.KillSession(sh.cmd.Process.Pid)
		return nil, errors.Join(fmt.Errorf("starting a shell: %w", err), sh.cmd.Wait())
	}
	go sh.supervise()
	return sh, nil
}

// pollable makes of a file one whose Close ends a Read and a Write that wait. Making a terminal puts its file into the mode in which
// they wait for ever.
func pollable(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd), f.Close())
	}
	return os.NewFile(uintptr(fd), f.Name()), f.Close()
}

func winsize(s agent.TerminalSize) *pty.Winsize {
	return &pty.Winsize{Cols: uint16(s.Cols), Rows: uint16(s.Rows)} //nolint:gosec // at most 1000 each
}

// supervise waits for the end of the shell and ends what it started.
func (s *shell) supervise() {
	defer close(s.done)
	err := s.cmd.Wait()
	s.mark.KillSession(s.cmd.Process.Pid)
	status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case ok && status.Signaled(): //nolint:misspell // the name of a method
		s.code = 128 + int(status.Signal())
	case ok:
		s.code = status.ExitStatus()
	case err != nil:
		s.code = 255
	}
	time.AfterFunc(drainGrace, s.hangUp)
}

func (s *shell) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// resize tells the shell the size of its screen.
func (s *shell) resize(size agent.TerminalSize) error {
	conn, err := s.pty.SyscallConn()
	if err != nil {
		return fmt.Errorf("resizing a terminal: %w", err)
	}
	w := winsize(size)
	var failed error
	err = conn.Control(func(fd uintptr) {
		failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: w.Cols, Row: w.Rows})
	})
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("resizing a terminal: %w", err)
	}
	return nil
}

// hangUp closes the terminal, which tells the shell and what it runs in front to end. It is safe to call twice.
func (s *shell) hangUp() {
	s.closed.Do(func() { s.pty.Close() }) //nolint:errcheck // there is nothing to be kept in it
}

// wait returns the exit code of a shell whose terminal has ended, or false when it does not end or ctx does.
func (s *shell) wait(ctx context.Context) (int, bool) {
	late := time.NewTimer(drainGrace)
	defer late.Stop()
	select {
	case <-s.done:
		return s.code, true
	case <-late.C:
	case <-ctx.Done():
	}
	return 0, false
}

// end hangs up, kills what is left after a while, and waits for it.
func (s *shell) end() {
	s.hangUp()
	grace := time.NewTimer(hangUpGrace)
	defer grace.Stop()
	select {
	case <-s.done:
		return
	case <-grace.C:
	}
	s.mark.KillSession(s.cmd.Process.Pid)
	<-s.done
}
