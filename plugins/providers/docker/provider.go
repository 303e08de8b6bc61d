package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/plugins/sdk"
)

const (
	// adoptLimit bounds how long Configure waits for an engine that hangs.
	adoptLimit = 10 * time.Second
	// undoLimit bounds what is taken apart for a caller that is gone.
	undoLimit = 60 * time.Second
)

var (
	errClosed        = errors.New("provider docker is shutting down")
	errNotConfigured = errors.New("provider docker is not configured")
	errDestroyed     = errors.New("the sandbox was destroyed meanwhile")
)

// Provider runs every sandbox in a container. It is safe for concurrent use. Containers outlive it: what it knows of them it asks
// the engine, so that one that was killed and started again has lost nothing.
type Provider struct {
	log *zap.Logger

	mu       sync.Mutex
	settings *settings
	closed   bool
	// calls are those under way that may take long, by what they are about.
	calls map[string]map[*call]struct{}
	work  sync.WaitGroup
}

// call is a request that Close, or another request, may end.
type call struct{ cancel context.CancelCauseFunc }

var (
	_ sdk.Provider      = (*Provider)(nil)
	_ sdk.StatsProvider = (*Provider)(nil)
	_ sdk.LogsProvider  = (*Provider)(nil)
	_ sdk.PullProvider  = (*Provider)(nil)
)

// New returns a provider that must be configured before use and closed after it.
func New(log *zap.Logger) *Provider {
	return &Provider{log: log, calls: map[string]map[*call]struct{}{}}
}

// Configure prepares the provider's folders and finds the sandboxes of a predecessor. It may be called once. An engine that does not
// answer is no error here but at every request, so that it can be started while the host runs.
func (p *Provider) Configure(ctx context.Context, req sdk.ConfigureRequest) error {
	if err := sdk.CheckName("host_id", req.HostID); err != nil {
		return sdk.Permanent(err)
	}
	for field, dir := range map[string]string{"data_dir": req.DataDir, "run_dir": req.RunDir} {
		if !filepath.IsAbs(dir) {
			return sdk.Permanent(fmt.Errorf("%s %q is not an absolute path", field, dir))
		}
	}
	opts, err := parseOptions(req.Options)
	if err != nil {
		return err
	}
	if opts.Endpoint == endpointSocket && os.Geteuid() != 0 {
		return sdk.Permanent(errors.New("option endpoint: socket needs a host that runs as root, because the socket belongs to the sandbox's user; fix: endpoint auto or exec"))
	}
	st, err := p.prepare(req, opts)
	if err != nil {
		return err
	}
	defer p.work.Done()
	ctx, cancel := context.WithTimeout(ctx, adoptLimit)
	defer cancel()
	if err := st.adopt(ctx); err != nil {
		p.log.Warn("sandboxes can't be made now", zap.Error(err))
	}
	return nil
}

// prepare makes the settings. On success the caller owes p.work.Done, so that Close waits for what it does with them.
func (p *Provider) prepare(req sdk.ConfigureRequest, opts options) (*settings, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	if p.settings != nil {
		return nil, sdk.Permanent(errors.New("provider docker is configured already"))
	}
	e, err := newEngine(opts)
	if err != nil {
		return nil, sdk.Permanent(err)
	}
	st := &settings{opts: opts, hostID: req.HostID, dataDir: req.DataDir, runDir: req.RunDir, engine: e, log: p.log, forwarders: map[string]*forwarder{}, makes: map[string]bool{}}
	if err := st.makePlaces(); err != nil {
		return nil, errors.Join(err, e.close())
	}
	p.settings = st
	p.work.Add(1)
	return st, nil
}

// enter begins a request. On success the caller owes p.work.Done.
func (p *Provider) enter() (*settings, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	if p.settings == nil {
		return nil, sdk.Permanent(errNotConfigured)
	}
	p.work.Add(1)
	return p.settings, nil
}

// Create implements sdk.Provider. A second Create with an id that is being created waits for the first.
func (p *Provider) Create(ctx context.Context, req sdk.CreateRequest) (sdk.Sandbox, error) {
	if err := req.Check(); err != nil {
		return sdk.Sandbox{}, sdk.Permanent(err)
	}
	st, err := p.enter()
	if err != nil {
		return sdk.Sandbox{}, err
	}
	defer p.work.Done()
	ctx, leave := p.begin(ctx, creating(req.ID))
	defer leave()
	release, err := st.locks.take(ctx, "sandbox "+req.ID)
	if err == nil {
		defer release()
		var box sdk.Sandbox
		if box, err = st.create(ctx, req); err == nil {
			return box, nil
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return sdk.Sandbox{}, fmt.Errorf("creating sandbox %s: %w", req.ID, err)
}

// begin lets Close, and who knows what the call is about, end it.
func (p *Provider) begin(ctx context.Context, about string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &call{cancel: cancel}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls[about] == nil {
		p.calls[about] = map[*call]struct{}{}
	}
	p.calls[about][c] = struct{}{}
	if p.closed {
		cancel(errClosed)
	}
	return ctx, func() {
		cancel(nil)
		p.mu.Lock()
		defer p.mu.Unlock()
		if delete(p.calls[about], c); len(p.calls[about]) == 0 {
			delete(p.calls, about)
		}
	}
}

// Get implements sdk.Provider. A sandbox that is still being created is not found.
func (p *Provider) Get(ctx context.Context, req sdk.GetRequest) (sdk.Sandbox, error) {
	st, err := p.enter()
	if err != nil {
		return sdk.Sandbox{}, err
	}
	defer p.work.Done()
	notFound := fmt.Errorf("sandbox %q: %w", req.ID, sdk.ErrNotFound)
	if sdk.CheckID(req.ID) != nil {
		return sdk.Sandbox{}, notFound
	}
	before := st.making(req.ID)
	found, err := st.inspect(ctx, req.ID)
	if err != nil {
		return sdk.Sandbox{}, fmt.Errorf("looking for sandbox %s: %w", req.ID, err)
	}
	if found == nil || before || st.making(req.ID) {
		return sdk.Sandbox{}, notFound
	}
	return st.describe(ctx, *found)
}

// creating is what a Create is about.
func creating(id string) string { return "create " + id }

// List implements sdk.Provider.
func (p *Provider) List(ctx context.Context, req sdk.ListRequest) (sdk.ListResponse, error) {
	st, err := p.enter()
	if err != nil {
		return sdk.ListResponse{}, err
	}
	defer p.work.Done()
	before := st.underWay()
	list, err := st.containers(ctx)
	if err != nil {
		return sdk.ListResponse{}, err
	}
	var out sdk.ListResponse
	for _, one := range list {
		id := one.Labels[labelSandbox]
		if !req.Selects(hostLabels(one.Labels)) || before[id] || st.making(id) {
			continue
		}
		f := &found{container: one.ID, id: id, labels: one.Labels, status: one.State}
		if !isRunning(one.State) {
			// Only an inspection tells why.
			if f, err = st.inspect(ctx, id); err != nil {
				return sdk.ListResponse{}, fmt.Errorf("looking at sandbox %s: %w", id, err)
			}
			if f == nil {
				continue
			}
		}
		box, err := st.describe(ctx, *f)
		if err != nil {
			return sdk.ListResponse{}, err
		}
		out.Sandboxes = append(out.Sandboxes, box)
	}
	return out, nil
}

// Destroy implements sdk.Provider. It ends a Create that is under way. Sandboxes that have exited go with the volume they hold.
func (p *Provider) Destroy(ctx context.Context, req sdk.DestroyRequest) error {
	if err := req.Check(); err != nil {
		return sdk.Permanent(err)
	}
	st, err := p.enter()
	if err != nil {
		return err
	}
	defer p.work.Done()
	if req.ID != "" {
		p.abort(creating(req.ID), errDestroyed)
		if err := st.destroy(ctx, req.ID); err != nil {
			return fmt.Errorf("destroying sandbox %s: %w", req.ID, err)
		}
	}
	if req.Volume == "" {
		return nil
	}
	release, err := st.locks.take(ctx, "volume "+req.Volume)
	if err == nil {
		defer release()
		err = st.removeVolume(ctx, req.Volume)
	}
	if err != nil {
		return fmt.Errorf("removing volume %s: %w", req.Volume, err)
	}
	return nil
}

// abort ends the calls about something.
func (p *Provider) abort(about string, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.calls[about] {
		c.cancel(why)
	}
}

// Close ends what is under way and the endpoints that need this process. Sandboxes go on. It is safe to call twice and without
// Configure.
func (p *Provider) Close() error {
	p.mu.Lock()
	p.closed = true
	st := p.settings
	for _, calls := range p.calls {
		for c := range calls {
			c.cancel(errClosed)
		}
	}
	p.mu.Unlock()
	p.work.Wait()
	if st == nil {
		return nil
	}
	return st.close()
}
