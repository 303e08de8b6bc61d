package policy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/policies/sdk"
	"github.com/agcluster/agcluster/policies/sdk/sdktest"
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
		cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, pkg)
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
		if b, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building %s: %w\n%s", pkg, err, b)
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

func TestWhatGoesWrongInAModuleIsADenial(t *testing.T) {
	m := hostile(t)
	for do, reason := range map[string]string{
		"loop": "no answer within 1s", "sleep": "no answer within 1s",
		"hog":   "", // its memory or its time, whichever ends first
		"panic": "trapped", "exit": "trapped", "garbage": "no verdict", "nothing at all": "no verdict", "trailing": "no verdict",
		"unknown": "no known verdict", "extra": "no verdict", "rewrite": "rewrite is no object",
		"allowed rewrite": "answers allow with a rewrite", "huge": "the limit is 4194304", "pointer": "outside of its memory",
	} {
		t.Run(do, func(t *testing.T) {
			v := ask(m, policy.GateToolCall, do)
			if v.Decision != policy.Deny || !strings.HasPrefix(v.Reason, "policy hostile: ") || !strings.Contains(v.Reason, reason) {
				t.Errorf("got %+v, want a denial with %q", v, reason)
			}
			if strings.Contains(v.Reason, "secret words") {
				t.Error("the guest's words must stay in the log")
			}
			// The host and the module are well afterwards.
			if v := ask(m, policy.GateToolCall, "nothing"); v.Decision != policy.Allow {
				t.Errorf("the next evaluation got %+v", v)
			}
		})
	}
	logged := false
	for _, e := range shared(t).logs.FilterMessage("a policy failed").All() {
		text, _ := e.ContextMap()["stderr"].(string)
		logged = logged || strings.Contains(text, "secret words of the guest")
	}
	if !logged {
		t.Error("what the guest said when it panicked is nowhere")
	}
}

// TestTheHostGoesOnWhileAModuleLoops: a guest that never yields must stop neither the garbage collector nor other evaluations.
func TestTheHostGoesOnWhileAModuleLoops(t *testing.T) {
	m := apart(t, policy.Config{Instances: 2, Timeout: time.Minute}, "hostile")
	others := []*policy.Module{m, hostile(t), module(t, "tools")}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan policy.Verdict, 1)
	go func() {
		ended <- m.Evaluate(ctx, policy.Input{Gate: policy.GateToolCall, Params: json.RawMessage(`{"do":"loop"}`), Input: json.RawMessage(`{}`)})
	}()
	for range 3 {
		goruntime.GC()
		for _, other := range others {
			if v := other.Evaluate(t.Context(), policy.Input{Gate: policy.GateToolCall, Input: json.RawMessage(`{"tool":"Read"}`)}); v.Decision != policy.Allow {
				t.Errorf("got %+v", v)
			}
		}
	}
	select {
	case v := <-ended:
		t.Fatalf("the module did not loop: %+v", v)
	default:
	}
	cancel()
	if v := <-ended; v.Decision != policy.Deny || !strings.Contains(v.Reason, "gave up") {
		t.Errorf("got %+v", v)
	}
}

func TestEveryInstanceMayBeStuckAtOnce(t *testing.T) {
	m := apart(t, policy.Config{Instances: 2, Timeout: 500 * time.Millisecond}, "hostile")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if v := ask(m, policy.GateToolCall, "loop"); v.Decision != policy.Deny {
				t.Errorf("got %+v", v)
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for v := ask(m, policy.GateToolCall, "nothing"); v.Decision != policy.Allow; v = ask(m, policy.GateToolCall, "nothing") {
		if ctx.Err() != nil {
			t.Fatalf("got %+v", v)
		}
	}
}

func TestARewriteIsOnlyForToolCalls(t *testing.T) {
	if v := ask(hostile(t), policy.GatePathAccess, "rewrite"); v.Decision != policy.Deny || !strings.Contains(v.Reason, "rewrites at the gate path.access") {
		t.Errorf("got %+v", v)
	}
}

func TestNothingOfOneEvaluationIsLeftForTheNext(t *testing.T) {
	m := apart(t, policy.Config{Instances: 1, Timeout: 20 * time.Second}, "hostile")
	for _, do := range []string{"count", "grow", "time", "chance"} {
		first := ask(m, policy.GateToolCall, do)
		if first.Decision != policy.Deny || first.Reason == "" || strings.HasPrefix(first.Reason, "policy hostile") {
			t.Fatalf("%s: got %+v", do, first)
		}
		for _, between := range []string{"nothing", "count", "grow", "garbage collection", "time", "chance", "panic", do} {
			ask(m, policy.GateToolCall, between)
			if v := ask(m, policy.GateToolCall, do); v.Reason != first.Reason {
				t.Errorf("%s after %s: got %q, before it %q", do, between, v.Reason, first.Reason)
			}
		}
	}
}

func TestAModuleSeesNothingButItsInput(t *testing.T) {
	m := hostile(t)
	if v := ask(m, policy.GateToolCall, "look around"); v.Reason != "0 variables, 0 arguments, file true, folder true" {
		t.Errorf("got %q", v.Reason)
	}
	if v := ask(m, policy.GateToolCall, "time"); v.Reason != "2000-01-01T00:00:00Z 0s" {
		t.Errorf("time goes by: %q", v.Reason)
	}
}

func TestAReasonIsOneBoundedLine(t *testing.T) {
	v := ask(hostile(t), policy.GateToolCall, "words")
	if v.Decision != policy.Deny || strings.ContainsAny(v.Reason, "\n\x00\u202e") || len(v.Reason) > 1100 {
		t.Errorf("got %q", v.Reason)
	}
}

func TestEvaluationsRunAtTheSameTime(t *testing.T) {
	m := hostile(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if v := ask(m, policy.GateToolCall, "nothing"); v.Decision != policy.Allow {
				t.Errorf("got %+v", v)
			}
		})
	}
	wg.Wait()
}

func TestACallerThatGivesUpGetsADenial(t *testing.T) {
	m := hostile(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	in := policy.Input{Gate: policy.GateToolCall, Params: json.RawMessage(`{"do":"loop"}`), Input: json.RawMessage(`{}`)}
	if v := m.Evaluate(ctx, in); v.Decision != policy.Deny {
		t.Errorf("got %+v", v)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if v := m.Evaluate(ctx, in); v.Decision != policy.Deny {
		t.Errorf("got %+v", v)
	}
}

func TestAnInputThatIsTooLargeOrBrokenIsADenial(t *testing.T) {
	m := hostile(t)
	for name, c := range map[string]struct {
		in   policy.Input
		want string
	}{
		"too large": {policy.Input{Input: json.RawMessage(`"` + strings.Repeat("x", 17<<20) + `"`)}, "the limit is 16777216"},
		"broken":    {policy.Input{Input: json.RawMessage(`{`)}, "can't be encoded"},
	} {
		if v := m.Evaluate(t.Context(), c.in); v.Decision != policy.Deny || !strings.Contains(v.Reason, c.want) {
			t.Errorf("%s: got %+v", name, v)
		}
	}
}

func TestResolveChecksAndFillsIn(t *testing.T) {
	m := hostile(t)
	for _, c := range []struct{ layers, want []string }{
		{nil, nil},
		{[]string{""}, []string{`{"n":3}`}},
		{[]string{"null"}, []string{`{"n":3}`}},
		{[]string{"", `{"n":1}`, `{}`}, []string{`{"n":3}`, `{"n":1}`}},
		{[]string{`{"n":2}`, `{"n":5}`, `{"do":"x"}`}, []string{`{"n":2}`, `{"n":5}`, `{"do":"x"}`}},
	} {
		layers := make([]json.RawMessage, len(c.layers))
		for i, l := range c.layers {
			layers[i] = json.RawMessage(l)
		}
		got, err := m.Resolve(layers...)
		if text := fmt.Sprintf("%s", got); err != nil || text != fmt.Sprint(c.want) {
			t.Errorf("%v: got %s, %v, want %v", c.layers, text, err, c.want)
		}
	}
	for params, want := range map[string]string{`{"n":9}`: "params.n", `{"m":1}`: "'m'", `[]`: "an object is needed", `{"n":"x"}`: "params.n", `{`: "an object is needed"} {
		for _, layers := range [][]json.RawMessage{{json.RawMessage(params)}, {nil, json.RawMessage(params)}} {
			if _, err := m.Resolve(layers...); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q in it", params, err, want)
			}
		}
	}
}

func TestShippedPoliciesJudgeTheirCasesAsWASM(t *testing.T) {
	for _, name := range shippedNames(t) {
		m := module(t, name)
		cases, err := sdktest.Load(filepath.Join("../../policies", name, "cases.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			t.Run(name+"/"+c.Name, func(t *testing.T) {
				raw, err := c.JSON()
				if err != nil {
					t.Fatal(err)
				}
				var in policy.Input
				if err := json.Unmarshal(raw, &in); err != nil {
					t.Fatal(err)
				}
				v := m.Evaluate(context.Background(), in)
				c.Check(t, sdk.Verdict{Decision: sdk.Decision(v.Decision), Reason: v.Reason, Rewrite: v.Rewrite, State: v.State})
			})
		}
	}
}

// BenchmarkVerdict is what one question to one policy costs, copying in and out and the wipe included.
func BenchmarkVerdict(b *testing.B) {
	for _, name := range shippedNames(b) {
		m := module(b, name)
		cases, err := sdktest.Load(filepath.Join("../../policies", name, "cases.yaml"))
		if err != nil {
			b.Fatal(err)
		}
		raw, err := cases[0].JSON()
		if err != nil {
			b.Fatal(err)
		}
		var in policy.Input
		if err := json.Unmarshal(raw, &in); err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				m.Evaluate(context.Background(), in)
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
