package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin/runner"
	"golang.org/x/sys/unix"
)

// endTimeout is how long a plugin may take to end in order, with all that it has to take apart.
const endTimeout = 15 * time.Second

// child is one process of a plugin, as go-plugin runs it. Unlike go-plugin's own runner it forks on the launcher's thread, gives the
// plugin no standard input of the host's, can be killed while it starts, and ends with everything that is left of its process group.
type child struct {
	cmd            *exec.Cmd
	launch         *launcher
	endTimeout     time.Duration
	stdout, stderr io.ReadCloser
	// exited is closed once the process is gone.
	exited chan struct{}

	mu  sync.Mutex
	pid int
	// over says that the number pid may belong to somebody else by now, or that there must be no process any more.
	over bool
	// patient makes Kill wait for the process to end by itself.
	patient bool
}

var _ runner.Runner = (*child)(nil)

func newChild(cmd *exec.Cmd, launch *launcher, endTimeout time.Duration) (*child, error) {
	cmd.Stdin = nil
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	return &child{cmd: cmd, launch: launch, endTimeout: endTimeout, stdout: stdout, stderr: stderr, exited: make(chan struct{})}, nil
}

// Start implements runner.Runner.
func (c *child) Start(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return errClosed
	}
	var err error
	c.launch.run(func() { err = c.cmd.Start() })
	if err != nil {
		return err
	}
	c.pid = c.cmd.Process.Pid
	return nil
}

// Wait implements runner.AttachedRunner. go-plugin calls it once for a process that was started.
func (c *child) Wait(context.Context) error {
	defer close(c.exited)
	// The process is dead but not reaped after this, so that its number is still its own when the rest of its group is killed.
	for {
		err := unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	c.kill()
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	return c.cmd.Wait()
}

// kill ends the process and its group at once; one that has not started never will. It is safe to repeat.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
	case c.pid == 0:
		c.over = true
	default:
		_ = syscall.Kill(-c.pid, syscall.SIGKILL) // nobody left is fine
	}
}

// Kill implements runner.AttachedRunner. go-plugin calls it for a process that did not start as it should, and for one that has not
// ended shortly after it was asked to.
func (c *child) Kill(context.Context) error {
	c.mu.Lock()
	patient := c.patient
	c.mu.Unlock()
	if patient {
		<-c.exited
		return nil
	}
	c.kill()
	return nil
}

// end asks the process to end, by stop, and kills it when it has not within endTimeout.
func (c *child) end(stop func()) {
	c.mu.Lock()
	c.patient = true
	c.mu.Unlock()
	watch := time.AfterFunc(c.endTimeout, c.kill)
	defer watch.Stop()
	stop()
}

// state says how the process ended.
func (c *child) state() string {
	select {
	case <-c.exited:
		return c.cmd.ProcessState.String()
	default:
		return "it lost its connection"
	}
}

// Stdout implements runner.Runner.
func (c *child) Stdout() io.ReadCloser { return c.stdout }

// Stderr implements runner.Runner.
func (c *child) Stderr() io.ReadCloser { return c.stderr }

// Name implements runner.Runner.
func (c *child) Name() string { return c.cmd.Args[0] }

// ID implements runner.AttachedRunner. It is empty before the start.
func (c *child) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pid == 0 {
		return ""
	}
	return strconv.Itoa(c.pid)
}

// Diagnose implements runner.Runner.
func (c *child) Diagnose(context.Context) string {
	return "it is no plugin of this host's, or lacks a library"
}

// PluginToHost implements runner.AddrTranslator.
func (c *child) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

// HostToPlugin implements runner.AddrTranslator.
func (c *child) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
