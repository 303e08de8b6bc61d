package policy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/agcluster/agcluster/core/policy"

	"github.com/agcluster/agcluster/core/policy/policytest"
)

const hostileManifest = `
name: hostile
gates: [tool.call, path.access]
params: {type: object, properties: {do: {type: string}, n: {type: integer, maximum: 5, default: 3}}, additionalProperties: false}
`

// world is what the tests share. It is built at its first use, so that fuzzing, whose workers each run TestMain, does not wait for it.
type world struct {
	dir string
	// guests are the shipped modules and testdata/hostile by name; shared has all of them loaded.
	guests map[string][]byte
	shared *policy.Runtime
	logs   *observer.ObservedLogs
}

var theWorld = sync.OnceValues(buildWorld)

// built says that there is a world to tear down.
var built bool

// fillVar names the folder of guests whose compiled code this binary, started again, puts into the cache.
const fillVar = "AGCLUSTER_TEST_FILL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(fillVar); dir != "" {
		if err := fill(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if built {
		w, err := theWorld()
		if err == nil {
			err = errors.Join(w.shared.Close(context.Background()), os.RemoveAll(w.dir))
		}
		if err == nil && code == 0 {
			err = goleak.Find()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func fill(dir string) error {
	ctx := context.Background()
	r, err := policy.New(ctx, policy.Config{CacheDir: filepath.Join(dir, "cache")}, zap.NewNop())
	if err != nil {
		return err
	}
	return errors.Join(r.LoadDir(ctx, dir), r.Close(ctx))
}

func buildWorld() (*world, error) {
	built = true
	dir, err := os.MkdirTemp("", "agc")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, guests: map[string][]byte{}}
	manifests, err := filepath.Glob("../../policies/*/policy.yaml")
	if err != nil || len(manifests) < 3 {
		return nil, fmt.Errorf("the shipped policies are not where they should be: %v, %w", manifests, err)
	}
	packages := map[string]string{"hostile": "./testdata/hostile"}
	for _, path := range manifests {
		packages[filepath.Base(filepath.Dir(path))] = filepath.Dir(path)
	}
	for name, pkg := range packages {
		out := filepath.Join(dir, name+".wasm")
		if err := policytest.Build(out, pkg); err != nil {
			return nil, err
		}
		if w.guests[name], err = os.ReadFile(out); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), manifest(name), 0o600); err != nil {
			return nil, err
		}
	}
	// Compiling takes ten times as long with the race detector, so a run without it fills the cache.
	fill := exec.Command("go", "test", "-run", "^$", ".")
	fill.Env = append(os.Environ(), fillVar+"="+dir)
	if b, err := fill.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compiling the guests: %w\n%s", err, b)
	}
	var core zapcore.Core
	core, w.logs = observer.New(zap.InfoLevel)
	ctx := context.Background()
	if w.shared, err = policy.New(ctx, policy.Config{Instances: 2, CacheDir: filepath.Join(dir, "cache")}, zap.New(core)); err != nil {
		return nil, err
	}
	return w, w.shared.LoadDir(ctx, dir)
}

func shared(tb testing.TB) *world {
	tb.Helper()
	w, err := theWorld()
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

// manifest is the policy.yaml of a guest; nothing when there is none, which Load refuses.
func manifest(name string) []byte {
	if name == "hostile" {
		return []byte(hostileManifest)
	}
	b, err := os.ReadFile(filepath.Join("../../policies", name, "policy.yaml"))
	if err != nil {
		return nil
	}
	return b
}

func shippedNames(tb testing.TB) []string {
	tb.Helper()
	var names []string
	for name := range shared(tb).guests {
		if name != "hostile" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func newRuntime(tb testing.TB, cfg policy.Config) *policy.Runtime {
	tb.Helper()
	r, err := policy.New(context.Background(), cfg, zap.NewNop())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		for range 2 {
			if err := r.Close(context.Background()); err != nil {
				tb.Error(err)
			}
		}
	})
	return r
}

// apart loads a guest into a runtime of its own.
func apart(t *testing.T, cfg policy.Config, name string) *policy.Module {
	t.Helper()
	w := shared(t)
	cfg.CacheDir = filepath.Join(w.dir, "cache")
	r := newRuntime(t, cfg)
	if err := r.Load(context.Background(), manifest(name), w.guests[name]); err != nil {
		t.Fatal(err)
	}
	m, _ := r.Module(name)
	return m
}

func module(tb testing.TB, name string) *policy.Module {
	tb.Helper()
	m, ok := shared(tb).shared.Module(name)
	if !ok {
		tb.Fatalf("there is no module %s", name)
	}
	return m
}

func hostile(t *testing.T) *policy.Module {
	t.Helper()
	return module(t, "hostile")
}

func ask(m *policy.Module, gate policy.Gate, do string) policy.Verdict {
	return m.Evaluate(context.Background(), policy.Input{
		Gate: gate, Params: json.RawMessage(`{"do":"` + do + `"}`), Input: json.RawMessage(`{}`),
	})
}
