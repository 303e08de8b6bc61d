package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/policies/sdk"
	"github.com/agcluster/agcluster/policies/sdk/sdktest"
)

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

// BenchmarkVerdict is what one question to one policy costs, copying in and out and the wipe included. Each policy is asked in turn; the
// figures are of all answers together.
func BenchmarkVerdict(b *testing.B) {
	modules, questions := []*policy.Module{}, []policy.Input{}
	for _, name := range shippedNames(b) {
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
		modules, questions = append(modules, module(b, name)), append(questions, in)
	}
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		modules[i%len(modules)].Evaluate(context.Background(), questions[i%len(modules)])
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "verdict_p50_us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "verdict_p99_us")
}

// TestVerdictsAreTheSameAfterARest asks from several sides while the module is put to rest again and again.
func TestVerdictsAreTheSameAfterARest(t *testing.T) {
	m := module(t, "tools")
	m.Lapse()
	if !m.Resting() {
		t.Fatal("nobody asks, and it does not rest")
	}
	in := policy.Input{
		Gate: policy.GateToolCall, Params: json.RawMessage(`{"deny":["Bash"]}`), Input: json.RawMessage(`{"tool":"Bash","input":{"command":"ls"}}`),
	}
	want := m.Evaluate(t.Context(), in)
	if want.Decision != policy.Deny || m.Resting() {
		t.Fatalf("%+v, resting %v", want, m.Resting())
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				m.Lapse()
			}
		}
	})
	var asking sync.WaitGroup
	for range 3 {
		asking.Go(func() {
			for range 5 {
				if got := m.Evaluate(t.Context(), in); got.Decision != want.Decision || got.Reason != want.Reason {
					t.Errorf("got %+v, want %+v", got, want)
				}
			}
		})
	}
	asking.Wait()
	close(stop)
	wg.Wait()
}
