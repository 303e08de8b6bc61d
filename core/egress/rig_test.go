package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait.
const patience = 30 * time.Second

// names resolves what it holds, and notes what it was asked.
type names struct {
	mu    sync.Mutex
	known map[string][]string
	asked []string
	// hang makes it wait for the end of the context.
	hang bool
}

func (n *names) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	n.asked = append(n.asked, host)
	known, hang := n.known[strings.TrimSuffix(host, ".")], n.hang
	n.mu.Unlock()
	if hang {
		<-ctx.Done()
		return nil, &net.DNSError{Err: "timeout", Name: host, IsTimeout: true}
	}
	if known == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	var list []netip.Addr
	for _, text := range known {
		list = append(list, netip.MustParseAddr(text))
	}
	return list, nil
}

type policyError struct{ reason string }

func (e policyError) Error() string { return e.reason }
func (e policyError) Denied() (gate, by, reason string) {
	return "network.connect", "policy:network", e.reason
}

// rig is a handler behind an http.Server, as the tunnel has it, with a session that can be looked at.
type rig struct {
	t       *testing.T
	handler *Handler
	names   *names
	server  *httptest.Server
	// end ends the tunnel and returns when all handlers have.
	end func()

	mu        sync.Mutex
	mode      string
	allow     []string
	judge     func(Connection) error
	judged    []Connection
	recorded  []event.Verdict
	recordErr error
	turn      int64
}

// newRig allows loopback, where the tests' servers are, unless cfg says otherwise.
func newRig(t *testing.T, cfg Config) *rig {
	t.Helper()
	if cfg.Private == nil {
		cfg.Private = []string{"127.0.0.0/8", "::1"}
	}
	r := &rig{t: t, names: &names{known: map[string][]string{}}, turn: 1}
	p, err := New(cfg, r.names, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	r.handler = p.Handler(Session{
		ID:      "conv-1",
		Network: func(context.Context) (string, []string, error) { return r.mode, r.allow, nil },
		Judge: func(_ context.Context, c Connection) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.judged = append(r.judged, c)
			if r.judge == nil {
				return nil
			}
			return r.judge(c)
		},
		Record: func(_ context.Context, v event.Verdict) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.recorded = append(r.recorded, v)
			return r.recordErr
		},
		Turn: func(context.Context) int64 { return r.turn },
	})
	r.serve()
	return r
}

// serve does as core/agent does with a tunnel: its end ends the requests' context, and waits for them.
func (r *rig) serve() {
	ctx, cancel := context.WithCancel(context.Background())
	var calls sync.WaitGroup
	r.end = sync.OnceFunc(func() {
		cancel()
		calls.Wait()
	})
	r.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		calls.Add(1)
		defer calls.Done()
		r.handler.ServeHTTP(w, q)
	}))
	r.server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	r.server.Start()
	r.t.Cleanup(func() {
		r.end()
		r.server.Close()
	})
}

func (r *rig) verdicts() []event.Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.recorded)
}

func (r *rig) connections() []Connection {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.judged)
}

// client is an HTTP client that has the proxy for its way out.
func (r *rig) client(roots *tls.Config) *http.Client {
	proxy, err := url.Parse(r.server.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: roots}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// raw is a connection to the proxy.
func (r *rig) raw() (*net.TCPConn, *bufio.Reader) {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.server.Listener.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		r.t.Fatal(err)
	}
	return conn.(*net.TCPConn), bufio.NewReader(conn)
}

// ask sends a request head as it is and returns the answer with its body read.
func (r *rig) ask(head string) (int, string) {
	r.t.Helper()
	conn, in := r.raw()
	send(r.t, conn, head)
	method, _, _ := strings.Cut(head, " ")
	res, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		r.t.Fatalf("%q: %v", head, err)
	}
	if method == http.MethodConnect && res.StatusCode == 200 {
		return 200, ""
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func send(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

// opened asks for a tunnel to addr and returns it open; early goes out together with the request.
func (r *rig) opened(addr, early string) (*net.TCPConn, *bufio.Reader) {
	r.t.Helper()
	conn, in := r.raw()
	send(r.t, conn, "CONNECT "+addr+" HTTP/1.1\r\nHost: "+addr+"\r\n\r\n"+early)
	res, err := http.ReadResponse(in, &http.Request{Method: http.MethodConnect})
	if err != nil || res.StatusCode != 200 {
		r.t.Fatalf("CONNECT %s: %v %v", addr, res, err)
	}
	return conn, in
}

// serve runs a server for single connections on loopback and returns its address.
func serve(t *testing.T, fn func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(patience))
				fn(conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		work.Wait()
	})
	return l.Addr().String()
}

// eventually waits for what nobody announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

func port(t *testing.T, addr string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func body(t *testing.T, res *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", res.StatusCode, b)
}

var errDisk = errors.New("disk")
