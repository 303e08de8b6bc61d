package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
	"github.com/hashicorp/yamux"
	"go.uber.org/zap"
)

const (
	// connected is the byte that a stream begins with once the agent server has accepted, see agcluster-agent connect.
	connected = 1
	// dialAgentLimit bounds one connection to an agent server; agcluster-agent connect gives up earlier.
	dialAgentLimit = 20 * time.Second
)

// forwarder is an exec endpoint: it listens on a socket of this machine and carries every connection into one container, as a stream
// of one multiplexed exec. The exec is started by the first connection, and anew by the next one when it has died. Close ends it.
type forwarder struct {
	engine    *engine
	container string
	socket    string
	listener  net.Listener
	log       *zap.Logger
	//nolint:containedctx // The life of the forwarder's own goroutines.
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	// gate holds one token: whoever has it may start the exec. It guards tunnel.
	gate   chan struct{}
	tunnel *tunnel
}

// newForwarder listens at once. container is the container's id, so that it never enters another one of the same name.
func newForwarder(e *engine, container, socket string, log *zap.Logger) (*forwarder, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing an old socket: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("listening for the sandbox: %w", err)
	}
	f := &forwarder{engine: e, container: container, socket: socket, listener: l, log: log, ctx: ctx, cancel: cancel, gate: make(chan struct{}, 1)}
	if err := os.Chmod(socket, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("listening for the sandbox: %w", err), f.Close())
	}
	f.gate <- struct{}{}
	f.work.Go(f.serve)
	return f, nil
}

// Close ends every connection and waits. It is safe to call twice.
func (f *forwarder) Close() error {
	f.cancel()
	err := f.listener.Close()
	f.work.Wait()
	if f.tunnel != nil {
		f.tunnel.close()
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("closing a sandbox's endpoint: %w", err)
	}
	return nil
}

func (f *forwarder) serve() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			if f.ctx.Err() == nil {
				f.log.Error("a sandbox's endpoint has failed", zap.Error(err))
			}
			return
		}
		f.work.Go(func() { f.carry(conn) })
	}
}

// carry joins a connection of the host's with one to the agent server, until both have ended.
func (f *forwarder) carry(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // what has ended can't be helped
	ctx, cancel := context.WithTimeout(f.ctx, dialAgentLimit)
	stream, err := f.dial(ctx)
	cancel()
	if err != nil {
		f.log.Debug("a sandbox can't be reached", zap.String("container", f.container), zap.Error(err))
		return
	}
	defer stream.Close() //nolint:errcheck // as above
	stop := context.AfterFunc(f.ctx, func() {
		conn.Close()   //nolint:errcheck // as above
		stream.Close() //nolint:errcheck // as above
	})
	defer stop()
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := io.Copy(stream, conn); err != nil {
			conn.Close() //nolint:errcheck // as above
		}
		stream.Close() //nolint:errcheck // as above; it can still be read
	})
	both.Go(func() {
		_, err := io.Copy(conn, stream)
		if half, ok := conn.(*net.UnixConn); ok && err == nil {
			half.CloseWrite() //nolint:errcheck // as above
			return
		}
		conn.Close() //nolint:errcheck // as above
	})
	both.Wait()
}

// await returns when the agent server accepts connections.
func (f *forwarder) await(ctx context.Context) error {
	for pause := minSettle; ; pause = min(2*pause, maxSettle) {
		stream, err := f.dial(ctx)
		if err == nil {
			return stream.Close()
		}
		if sleep(ctx, pause) != nil {
			return fmt.Errorf("waiting for the agent server: %w (%w)", context.Cause(ctx), err)
		}
	}
}

// dial opens a stream to the agent server, which has accepted then. It starts the exec when none runs.
func (f *forwarder) dial(ctx context.Context) (*yamux.Stream, error) {
	t, err := f.live(ctx)
	if err != nil {
		return nil, err
	}
	stream, err := t.mux.OpenStream()
	if err != nil {
		return nil, fmt.Errorf("opening a stream: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { stream.SetReadDeadline(time.Unix(1, 0)) }) //nolint:errcheck // it has ended, then
	var first [1]byte
	_, err = io.ReadFull(stream, first[:])
	if !stop() {
		err = errors.Join(err, ctx.Err())
	}
	if err == nil && first[0] != connected {
		err = fmt.Errorf("it began with %d", first[0])
	}
	if err != nil {
		stream.Close() //nolint:errcheck // of no use
		return nil, fmt.Errorf("connecting to the agent server: %w%s", err, t.said())
	}
	return stream, nil
}

// live returns the exec that runs, after starting one if need be.
func (f *forwarder) live(ctx context.Context) (*tunnel, error) {
	select {
	case <-f.gate:
		defer func() { f.gate <- struct{}{} }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if f.tunnel != nil {
		if !f.tunnel.mux.IsClosed() {
			return f.tunnel, nil
		}
		f.tunnel.close()
		f.tunnel = nil
	}
	t, err := openTunnel(ctx, f.engine, f.container)
	if err != nil {
		return nil, err
	}
	f.tunnel = t
	return t, nil
}

// tunnel is one exec of `agcluster-agent connect` and the multiplexing over its standard input and output.
type tunnel struct {
	mux    *yamux.Session
	conn   io.Closer
	copied sync.WaitGroup
	stderr lockedBuffer
}

func openTunnel(ctx context.Context, e *engine, id string) (*tunnel, error) {
	made, err := e.api.ContainerExecCreate(ctx, id, container.ExecOptions{
		AttachStdin: true, AttachStdout: true, AttachStderr: true, Cmd: []string{sandboxAgent, "connect"},
	})
	if err != nil {
		return nil, fmt.Errorf("preparing an exec: %w", e.explain(err))
	}
	hijacked, err := e.api.ContainerExecAttach(ctx, made.ID, container.ExecAttachOptions{})
	if err != nil {
		return nil, fmt.Errorf("starting an exec: %w", e.explain(err))
	}
	t := &tunnel{conn: hijacked.Conn}
	r, w := io.Pipe()
	t.copied.Go(func() {
		_, err := stdcopy.StdCopy(w, &t.stderr, hijacked.Reader)
		w.CloseWithError(err) // Never fails; nil is io.EOF.
	})
	if t.mux, err = yamux.Client(&carrier{Reader: r, Writer: hijacked.Conn, pipe: r, conn: hijacked.Conn}, tunnelConfig()); err != nil {
		r.Close() //nolint:errcheck // never fails
		hijacked.Close()
		t.copied.Wait()
		return nil, fmt.Errorf("multiplexing: %w", err)
	}
	return t, nil
}

// close ends the exec: it reads the end of its standard input.
func (t *tunnel) close() {
	t.mux.Close() //nolint:errcheck // of no use any more
	t.copied.Wait()
}

// said is what the exec wrote to standard error, as an appendix to an error.
func (t *tunnel) said() string {
	if text := lastLine(t.stderr.String()); text != "" {
		return " (" + text + ")"
	}
	return ""
}

// carrier is the stream of bytes below the multiplexing.
type carrier struct {
	io.Reader
	io.Writer
	pipe *io.PipeReader
	conn io.Closer
}

// Close implements io.Closer.
func (c *carrier) Close() error { return errors.Join(c.conn.Close(), c.pipe.Close()) }

// tunnelConfig is what both ends use; agcluster-agent has the same.
func tunnelConfig() *yamux.Config {
	cfg := yamux.DefaultConfig()
	cfg.LogOutput = io.Discard
	cfg.KeepAliveInterval = 10 * time.Second
	cfg.ConnectionWriteTimeout = 20 * time.Second
	cfg.MaxStreamWindowSize = 1 << 20
	return cfg
}
