package egress

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// established answers a CONNECT. It has no headers: what follows is the target's.
const established = "HTTP/1.1 200 Connection established\r\n\r\n"

// tunnel passes bytes both ways until both ends have ended, either breaks, nothing passes for too long, or ctx ends.
func (h *Handler) tunnel(ctx context.Context, w http.ResponseWriter, target *conn) {
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		h.log.Error("taking a connection over", zap.Error(err))
		refuse(w, http.StatusInternalServerError, "the connection can't be taken over")
		return
	}
	abort := func() {
		target.Close() //nolint:errcheck // broken off on purpose
		client.Close() //nolint:errcheck // as above
	}
	defer abort()
	target.whenIdle(abort)
	stop := context.AfterFunc(ctx, abort)
	defer stop()
	if err := client.SetDeadline(time.Time{}); err != nil {
		return
	}
	if _, err := io.WriteString(client, established); err != nil {
		return
	}
	var ways sync.WaitGroup
	// What the client sent along with its CONNECT is in the reader's buffer. Beyond that the connection itself is read: net/http takes
	// the end of what its own reader reads for the end of the request, and ends the context.
	early := io.LimitReader(buffered, int64(buffered.Reader.Buffered()))
	ways.Go(func() { pass(target, io.MultiReader(early, client), abort) })
	ways.Go(func() { pass(client, target, abort) })
	ways.Wait()
}

// pass copies one way, and then ends that way only: the other may go on.
func pass(to net.Conn, from io.Reader, abort func()) {
	// No shortcut by ReadFrom or WriteTo: they would pass the counters by.
	if _, err := io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from}); err != nil {
		abort()
		return
	}
	half, ok := to.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		abort()
	}
}
