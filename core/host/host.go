// Package host is the composition root: it builds everything from the configuration, starts it, drains and stops it. It is the only
// place that wires packages together; README.md beside this file has the order and why.
package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/api"
	"github.com/agcluster/agcluster/core/config"
	"github.com/agcluster/agcluster/core/egress"
	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/gateway"
	"github.com/agcluster/agcluster/core/guard"
	"github.com/agcluster/agcluster/core/plugin"
	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/sandbox"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/core/store"
	"github.com/agcluster/agcluster/core/telemetry"
	"github.com/agcluster/agcluster/core/terminal"
	"github.com/agcluster/agcluster/core/workspace"
	"github.com/agcluster/agcluster/plugins/sdk"
	"github.com/agcluster/agcluster/presets"
	"github.com/agcluster/agcluster/web"
)

// Host is a running host. It is made by Start and must be closed.
type Host struct {
	cfg     config.Config
	sources config.Sources
	version string
	started time.Time
	secrets Secrets
	log     *zap.Logger

	data      *dataDir
	store     *store.Store
	events    *event.Log
	policies  *policy.Runtime
	plugins   *plugin.Set
	gateway   *gateway.Gateway
	egress    *egress.Proxy
	network   *guard.Network
	offline   *offlineModel
	pool      *sandbox.Pool
	presets   *preset.Library
	sessions  *session.Service
	terminals *terminal.Service
	sweeping  *sweeper
	server    *http.Server
	listener  net.Listener
	served    chan error
	cleanup   []func(context.Context) error
}

// Secrets knows what must not be shown.
type Secrets interface {
	session.Secrets
	// Redact returns a text with the secrets in it replaced.
	Redact(text string) string
}

// Start builds the host and begins to serve. sources say where the configuration comes from; version is what /health tells; secrets is
// told of every key that the host holds, so that log shows none. When it fails, nothing is left running.
func Start(
	ctx context.Context, cfg config.Config, sources config.Sources, version string, secrets Secrets, log *zap.Logger,
) (*Host, error) {
	h := &Host{
		cfg: cfg, sources: sources, version: version, started: time.Now().UTC(), secrets: secrets, log: log, served: make(chan error, 1),
	}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"preparing the data folder", h.openData},
		{"loading policies", h.loadPolicies},
		{"finding plugins", h.findPlugins},
		{"preparing the model gateway", h.openGateway},
		{"preparing the way to the network", h.openEgress},
		{"preparing sessions", h.openSessions},
		{"recovering sessions", h.recover},
		{"listening", h.listen},
	} {
		if err := step.do(ctx); err != nil {
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.API.ShutdownTimeout)
			defer cancel()
			return nil, errors.Join(fmt.Errorf("%s: %w", step.what, err), h.Close(closing))
		}
	}
	// Compiling policies takes several times the memory that the host has after it.
	debug.FreeOSMemory()
	return h, nil
}

// defers registers what Close does, last first.
func (h *Host) defers(fn func(context.Context) error) { h.cleanup = append(h.cleanup, fn) }

func (h *Host) openData(ctx context.Context) error {
	var err error
	if h.data, err = openDataDir(h.cfg.DataDir, h.cfg.RunDir); err != nil {
		return err
	}
	h.defers(func(context.Context) error { return h.data.close() })
	if h.store, err = store.Open(ctx, h.data.path("agcluster.db")); err != nil {
		return err
	}
	h.defers(func(context.Context) error { return h.store.Close() })
	h.events = event.NewLog(h.store)
	return nil
}

func (h *Host) loadPolicies(ctx context.Context) error {
	c := h.cfg.Policy
	var err error
	h.policies, err = policy.New(ctx, policy.Config{
		CacheDir: h.data.path("policy-cache"), Timeout: c.Timeout, MemoryPages: c.MemoryPages(), Instances: c.Instances, Pins: c.Pins,
	}, h.log.Named("policy"))
	if err != nil {
		return err
	}
	h.defers(h.policies.Close)
	return h.policies.LoadDir(ctx, h.cfg.PoliciesDir)
}

func (h *Host) findPlugins(context.Context) error {
	var err error
	h.plugins, err = plugin.Open(plugin.Config{
		Dir: h.cfg.Plugins.Dir, DataDir: h.data.path("plugins"), RunDir: h.cfg.RunDir, HostID: h.data.hostID,
		Pins: h.cfg.Plugins.Pins, Options: h.cfg.Plugins.Options, Redact: h.secrets.Redact,
	}, h.log.Named("plugin"))
	if err != nil {
		return err
	}
	h.defers(func(context.Context) error { return h.plugins.Close() })
	return nil
}

func (h *Host) openGateway(ctx context.Context) error {
	upstream := h.cfg.Gateway.Upstream
	if h.cfg.Offline.Enabled {
		var err error
		if h.offline, err = startOfflineModel(ctx, h.cfg.Offline.Script, h.log.Named("offline")); err != nil {
			return err
		}
		h.defers(func(context.Context) error { return h.offline.close() })
		upstream = h.offline.url
	}
	var err error
	if h.gateway, err = gateway.New(upstream, h.log.Named("gateway")); err != nil {
		return err
	}
	h.defers(func(context.Context) error { h.gateway.Close(); return nil })
	return nil
}

func (h *Host) openEgress(context.Context) error {
	c := h.cfg.Egress
	var err error
	h.egress, err = egress.New(egress.Config{
		Mode: c.Mode, Allow: c.Allow, Private: c.Private, DialTimeout: c.DialTimeout, IdleTimeout: c.IdleTimeout, Connections: c.Connections,
	}, net.DefaultResolver, h.log.Named("egress"))
	return err
}

func (h *Host) openSessions(ctx context.Context) error {
	c := h.cfg
	g, err := guard.New(guard.Config{
		Policies: c.Guard.Policies, Filters: c.Guard.Filters, FilterTimeout: c.Guard.FilterTimeout,
	}, h.policies.Module, h.plugins.Filter, h.store, h.log.Named("guard"))
	if err != nil {
		return err
	}
	if err := g.Check(ctx, preset.Config{}); err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	h.pool = sandbox.New(sandbox.Config{
		HostID: h.data.hostID, Image: c.AgentImage, PIDs: c.Limits.PIDs, Slots: c.Start.Slots, Queue: c.Start.Queue,
		Spares: sandbox.SpareConfig{Size: c.Pool.Size, Max: c.Pool.Max, MemoryBytes: int64(c.Pool.MemoryLimit), MaxAge: c.Pool.MaxAge},
	}, h.plugins.Provider, h.store, h.tunnel, h.log.Named("sandbox"))
	h.defers(h.pool.Close)
	h.sessions, err = session.New(session.Config{
		Secret: h.data.secret, DefaultProvider: c.Provider, LaunchTimeout: c.Session.LaunchTimeout,
		ApprovalTimeout: c.Session.ApprovalTimeout, InterruptTimeout: c.Session.InterruptTimeout,
		IdleTimeout: c.Session.IdleTimeout, CleanupInterval: c.Session.CleanupInterval, Secrets: h.secrets,
	}, h.store, h.events, g, h.pool, h.log.Named("session"))
	if err != nil {
		return err
	}
	h.network = guard.NewNetwork(g, h.sessions)
	return h.buildAPI(g)
}

// buildAPI makes the server; it listens later.
func (h *Host) buildAPI(g *guard.Guard) error {
	catalog, err := h.catalog()
	if err != nil {
		return err
	}
	h.presets = catalog
	files := workspace.New(workspace.Config{}, opener{h}, guard.NewFiles(g, h.sessions), h.plugins, h.log.Named("workspace"))
	pages, err := web.Files()
	if err != nil {
		return fmt.Errorf("opening the dashboard: %w", err)
	}
	about, err := newPlatform(h)
	if err != nil {
		return err
	}
	h.terminals = terminal.New(h.sessions, shells{h.pool}, h.log.Named("terminal"))
	c := h.cfg
	_, handler := api.New(api.Config{
		Version: h.version, AgentImage: c.AgentImage, Provider: c.Provider, Heartbeat: c.API.HeartbeatInterval, Offline: c.Offline.Enabled,
		Terminal: c.Terminal.Enabled,
	}, api.Deps{
		Sessions: h.sessions, Turns: h.sessions, Events: h.events, Controls: h.sessions, Gates: g, Terminals: h.terminals,
		Catalog: catalog, Custom: catalog, Trials: trials{g, h.egress}, Platform: about, Files: files, Observer: observer{h.pool}, Status: h,
		Metrics: telemetry.Metrics(h.metrics, h.log.Named("metrics")), Dashboard: pages,
	}, h.log.Named("api"))
	h.server = &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: zap.NewStdLog(h.log.Named("http").WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
	}
	return nil
}

// catalog loads the presets and the users' own configurations, and checks them against the policies and filters that this host has.
func (h *Host) catalog() (*preset.Library, error) {
	known := preset.Known{Filters: h.plugins.Names(sdk.KindFilter), Params: h.checkParams}
	for _, m := range h.policies.Modules() {
		known.Policies = append(known.Policies, m.Name)
	}
	var own fs.FS
	if h.cfg.PresetsDir != "" {
		own = os.DirFS(h.cfg.PresetsDir)
	}
	catalog, err := preset.NewCatalog(presets.FS, own, known, h.cfg.PresetDefaults())
	if err != nil {
		return nil, err
	}
	library, err := preset.OpenLibrary(catalog, h.data.path("configs"))
	if err != nil {
		return nil, err
	}
	_, broken := library.Own()
	for _, b := range broken {
		h.log.Warn("a configuration of a user's own can't be used", zap.String("config", b.ID), zap.String("error", b.Error))
	}
	return library, nil
}

func (h *Host) checkParams(name string, params json.RawMessage) error {
	m, ok := h.policies.Module(name)
	if !ok {
		return fmt.Errorf("there is no policy %q", name)
	}
	_, err := m.Resolve(params)
	return err
}

// recover removes the sandboxes and puts right the sessions that an earlier run left.
func (h *Host) recover(ctx context.Context) error {
	list, err := h.store.List(ctx, nil)
	if err != nil {
		return err
	}
	volumes, err := h.store.ListVolumes(ctx)
	if err != nil {
		return err
	}
	used, names := map[string]bool{}, map[string]bool{h.cfg.Provider: true}
	for _, s := range list {
		names[s.Provider], used[s.Volume] = true, true
	}
	// Nobody was given what is on these: spares', or of launches that were cut off.
	orphans := slices.DeleteFunc(volumes, func(v sandbox.Volume) bool { return used[v.Name] })
	for _, v := range orphans {
		names[v.Provider] = true
	}
	h.sweeping = startSweeper(h.pool, names, orphans, h.log.Named("sweep"))
	h.defers(func(context.Context) error { h.sweeping.close(); return nil })
	if err := h.sessions.Recover(ctx); err != nil {
		return err
	}
	return h.wantSpares()
}

// wantSpares has spares made for the configurations that the operator names.
func (h *Host) wantSpares() error {
	for i, id := range h.cfg.Pool.Presets {
		config, ok := h.presets.Get(id)
		if !ok {
			return fmt.Errorf("pool.presets[%d]: there is no configuration %q", i, id)
		}
		spec, err := session.SpareSpec(h.cfg.Provider, config)
		if err != nil {
			return fmt.Errorf("pool.presets[%d]: %w", i, err)
		}
		if why := h.pool.Want(spec); why != "" {
			h.log.Warn("a configuration gets no spares", zap.String("config", id), zap.String("reason", why))
		}
	}
	return nil
}

func (h *Host) listen(ctx context.Context) error {
	var lc net.ListenConfig
	var err error
	h.listener, err = lc.Listen(ctx, "tcp", net.JoinHostPort(h.cfg.API.Host, strconv.Itoa(h.cfg.API.Port)))
	if err != nil {
		return fmt.Errorf("api.host, api.port: %w", err)
	}
	go func() { h.served <- h.server.Serve(h.listener) }()
	return nil
}

// tunnel is what a session's sandbox reaches.
func (h *Host) tunnel(sessionID string) map[byte]http.Handler {
	// Whoever gets a sandbox calls tools next.
	h.policies.Expect()
	return map[byte]http.Handler{
		agent.TunnelGateway: h.gateway.Handler(gateway.Session{
			ID:      sessionID,
			Key:     func() (string, bool) { return h.sessions.Key(sessionID) },
			Meter:   func(u event.Usage) { h.sessions.Meter(sessionID, u) },
			Results: results{h.sessions, sessionID},
		}),
		agent.TunnelEgress: h.egress.Handler(h.exit(sessionID)),
	}
}

// URL is where the API answers.
func (h *Host) URL() string { return "http://" + h.listener.Addr().String() }

// Wait returns when the server has ended by itself, which is an error, or when ctx ends.
func (h *Host) Wait(ctx context.Context) error {
	select {
	case err := <-h.served:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
		return nil
	}
}

// Close drains and stops: running turns are logged as ended by the host, streams end, sandboxes and plugins are gone when it
// returns. It is safe to call twice.
func (h *Host) Close(ctx context.Context) error {
	var errs []error
	if h.terminals != nil {
		h.terminals.Close()
	}
	if h.sessions != nil {
		errs = append(errs, h.sessions.Close(ctx))
		// After the sessions, whose last words are events; followers end with it, or Shutdown would wait for them.
		h.events.Close()
	}
	if h.listener != nil {
		if err := h.server.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("closing connections: %w", err), h.server.Close())
		}
	}
	for i := len(h.cleanup) - 1; i >= 0; i-- {
		errs = append(errs, h.cleanup[i](ctx))
	}
	h.cleanup = nil
	return errors.Join(errs...)
}

// Plugins implements api.Status.
func (h *Host) Plugins() []plugin.Status { return h.plugins.Status() }

// Policies implements api.Status.
func (h *Host) Policies() []policy.ModuleInfo { return h.policies.Modules() }

// Pool implements api.Status.
func (h *Host) Pool() sandbox.Status { return h.pool.Status() }
