package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// dieWait bounds how long the kernel may take to end a killed sandbox.
	dieWait = 10 * time.Second
)

// process is one running bwrap with everything below it.
type process struct {
	cmd *exec.Cmd
	out *output
	// pipes are the sandbox's standard output and error. reap closes them.
	pipes []*pipe
	// gone closes when the last process of the sandbox is gone and code is set.
	gone chan struct{}
	// code is the exit status: 128+n for signal n, -1 when bwrap itself was killed.
	code int

	mu sync.Mutex
	// init is a pidfd of the sandbox's process 1, -1 before it is known and after it is gone. As root it is never known.
	init   int
	killed bool
	// over says that bwrap is dead: its number may soon be somebody else's.
	over bool
}

// In a host that runs as root, bwrap is process 1 of a pid namespace of its own, so that its death takes everything along, whatever it
// was about to do. bwrap's own --die-with-parent takes hold only when a sandbox is made: one whose bwrap dies a moment before would go on
// without it. As an ordinary user there is no such namespace (AppArmor lets bwrap make one, not us), so kill has to be thorough.

// startProcess runs spec through the shim. args is bwrap's command line, which travels in an anonymous file: argv would show it to
// every user of the host. token goes into a pipe that only the sandbox's first process inherits.
func startProcess(l *launcher, spec shimSpec, args []string, token string) (*process, error) {
	rawSpec, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encoding the shim's orders: %w", err)
	}
	var files fileSet
	defer files.closeAll()
	tokenEnd := files.pipeHolding(token)
	specFile := files.memory("spec", string(rawSpec))
	info, infoEnd := files.pipe()
	inherited := []*os.File{
		tokenEnd, specFile, infoEnd,
		files.memory("args", strings.Join(args, "\x00")+"\x00"),
		files.memory("passwd", passwdData), files.memory("group", groupData), files.memory("hosts", hostsData),
	}
	if files.err != nil {
		return nil, files.err
	}
	out := newOutput()
	stdout, stderr := &pipe{to: out, name: "stdout"}, &pipe{to: out, name: "stderr"}
	p := &process{out: out, pipes: []*pipe{stdout, stderr}, gone: make(chan struct{}), init: -1}
	p.cmd = exec.Command("/proc/self/exe", shimArg) //nolint:noctx // It outlives the request. The link follows this binary even when its path is replaced by an upgrade.
	p.cmd.Dir = "/"
	p.cmd.Env = []string{}
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	p.cmd.ExtraFiles = inherited
	// A session of its own, so that a terminal's Ctrl-C reaches the host and not the sandboxes.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	if spec.UID != 0 {
		p.cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
	}
	p.cmd.WaitDelay = dieWait
	if err := l.start(p.cmd); err != nil {
		return nil, fmt.Errorf("starting bubblewrap: %w", err)
	}
	files.keep(info)
	go p.reap(info)
	return p, nil
}

// reap waits for the whole sandbox: for bwrap, which leaves when the agent server does, and as an ordinary user for the sandbox's
// process 1. The kernel lets the first process of a namespace go only when every other in it is gone.
func (p *process) reap(info *os.File) {
	defer close(p.gone)
	var status struct {
		ChildPID int `json:"child-pid"`
	}
	if err := json.NewDecoder(info).Decode(&status); err == nil && status.ChildPID > 0 {
		p.adopt(status.ChildPID)
	}
	_ = info.Close() // Only read.
	// Dead but not reaped, bwrap's number is still its own.
	for errors.Is(unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
		continue
	}
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	_ = p.cmd.Wait() // The state below says more than the error.
	for _, pipe := range p.pipes {
		pipe.close()
	}
	p.code = p.cmd.ProcessState.ExitCode()
	p.mu.Lock()
	fd := p.init
	p.init = -1
	p.mu.Unlock()
	if fd == -1 {
		return
	}
	awaitExit(fd, dieWait)
	_ = unix.Close(fd) // Only a handle.
}

// adopt opens a handle on the sandbox's process 1. Bwrap reports it while it is its unreaped child, so the number is still its own.
func (p *process) adopt(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // Dead already, or an old kernel: kill falls back to bwrap itself.
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.init = fd
	if p.killed {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // ESRCH means it is gone.
	}
}

// kill ends every process of the sandbox; gone closes when that has happened. It is safe to repeat.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = true
	// Killing process 1 and leaving bwrap to see it die makes bwrap's exit the proof that the namespace is empty.
	if p.init != -1 && unix.PidfdSendSignal(p.init, unix.SIGKILL, nil, 0) == nil {
		return
	}
	p.killGroup()
}

// killGroup ends bwrap and what it has forked but not yet let go: until a sandbox is nearly made, both are one process group. mu is held.
func (p *process) killGroup() {
	if !p.over {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // Already gone is fine.
	}
}

// stop kills and waits.
func (p *process) stop(ctx context.Context) error {
	p.kill()
	timer := time.NewTimer(dieWait)
	defer timer.Stop()
	select {
	case <-p.gone:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the sandbox to end: %w", ctx.Err())
	case <-timer.C:
		p.mu.Lock()
		p.killGroup() // Bwrap did not notice; its death takes the rest along.
		p.mu.Unlock()
		return errors.New("waiting for the sandbox to end: its processes do not die")
	}
}

// awaitExit waits until the process behind fd is gone, at most for the given time.
func awaitExit(fd int, limit time.Duration) {
	deadline := time.Now().Add(limit)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1) //nolint:gosec // Descriptors are small.
		if n > 0 || (err != nil && !errors.Is(err, unix.EINTR)) {
			return
		}
	}
}

// exitDetail says why the sandbox is not running. oom tells that the kernel killed a process of it for want of memory.
func (p *process) exitDetail(oom bool) string {
	var detail string
	switch {
	case oom && (p.code == 128+int(syscall.SIGKILL) || p.code == -1):
		return "out of memory"
	case p.code == -1:
		detail = "killed"
	case p.code > 128:
		detail = fmt.Sprintf("killed by signal %d", p.code-128)
	default:
		detail = fmt.Sprintf("exit status %d", p.code)
	}
	if last := p.out.lastLine(); last != "" {
		detail += ": " + last
	}
	return detail
}

// fileSet collects the files of one start and the first error among them.
type fileSet struct {
	files []*os.File
	err   error
}

func (f *fileSet) add(file *os.File) *os.File {
	f.files = append(f.files, file)
	return file
}

// keep hands file to the caller: closeAll leaves it open.
func (f *fileSet) keep(file *os.File) {
	for i, own := range f.files {
		if own == file {
			f.files[i] = nil
		}
	}
}

func (f *fileSet) closeAll() {
	for _, file := range f.files {
		if file != nil {
			_ = file.Close() // Read ends and anonymous memory: nothing to lose.
		}
	}
}

func (f *fileSet) pipe() (reader, writer *os.File) {
	if f.err != nil {
		return nil, nil
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		f.err = fmt.Errorf("making a pipe: %w", err)
		return nil, nil
	}
	return f.add(reader), f.add(writer)
}

// pipeHolding returns the read end of a pipe that holds content, at most sdk.MaxTokenBytes so that writing cannot block.
func (f *fileSet) pipeHolding(content string) *os.File {
	reader, writer := f.pipe()
	if f.err != nil {
		return nil
	}
	f.keep(writer)
	if _, err := writer.WriteString(content); err != nil {
		f.err = fmt.Errorf("filling a pipe: %w", err)
	}
	if err := writer.Close(); err != nil && f.err == nil {
		f.err = fmt.Errorf("closing a pipe: %w", err)
	}
	return reader
}

// memory returns an anonymous file with content, positioned at its beginning.
func (f *fileSet) memory(name, content string) *os.File {
	if f.err != nil {
		return nil
	}
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		f.err = fmt.Errorf("making an anonymous file: %w", err)
		return nil
	}
	file := f.add(os.NewFile(uintptr(fd), name))
	if _, err := file.WriteString(content); err != nil {
		f.err = fmt.Errorf("filling an anonymous file: %w", err)
		return nil
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		f.err = fmt.Errorf("rewinding an anonymous file: %w", err)
		return nil
	}
	return file
}
