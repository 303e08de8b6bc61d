package policy_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/policies/sdk"
	"github.com/agcluster/agcluster/policies/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hostileManifest = `
name: hostile
gates: [tool.call, path.access]
params: {type: object, properties: {do: {type: string}, n: {type: integer, maximum: 5, default: 3}}, additionalProperties: false}
`

// build compiles a guest; the go command's cache makes the second time quick.
func build(tb testing.TB, pkg string) []byte {
	tb.Helper()
	out := filepath.Join(tb.TempDir(), "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if b, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("building %s: %v\n%s", pkg, err, b)
	}
	code, err := os.ReadFile(out)
	if err != nil {
		tb.Fatal(err)
	}
	return code
}

func runtime(tb testing.TB, cfg policy.Config) *policy.Runtime {
	tb.Helper()
	r, err := policy.New(context.Background(), cfg, zaptest.NewLogger(tb))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return r
}

func hostile(t *testing.T) *policy.Module {
	t.Helper()
	r := runtime(t, policy.Config{Instances: 2})
	if err := r.Load(context.Background(), []byte(hostileManifest), build(t, "./testdata/hostile")); err != nil {
		t.Fatal(err)
	}
	m, _ := r.Module("hostile")
	return m
}

func ask(m *policy.Module, gate policy.Gate, do string) policy.Verdict {
	return m.Evaluate(context.Background(), policy.Input{
		Gate: gate, Params: json.RawMessage(`{"do":"` + do + `"}`), Input: json.RawMessage(`{}`),
	})
}

func TestWhatGoesWrongInAModuleIsADenial(t *testing.T) {
	m := hostile(t)
	for do, reason := range map[string]string{
		"loop": "no answer within", "hog": "" /* its memory or its time, whichever ends first */, "panic": "trapped", "garbage": "no verdict", "unknown": "no known verdict",
		"extra": "no verdict", "rewrite": "rewrite is no object", "huge": "the limit is", "pointer": "outside of its memory",
	} {
		t.Run(do, func(t *testing.T) {
			v := ask(m, policy.GateToolCall, do)
			if v.Decision != policy.Deny || !strings.Contains(v.Reason, reason) {
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
}

func TestARewriteIsOnlyForToolCalls(t *testing.T) {
	if v := ask(hostile(t), policy.GatePathAccess, "rewrite"); v.Decision != policy.Deny {
		t.Errorf("got %+v", v)
	}
}

func TestNothingOfOneEvaluationIsLeftForTheNext(t *testing.T) {
	m := hostile(t)
	first := ask(m, policy.GateToolCall, "count")
	for range 5 {
		if v := ask(m, policy.GateToolCall, "count"); v.Reason != first.Reason {
			t.Errorf("the guest counts: %q after %q", v.Reason, first.Reason)
		}
	}
}

func TestAReasonIsOneBoundedLine(t *testing.T) {
	v := ask(hostile(t), policy.GateToolCall, "words")
	if v.Decision != policy.Deny || strings.ContainsAny(v.Reason, "\n\x00") || len(v.Reason) > 1100 {
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
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	v := hostile(t).Evaluate(ctx, policy.Input{Gate: policy.GateToolCall, Input: json.RawMessage(`{}`)})
	if v.Decision != policy.Deny {
		t.Errorf("got %+v", v)
	}
}

func TestResolveChecksAndFillsIn(t *testing.T) {
	m := hostile(t)
	got, err := m.Resolve(nil, json.RawMessage(`{"n":1}`), json.RawMessage(`{}`))
	if err != nil || len(got) != 2 || string(got[0]) != `{"n":3}` || string(got[1]) != `{"n":1}` {
		t.Errorf("got %s, %v", got, err)
	}
	for params, want := range map[string]string{`{"n":9}`: "params.n", `{"m":1}`: "'m'", `[]`: "an object is needed"} {
		if _, err := m.Resolve(json.RawMessage(params)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", params, err, want)
		}
	}
}

func TestLoadRefusesWhatItCanNotTrust(t *testing.T) {
	code := build(t, "./testdata/hostile")
	for name, c := range map[string]struct {
		manifest string
		code     []byte
		pins     map[string]string
		want     string
	}{
		"another digest":  {hostileManifest, code, map[string]string{"hostile": "sha256:00"}, "the pinned one"},
		"no wasm":         {hostileManifest, []byte("hello"), nil, "no WASM"},
		"cut off":         {hostileManifest, code[:len(code)/2], nil, "cut off"},
		"an unknown gate": {"name: x\ngates: [door]\n", code, nil, "unknown gate"},
		"an unknown key":  {"name: x\ngates: [tool.call]\nmood: bad\n", code, nil, "mood"},
	} {
		t.Run(name, func(t *testing.T) {
			r := runtime(t, policy.Config{Pins: c.pins})
			if err := r.Load(context.Background(), []byte(c.manifest), c.code); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

func shipped(tb testing.TB, name string) *policy.Module {
	tb.Helper()
	dir := filepath.Join("..", "..", "policies", name)
	manifest, err := os.ReadFile(filepath.Join(dir, "policy.yaml"))
	if err != nil {
		tb.Fatal(err)
	}
	r := runtime(tb, policy.Config{})
	if err := r.Load(context.Background(), manifest, build(tb, "../../policies/"+name)); err != nil {
		tb.Fatal(err)
	}
	m, _ := r.Module(name)
	return m
}

func shippedNames(tb testing.TB) []string {
	tb.Helper()
	found, err := filepath.Glob(filepath.Join("..", "..", "policies", "*", "policy.yaml"))
	if err != nil || len(found) < 3 {
		tb.Fatalf("the shipped policies are not where they should be: %v %v", found, err)
	}
	var names []string
	for _, f := range found {
		names = append(names, filepath.Base(filepath.Dir(f)))
	}
	return names
}

func TestShippedPoliciesJudgeTheirCasesAsWASM(t *testing.T) {
	for _, name := range shippedNames(t) {
		m := shipped(t, name)
		cases, err := sdktest.Load(filepath.Join("..", "..", "policies", name, "cases.yaml"))
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
				c.Check(t, sdk.Verdict{Decision: sdk.Decision(v.Decision), Reason: v.Reason, Rewrite: v.Rewrite})
			})
		}
		if _, err := m.Resolve(nil); err != nil {
			t.Errorf("%s: its own defaults are invalid: %v", name, err)
		}
	}
}

func BenchmarkEvaluate(b *testing.B) {
	for _, name := range shippedNames(b) {
		m := shipped(b, name)
		cases, err := sdktest.Load(filepath.Join("..", "..", "policies", name, "cases.yaml"))
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
			for b.Loop() {
				m.Evaluate(context.Background(), in)
			}
		})
	}
}

func FuzzLoadNeverPanics(f *testing.F) {
	f.Add([]byte("\x00asm\x01\x00\x00\x00"), []byte(hostileManifest))
	f.Fuzz(func(t *testing.T, code, manifest []byte) {
		r, err := policy.New(context.Background(), policy.Config{}, zaptest.NewLogger(t))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close(context.Background())
		_ = r.Load(context.Background(), manifest, code) // it may fail, it must not panic
	})
}
