package session

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// asking is a judgement by which a rule leaves a call to a person.
func asking(rule, reason string) Judgement {
	return Judgement{
		Ruling: RulingAsk, Reason: reason, Verdicts: []event.Verdict{{Gate: "tool.call", Decision: "ask", By: rule, Reason: reason}},
	}
}

// TestAllowedForTheSession has a person allow one call for the session; the next call is like it, but for one thing.
func TestAllowedForTheSession(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*agent.Ask)
		judge  Judgement
		// asked says that a person must be asked again, denied that nobody is.
		asked, denied bool
	}{
		{name: "the same call", judge: asking("policy:x", "risky")},
		{name: "another input", change: func(a *agent.Ask) { a.Input = json.RawMessage(`{"command":"rm"}`) }, judge: asking("policy:x", "risky")},
		{name: "a sub-agent's", change: func(a *agent.Ask) { a.Parent = "toolu_9" }, judge: asking("policy:x", "risky")},
		{name: "another tool", change: func(a *agent.Ask) { a.Tool = "Write" }, judge: asking("policy:x", "risky"), asked: true},
		{name: "another rule", judge: asking("policy:y", "risky"), asked: true},
		{name: "another reason", judge: asking("policy:x", "very risky"), asked: true},
		{name: "the CLI's own prompt", change: func(a *agent.Ask) { a.Stage = agent.StagePermission }, asked: true},
		{name: "a denial", judge: Judgement{Ruling: RulingDeny, Reason: "no"}, denied: true},
		{name: "nothing", judge: Judgement{}, denied: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				answers := make(chan agent.Answer, 2)
				next := call("b")
				if tc.change != nil {
					tc.change(&next)
				}
				h.guard.call = func(_ context.Context, ask agent.Ask) Judgement {
					if ask.ID == "a" {
						return asking("policy:x", "risky")
					}
					return tc.judge
				}
				id := h.launched(asker(answers, call("a"), next))
				turn := h.send(id, "hi")
				h.approve(id, Decision{Allow: true, ForSession: true})
				<-answers
				if tc.asked {
					h.wait(id, func(e event.Event) bool {
						r, ok := e.Data.(event.ApprovalRequired)
						if ok && r.ToolUseID == "toolu_b" {
							if err := h.Approve(context.Background(), id, r.Ask, Decision{}); err != nil {
								t.Error(err)
							}
						}
						return ok && r.ToolUseID == "toolu_b"
					})
				}
				if got := <-answers; got.Allow != (!tc.asked && !tc.denied) {
					t.Errorf("got %+v", got)
				}
				h.end(id, turn.Number)
				var told []event.ApprovalResolved
				h.wait(id, func(e event.Event) bool {
					if r, ok := e.Data.(event.ApprovalResolved); ok {
						told = append(told, r)
					}
					return e.Data.Type() == event.TypeComplete
				})
				want := 2
				if tc.denied {
					want = 1
				}
				if len(told) != want || told[0].Scope != event.ScopeSession || told[0].ToolUseID != "toolu_a" {
					t.Fatalf("got %+v", told)
				}
				if tc.asked || tc.denied {
					return
				}
				if r := told[1]; r.By != "person" || r.Decision != "allow" || r.Scope != event.ScopeSession || r.Tool != "Bash" ||
					r.ToolUseID != "toolu_b" || r.Parent != next.Parent || r.Ask == told[0].Ask {
					t.Errorf("got %+v", r)
				}
			})
		})
	}
}

func TestWhatIsAllowedForTheSessionOutlivesTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		answers := make(chan agent.Answer, 1)
		h.guard.call = rules(asking("policy:x", "risky"))
		id := h.launched(asker(answers, call("a")))
		turn := h.send(id, "hi")
		h.approve(id, Decision{Allow: true, ForSession: true})
		<-answers
		h.end(id, turn.Number)
		if err := h.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		h.log.Close()
		h.up()
		turn = h.send(id, "again")
		if got := <-answers; !got.Allow {
			t.Errorf("asked again: %+v", got)
		}
		h.end(id, turn.Number)
	})
}

func TestTooManyGrantsCountOnce(t *testing.T) {
	l := newLive(Session{}, 0)
	for i := range maxGrants {
		if !l.grant(string(rune('a' + i))) {
			t.Fatalf("no room for grant %d", i)
		}
	}
	if l.grant("one more") || len(l.rec.Grants) != maxGrants {
		t.Errorf("%d grants are kept", len(l.rec.Grants))
	}
	if !l.grant("a") {
		t.Error("one that is there is no new one")
	}
}
