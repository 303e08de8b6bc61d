// Package plugin owns plugin processes: it finds their binaries, verifies and starts them, checks what they say of themselves,
// hands out typed clients that outlive a crash, restarts what has died, and ends everything in Close. It knows no vendor.
//
// A plugin is a binary called KIND-NAME (provider-local, filter-secrets, exporter-zip) in one folder. It gets an environment of its
// own, never the host's; a socket folder of its own, which is emptied before each start; and it dies with the host, also by kill -9. The
// newest 500 lines that it logs or prints are kept in memory, without secrets, for those who look after the host.
package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// maxRunDir leaves room in a unix socket's address (107 bytes) for /s/plugin-dir0123456789/plugin0123456789.
const maxRunDir = 107 - 40

// Config says where plugins are and what they get.
type Config struct {
	// Dir holds the binaries.
	Dir string
	// DataDir and RunDir hold a folder for each plugin. RunDir must be short: unix sockets are made in it.
	DataDir string
	RunDir  string
	HostID  string
	// Pins maps KIND-NAME to the hex sha256 digest that its binary must have.
	Pins map[string]string
	// Options maps KIND-NAME to what Configure passes on.
	Options map[string]map[string]any
	// Redact, if any, takes secrets out of the log lines that are kept.
	Redact func(string) string
}

// ErrNotFound says that there is no such plugin.
var ErrNotFound = errors.New("there is no such plugin")

// State says how a plugin is.
type State string

// The states of a plugin. One that is stopped starts at its first use. One that has failed could not be started; it is tried again at
// its next use, after a while. One that is restarting has died and starts at its next use.
const (
	StateStopped    State = "stopped"
	StateRunning    State = "running"
	StateRestarting State = "restarting"
	StateFailed     State = "failed"
)

// Status is what is known of a plugin.
type Status struct {
	Name         string
	Kind         sdk.Kind
	Version      string
	Capabilities []string
	Path         string
	State        State
	PID          int
	// StartedAt is when its process was started; zero unless it runs.
	StartedAt time.Time
	// OptionsSchema is known once it was used. Options are what it gets, with whatever secrets they hold.
	OptionsSchema json.RawMessage
	Options       map[string]any
	// Restarts counts how often its process was started again.
	Restarts  int
	LastError string
}

// Set holds the plugins that were found. It is safe for concurrent use.
type Set struct {
	plugins map[string]*process
	dir     string
	launch  *launcher
	once    sync.Once
}

// Open finds the plugins in cfg.Dir. It starts none: a plugin starts at its first use, so that one that is broken and unused
// harms nobody.
func Open(cfg Config, log *zap.Logger) (*Set, error) {
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("looking for plugins: %w", err)
	}
	s := &Set{plugins: map[string]*process{}, dir: cfg.Dir, launch: newLauncher()}
	form := regexp.MustCompile(`^(provider|filter|exporter)-([a-z][a-z0-9-]{0,31})$`)
	for _, e := range entries {
		path := filepath.Join(cfg.Dir, e.Name())
		parts := form.FindStringSubmatch(e.Name())
		if st, err := os.Stat(path); parts == nil || err != nil || !st.Mode().IsRegular() {
			log.Warn("not a plugin: a file called KIND-NAME is needed, with the kind provider, filter or exporter", zap.String("path", path))
			continue
		}
		p, err := newProcess(cfg, sdk.Kind(parts[1]), parts[2], path, s.launch, log)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.plugins[p.key] = p
	}
	for _, named := range [][]string{keys(cfg.Pins), keys(cfg.Options)} {
		for _, key := range named {
			if _, ok := s.plugins[key]; !ok {
				return nil, errors.Join(s.unknown(key), s.Close())
			}
		}
	}
	return s, nil
}

func newProcess(cfg Config, kind sdk.Kind, name, path string, launch *launcher, log *zap.Logger) (*process, error) {
	key := string(kind) + "-" + name
	p := &process{
		key: key, kind: kind, name: name, path: path, hostID: cfg.HostID,
		dataDir: filepath.Join(cfg.DataDir, key), runDir: filepath.Join(cfg.RunDir, key),
		pin: strings.TrimPrefix(cfg.Pins[key], "sha256:"), launch: launch, endTimeout: endTimeout,
		kept: &ring{redact: cfg.Redact}, gate: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	if p.kept.redact == nil {
		p.kept.redact = func(s string) string { return s }
	}
	p.log = p.kept.over(log.Named(key))
	if len(p.runDir) > maxRunDir {
		return nil, fmt.Errorf("plugin %s: its run folder %s has %d bytes, more than %d: unix sockets are made below it; fix: a shorter run_dir",
			key, p.runDir, len(p.runDir), maxRunDir)
	}
	options := cfg.Options[key]
	if options == nil {
		options = map[string]any{}
	}
	p.given = options
	var err error
	if p.options, err = json.Marshal(options); err != nil {
		return nil, fmt.Errorf("plugins.options.%s: %w", key, err)
	}
	return p, nil
}

func keys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func (s *Set) unknown(key string) error {
	return fmt.Errorf("there is no plugin %s in %s; there are: %s", key, s.dir, strings.Join(keys(s.plugins), ", "))
}

func (s *Set) get(kind sdk.Kind, name string) (*process, error) {
	key := string(kind) + "-" + name
	p, ok := s.plugins[key]
	if !ok {
		return nil, s.unknown(key)
	}
	return p, nil
}

// Names lists the names of the plugins of a kind.
func (s *Set) Names(kind sdk.Kind) []string {
	var names []string
	for _, key := range keys(s.plugins) {
		if p := s.plugins[key]; p.kind == kind {
			names = append(names, p.name)
		}
	}
	return names
}

// Provider returns a provider plugin. Like the other two it survives the plugin's process: each call goes to the one that lives,
// and starts it when there is none. What it returns is an sdk.StatsProvider, LogsProvider and PullProvider, too, whatever the plugin
// is; a capability that the plugin lacks answers sdk.ErrUnimplemented.
func (s *Set) Provider(_ context.Context, name string) (sdk.Provider, error) {
	p, err := s.get(sdk.KindProvider, name)
	if err != nil {
		return nil, err
	}
	return providerProxy{p}, nil
}

// Filter returns a filter plugin.
func (s *Set) Filter(_ context.Context, name string) (sdk.Filter, error) {
	p, err := s.get(sdk.KindFilter, name)
	if err != nil {
		return nil, err
	}
	return filterProxy{p}, nil
}

// Exporter returns an exporter plugin.
func (s *Set) Exporter(_ context.Context, name string) (sdk.Exporter, error) {
	p, err := s.get(sdk.KindExporter, name)
	if err != nil {
		return nil, err
	}
	return exporterProxy{p}, nil
}

// Status describes all plugins, by kind and name.
func (s *Set) Status() []Status {
	all := make([]Status, 0, len(s.plugins))
	for _, key := range keys(s.plugins) {
		all = append(all, s.plugins[key].status())
	}
	return all
}

// Logs returns the newest n log lines that are kept of a plugin, the oldest of them first, and how many there are. It is named KIND-NAME, or
// NAME where only one kind has it. The error is ErrNotFound.
func (s *Set) Logs(name string, n int) ([]LogLine, int, error) {
	p, ok := s.plugins[name]
	for _, other := range s.plugins {
		if ok || other.name != name {
			continue
		}
		if p != nil {
			return nil, 0, fmt.Errorf("%w: more than one is called %s; give its kind, too, as KIND-NAME", ErrNotFound, name)
		}
		p = other
	}
	if p == nil {
		return nil, 0, ErrNotFound
	}
	lines, total := p.kept.newest(n)
	return lines, total, nil
}

// Close ends all plugin processes and waits for them: each is asked to end and killed when it does not. It is safe to call twice.
func (s *Set) Close() error {
	s.once.Do(func() {
		var wg sync.WaitGroup
		for _, p := range s.plugins {
			wg.Go(p.close)
		}
		wg.Wait()
		s.launch.close()
	})
	return nil
}

type providerProxy struct{ p *process }

var (
	_ sdk.StatsProvider = providerProxy{}
	_ sdk.LogsProvider  = providerProxy{}
	_ sdk.PullProvider  = providerProxy{}
)

// Create implements sdk.Provider.
func (x providerProxy) Create(ctx context.Context, req sdk.CreateRequest) (out sdk.Sandbox, err error) {
	err = x.p.use(ctx, func(c *sdk.Client) (err error) { out, err = c.Provider.Create(ctx, req); return err })
	return out, err
}

// Get implements sdk.Provider.
func (x providerProxy) Get(ctx context.Context, req sdk.GetRequest) (out sdk.Sandbox, err error) {
	err = x.p.use(ctx, func(c *sdk.Client) (err error) { out, err = c.Provider.Get(ctx, req); return err })
	return out, err
}

// List implements sdk.Provider.
func (x providerProxy) List(ctx context.Context, req sdk.ListRequest) (out sdk.ListResponse, err error) {
	err = x.p.use(ctx, func(c *sdk.Client) (err error) { out, err = c.Provider.List(ctx, req); return err })
	return out, err
}

// Destroy implements sdk.Provider.
func (x providerProxy) Destroy(ctx context.Context, req sdk.DestroyRequest) error {
	return x.p.use(ctx, func(c *sdk.Client) error { return c.Provider.Destroy(ctx, req) })
}

// Stats implements sdk.StatsProvider.
func (x providerProxy) Stats(ctx context.Context, req sdk.StatsRequest, fn func(sdk.Stats) error) error {
	return x.p.use(ctx, func(c *sdk.Client) error { return c.Stats.Stats(ctx, req, fn) })
}

// Logs implements sdk.LogsProvider.
func (x providerProxy) Logs(ctx context.Context, req sdk.LogsRequest, fn func(sdk.LogLine) error) error {
	return x.p.use(ctx, func(c *sdk.Client) error { return c.Logs.Logs(ctx, req, fn) })
}

// Pull implements sdk.PullProvider.
func (x providerProxy) Pull(ctx context.Context, req sdk.PullRequest, fn func(sdk.PullProgress) error) error {
	return x.p.use(ctx, func(c *sdk.Client) error { return c.Pull.Pull(ctx, req, fn) })
}

type filterProxy struct{ p *process }

// FilterCall implements sdk.Filter.
func (x filterProxy) FilterCall(ctx context.Context, call sdk.Call) (out sdk.Outcome, err error) {
	err = x.p.use(ctx, func(c *sdk.Client) (err error) { out, err = c.Filter.FilterCall(ctx, call); return err })
	return out, err
}

// FilterResult implements sdk.Filter.
func (x filterProxy) FilterResult(ctx context.Context, result sdk.Result) (out sdk.Outcome, err error) {
	err = x.p.use(ctx, func(c *sdk.Client) (err error) { out, err = c.Filter.FilterResult(ctx, result); return err })
	return out, err
}

type exporterProxy struct{ p *process }

// Export implements sdk.Exporter.
func (x exporterProxy) Export(
	ctx context.Context, req sdk.ExportRequest, tar io.Reader, begin func(sdk.ExportHeader) error, out io.Writer,
) error {
	return x.p.use(ctx, func(c *sdk.Client) error { return c.Exporter.Export(ctx, req, tar, begin, out) })
}
