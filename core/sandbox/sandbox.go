// Package sandbox gives sessions their sandboxes: it asks a provider plugin, waits for the agent server, keeps the tunnel up,
// notices when a sandbox is lost, and sweeps what an earlier run of the host left. What happens inside a sandbox is not its
// business.
package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// The labels of every sandbox.
const (
	LabelHost       = "host"
	LabelSession    = "session"
	LabelGeneration = "generation"
)

const (
	healthTimeout  = 30 * time.Second
	getTimeout     = 10 * time.Second
	destroyTimeout = 30 * time.Second
	redialMin      = 50 * time.Millisecond
	redialMax      = 2 * time.Second
	// closing is how many sandboxes Close removes at once.
	closing = 16
)

var errClosed = errors.New("the host is shutting down")

// Config says who the host is and what its sandboxes get.
type Config struct {
	// HostID marks the sandboxes of this host across its restarts.
	HostID string
	// Image is the image reference for providers that run images.
	Image string
	// PIDs limits the processes of a sandbox; 0 is the provider's default.
	PIDs int64
}

// Handlers returns what a session's tunnel reaches, by the first byte of a stream (agent.TunnelGateway, …).
type Handlers func(sessionID string) map[byte]http.Handler

// Pool starts sandboxes and knows those that run. It is safe for concurrent use.
type Pool struct {
	cfg        Config
	generation string
	providers  func(ctx context.Context, name string) (sdk.Provider, error)
	handlers   Handlers
	log        *zap.Logger

	mu    sync.Mutex
	boxes map[string]*Sandbox
	// orphans are the sandboxes that could not be destroyed yet, by id.
	orphans map[string]orphan
	closed  chan struct{}
	work    sync.WaitGroup
}

var _ session.Sandboxes = (*Pool)(nil)

// New returns a Pool over provider plugins.
func New(cfg Config, providers func(context.Context, string) (sdk.Provider, error), handlers Handlers, log *zap.Logger) *Pool {
	return &Pool{
		cfg: cfg, generation: rand.Text(), providers: providers, handlers: handlers, log: log,
		boxes: map[string]*Sandbox{}, orphans: map[string]orphan{}, closed: make(chan struct{}),
	}
}

// Sweep destroys every sandbox of this host that an earlier run left with the named provider, and says how many there were. It goes
// on when one can't be destroyed, and then fails.
func (p *Pool) Sweep(ctx context.Context, name string) (int, error) {
	provider, err := p.providers(ctx, name)
	if err != nil {
		return 0, err
	}
	left, err := provider.List(ctx, sdk.ListRequest{Labels: map[string]string{LabelHost: p.cfg.HostID}})
	if err != nil {
		return 0, fmt.Errorf("listing the sandboxes of provider %s: %w", name, err)
	}
	n := 0
	var errs []error
	for _, s := range left.Sandboxes {
		// A provider that does not heed the labels must not make us destroy what is not ours.
		if s.Labels[LabelHost] != p.cfg.HostID || s.Labels[LabelGeneration] == p.generation {
			continue
		}
		if err := provider.Destroy(ctx, sdk.DestroyRequest{ID: s.ID}); err != nil {
			errs = append(errs, fmt.Errorf("destroying left-over sandbox %s: %w", s.ID, err))
			continue
		}
		n++
	}
	return n, errors.Join(errs...)
}

// enter holds up Close until leave is called. It fails once the pool is closed.
func (p *Pool) enter() (leave func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closed:
		return nil, errClosed
	default:
		p.work.Add(1)
		return p.work.Done, nil
	}
}

// Start implements session.Sandboxes.
func (p *Pool) Start(ctx context.Context, spec session.SandboxSpec) (session.Sandbox, error) {
	leave, err := p.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := p.bury(ctx, spec.Volume); err != nil {
		return nil, err
	}
	provider, err := p.providers(ctx, spec.Provider)
	if err != nil {
		return nil, err
	}
	resources, err := p.resources(spec.Limits)
	if err != nil {
		return nil, err
	}
	token := rand.Text()
	req := sdk.CreateRequest{
		ID: "sb-" + strings.ToLower(rand.Text()), Volume: spec.Volume, Image: p.cfg.Image, Token: token, Resources: resources,
		Labels: map[string]string{LabelHost: p.cfg.HostID, LabelSession: spec.SessionID, LabelGeneration: p.generation},
	}
	made, err := provider.Create(ctx, req)
	if err != nil {
		// The answer may have been lost after the deed.
		return nil, errors.Join(fmt.Errorf("starting a sandbox: %w", err), p.destroy(ctx, provider, req.ID, spec.Volume))
	}
	client, err := agent.NewClient(agent.Endpoint{URL: made.Endpoint.URL, Headers: made.Endpoint.Headers}, token, p.log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reaching the agent server: %w", err), p.destroy(ctx, provider, req.ID, spec.Volume))
	}
	healthy, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	if _, err := client.Health(healthy); err != nil {
		client.Close()
		return nil, errors.Join(fmt.Errorf("reaching the agent server: %w", err), p.destroy(ctx, provider, req.ID, spec.Volume))
	}
	run, stop := context.WithCancel(context.Background())
	s := &Sandbox{
		pool: p, id: req.ID, sessionID: spec.SessionID, volume: spec.Volume, provider: provider, client: client,
		limits: made.Limits, stop: stop, gone: make(chan struct{}), closed: make(chan struct{}),
	}
	if !p.add(s) {
		return nil, errors.Join(errClosed, s.Close(ctx))
	}
	p.work.Go(func() { s.keepTunnel(run, p.handlers(spec.SessionID)) })
	return s, nil
}

// add makes s known, unless the pool has been closed meanwhile: Close would not see it.
func (p *Pool) add(s *Sandbox) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.closed:
		return false
	default:
		p.boxes[s.sessionID] = s
		return true
	}
}

// resources are the limits of a configuration in a provider's units. The catalog has filled in the operator's defaults.
func (p *Pool) resources(l preset.ResourceLimits) (sdk.Resources, error) {
	r := sdk.Resources{MilliCPU: l.CPUQuota / 100, PIDs: p.cfg.PIDs}
	for _, size := range []struct {
		text string
		to   *int64
	}{{l.MemoryLimit, &r.MemoryBytes}, {l.StorageLimit, &r.DiskBytes}} {
		if size.text == "" {
			continue
		}
		n, err := preset.ParseSize(size.text)
		if err != nil {
			return r, fmt.Errorf("reading resource_limits: %w", err)
		}
		*size.to = n
	}
	return r, nil
}

// RemoveVolume implements session.Sandboxes.
func (p *Pool) RemoveVolume(ctx context.Context, name, volume string) error {
	if err := p.bury(ctx, volume); err != nil {
		return err
	}
	provider, err := p.providers(ctx, name)
	if err != nil {
		return err
	}
	return provider.Destroy(ctx, sdk.DestroyRequest{Volume: volume})
}

// Client returns the agent client of a session that has a sandbox now.
func (p *Pool) Client(sessionID string) (*agent.Client, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.boxes[sessionID]
	if !ok {
		return nil, false
	}
	return s.client, true
}

// Count is how many sandboxes run.
func (p *Pool) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.boxes)
}

// Close removes every sandbox that is still there and waits for what the pool started, until ctx ends. It is safe to call twice.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	left := make([]*Sandbox, 0, len(p.boxes))
	for _, s := range p.boxes {
		left = append(left, s)
	}
	p.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		errs := make([]error, len(left))
		slots := make(chan struct{}, closing)
		var wg sync.WaitGroup
		for i, s := range left {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				errs[i] = s.Close(ctx)
			})
		}
		wg.Wait()
		p.work.Wait()
		// The last try; the next run of the host sweeps.
		errs = append(errs, p.buryAll(ctx, func(orphan) bool { return true }))
		done <- errors.Join(errs...)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("removing sandboxes: %w", ctx.Err())
	}
}
