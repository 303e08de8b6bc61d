package server

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
)

// forward copies a loopback connection through the tunnel, both ways, until both have ended or either breaks.
func (t *Tunnel) forward(conn *net.TCPConn, kind byte) {
	defer conn.Close() //nolint:errcheck // broken, or at its end
	stream, err := t.open(t.ctx, kind)
	if err != nil {
		t.log.Warn("no way out for a connection", zap.Error(err))
		return
	}
	abort := func() {
		conn.Close() //nolint:errcheck // broken off on purpose
		// Closing a stream ends only what we send; the deadline ends what still waits.
		stream.SetDeadline(time.Now()) //nolint:errcheck // it never fails
		stream.Close()                 //nolint:errcheck // broken off on purpose
	}
	stop := context.AfterFunc(t.ctx, abort)
	defer stop()
	defer stream.Close() //nolint:errcheck // as above
	var ways sync.WaitGroup
	ways.Go(func() {
		if _, err := io.Copy(stream, conn); err != nil {
			abort()
			return
		}
		stream.Close() //nolint:errcheck // the host sees the end; what it sends is still read
	})
	ways.Go(func() {
		if _, err := io.Copy(conn, stream); err != nil {
			abort()
			return
		}
		if err := conn.CloseWrite(); err != nil {
			abort()
		}
	})
	ways.Wait()
}
