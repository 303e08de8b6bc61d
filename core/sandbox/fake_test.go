package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/hashicorp/yamux"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// outer bounds what a test waits for; nothing here takes a tenth of it.
const outer = 30 * time.Second

var errFake = errors.New("made to fail")

// provider is an sdk.Provider that keeps the books. Each sandbox is an agent server in this process.
type provider struct {
	tb testing.TB

	mu        sync.Mutex
	sandboxes map[string]*server
	volumes   map[string]bool
	created   []sdk.CreateRequest
	destroyed []sdk.DestroyRequest
	// create is called when a sandbox has been made, and may say that it was not.
	create  func(ctx context.Context) error
	destroy func(ctx context.Context) error
	get     func(ctx context.Context) (sdk.Sandbox, error)
	// configure and prepare are called by the agent servers that are made from now on.
	configure func(spec agent.SessionSpec) error
	prepare   func(spec agent.SessionSpec) error
	// deaf makes agent servers that don't know their token.
	deaf bool
	url  string
}

var _ sdk.Provider = (*provider)(nil)

func (p *provider) Create(ctx context.Context, req sdk.CreateRequest) (sdk.Sandbox, error) {
	token := req.Token
	if p.deaf {
		token = "another"
	}
	s := newServer(p.tb, token)
	p.mu.Lock()
	s.configure, s.prepare = p.configure, p.prepare
	p.created = append(p.created, req)
	p.sandboxes[req.ID] = s
	p.volumes[req.Volume] = true
	p.mu.Unlock()
	if p.create != nil {
		if err := p.create(ctx); err != nil {
			return sdk.Sandbox{}, err
		}
	}
	url := "unix:" + s.path
	if p.url != "" {
		url = p.url
	}
	return sdk.Sandbox{
		ID: req.ID, Labels: req.Labels, State: sdk.StateRunning, Endpoint: sdk.Endpoint{URL: url},
		Limits: map[string]string{"memory": "by the fake"},
	}, nil
}

func (p *provider) Get(ctx context.Context, req sdk.GetRequest) (sdk.Sandbox, error) {
	p.mu.Lock()
	get, s := p.get, p.sandboxes[req.ID]
	p.mu.Unlock()
	if get != nil {
		return get(ctx)
	}
	if s == nil {
		return sdk.Sandbox{}, sdk.ErrNotFound
	}
	return sdk.Sandbox{ID: req.ID, State: sdk.StateRunning}, nil
}

// List ignores the labels, as a careless provider might.
func (p *provider) List(context.Context, sdk.ListRequest) (sdk.ListResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out sdk.ListResponse
	for _, req := range p.created {
		if _, ok := p.sandboxes[req.ID]; ok {
			out.Sandboxes = append(out.Sandboxes, sdk.Sandbox{ID: req.ID, Labels: req.Labels, State: sdk.StateRunning})
		}
	}
	return out, nil
}

func (p *provider) Destroy(ctx context.Context, req sdk.DestroyRequest) error {
	p.mu.Lock()
	p.destroyed = append(p.destroyed, req)
	destroy := p.destroy
	p.mu.Unlock()
	if destroy != nil {
		if err := destroy(ctx); err != nil {
			return err
		}
	}
	p.mu.Lock()
	s := p.sandboxes[req.ID]
	delete(p.sandboxes, req.ID)
	delete(p.volumes, req.Volume)
	p.mu.Unlock()
	if s != nil {
		s.close()
	}
	return nil
}

func (p *provider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// left is how many sandboxes there are.
func (p *provider) left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sandboxes)
}

func (p *provider) tries() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.destroyed)
}

func (p *provider) only(tb testing.TB) *server {
	tb.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sandboxes {
		return s
	}
	tb.Fatal("no sandbox")
	return nil
}

// server is an agent server as far as a pool needs one: health and the sandbox's end of the tunnel.
type server struct {
	tb      testing.TB
	path    string
	http    *http.Server
	served  chan struct{}
	tunnels chan *yamux.Session

	configure, prepare func(spec agent.SessionSpec) error

	mu                   sync.Mutex
	cli                  string
	configured, prepared []agent.SessionSpec
}

// take is an agent server's answer to a spec.
func (s *server) take(w http.ResponseWriter, r *http.Request, to *[]agent.SessionSpec, then string, do func(agent.SessionSpec) error) {
	var spec agent.SessionSpec
	if err := json.NewDecoder(r.Body).Decode(&spec); err != nil {
		s.tb.Error(err)
	}
	if do != nil {
		if err := do(spec); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	*to = append(*to, spec)
	s.cli = then
	w.WriteHeader(http.StatusNoContent)
}

// become changes how its CLI is.
func (s *server) become(cli string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cli = cli
}

func (s *server) specs() (configured, prepared []agent.SessionSpec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.configured, s.prepared
}

func newServer(tb testing.TB, token string) *server {
	dir, err := os.MkdirTemp("", "sb") // a socket's path must be short
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &server{tb: tb, path: filepath.Join(dir, "s"), cli: agent.CLINone, served: make(chan struct{}), tunnels: make(chan *yamux.Session, 16)}
	l, err := net.Listen("unix", s.path)
	if err != nil {
		tb.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/health", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = json.NewEncoder(w).Encode(agent.Health{Status: "ok", CLI: s.cli})
	})
	mux.HandleFunc("POST /v1/session", func(w http.ResponseWriter, r *http.Request) {
		s.take(w, r, &s.configured, agent.CLIRunning, s.configure)
	})
	mux.HandleFunc("POST /v1/spare", func(w http.ResponseWriter, r *http.Request) {
		s.take(w, r, &s.prepared, agent.CLISpare, s.prepare)
	})
	mux.HandleFunc("GET /v1/usage", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(agent.Usage{MemoryBytes: spareBytes})
	})
	mux.HandleFunc("GET /v1/tunnel", s.tunnel)
	s.http = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	})}
	go func() {
		defer close(s.served)
		_ = s.http.Serve(l)
	}()
	return s
}

func (s *server) tunnel(w http.ResponseWriter, r *http.Request) {
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer ws.CloseNow() //nolint:errcheck // the tunnel has ended by then
	ws.SetReadLimit(-1)
	mux, err := yamux.Client(websocket.NetConn(context.Background(), ws, websocket.MessageBinary), agent.TunnelConfig())
	if err != nil {
		s.tb.Error(err)
		return
	}
	defer mux.Close() //nolint:errcheck // as above
	s.tunnels <- mux
	select {
	case <-mux.CloseChan():
	case <-s.served:
	}
}

// dialled is the sandbox's end of the next tunnel that the host dials.
func (s *server) dialled(tb testing.TB) *yamux.Session {
	tb.Helper()
	select {
	case mux := <-s.tunnels:
		return mux
	case <-time.After(outer):
		tb.Fatal("no tunnel")
		return nil
	}
}

func (s *server) close() {
	_ = s.http.Close()
	<-s.served
}

const hostID = "host-1"

// spareBytes is what each spare uses.
const spareBytes = 100 << 20

// books are Volumes in memory.
type books struct {
	mu      sync.Mutex
	volumes map[string]string
}

func (b *books) PutVolume(_ context.Context, v Volume) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.volumes[v.Name] = v.Provider
	return nil
}

func (b *books) DeleteVolume(_ context.Context, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.volumes, name)
	return nil
}

func (b *books) has(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.volumes[name]
	return ok
}

func (b *books) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.volumes)
}

// newPool is a pool over one fake provider, closed and audited at the end of the test.
func newPool(tb testing.TB, handlers Handlers, change ...func(*Config)) (*Pool, *provider) {
	tb.Helper()
	fake := &provider{tb: tb, sandboxes: map[string]*server{}, volumes: map[string]bool{}}
	if handlers == nil {
		handlers = func(string) map[byte]http.Handler { return nil }
	}
	cfg := Config{HostID: hostID, Image: "img", PIDs: 256, Slots: 4, Queue: 64}
	for _, c := range change {
		c(&cfg)
	}
	p := New(cfg,
		func(_ context.Context, name string) (sdk.Provider, error) {
			if name != "fake" {
				return nil, errors.New("there is no provider " + name)
			}
			return fake, nil
		}, &books{volumes: map[string]string{}}, handlers, zaptest.NewLogger(tb))
	tb.Cleanup(func() {
		fake.set(func() { fake.destroy, fake.get = nil, nil })
		ctx, cancel := context.WithTimeout(context.Background(), outer)
		defer cancel()
		for range 2 {
			if err := p.Close(ctx); err != nil {
				tb.Error(err)
			}
		}
		if fake.left() != 0 || p.Count() != 0 {
			tb.Errorf("%d sandboxes are left, the pool knows %d", fake.left(), p.Count())
		}
	})
	return p, fake
}

func spec(id string) session.SandboxSpec {
	return session.SandboxSpec{SessionID: id, Provider: "fake", Volume: id}
}

func start(tb testing.TB, p *Pool, id string) *Sandbox {
	tb.Helper()
	s, err := p.Start(context.Background(), spec(id))
	if err != nil {
		tb.Fatal(err)
	}
	return s.(*Sandbox)
}
