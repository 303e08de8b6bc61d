package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// sshDialer reaches an engine by `ssh HOST docker system dial-stdio`, as Docker's own command line does. ssh asks nobody: keys and
// known hosts are those of the user that runs the host.
func sshDialer(u *url.URL) func(context.Context, string, string) (net.Conn, error) {
	args := []string{"-o", "BatchMode=yes", "-o", fmt.Sprintf("ConnectTimeout=%d", int(dialTimeout/time.Second)), "-T"}
	if user := u.User.Username(); user != "" {
		args = append(args, "-l", user)
	}
	if port := u.Port(); port != "" {
		args = append(args, "-p", port)
	}
	args = append(args, "--", u.Hostname(), "docker", "system", "dial-stdio")
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		if err := ctx.Err(); err != nil {
			return nil, err //nolint:wrapcheck // the client's own
		}
		return startCommand(exec.Command("ssh", args...)) //nolint:noctx // it lives as long as the connection
	}
}

// commandConn is a connection to a program's standard input and output. Closing it ends the program.
type commandConn struct {
	*net.UnixConn
	cmd    *exec.Cmd
	stderr lockedBuffer
	// ended closes when the program has been waited for.
	ended chan struct{}
}

// startCommand starts a program on one end of a socket pair: the other is a connection with deadlines and half-closing.
func startCommand(cmd *exec.Cmd) (*commandConn, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making a socket pair: %w", err)
	}
	theirs, ours := os.NewFile(uintptr(fds[0]), "theirs"), os.NewFile(uintptr(fds[1]), "ours")
	defer theirs.Close() //nolint:errcheck // the program has its own
	conn, err := net.FileConn(ours)
	if err := errors.Join(err, ours.Close()); err != nil {
		return nil, fmt.Errorf("making a socket pair: %w", err)
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("making a socket pair: not a unix socket"), conn.Close())
	}
	c := &commandConn{UnixConn: unixConn, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, &c.stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", cmd.Args[0], err), conn.Close())
	}
	go func() {
		defer close(c.ended)
		_ = cmd.Wait() // What it said on standard error tells more.
	}()
	return c, nil
}

// Read implements net.Conn. An end is explained by what the program said.
func (c *commandConn) Read(b []byte) (int, error) {
	n, err := c.UnixConn.Read(b)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		return n, err
	}
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-timer.C:
	}
	if said := lastLine(c.stderr.String()); said != "" {
		return n, fmt.Errorf("%s: %s: %w", c.cmd.Args[0], said, io.ErrUnexpectedEOF)
	}
	return n, err
}

// Close implements net.Conn.
func (c *commandConn) Close() error {
	err := c.UnixConn.Close()
	_ = c.cmd.Process.Kill() // It may have ended.
	<-c.ended
	return err
}

// lockedBuffer keeps the first 4 KiB written to it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer. It never fails.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.buf.Write(p[:min(len(p), max(0, 4096-b.buf.Len()))])
	return len(p), nil
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.TrimSpace(b.buf.String())
}
