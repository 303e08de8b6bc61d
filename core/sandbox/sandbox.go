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
	"runtime"
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
	// Slots is how many starts go on at the same time; 0 is the number of cores. Queue is how many more may wait; 0 is none.
	Slots int
	Queue int
	// Spares says which spares to keep; the zero value keeps none.
	Spares SpareConfig
}

// Handlers returns what a session's tunnel reaches, by the first byte of a stream (agent.TunnelGateway, …).
type Handlers func(sessionID string) map[byte]http.Handler

// Pool starts sandboxes and knows those that run. It is safe for concurrent use.
type Pool struct {
	cfg        Config
	generation string
	providers  func(ctx context.Context, name string) (sdk.Provider, error)
	handlers   Handlers
	volumes    Volumes
	log        *zap.Logger
	admission  *admission
	spares     *spares

	// ctx ends when the pool is closed.
	ctx    context.Context //nolint:containedctx // it is the pool's own
	cancel context.CancelFunc

	mu    sync.Mutex
	boxes map[string]*Sandbox
	// swept has the providers with which an earlier run of the host has nothing left.
	swept map[string]bool
	// orphans are the sandboxes that could not be destroyed yet, by id.
	orphans map[string]orphan
	closed  chan struct{}
	work    sync.WaitGroup
}

var _ session.Sandboxes = (*Pool)(nil)

// New returns a Pool over provider plugins.
func New(
	cfg Config, providers func(context.Context, string) (sdk.Provider, error), volumes Volumes, handlers Handlers, log *zap.Logger,
) *Pool {
	if cfg.Slots <= 0 {
		cfg.Slots = runtime.NumCPU()
	}
	p := &Pool{
		cfg: cfg, generation: rand.Text(), providers: providers, handlers: handlers, volumes: volumes, log: log,
		boxes: map[string]*Sandbox{}, swept: map[string]bool{}, orphans: map[string]orphan{}, closed: make(chan struct{}),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.spares = newSpares(p, cfg.Spares)
	p.admission = newAdmission(cfg.Slots, cfg.Queue, p.spares.kick)
	return p
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
	if len(errs) == 0 {
		p.mu.Lock()
		p.swept[name] = true
		p.mu.Unlock()
	}
	return n, errors.Join(errs...)
}

// clear makes sure that no sandbox of an earlier run still holds the volume of a session that wakes early: the sweep in the background
// may not have come to it. What fails here, the start itself reports.
func (p *Pool) clear(ctx context.Context, name string) {
	p.mu.Lock()
	swept := p.swept[name]
	p.mu.Unlock()
	if swept {
		return
	}
	if _, err := p.Sweep(ctx, name); err != nil {
		p.log.Warn("looking for left-over sandboxes before a start", zap.String("provider", name), zap.Error(err))
	}
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

// Start implements session.Sandboxes. A spare needs no slot: what it still has to do takes milliseconds.
func (p *Pool) Start(ctx context.Context, spec session.SandboxSpec) (session.Sandbox, error) {
	leave, err := p.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	warm, reason := p.spares.claim(ctx, spec)
	if warm != nil {
		return warm, nil
	}
	free, err := p.admission.enter(ctx, place(spec.Progress))
	if err != nil {
		return nil, fmt.Errorf("waiting to start a sandbox: %w", err)
	}
	defer free()
	s, err := p.cold(ctx, spec)
	if err != nil {
		return nil, err
	}
	s.start = session.Start{Kind: session.StartCold, Reason: reason}
	return s, nil
}

// cold makes a sandbox for a session, and starts its CLI if the session wants one. The caller holds a slot.
func (p *Pool) cold(ctx context.Context, spec session.SandboxSpec) (*Sandbox, error) {
	s, err := p.create(ctx, spec)
	if err != nil {
		return nil, err
	}
	if err := p.serve(s, spec.SessionID); err != nil {
		return nil, errors.Join(err, p.discard(ctx, s, spec.Volume == ""))
	}
	if spec.Agent != nil {
		s.transcript = spec.Agent.TranscriptID
		if err := s.client.Configure(ctx, *spec.Agent); err != nil {
			// Half started is of no use to anybody, and the next try may do better in a new one.
			return nil, errors.Join(fmt.Errorf("starting Claude Code: %w", err), p.discard(ctx, s, spec.Volume == ""))
		}
	}
	return s, nil
}

// place tells a start's progress what the queue tells of it.
func place(progress func(session.Progress)) func(position int) {
	if progress == nil {
		return nil
	}
	return func(position int) { progress(session.Progress{Position: position}) }
}

// create makes a sandbox whose agent server answers, on a new volume if the spec has none. When it fails, nothing is left.
func (p *Pool) create(ctx context.Context, spec session.SandboxSpec) (s *Sandbox, err error) {
	name, volume := spec.Provider, spec.Volume
	if err := p.bury(ctx, volume); err != nil {
		return nil, err
	}
	provider, err := p.providers(ctx, name)
	if err != nil {
		return nil, err
	}
	resources, err := p.resources(spec.Limits)
	if err != nil {
		return nil, err
	}
	if volume != "" {
		p.clear(ctx, name)
	}
	if volume == "" {
		if volume, err = p.newVolume(ctx, name); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, p.abandon(ctx, name, volume))
			}
		}()
	}
	token := rand.Text()
	req := sdk.CreateRequest{
		ID: "sb-" + strings.ToLower(rand.Text()), Volume: volume, Image: p.cfg.Image, Token: token, Resources: resources,
		Labels: map[string]string{LabelHost: p.cfg.HostID, LabelSession: spec.SessionID, LabelGeneration: p.generation},
	}
	made, err := provider.Create(ctx, req)
	if errors.Is(err, sdk.ErrImageMissing) {
		made, err = p.pull(ctx, provider, req, spec.Progress, err)
	}
	if err != nil {
		// The answer may have been lost after the deed.
		return nil, errors.Join(fmt.Errorf("starting a sandbox: %w", err), p.destroy(ctx, provider, req.ID, volume))
	}
	client, err := agent.NewClient(agent.Endpoint{URL: made.Endpoint.URL, Headers: made.Endpoint.Headers}, token, p.log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reaching the agent server: %w", err), p.destroy(ctx, provider, req.ID, volume))
	}
	healthy, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	if _, err := client.Health(healthy); err != nil {
		client.Close()
		return nil, errors.Join(fmt.Errorf("reaching the agent server: %w", err), p.destroy(ctx, provider, req.ID, volume))
	}
	run, stop := context.WithCancel(context.Background())
	return &Sandbox{
		pool: p, id: req.ID, volume: volume, providerName: name, provider: provider, client: client, limits: made.Limits,
		run: run, stop: stop, gone: make(chan struct{}), closed: make(chan struct{}),
	}, nil
}

// serve binds a sandbox to its session: from here on the pool knows it, and its tunnel is the session's.
func (p *Pool) serve(s *Sandbox, sessionID string) error {
	s.sessionID, s.handlers = sessionID, p.handlers(sessionID)
	if !p.add(s) {
		return errClosed
	}
	p.work.Go(func() { s.keepTunnel(s.run) })
	return nil
}

// discard removes a sandbox that serves nobody, and its volume if that is nobody's either.
func (p *Pool) discard(ctx context.Context, s *Sandbox, withVolume bool) error {
	ctx = context.WithoutCancel(ctx)
	if err := s.Close(ctx); err != nil || !withVolume {
		return err
	}
	return p.abandon(ctx, s.providerName, s.volume)
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
	p.cancel()
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
	spares := p.spares.takeAll()
	done := make(chan error, 1)
	go func() {
		errs := make([]error, len(left)+len(spares))
		slots := make(chan struct{}, closing)
		var wg sync.WaitGroup
		remove := func(i int, do func() error) {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				errs[i] = do()
			})
		}
		for i, s := range left {
			remove(i, func() error { return s.Close(ctx) })
		}
		for i, s := range spares {
			remove(len(left)+i, func() error { return p.discard(ctx, s, true) })
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
