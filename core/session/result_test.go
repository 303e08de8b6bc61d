package session

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// redacting is a guard that replaces what holds "secret" and withholds what holds "forbidden".
func redacting(judged *int) func(context.Context, agent.Ask) Judgement {
	return func(_ context.Context, ask agent.Ask) Judgement {
		*judged++
		verdict := []event.Verdict{{Gate: "tool.result", Decision: "rewrite", By: "filter:secrets", Reason: "redacted"}}
		switch {
		case strings.Contains(string(ask.Output), "secret"):
			return Judgement{Ruling: RulingAllow, Rewrite: []byte(`"***"`), Verdicts: verdict}
		case strings.Contains(string(ask.Output), "forbidden"):
			verdict[0].Decision = "deny"
			return Judgement{Ruling: RulingDeny, Reason: "withheld", Verdicts: verdict}
		default:
			return Judgement{Ruling: RulingAllow}
		}
	}
}

func TestResultsAreJudgedOnceAndThenRemembered(t *testing.T) {
	h := newHarness(t)
	judged := 0
	h.guard.result = redacting(&judged)
	rec, err := h.Launch(t.Context(), LaunchRequest{Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id, output, want string
		judged, verdicts int
	}{
		{"t1", `"fine"`, "", 1, 0},
		{"t1", `"secret now, but it has passed"`, "", 1, 0},
		{"t2", `"a secret"`, `"***"`, 2, 1},
		{"t2", `"a secret"`, `"***"`, 2, 1},
		{"t2", `"a secret, cut short"`, `"***"`, 3, 1},
		{"t3", `"forbidden"`, `"withheld"`, 4, 2},
	} {
		got, err := h.JudgeResult(t.Context(), rec.ID, agent.Ask{ToolUseID: c.id, Tool: "Bash", Output: json.RawMessage(c.output)})
		if err != nil || string(got) != c.want {
			t.Errorf("%s %s: %s %v, want %s", c.id, c.output, got, err, c.want)
		}
		if judged != c.judged {
			t.Errorf("%s %s: judged %d times, want %d", c.id, c.output, judged, c.judged)
		}
		if got := verdictsOf(t, h, rec.ID); len(got) != c.verdicts {
			t.Errorf("%s %s: verdicts %+v, want %d", c.id, c.output, got, c.verdicts)
		}
	}
	if !h.ResultPassed(rec.ID, "t1") || h.ResultPassed(rec.ID, "t2") || h.ResultPassed(rec.ID, "t9") || h.ResultPassed("conv-none", "t1") {
		t.Error("what has passed is not remembered, or more than that")
	}
	for _, v := range verdictsOf(t, h, rec.ID) {
		if v.Tool != "Bash" || v.ToolUseID == "" {
			t.Errorf("verdict %+v", v)
		}
	}
}

func verdictsOf(t *testing.T, h *harness, id string) []event.Verdict {
	t.Helper()
	all, err := h.History(t.Context(), id, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var found []event.Verdict
	for _, e := range all {
		if v, ok := e.Data.(event.Verdict); ok {
			found = append(found, v)
		}
	}
	return found
}

// What the hook rewrote is judged again as the model would see it, and not reported twice.
func TestHookedResultsPassOnlyUnchanged(t *testing.T) {
	h := newHarness(t)
	judged := 0
	h.guard.result = redacting(&judged)
	rec, err := h.Launch(t.Context(), LaunchRequest{Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := h.live(t.Context(), rec.ID)
	if err != nil {
		t.Fatal(err)
	}
	l.results.hooked("clean", true)
	l.results.hooked("rewritten", false)
	if !h.ResultPassed(rec.ID, "clean") || h.ResultPassed(rec.ID, "rewritten") {
		t.Error("the hooks' results are not told apart")
	}
	got, err := h.JudgeResult(t.Context(), rec.ID, agent.Ask{ToolUseID: "rewritten", Output: json.RawMessage(`"Exit code 1: secret"`)})
	if err != nil || string(got) != `"***"` || len(verdictsOf(t, h, rec.ID)) != 0 {
		t.Errorf("%s %v %+v", got, err, verdictsOf(t, h, rec.ID))
	}
}

func TestResultsWithoutARecordedVerdictDoNotPass(t *testing.T) {
	h := newHarness(t)
	judged := 0
	h.guard.result = redacting(&judged)
	rec, err := h.Launch(t.Context(), LaunchRequest{Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	h.mem.failing(func(string, []event.Event) error { return errors.New("disk full") })
	if got, err := h.JudgeResult(t.Context(), rec.ID, agent.Ask{ToolUseID: "t", Output: json.RawMessage(`"secret"`)}); err == nil {
		t.Errorf("got %s", got)
	}
	h.mem.failing(nil)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := h.JudgeResult(gone, rec.ID, agent.Ask{ToolUseID: "u", Output: json.RawMessage(`"fine"`)}); err == nil {
		t.Errorf("a caller that went away got %s", got)
	}
	if h.ResultPassed(rec.ID, "t") || h.ResultPassed(rec.ID, "u") {
		t.Error("a failure was remembered as a verdict")
	}
}

// ledger counts what it is told to keep out of logs.
type ledger map[string]int

func (l ledger) Add(s string)    { l[s]++ }
func (l ledger) Remove(s string) { l[s]-- }

func TestKeysAreRegisteredAsLongAsTheyAreHeld(t *testing.T) {
	told := ledger{}
	h := newHarness(t, func(c *Config) { c.Secrets = told })
	rec, err := h.Launch(t.Context(), LaunchRequest{Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := h.Authorize(t.Context(), rec.ID, "k"); err != nil {
			t.Fatal(err)
		}
	}
	if told["k"] != 1 {
		t.Errorf("held once, registered %d times", told["k"])
	}
	if err := h.Stop(t.Context(), rec.ID); err != nil {
		t.Fatal(err)
	}
	if told["k"] != 0 {
		t.Errorf("stopped, registered %d times", told["k"])
	}
}
