package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
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

// guests are the modules of this package's tests by name: the shipped ones and testdata/hostile, built once. Compiled code is kept in
// cacheDir between the runtimes of one run.
var (
	guests   map[string][]byte
	cacheDir string
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "agc")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	cacheDir = filepath.Join(dir, "cache")
	manifests, err := filepath.Glob("../../policies/*/policy.yaml")
	if err != nil || len(manifests) < 3 {
		return 1, fmt.Errorf("the shipped policies are not where they should be: %v, %w", manifests, err)
	}
	packages := map[string]string{"hostile": "./testdata/hostile"}
	for _, path := range manifests {
		packages[filepath.Base(filepath.Dir(path))] = filepath.Dir(path)
	}
	guests = map[string][]byte{}
	for name, pkg := range packages {
		out := filepath.Join(dir, name+".wasm")
		cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, pkg)
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
		if b, err := cmd.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("building %s: %w\n%s", pkg, err, b)
		}
		if guests[name], err = os.ReadFile(out); err != nil {
			return 1, err
		}
	}
	code := m.Run()
	if code == 0 {
		err = goleak.Find()
	}
	return code, err
}

func shippedNames() []string {
	var names []string
	for name := range guests {
		if name != "hostile" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func newRuntime(tb testing.TB, cfg policy.Config) (*policy.Runtime, *observer.ObservedLogs) {
	tb.Helper()
	core, logs := observer.New(zap.InfoLevel)
	cfg.CacheDir = cacheDir
	r, err := policy.New(context.Background(), cfg, zap.New(core))
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
	return r, logs
}

// loaded loads one module; its manifest is the shipped one's, or what follows.
func loaded(tb testing.TB, cfg policy.Config, name string) (*policy.Module, *observer.ObservedLogs) {
	tb.Helper()
	manifest := []byte(hostileManifest)
	if name != "hostile" {
		var err error
		if manifest, err = os.ReadFile(filepath.Join("../../policies", name, "policy.yaml")); err != nil {
			tb.Fatal(err)
		}
	}
	r, logs := newRuntime(tb, cfg)
	if err := r.Load(context.Background(), manifest, guests[name]); err != nil {
		tb.Fatal(err)
	}
	m, _ := r.Module(name)
	return m, logs
}

func hostile(t *testing.T) *policy.Module {
	t.Helper()
	m, _ := loaded(t, policy.Config{Instances: 2}, "hostile")
	return m
}

func ask(m *policy.Module, gate policy.Gate, do string) policy.Verdict {
	return m.Evaluate(context.Background(), policy.Input{
		Gate: gate, Params: json.RawMessage(`{"do":"` + do + `"}`), Input: json.RawMessage(`{}`),
	})
}

func TestWhatGoesWrongInAModuleIsADenial(t *testing.T) {
	m, logs := loaded(t, policy.Config{Instances: 2}, "hostile")
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
	for _, e := range logs.FilterMessage("a policy failed").All() {
		text, _ := e.ContextMap()["stderr"].(string)
		logged = logged || strings.Contains(text, "secret words of the guest")
	}
	if !logged {
		t.Error("what the guest said when it panicked is nowhere")
	}
}

// TestTheHostGoesOnWhileAModuleLoops: a guest that never yields must not stop the garbage collector, and with it everything else.
func TestTheHostGoesOnWhileAModuleLoops(t *testing.T) {
	m := hostile(t)
	other, _ := loaded(t, policy.Config{}, "path")
	for range 3 {
		var verdict atomic.Pointer[policy.Verdict]
		var wg sync.WaitGroup
		began := time.Now()
		wg.Go(func() {
			v := ask(m, policy.GateToolCall, "loop")
			verdict.Store(&v)
		})
		answered := 0
		for verdict.Load() == nil {
			goruntime.GC()
			for _, v := range []policy.Verdict{
				ask(m, policy.GateToolCall, "nothing"),
				other.Evaluate(t.Context(), policy.Input{Gate: policy.GatePathAccess, Input: json.RawMessage(`{"op":"read","path":"/x"}`)}),
			} {
				if v.Decision != policy.Allow {
					t.Fatalf("got %+v", v)
				}
			}
			if verdict.Load() == nil {
				answered++
			}
		}
		wg.Wait()
		if answered == 0 {
			t.Error("nothing was answered while the module looped")
		}
		if took := time.Since(began); verdict.Load().Decision != policy.Deny || took > 20*time.Second {
			t.Errorf("got %+v after %s", verdict.Load(), took)
		}
	}
}

func TestEveryInstanceMayBeStuckAtOnce(t *testing.T) {
	m, _ := loaded(t, policy.Config{Instances: 2, Timeout: 100 * time.Millisecond}, "hostile")
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
	m, _ := loaded(t, policy.Config{Instances: 1, Timeout: 20 * time.Second}, "hostile")
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
	if v := ask(m, policy.GateToolCall, "look around"); v.Reason != "0 variables, 0 arguments, file true, folder true, network true" {
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
	for _, name := range shippedNames() {
		m, _ := loaded(t, policy.Config{}, name)
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
	for _, name := range shippedNames() {
		m, _ := loaded(b, policy.Config{}, name)
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
