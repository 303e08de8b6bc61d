package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/agcluster/agcluster/core/agent"
)

const (
	// connectWait bounds how long a stream waits for an agent server that does not listen yet.
	connectWait = 10 * time.Second
	// connectPause is the longest pause between two attempts.
	connectPause = 20 * time.Millisecond
	// connected is the byte that a stream begins with once the agent server has accepted; a stream that ends without it did not reach it.
	connected = 1
)

// stdio is standard input and output as one connection.
type stdio struct{}

// Read implements io.Reader.
func (stdio) Read(b []byte) (int, error) { return os.Stdin.Read(b) }

// Write implements io.Writer.
func (stdio) Write(b []byte) (int, error) { return os.Stdout.Write(b) }

// Close implements io.Closer.
func (stdio) Close() error { return errors.Join(os.Stdin.Close(), os.Stdout.Close()) }

// connect carries connections to the agent server, which listens on the unix socket of address, over one stream of bytes until that
// ends. It is multiplexed by yamux; the peer opens a stream for each connection and waits for the byte connected.
func connect(address string, carrier io.ReadWriteCloser) error {
	socket, ok := strings.CutPrefix(address, "unix:")
	if !ok || socket == "" {
		return fmt.Errorf("AGCLUSTER_LISTEN=%q must be unix:/path/of/socket to connect to", address)
	}
	mux, err := yamux.Server(carrier, agent.TunnelConfig())
	if err != nil {
		return fmt.Errorf("multiplexing: %w", err)
	}
	var streams sync.WaitGroup
	defer streams.Wait()
	for {
		stream, err := mux.AcceptStream()
		if errors.Is(err, io.EOF) || errors.Is(err, yamux.ErrSessionShutdown) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting a stream: %w", err)
		}
		streams.Go(func() { relay(socket, stream) })
	}
}

// relay joins a stream with a new connection to the agent server, until both have ended.
func relay(socket string, stream *yamux.Stream) {
	defer stream.Close() //nolint:errcheck // what has ended can't be helped
	conn, err := dialAgent(socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, "agcluster-agent: connect:", err)
		return
	}
	defer conn.Close() //nolint:errcheck // as above
	if _, err := stream.Write([]byte{connected}); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := io.Copy(conn, stream); err != nil {
			stream.Close() //nolint:errcheck // as above
			conn.Close()   //nolint:errcheck // as above
			return
		}
		conn.CloseWrite() //nolint:errcheck // as above
	})
	both.Go(func() {
		if _, err := io.Copy(stream, conn); err != nil {
			conn.Close() //nolint:errcheck // as above
		}
		stream.Close() //nolint:errcheck // as above; it can still be read
	})
	both.Wait()
}

// dialAgent waits for an agent server that has only just been started.
func dialAgent(socket string) (*net.UnixConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), connectWait)
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, connectPause) {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
		if err == nil {
			return conn, nil
		}
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("dialling the agent server: %w", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("dialling the agent server: %w", err)
		}
	}
}
