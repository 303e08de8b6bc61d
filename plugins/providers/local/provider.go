package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// Provider runs every sandbox in bubblewrap on this machine. It is safe for concurrent use. Sandboxes end with it: Close takes them
// apart in order, and the kernel kills them when the provider dies.
type Provider struct {
	log *zap.Logger

	mu        sync.Mutex
	settings  *settings
	sandboxes map[string]*sandbox
	closed    bool
	// creating counts calls of Create and Configure that are under way.
	creating sync.WaitGroup
}

var _ sdk.Provider = (*Provider)(nil)

// New returns a provider that must be configured before use and closed after it.
func New(log *zap.Logger) *Provider {
	return &Provider{log: log, sandboxes: map[string]*sandbox{}}
}

// Configure prepares the provider's folders and removes what a killed predecessor left of cgroups, sockets and ephemeral storage.
// It may be called once. A host where sandboxes cannot run is no error here but at every Create, so that it can be mended while
// the host runs.
func (p *Provider) Configure(ctx context.Context, req sdk.ConfigureRequest) error {
	if err := sdk.CheckName("host_id", req.HostID); err != nil {
		return sdk.Permanent(err)
	}
	for field, dir := range map[string]string{"data_dir": req.DataDir, "run_dir": req.RunDir} {
		if !filepath.IsAbs(dir) {
			return sdk.Permanent(fmt.Errorf("%s %q is not an absolute path", field, dir))
		}
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the provider's own folder: %w", err)
	}
	opts, err := parseOptions(req.Options, filepath.Dir(exe))
	if err != nil {
		return sdk.Permanent(err)
	}
	st, err := p.prepare(ctx, req, opts)
	if err != nil {
		return err
	}
	defer p.creating.Done()
	if err := st.ensureProbed(ctx); err != nil {
		p.log.Warn("sandboxes cannot run on this host", zap.Error(err))
	}
	return nil
}

// prepare makes the settings. On success the caller owes p.creating.Done, so that Close waits for what it does with them.
func (p *Provider) prepare(ctx context.Context, req sdk.ConfigureRequest, opts options) (*settings, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errClosed
	}
	if p.settings != nil {
		return nil, sdk.Permanent(errors.New("provider local is configured already"))
	}
	st := &settings{opts: opts, runDir: req.RunDir, uid: -1, gid: -1, probe: make(chan struct{}, 1)}
	st.probe <- struct{}{}
	if os.Geteuid() == 0 {
		st.root, st.uid, st.gid = true, opts.UID, opts.GID
	}
	var err error
	if st.volumes, err = newVolumes(ctx, req.DataDir, st.uid, st.gid); err != nil {
		return nil, err
	}
	if err := st.openCgroups(req.HostID); err != nil {
		return nil, err
	}
	p.sweep(ctx, st)
	st.launcher = newLauncher()
	p.settings = st
	p.creating.Add(1)
	return st, nil
}

// sweep removes what a killed provider left. What cannot be removed is logged: it must not keep the host from starting.
func (p *Provider) sweep(ctx context.Context, st *settings) {
	if st.cgroups != nil {
		if err := st.cgroups.sweep(ctx); err != nil {
			p.log.Warn("left cgroups could not be removed", zap.Error(err))
		}
	}
	entries, err := os.ReadDir(st.runDir)
	if err != nil {
		p.log.Warn("the run folder could not be read", zap.Error(err))
		return
	}
	for _, entry := range entries {
		dir := filepath.Join(st.runDir, entry.Name())
		if !entry.IsDir() || !strings.HasPrefix(entry.Name(), runPrefix) || answers(ctx, filepath.Join(dir, socketName)) {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			p.log.Warn("a left run folder could not be removed", zap.Error(err))
		}
	}
}

// answers says whether somebody listens on a socket.
func answers(ctx context.Context, socket string) bool {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	_ = conn.Close() // Nothing was sent.
	return true
}

// Create implements sdk.Provider. A second Create with an id that is being created waits for the first.
func (p *Provider) Create(ctx context.Context, req sdk.CreateRequest) (sdk.Sandbox, error) {
	if err := req.Check(); err != nil {
		return sdk.Sandbox{}, sdk.Permanent(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, st, mine, err := p.reserve(req, cancel)
	if err != nil {
		return sdk.Sandbox{}, err
	}
	if !mine {
		select {
		case <-s.created:
		case <-ctx.Done():
			return sdk.Sandbox{}, fmt.Errorf("waiting for sandbox %s: %w", req.ID, ctx.Err())
		}
		if s.createErr != nil {
			return sdk.Sandbox{}, s.createErr
		}
		return s.describe(), nil
	}
	defer p.creating.Done()
	if err := p.start(ctx, st, s, req); err != nil {
		s.createErr = fmt.Errorf("creating sandbox %s: %w", req.ID, err)
		// The caller may be gone; what was begun is taken apart all the same.
		if undo := s.dismantle(context.WithoutCancel(ctx), st); undo != nil {
			p.log.Error("a failed sandbox could not be removed", zap.String("sandbox", s.id), zap.Error(undo))
		}
		p.forget(s)
		close(s.created)
		return sdk.Sandbox{}, s.createErr
	}
	close(s.created)
	return s.describe(), nil
}

// reserve takes the id, or finds the sandbox that has it.
func (p *Provider) reserve(req sdk.CreateRequest, cancel context.CancelFunc) (s *sandbox, st *settings, mine bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, false, errClosed
	}
	if p.settings == nil {
		return nil, nil, false, sdk.Permanent(errors.New("provider local is not configured"))
	}
	if known, ok := p.sandboxes[req.ID]; ok {
		return known, p.settings, false, nil
	}
	if user := p.volumeUser(req.Volume); user != "" {
		return nil, nil, false, fmt.Errorf("creating sandbox %s: volume %s is in use by sandbox %s", req.ID, req.Volume, user)
	}
	s = newSandbox(req, cancel)
	p.sandboxes[req.ID] = s
	p.creating.Add(1)
	return s, p.settings, true, nil
}

// volumeUser names the running sandbox that has a volume. Two at once would write one transcript. p.mu is held.
func (p *Provider) volumeUser(volume string) string {
	if volume == "" {
		return ""
	}
	for _, s := range p.sandboxes {
		if s.volume == volume && s.running() {
			return s.id
		}
	}
	return ""
}

// start does the work of Create. On failure the caller dismantles s.
func (p *Provider) start(ctx context.Context, st *settings, s *sandbox, req sdk.CreateRequest) error {
	lim, err := resolveLimits(req.Resources, st.opts)
	if err != nil {
		return sdk.Permanent(err)
	}
	if err := st.ensureProbed(ctx); err != nil {
		return err
	}
	bwrap, err := findBubblewrap(st.opts.Bubblewrap)
	if err != nil {
		return sdk.Permanent(err)
	}
	sum := sha256.Sum256([]byte(s.id))
	s.runDir = filepath.Join(st.runDir, runPrefix+hex.EncodeToString(sum[:5]))
	if err := s.makeRunDir(st.uid, st.gid); err != nil {
		return err
	}
	s.ephemeral = req.Volume == ""
	s.volumeDir = st.volumes.path(req.Volume, false)
	if s.ephemeral {
		s.volumeDir = st.volumes.path(s.id, true)
	}
	src := sources{run: s.inside()}
	if src.workspace, src.home, err = st.volumes.ensure(s.volumeDir); err != nil {
		return err
	}
	if err := st.findPrograms(&src); err != nil {
		return sdk.Permanent(err)
	}
	s.group = st.group(s.id, lim)
	nproc := lim.pids
	if _, ok := s.group.by[resourcePIDs]; ok {
		nproc = 0
	}
	s.lim, s.limits = lim, lim.describe(s.group, nproc != 0)
	var mounts []stageMount
	if st.root {
		src, mounts = src.staged()
	}
	spec := st.spec(bwrap, mounts, command(nproc)...)
	spec.Procs, spec.FileBytes = s.group.procs, uint64(lim.diskBytes) //nolint:gosec // checked not to be negative

	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching for the agent server: %w", err)
	}
	defer func() { _ = watcher.Close() }() // Only watched.
	if err := watcher.Add(s.inside()); err != nil {
		return fmt.Errorf("watching for the agent server: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err //nolint:wrapcheck // The caller says what for.
	}
	s.proc, err = startProcess(st.launcher, spec, sandboxArgs(src, spec.Info, st.tmpBytes(lim), environment(req.Env, lim.diskBytes)), req.Token)
	if err != nil {
		return err
	}
	return s.awaitAgent(ctx, watcher)
}

// Get implements sdk.Provider. A sandbox that is still being created is not found.
func (p *Provider) Get(_ context.Context, req sdk.GetRequest) (sdk.Sandbox, error) {
	s, err := p.find(req.ID)
	if err != nil {
		return sdk.Sandbox{}, err
	}
	return s.describe(), nil
}

// List implements sdk.Provider.
func (p *Provider) List(_ context.Context, req sdk.ListRequest) (sdk.ListResponse, error) {
	p.mu.Lock()
	var found []*sandbox
	for _, s := range p.sandboxes {
		if s.ready() && req.Selects(s.labels) {
			found = append(found, s)
		}
	}
	p.mu.Unlock()
	var out sdk.ListResponse
	for _, s := range found {
		out.Sandboxes = append(out.Sandboxes, s.describe())
	}
	return out, nil
}

// Destroy implements sdk.Provider. It ends a Create that is under way.
func (p *Provider) Destroy(ctx context.Context, req sdk.DestroyRequest) error {
	if err := req.Check(); err != nil {
		return sdk.Permanent(err)
	}
	p.mu.Lock()
	st := p.settings
	s := p.sandboxes[req.ID]
	p.mu.Unlock()
	if st == nil {
		return sdk.Permanent(errors.New("provider local is not configured"))
	}
	if s != nil {
		if err := p.destroy(ctx, st, s); err != nil {
			return fmt.Errorf("destroying sandbox %s: %w", req.ID, err)
		}
	}
	if req.Volume == "" {
		return nil
	}
	return p.removeVolume(ctx, st, req.Volume)
}

func (p *Provider) destroy(ctx context.Context, st *settings, s *sandbox) error {
	s.cancel()
	select {
	case <-s.created:
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // The caller says what for.
	}
	if s.createErr != nil {
		return nil //nolint:nilerr // Create took it apart.
	}
	if err := s.dismantle(ctx, st); err != nil {
		return err
	}
	p.forget(s)
	return nil
}

// dismantle ends the processes of s and removes its cgroups, sockets and ephemeral storage. It may be repeated.
func (s *sandbox) dismantle(ctx context.Context, st *settings) error {
	select {
	case <-s.teardown:
		defer func() { s.teardown <- struct{}{} }()
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // The caller says what for.
	}
	if s.proc != nil {
		if err := s.proc.stop(ctx); err != nil {
			return err
		}
	}
	var errs []error
	if st.cgroups != nil {
		errs = append(errs, st.cgroups.remove(ctx, s.group))
	}
	if s.runDir != "" {
		if err := os.RemoveAll(s.runDir); err != nil {
			errs = append(errs, fmt.Errorf("removing the run folder: %w", err))
		}
	}
	if s.ephemeral {
		errs = append(errs, st.volumes.remove(ctx, s.volumeDir))
	}
	return errors.Join(errs...)
}

func (p *Provider) removeVolume(ctx context.Context, st *settings, volume string) error {
	p.mu.Lock()
	user := p.volumeUser(volume)
	p.mu.Unlock()
	if user != "" {
		return fmt.Errorf("removing volume %s: it is in use by sandbox %s", volume, user)
	}
	if err := st.volumes.remove(ctx, st.volumes.path(volume, false)); err != nil {
		return fmt.Errorf("removing volume %s: %w", volume, err)
	}
	return nil
}

func (p *Provider) forget(s *sandbox) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sandboxes[s.id] == s {
		delete(p.sandboxes, s.id)
	}
}

// Close takes every sandbox apart and waits for it. It is safe to call twice and without Configure.
func (p *Provider) Close() error {
	p.mu.Lock()
	p.closed = true
	st := p.settings
	left := make([]*sandbox, 0, len(p.sandboxes))
	for _, s := range p.sandboxes {
		left = append(left, s)
	}
	p.mu.Unlock()
	if st == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*dieWait)
	defer cancel()
	errs := make([]error, len(left))
	var wg sync.WaitGroup
	for i, s := range left {
		wg.Go(func() { errs[i] = p.destroy(ctx, st, s) })
	}
	wg.Wait()
	p.creating.Wait()
	st.launcher.close()
	return errors.Join(errs...)
}
