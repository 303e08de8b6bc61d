// Package policy is the WASM runtime for policy modules: it loads them, checks their parameters and evaluates them, bounded in
// time, memory and output, with no memory of one evaluation left for the next. What goes wrong in a module is a denial.
// policies/README.md is the reference of the ABI; it lives there because module authors read it.
package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"go.uber.org/zap"
)

// Gate is where a policy is asked.
type Gate string

// The gates.
const (
	GateAgentLaunch    Gate = "agent.launch"
	GateToolCall       Gate = "tool.call"
	GatePathAccess     Gate = "path.access"
	GateArchiveEntry   Gate = "archive.entry"
	GateNetworkConnect Gate = "network.connect"
)

// Decision is what a policy decides.
type Decision string

// The decisions.
const (
	Allow   Decision = "allow"
	Deny    Decision = "deny"
	Ask     Decision = "ask"
	Rewrite Decision = "rewrite"
)

// Input is one question.
type Input struct {
	Gate    Gate            `json:"gate"`
	Session SessionInfo     `json:"session"`
	Params  json.RawMessage `json:"params"`
	State   json.RawMessage `json:"state"`
	Input   json.RawMessage `json:"input"`
}

// SessionInfo is what a policy may know of the session.
type SessionInfo struct {
	ID        string `json:"id"`
	ConfigID  string `json:"config_id"`
	Workspace string `json:"workspace"`
}

// Verdict is the answer.
type Verdict struct {
	Decision Decision        `json:"verdict"`
	Reason   string          `json:"reason"`
	Rewrite  json.RawMessage `json:"rewrite,omitempty"`
	State    json.RawMessage `json:"state,omitempty"`
}

// Config bounds the runtime. Zero fields take the defaults in brackets.
type Config struct {
	// CacheDir keeps compiled modules between runs; empty keeps them in memory only.
	CacheDir string
	// Timeout bounds one evaluation [1 s].
	Timeout time.Duration
	// MemoryPages bounds a module's memory, in pages of 64 KiB [512, which is 32 MiB].
	MemoryPages uint32
	// Instances is how many evaluations of one module run at the same time [4]; more wait.
	Instances int
	// Pins maps a module's name to the only digest that is accepted for it ("sha256:…").
	Pins map[string]string
}

const (
	maxModule = 64 << 20
	maxInput  = 16 << 20
	maxOutput = 4 << 20
	maxReason = 1 << 10
)

// ModuleInfo describes a module.
type ModuleInfo struct {
	Name        string
	Version     string
	Description string
	// Digest is "sha256:" and the hex digest of the module's bytes.
	Digest string
	Gates  []Gate
	// OnlyWith names, for some of the gates, the parameters of which one must be given for the module to be asked there.
	OnlyWith map[Gate][]string
	// Batches are the gates at which the module takes several accesses in one question; only path.access can be one.
	Batches []Gate
	// Params is the JSON Schema of the parameters.
	Params json.RawMessage
}

// Runtime holds the loaded modules. It is safe for concurrent use once loading is done.
type Runtime struct {
	cfg Config
	log *zap.Logger
	// metered runs modules that count what they do and stop by themselves; watched stops any module at a deadline, and is many times
	// as slow.
	metered, watched wazero.Runtime
	cache            wazero.CompilationCache
	modules          map[string]*Module
	// waking counts the modules that are made ready in the background.
	waking sync.WaitGroup
}

// New returns an empty Runtime; Close it.
func New(ctx context.Context, cfg Config, log *zap.Logger) (*Runtime, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = time.Second
	}
	if cfg.MemoryPages == 0 {
		cfg.MemoryPages = 512
	}
	if cfg.Instances <= 0 {
		cfg.Instances = 4
	}
	cache := wazero.NewCompilationCache()
	if cfg.CacheDir != "" {
		var err error
		if cache, err = wazero.NewCompilationCacheWithDir(cfg.CacheDir); err != nil {
			return nil, fmt.Errorf("opening the cache of compiled policies: %w", err)
		}
	}
	r := &Runtime{cfg: cfg, log: log, cache: cache, modules: map[string]*Module{}}
	common := wazero.NewRuntimeConfig().WithCompilationCache(cache).WithMemoryLimitPages(cfg.MemoryPages)
	r.metered = wazero.NewRuntimeWithConfig(ctx, common)
	// CloseOnContextDone is what stops a loop; without it or fuel, one would freeze the whole host at the next garbage collection.
	r.watched = wazero.NewRuntimeWithConfig(ctx, common.WithCloseOnContextDone(true))
	for _, wasm := range []wazero.Runtime{r.metered, r.watched} {
		// What Go's runtime needs of WASI. wazero gives a module no file, socket, argument or variable; see instantiate for the rest.
		if _, err := wasi_snapshot_preview1.Instantiate(ctx, wasm); err != nil {
			return nil, errors.Join(fmt.Errorf("preparing WASI: %w", err), r.Close(ctx))
		}
	}
	return r, nil
}

// Close ends all instances. It is safe to call twice.
func (r *Runtime) Close(ctx context.Context) error {
	r.waking.Wait()
	for _, m := range r.modules {
		for _, e := range m.engines {
			e.rest.close()
		}
	}
	return errors.Join(r.metered.Close(ctx), r.watched.Close(ctx), r.cache.Close(ctx))
}

// Expect makes the modules that rest ready in the background: somebody is about to ask. It must not be called after Close.
func (r *Runtime) Expect() {
	for _, m := range r.modules {
		// The first engine answers nearly every question.
		rest := m.engines[0].rest
		if !rest.resting() {
			continue
		}
		r.waking.Go(func() {
			if _, err := rest.wake(context.Background()); err != nil {
				// Whoever asks will be told.
				r.log.Warn("waking a policy", zap.String("policy", m.info.Name), zap.Error(err))
				return
			}
			rest.settle(restAfter)
		})
	}
}

// LoadDir loads every NAME.wasm in dir that has a NAME.yaml beside it, and fails at the first that is not as it should be.
func (r *Runtime) LoadDir(ctx context.Context, dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*.wasm"))
	if err != nil {
		return fmt.Errorf("looking for policies: %w", err)
	}
	if len(paths) == 0 {
		return fmt.Errorf("no policies in %s; `make build` puts them there", dir)
	}
	for _, path := range paths {
		if err := r.loadFile(ctx, path); err != nil {
			return fmt.Errorf("loading policy %s: %w", path, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.cfg.Pins)) {
		if _, ok := r.modules[name]; !ok {
			return fmt.Errorf("policy.pins.%s: there is no such policy in %s", name, dir)
		}
	}
	return nil
}

func (r *Runtime) loadFile(ctx context.Context, path string) error {
	manifest, err := os.ReadFile(strings.TrimSuffix(path, ".wasm") + ".yaml")
	if err != nil {
		return fmt.Errorf("reading its description: %w", err)
	}
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("looking at it: %w", err)
	}
	if st.Size() > maxModule {
		return fmt.Errorf("it has %d bytes, the limit is %d", st.Size(), maxModule)
	}
	code, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading it: %w", err)
	}
	return r.Load(ctx, manifest, code)
}

// Load adds a module from its policy.yaml and its code.
func (r *Runtime) Load(ctx context.Context, manifest, code []byte) error {
	info, schema, err := describe(manifest)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(code)
	info.Digest = "sha256:" + hex.EncodeToString(sum[:])
	if pin, ok := r.cfg.Pins[info.Name]; ok && pin != info.Digest {
		return fmt.Errorf("its digest is %s, the pinned one is %s", info.Digest, pin)
	}
	if _, twice := r.modules[info.Name]; twice {
		return fmt.Errorf("there are two modules called %q", info.Name)
	}
	m, err := newModule(ctx, r, info, schema, code)
	if err != nil {
		return err
	}
	r.modules[info.Name] = m
	return nil
}

// Module returns a loaded module.
func (r *Runtime) Module(name string) (*Module, bool) {
	m, ok := r.modules[name]
	return m, ok
}

// Modules describes the loaded modules, by name.
func (r *Runtime) Modules() []ModuleInfo {
	all := make([]ModuleInfo, 0, len(r.modules))
	for _, m := range r.modules {
		all = append(all, m.info)
	}
	slices.SortFunc(all, func(a, b ModuleInfo) int { return strings.Compare(a.Name, b.Name) })
	return all
}
