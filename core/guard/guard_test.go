package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk"
)

func TestPoliciesThenFiltersThenPoliciesAgainThenAPerson(t *testing.T) {
	pass := func() *filter { return &filter{} }
	for name, c := range map[string]struct {
		operator, own []preset.Policy
		filters       []*filter
		url           string
		ruling        session.Ruling
		reason        string
		rewrite       string
		told          []string
		seen          []string // by the last filter
	}{
		"nobody minds": {
			filters: []*filter{pass(), pass()}, url: "a", ruling: session.RulingAllow, seen: []string{`{"url":"a"}`},
		},
		"a policy denies, and no filter is asked": {
			operator: []preset.Policy{puppet("puppet", `{"gate":"tool.call","verdict":"deny","reason":"no"}`)},
			filters:  []*filter{pass()}, url: "a", ruling: session.RulingDeny, reason: "no",
			told: []string{"tool.call deny policy:puppet: no"},
		},
		"a policy denies without a reason": {
			operator: []preset.Policy{puppet("puppet", `{"gate":"tool.call","verdict":"deny"}`)},
			url:      "a", ruling: session.RulingDeny, reason: "denied by the policy", told: []string{"tool.call deny policy:puppet: denied by the policy"},
		},
		"a policy rewrites, and all are asked about that": {
			operator: []preset.Policy{
				puppet("puppet", `{"gate":"tool.call","contains":"\"b\"","verdict":"ask","reason":"b is dear"}`),
				puppet("other", `{"gate":"tool.call","contains":"\"a\"","verdict":"rewrite","reason":"not a","rewrite":{"url":"b"}}`),
			},
			filters: []*filter{pass()}, url: "a", ruling: session.RulingAsk, reason: "b is dear", rewrite: `{"url":"b"}`,
			told: []string{"tool.call rewrite policy:other: not a", "tool.call ask policy:puppet: b is dear"}, seen: []string{`{"url":"b"}`},
		},
		"an ask does not keep a later policy from denying": {
			operator: []preset.Policy{
				puppet("puppet", `{"gate":"tool.call","verdict":"ask","reason":"hm"}`), puppet("other", `{"gate":"tool.call","verdict":"deny","reason":"no"}`),
			},
			url: "a", ruling: session.RulingDeny, reason: "no", told: []string{"tool.call deny policy:other: no"},
		},
		"a filter rewrites, the next sees that, and the policies too": {
			operator: []preset.Policy{puppet("puppet", `{"gate":"tool.call","contains":"\"b\"","verdict":"deny","reason":"not b"}`)},
			filters:  []*filter{rewriting(`{"url":"b"}`), pass()}, url: "a", ruling: session.RulingDeny, reason: "not b",
			told: []string{"tool.call rewrite filter:f0: rewritten", "tool.call deny policy:puppet: not b"}, seen: []string{`{"url":"b"}`},
		},
		"a filter rewrites and nobody minds": {
			operator: []preset.Policy{puppet("puppet", `{"gate":"tool.call","contains":"\"c\"","verdict":"deny","reason":"not c"}`)},
			filters:  []*filter{rewriting(`{"url":"b"}`)}, url: "a", ruling: session.RulingAllow, rewrite: `{"url":"b"}`,
			told: []string{"tool.call rewrite filter:f0: rewritten"}, seen: []string{`{"url":"a"}`},
		},
		"a policy rewrites what a filter has rewritten": {
			operator: []preset.Policy{puppet("puppet", `{"gate":"tool.call","contains":"\"b\"","verdict":"rewrite","reason":"not b","rewrite":{"url":"c"}}`)},
			filters:  []*filter{rewriting(`{"url":"b"}`)}, url: "a", ruling: session.RulingAllow, rewrite: `{"url":"c"}`,
			told: []string{"tool.call rewrite filter:f0: rewritten", "tool.call rewrite policy:puppet: not b"}, seen: []string{`{"url":"a"}`},
		},
		"a filter denies, and the next is not asked": {
			filters: []*filter{answering(sdk.Outcome{Decision: sdk.Deny, Reason: "no"}, nil), pass()}, url: "a", ruling: session.RulingDeny, reason: "no",
			told: []string{"tool.call deny filter:f0: no"},
		},
		"policy and filter ask, and a person hears the first": {
			operator: []preset.Policy{puppet("puppet", `{"gate":"tool.call","verdict":"ask","reason":"first"}`)},
			filters:  []*filter{answering(sdk.Outcome{Decision: sdk.Ask, Reason: "second"}, nil)}, url: "a", ruling: session.RulingAsk, reason: "first",
			told: []string{"tool.call ask policy:puppet: first", "tool.call ask filter:f0: second"}, seen: []string{`{"url":"a"}`},
		},
		"a filter asks without a reason": {
			filters: []*filter{answering(sdk.Outcome{Decision: sdk.Ask}, nil)}, url: "a", ruling: session.RulingAsk, reason: "asked for by filter:f0",
			told: []string{"tool.call ask filter:f0: asked for by filter:f0"}, seen: []string{`{"url":"a"}`},
		},
		"the operator's policies come first": {
			operator: []preset.Policy{puppet("other", `{"gate":"tool.call","verdict":"deny","reason":"operator"}`)},
			own:      []preset.Policy{puppet("puppet", `{"gate":"tool.call","verdict":"deny","reason":"preset"}`)},
			url:      "a", ruling: session.RulingDeny, reason: "operator", told: []string{"tool.call deny policy:other: operator"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			filters := map[string]*filter{}
			cfg := Config{Policies: c.operator}
			for i, f := range c.filters {
				filters[fmt.Sprintf("f%d", i)] = f
				cfg.Filters = append(cfg.Filters, fmt.Sprintf("f%d", i))
			}
			g := newRig(t, cfg, filters)
			j := g.Call(t.Context(), scope("s", c.own...), fetch(c.url))
			if j.Ruling != c.ruling || j.Reason != c.reason || string(j.Rewrite) != c.rewrite || !slices.Equal(told(j), c.told) {
				t.Errorf("got %s %q %s\n%s", j.Ruling, j.Reason, j.Rewrite, strings.Join(told(j), "\n"))
			}
			if len(c.filters) > 0 {
				if last := c.filters[len(c.filters)-1]; !slices.Equal(last.seen, c.seen) {
					t.Errorf("the last filter saw %v, want %v", last.seen, c.seen)
				}
			}
		})
	}
}

func TestAConfigurationCanOnlyNarrow(t *testing.T) {
	operator := puppet("puppet", `{"gate":"tool.call","contains":"forbidden","verdict":"deny","reason":"the operator forbids it"}`)
	g := newRig(t, Config{Policies: []preset.Policy{operator}, Filters: []string{"first"}}, map[string]*filter{
		"first": {}, "second": answering(sdk.Outcome{Decision: sdk.Deny, Reason: "the preset's filter"}, nil),
	})
	wide := puppet("puppet", `{"gate":"tool.call","verdict":"allow"}`)
	narrow := puppet("puppet", `{"gate":"tool.call","contains":"dear","verdict":"ask","reason":"the preset asks"}`)
	for url, c := range map[string]struct {
		own    preset.Policy
		ruling session.Ruling
		reason string
	}{
		"forbidden":      {wide, session.RulingDeny, "the operator forbids it"},
		"other":          {wide, session.RulingAllow, ""},
		"dear":           {narrow, session.RulingAsk, "the preset asks"},
		"dear forbidden": {narrow, session.RulingDeny, "the operator forbids it"},
		"cheap":          {narrow, session.RulingAllow, ""},
	} {
		if j := g.Call(t.Context(), scope("session for "+url, c.own), fetch(url)); j.Ruling != c.ruling || j.Reason != c.reason {
			t.Errorf("%s: got %s %q", url, j.Ruling, j.Reason)
		}
	}
	s := scope("filters")
	s.Config.Filters = []string{"second", "first"}
	before := len(g.filters["first"].seen)
	if j := g.Call(t.Context(), s, fetch("x")); j.Ruling != session.RulingDeny || j.Reason != "the preset's filter" {
		t.Errorf("got %s %q", j.Ruling, j.Reason)
	}
	if asked := len(g.filters["first"].seen) - before; asked != 1 {
		t.Errorf("a filter of both layers was asked %d times", asked)
	}
}

func TestWhateverGoesWrongIsADenial(t *testing.T) {
	big := json.RawMessage(`{"url":"` + strings.Repeat("x", 1<<20) + `"}`)
	secret := errors.New("secret words of the plugin")
	for name, c := range map[string]struct {
		policy preset.Policy
		filter *filter
		input  json.RawMessage
		change func(*rig)
		cancel bool
		by     string
		reason string
	}{
		"an unknown policy":          {policy: preset.Policy{Name: "nobody"}, by: "host", reason: "the session's policies can't be resolved"},
		"bad parameters":             {policy: preset.Policy{Name: "puppet", Params: json.RawMessage(`{"rule":[]}`)}, by: "host", reason: "the session's policies can't be resolved"},
		"a policy that loops":        {policy: puppet("puppet", `{"gate":"tool.call","loop":true}`), by: "policy:puppet", reason: "policy puppet: no answer within 1s"},
		"a policy that says nothing": {policy: puppet("puppet", `{"gate":"tool.call","verdict":"perhaps"}`), by: "policy:puppet", reason: "policy puppet: its answer has no known verdict"},
		"a rewrite that is none":     {policy: puppet("puppet", `{"gate":"tool.call","verdict":"rewrite","rewrite":[]}`), by: "policy:puppet", reason: "policy puppet: its rewrite is no object"},
		"rewrites without end":       {policy: puppet("puppet", `{"gate":"tool.call","verdict":"rewrite","rewrite":{"url":"b"}}`), by: "policy:puppet", reason: "its rewrite can't be used"},
		"a state that is too large":  {policy: puppet("puppet", `{"gate":"tool.call","verdict":"allow","fill":70000}`), by: "policy:puppet", reason: "the policy's state can't be kept"},
		"a state that can't be read": {
			policy: puppet("puppet"), change: func(r *rig) { r.states.before = func(string) error { return errors.New("disk") } },
			by: "policy:puppet", reason: "the policy's state can't be kept",
		},
		"a state that can't be written": {
			policy: puppet("puppet", `{"gate":"tool.call","verdict":"allow","count":true}`), change: func(r *rig) { r.states.put = errors.New("disk") },
			by: "policy:puppet", reason: "the policy's state can't be kept",
		},
		"a path that is to be rewritten": {
			policy: puppet("puppet", `{"gate":"path.access","verdict":"rewrite","rewrite":{}}`), by: "policy:puppet",
			reason: "policy puppet: it rewrites at the gate path.access",
		},
		"an unknown filter":       {change: func(r *rig) { delete(r.filters, "f") }, by: "filter:f", reason: "the filter failed: see the host's log"},
		"a filter that fails":     {filter: answering(sdk.Outcome{}, secret), by: "filter:f", reason: "the filter failed: see the host's log"},
		"a filter that died":      {filter: answering(sdk.Outcome{}, fmt.Errorf("x: %w", sdk.ErrPluginExited)), by: "filter:f", reason: "the filter failed: its process ended"},
		"a filter that is late":   {filter: answering(sdk.Outcome{}, fmt.Errorf("x: %w", context.DeadlineExceeded)), by: "filter:f", reason: "the filter failed: no answer in time"},
		"no decision":             {filter: answering(sdk.Outcome{}, nil), by: "filter:f", reason: "denied by the filter"},
		"an unknown decision":     {filter: answering(sdk.Outcome{Decision: "allow"}, nil), by: "filter:f", reason: "denied by the filter"},
		"a replacement of nobody": {filter: rewriting(``), by: "filter:f", reason: "the filter's replacement is no JSON object"},
		"a replacement list":      {filter: rewriting(`[1]`), by: "filter:f", reason: "the filter's replacement is no JSON object"},
		"a replacement null":      {filter: rewriting(`null`), by: "filter:f", reason: "the filter's replacement is no JSON object"},
		"a large replacement":     {filter: rewriting(string(big)), by: "filter:f", reason: "the filter's replacement is 1048586 bytes long, the limit is 1048576"},
		"no input":                {input: json.RawMessage(``), by: "host", reason: "the tool's input is no JSON object"},
		"an input that is null":   {input: json.RawMessage(`null`), by: "host", reason: "the tool's input is no JSON object"},
		"an input that is a list": {input: json.RawMessage(`[]`), by: "host", reason: "the tool's input is no JSON object"},
		"an input that is broken": {input: json.RawMessage(`{"url":`), by: "host", reason: "the tool's input is no JSON object"},
		"an input that is large":  {input: big, by: "host", reason: "the tool's input has 1048586 bytes, the limit is 1048576"},
		"a turn that has ended":   {policy: puppet("puppet"), cancel: true, by: "host"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.filter == nil {
				c.filter = &filter{}
			}
			g := newRig(t, Config{Filters: []string{"f"}}, map[string]*filter{"f": c.filter})
			if c.change != nil {
				c.change(g)
			}
			s := scope("s")
			if c.policy.Name != "" {
				s = scope("s", c.policy)
			}
			ask := fetch("a")
			if c.input != nil {
				ask.Input = c.input
			}
			if strings.HasPrefix(name, "a path") {
				ask.Tool, ask.Input = "Read", json.RawMessage(`{"file_path":"/workspace/a"}`)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.cancel {
				cancel()
			}
			j := g.Call(ctx, s, ask)
			if j.Ruling != session.RulingDeny || len(j.Verdicts) == 0 || j.Reason == "" {
				t.Fatalf("got %+v", j)
			}
			last := j.Verdicts[len(j.Verdicts)-1]
			if last.Decision != "deny" || last.By != c.by || last.Reason != j.Reason || (c.reason != "" && j.Reason != c.reason) {
				t.Errorf("got %+v", j)
			}
			if strings.Contains(fmt.Sprint(j), "secret words") {
				t.Error("a plugin's own words must stay in the log")
			}
		})
	}
}

func TestAFilterThatHangsIsADenialInTime(t *testing.T) {
	hang := func(ctx context.Context) (sdk.Outcome, error) {
		<-ctx.Done()
		return sdk.Outcome{}, ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, Config{Filters: []string{"f"}, FilterTimeout: 7 * time.Second}, map[string]*filter{"f": {
			call:   func(ctx context.Context, _ sdk.Call) (sdk.Outcome, error) { return hang(ctx) },
			result: func(ctx context.Context, _ sdk.Result) (sdk.Outcome, error) { return hang(ctx) },
		}})
		for name, judge := range map[string]func() session.Judgement{
			"call": func() session.Judgement { return g.Call(t.Context(), scope("s"), fetch("a")) },
			"result": func() session.Judgement {
				return g.Result(t.Context(), scope("s"), agent.Ask{Tool: "WebFetch", Output: json.RawMessage(`"x"`)})
			},
		} {
			began := time.Now()
			j := judge()
			if took := time.Since(began); j.Ruling != session.RulingDeny || j.Reason != "the filter failed: no answer in time" || took != 7*time.Second {
				t.Errorf("%s: got %+v after %s", name, j, took)
			}
		}
	})
}

func TestResults(t *testing.T) {
	replace := func(to string) *filter { return rewriting(to) }
	for name, c := range map[string]struct {
		filters []*filter
		output  string
		ruling  session.Ruling
		reason  string
		rewrite string
		told    []string
	}{
		"passed":               {[]*filter{{}, {}}, `{"stdout":"x"}`, session.RulingAllow, "", "", nil},
		"rewritten":            {[]*filter{replace(`"y"`), {}}, `"x"`, session.RulingAllow, "", `"y"`, []string{"tool.result rewrite filter:f0: rewritten"}},
		"rewritten as it was":  {[]*filter{replace(`"x"`)}, `"x"`, session.RulingAllow, "", "", []string{"tool.result rewrite filter:f0: rewritten"}},
		"denied":               {[]*filter{answering(sdk.Outcome{Decision: sdk.Deny, Reason: "no"}, nil), {}}, `"x"`, session.RulingDeny, "no", "", []string{"tool.result deny filter:f0: no"}},
		"asked for":            {[]*filter{answering(sdk.Outcome{Decision: sdk.Ask}, nil)}, `"x"`, session.RulingDeny, "denied by the filter", "", []string{"tool.result deny filter:f0: denied by the filter"}},
		"rewritten to no JSON": {[]*filter{replace(`{`)}, `"x"`, session.RulingDeny, "rewritten", "", []string{"tool.result deny filter:f0: rewritten"}},
		"failed":               {[]*filter{answering(sdk.Outcome{}, errors.New("x"))}, `"x"`, session.RulingDeny, "the filter failed: see the host's log", "", []string{"tool.result deny filter:f0: the filter failed: see the host's log"}},
		"no JSON":              {nil, `{`, session.RulingDeny, "the tool's output is no valid JSON", "", []string{"tool.result deny host: the tool's output is no valid JSON"}},
		"nothing":              {[]*filter{{}}, ``, session.RulingAllow, "", "", nil},
		"very large":           {nil, `"` + strings.Repeat("x", 8<<20) + `"`, session.RulingDeny, "the tool's output has 8388610 bytes, the limit is 8388608", "", []string{"tool.result deny host: the tool's output has 8388610 bytes, the limit is 8388608"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, filters := Config{}, map[string]*filter{}
			for i, f := range c.filters {
				filters[fmt.Sprintf("f%d", i)] = f
				cfg.Filters = append(cfg.Filters, fmt.Sprintf("f%d", i))
			}
			j := newRig(t, cfg, filters).Result(t.Context(), scope("s"), agent.Ask{Tool: "Bash", ToolUseID: "t", Output: json.RawMessage(c.output)})
			if j.Ruling != c.ruling || j.Reason != c.reason || string(j.Rewrite) != c.rewrite || !slices.Equal(told(j), c.told) {
				t.Errorf("got %s %q %s\n%s", j.Ruling, j.Reason, j.Rewrite, strings.Join(told(j), "\n"))
			}
		})
	}
}

func TestFiltersLearnWhoseCallItIs(t *testing.T) {
	var call sdk.Call
	var result sdk.Result
	g := newRig(t, Config{Filters: []string{"f"}}, map[string]*filter{"f": {
		call: func(_ context.Context, c sdk.Call) (sdk.Outcome, error) {
			call = c
			return sdk.Outcome{Decision: sdk.Pass}, nil
		},
		result: func(_ context.Context, r sdk.Result) (sdk.Outcome, error) {
			result = r
			return sdk.Outcome{Decision: sdk.Pass}, nil
		},
	}})
	ask := fetch("a")
	ask.Parent, ask.IsError, ask.Output = "parent", true, json.RawMessage(`"x"`)
	g.Call(t.Context(), scope("s"), ask)
	g.Result(t.Context(), scope("s"), ask)
	for _, c := range []sdk.Call{call, result.Call} {
		if c.SessionID != "s" || c.ToolUseID != "t" || c.Tool != "WebFetch" || c.Parent != "parent" || string(c.Input) != `{"url":"a"}` {
			t.Errorf("got %+v", c)
		}
	}
	if !result.IsError || string(result.Output) != `"x"` {
		t.Errorf("got %+v", result)
	}
}

func TestPathsOfACallAreJudged(t *testing.T) {
	g := newRig(t, Config{Policies: []preset.Policy{puppet("puppet",
		`{"gate":"path.access","contains":"/etc/","verdict":"deny","reason":"not there"}`,
		`{"gate":"path.access","contains":"/dear/","verdict":"ask","reason":"dear"}`)}}, nil)
	many := ""
	for i := range 1001 {
		many += fmt.Sprintf(" /tmp/%d", i)
	}
	for _, c := range []struct {
		tool, field, value string
		ruling             session.Ruling
		told               []string
	}{
		{"Read", "file_path", "/workspace/a", session.RulingAllow, nil},
		{"Read", "file_path", "../etc/passwd", session.RulingDeny, []string{"path.access deny policy:puppet: not there"}},
		{"Write", "file_path", "dear/x", session.RulingAsk, []string{"path.access ask policy:puppet: dear"}},
		{"Bash", "command", "ls /workspace/dear/x; cat /etc/passwd", session.RulingDeny, []string{"path.access ask policy:puppet: dear", "path.access deny policy:puppet: not there"}},
		{"Bash", "command", "ls" + many, session.RulingDeny, []string{"tool.call deny host: the call names 1001 paths, the limit is 1000"}},
		{"Bash", "command", "ls" + strings.Repeat(" /tmp/x", 300), session.RulingAllow, nil},
		{"WebFetch", "url", "/etc/passwd", session.RulingAllow, nil},
	} {
		input, err := json.Marshal(map[string]string{c.field: c.value})
		if err != nil {
			t.Fatal(err)
		}
		j := g.Call(t.Context(), scope("s"), agent.Ask{Tool: c.tool, Input: input})
		if j.Ruling != c.ruling || !slices.Equal(told(j), c.told) {
			t.Errorf("%s %.60s: got %+v", c.tool, c.value, j)
		}
	}
}

func TestAFilterIsNoWayAroundThePaths(t *testing.T) {
	g := newRig(t, Config{
		Policies: []preset.Policy{puppet("puppet", `{"gate":"path.access","contains":"/etc/","verdict":"deny","reason":"not there"}`)}, Filters: []string{"f"},
	}, map[string]*filter{"f": rewriting(`{"file_path":"/etc/passwd"}`)})
	j := g.Call(t.Context(), scope("s"), agent.Ask{Tool: "Read", Input: json.RawMessage(`{"file_path":"a"}`)})
	if j.Ruling != session.RulingDeny || j.Reason != "not there" || len(j.Rewrite) > 0 {
		t.Errorf("got %+v", j)
	}
}

func TestStatesAreKeptPerSessionAndLayer(t *testing.T) {
	count := puppet("puppet", `{"gate":"tool.call","verdict":"ask","reason":"call ","count":true}`)
	g := newRig(t, Config{Policies: []preset.Policy{count}}, nil)
	for i := range 3 {
		if j := g.Call(t.Context(), scope("a", count), fetch("x")); j.Reason != fmt.Sprintf("call %d", i+1) {
			t.Errorf("got %q", j.Reason)
		}
	}
	if j := g.Call(t.Context(), scope("b"), fetch("x")); j.Reason != "call 1" {
		t.Errorf("another session: got %q", j.Reason)
	}
	for key, want := range map[string]string{"a puppet/0": "3", "a puppet/1": "3", "b puppet/0": "1"} {
		if got := string(g.states.kept[key]); got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
	// Another guard over the same store, as after a restart, goes on where the first one was.
	after := newRig(t, Config{Policies: []preset.Policy{count}}, nil)
	after.states.kept = g.states.kept
	if j := after.Call(t.Context(), scope("a"), fetch("x")); j.Reason != "call 4" {
		t.Errorf("after a restart: got %q", j.Reason)
	}
}

func TestCallsOfOneSessionAreJudgedOneAfterTheOther(t *testing.T) {
	count := puppet("puppet", `{"gate":"tool.call","verdict":"deny","reason":"call ","count":true}`)
	g := newRig(t, Config{Policies: []preset.Policy{count}}, nil)
	const n = 24
	reasons := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { reasons[i] = g.Call(t.Context(), scope("a"), fetch("x")).Reason })
	}
	wg.Wait()
	slices.Sort(reasons)
	if unique := slices.Compact(slices.Clone(reasons)); len(unique) != n || string(g.states.kept["a puppet/0"]) != fmt.Sprint(n) {
		t.Errorf("two calls read the same state: %v", reasons)
	}
}

func TestOneSessionDoesNotHoldUpOthers(t *testing.T) {
	g := newRig(t, Config{Policies: []preset.Policy{puppet("puppet")}}, nil)
	stuck, release := make(chan struct{}), make(chan struct{})
	g.states.before = func(id string) error {
		if id == "stuck" {
			close(stuck)
			<-release
		}
		return nil
	}
	done := make(chan session.Judgement, 1)
	go func() { done <- g.Call(context.Background(), scope("stuck"), fetch("x")) }()
	<-stuck
	// Sessions share locks, so one of many is enough, and of one that waits the caller can give up.
	answered := 0
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if j := g.Call(ctx, scope(fmt.Sprint(i)), fetch("x")); j.Ruling == session.RulingAllow {
			answered++
		}
		cancel()
	}
	if answered == 0 {
		t.Error("all sessions wait for one")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if j := g.Call(ctx, scope("stuck"), fetch("x")); j.Ruling != session.RulingDeny {
		t.Errorf("got %+v", j)
	}
	close(release)
	if j := <-done; j.Ruling != session.RulingAllow {
		t.Errorf("got %+v", j)
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	g := newRig(t, Config{}, map[string]*filter{"f": {}})
	for name, c := range map[string]struct {
		config preset.Config
		want   string
	}{
		"fine":              {preset.Config{Policies: []preset.Policy{puppet("puppet")}, Filters: []string{"f"}}, ""},
		"an unknown policy": {preset.Config{Policies: []preset.Policy{{Name: "nobody"}}}, `policy "nobody": no such module`},
		"bad parameters":    {preset.Config{Policies: []preset.Policy{{Name: "puppet", Params: json.RawMessage(`{"rules":1}`)}}}, `policy "puppet": params.rules`},
		"an unknown filter": {preset.Config{Filters: []string{"g"}}, `filter "g": there is no plugin filter-g`},
	} {
		err := g.Check(t.Context(), c.config)
		if (c.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
