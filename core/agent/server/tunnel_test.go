package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/agent"
)

// listen opens a listener and returns a client of whatever is at the other end of it.
func listen(t *testing.T, r *rig, kind byte) (string, *http.Client) {
	t.Helper()
	addr, err := r.tunnel.Listen(kind)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return "http://" + addr, &http.Client{Transport: transport, Timeout: patience}
}

// tunnel dials a tunnel and returns a function that ends it.
func tunnel(t *testing.T, c *agent.Client, handlers map[byte]http.Handler) (stop func(), ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Tunnel(ctx, handlers) }()
	t.Cleanup(cancel)
	return cancel, done
}

func says(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
}

func ask(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, res.Body)
	return text(t, res)
}

func TestEachListenerReachesItsHandler(t *testing.T) {
	r := newRig(t, nil, nil)
	gateway, c := listen(t, r, agent.TunnelGateway)
	egress, _ := listen(t, r, agent.TunnelEgress)
	tunnel(t, r.client, map[byte]http.Handler{agent.TunnelGateway: says("gateway"), agent.TunnelEgress: says("egress")})
	// The first of them waits for the tunnel, which is being dialled.
	if got := ask(t, c, gateway); got != "gateway" {
		t.Error(got)
	}
	if got := ask(t, c, egress); got != "egress" {
		t.Error(got)
	}
	var many sync.WaitGroup
	for i := range 300 {
		many.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
			want, at := "gateway", gateway
			if i%2 == 0 {
				want, at = "egress", egress
			}
			res, err := client.Get(at)
			if err != nil {
				t.Error(err)
				return
			}
			defer shut(t, res.Body)
			if b, err := io.ReadAll(res.Body); err != nil || string(b) != want {
				t.Errorf("%q %v", b, err)
			}
		})
	}
	many.Wait()
}

// TestBigBodiesPassBothWays: each body is many times what the tunnel's windows hold. How long that takes is the machine's matter: with
// the race detector it is all processor time.
func TestBigBodiesPassBothWays(t *testing.T) {
	size := 16 * int(agent.TunnelConfig().MaxStreamWindowSize)
	r := newRig(t, nil, nil)
	gateway, c := listen(t, r, agent.TunnelGateway)
	c.Timeout = 0
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	content := make([]byte, size)
	if _, err := rand.NewChaCha8([32]byte{1}).Read(content); err != nil {
		t.Fatal(err)
	}
	tunnel(t, r.client, map[byte]http.Handler{agent.TunnelGateway: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if got, err := io.ReadAll(q.Body); err != nil || !bytes.Equal(got, content) {
			t.Errorf("the host got %d bytes, %v", len(got), err)
		}
		if _, err := w.Write(content); err != nil {
			t.Error(err)
		}
	})})
	begun := time.Now()
	// Not a reader that knows its length: it is sent in chunks.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, gateway, io.MultiReader(bytes.NewReader(content)))
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, res.Body)
	if got, err := io.ReadAll(res.Body); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the sandbox got %d bytes, %v", len(got), err)
	}
	t.Logf("2 x %d bytes in %s", size, time.Since(begun))
}

func TestTheHostSeesThatAClientHasGone(t *testing.T) {
	r := newRig(t, nil, nil)
	gateway, c := listen(t, r, agent.TunnelGateway)
	gone := make(chan struct{})
	tunnel(t, r.client, map[byte]http.Handler{agent.TunnelGateway: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.WriteHeader(http.StatusOK)
		flush(t, w)
		<-q.Context().Done()
		close(gone)
	})})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, gateway, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, res.Body)
	cancel()
	receive(t, "end on the host", gone)
}

func TestANewTunnelReplacesTheOld(t *testing.T) {
	r := newRig(t, nil, nil)
	gateway, c := listen(t, r, agent.TunnelGateway)
	begun := make(chan struct{})
	_, first := tunnel(t, r.client, map[byte]http.Handler{agent.TunnelGateway: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.WriteHeader(http.StatusOK)
		flush(t, w)
		close(begun)
		<-q.Context().Done()
	})})
	broken := make(chan error, 1)
	go func() {
		res, err := c.Get(gateway)
		if err == nil {
			defer shut(t, res.Body)
			_, err = io.ReadAll(res.Body)
		}
		broken <- err
	}()
	receive(t, "request", begun)
	tunnel(t, r.client, map[byte]http.Handler{agent.TunnelGateway: says("second")})
	if err := receive(t, "end of the request", broken); err == nil {
		t.Error("a request through the old tunnel ended cleanly")
	}
	if err := receive(t, "end of the first", first); !errors.Is(err, agent.ErrGone) {
		t.Errorf("%v", err)
	}
	if got := ask(t, c, gateway); got != "second" {
		t.Error(got)
	}
}

func TestAConnectionWaitsForTheHostToComeBack(t *testing.T) {
	r := newRig(t, nil, nil)
	gateway, c := listen(t, r, agent.TunnelGateway)
	stop, ended := tunnel(t, r.client, map[byte]http.Handler{agent.TunnelGateway: says("before")})
	if got := ask(t, c, gateway); got != "before" {
		t.Error(got)
	}
	stop()
	if err := receive(t, "end", ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	got := make(chan string, 1)
	conn, err := net.Dial("tcp", strings.TrimPrefix(gateway, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, conn)
	go func() {
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		b, _ := io.ReadAll(conn)
		got <- string(b)
	}()
	tunnel(t, r.client, map[byte]http.Handler{agent.TunnelGateway: says("after")})
	if answer := receive(t, "answer", got); !strings.HasSuffix(answer, "after") {
		t.Errorf("%q", answer)
	}
}

func TestAKindThatTheHostDoesNotKnowIsClosed(t *testing.T) {
	r := newRig(t, nil, nil)
	unknown, c := listen(t, r, 99)
	gateway, _ := listen(t, r, agent.TunnelGateway)
	tunnel(t, r.client, map[byte]http.Handler{agent.TunnelGateway: says("gateway")})
	if got := ask(t, c, gateway); got != "gateway" {
		t.Error(got)
	}
	if res, err := c.Get(unknown); err == nil {
		shut(t, res.Body)
		t.Error("somebody answered")
	}
	if got := ask(t, c, gateway); got != "gateway" {
		t.Error(got)
	}
}

func TestPatienceHasAnEnd(t *testing.T) {
	tun := NewTunnel(time.Millisecond, zaptest.NewLogger(t))
	defer tun.Close()
	addr, err := tun.Listen(agent.TunnelGateway)
	if err != nil {
		t.Fatal(err)
	}
	u := url.URL{Scheme: "http", Host: addr}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	if res, err := c.Get(u.String()); err == nil {
		shut(t, res.Body)
		t.Error("somebody answered")
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	r := newRig(t, nil, nil)
	gateway, _ := listen(t, r, agent.TunnelGateway)
	begun := make(chan struct{})
	_, ended := tunnel(t, r.client, map[byte]http.Handler{agent.TunnelGateway: http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		close(begun)
		<-q.Context().Done()
	})})
	conn, err := net.Dial("tcp", strings.TrimPrefix(gateway, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, conn)
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	receive(t, "request", begun)
	r.server.Close()
	if err := receive(t, "end of the tunnel", ended); !errors.Is(err, agent.ErrGone) {
		t.Error(err)
	}
	if b, err := io.ReadAll(conn); len(b) > 0 {
		t.Errorf("%q %v", b, err)
	}
	if _, err := r.tunnel.Listen(agent.TunnelEgress); err == nil {
		t.Error("a closed tunnel listens")
	}
	// goleak (TestMain) sees the rest.
}

// A handler may take its connection over, as a forward proxy does.
func TestAConnectionThatWasTakenOverEndsHalfByHalfAndWithItsTunnel(t *testing.T) {
	r := newRig(t, nil, nil)
	egress, _ := listen(t, r, agent.TunnelEgress)
	taken := make(chan net.Conn, 1)
	over := make(chan struct{})
	stop, ended := tunnel(t, r.client, map[byte]http.Handler{agent.TunnelEgress: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		taken <- conn
		<-q.Context().Done()
		if err := conn.Close(); err != nil {
			t.Log(err) // the tunnel may be gone already
		}
		<-over
	})})
	client, err := net.Dial("tcp", strings.TrimPrefix(egress, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	host := <-taken
	if _, err := io.WriteString(host, "bye"); err != nil {
		t.Fatal(err)
	}
	half, ok := host.(interface{ CloseWrite() error })
	if !ok {
		t.Fatal("the host's end can't be closed by half")
	}
	if err := half.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(client); err != nil || string(b) != "bye" {
		t.Fatalf("%q %v", b, err)
	}
	if _, err := io.WriteString(client, "still"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(host, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	read := make(chan error, 1)
	go func() {
		_, err := host.Read(make([]byte, 1))
		read <- err
	}()
	// It ends with the connection that it came through, which breaks at the sandbox's end.
	r.tunnel.Close()
	if err := <-read; err == nil {
		t.Error("a read goes on")
	}
	select {
	case err := <-ended:
		t.Errorf("the tunnel did not wait for its handler: %v", err)
	default:
	}
	close(over)
	if err := <-ended; err == nil {
		t.Error("the tunnel ended without a reason")
	}
	stop()
}
