package session

import (
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// TestOnePersonIsAskedOnce has a gate leave a call to a person, who allows it; then the CLI prompts for it, or for something near it.
func TestOnePersonIsAskedOnce(t *testing.T) {
	for _, tc := range []struct {
		name string
		// judge is what the gate says; asking, unless given.
		judge Judgement
		// change is what the prompt differs in.
		change func(*agent.Ask)
		// before are asks between the two.
		before []agent.Ask
		// asked says that the person is asked again.
		asked bool
	}{
		{name: "the same call"},
		{name: "the same input in other words", change: func(a *agent.Ask) { a.Input = json.RawMessage("{\n \"command\": \"l\\u0073\" }") }},
		{name: "another input", change: func(a *agent.Ask) { a.Input = json.RawMessage(`{"command":"ls -l"}`) }, asked: true},
		{name: "more input", change: func(a *agent.Ask) { a.Input = json.RawMessage(`{"command":"ls","run_in_background":true}`) }, asked: true},
		{name: "no input", change: func(a *agent.Ask) { a.Input = nil }, asked: true},
		{name: "another call", change: func(a *agent.Ask) { a.ToolUseID = "toolu_z" }, asked: true},
		{name: "another tool", change: func(a *agent.Ask) { a.Tool = "Write" }, asked: true},
		{name: "a call without an id", change: func(a *agent.Ask) { a.ToolUseID = "" }, asked: true},
		{
			name: "the input that the person saw, rewritten at the gate", judge: Judgement{Ruling: RulingAsk, Rewrite: []byte(`{"command":"true"}`)},
			change: func(a *agent.Ask) { a.Input = json.RawMessage(`{"command":"true"}`) },
		},
		{
			name: "the input that the gate has rewritten", judge: Judgement{Ruling: RulingAsk, Rewrite: []byte(`{"command":"true"}`)}, asked: true,
		},
		{name: "nobody was asked at the gate", judge: Judgement{Ruling: RulingAllow}, asked: true},
		{name: "a second prompt for one call", before: []agent.Ask{prompt("p")}, asked: true},
		{name: "a prompt after the result", before: []agent.Ask{{ID: "r", Stage: agent.StageResult, Tool: "Bash", ToolUseID: "toolu_a", Output: json.RawMessage(`""`)}}, asked: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				judge := tc.judge
				if judge.Ruling == "" {
					judge = asking("policy:x", "risky")
				}
				h.guard.call = rules(judge)
				last := prompt("q")
				if tc.change != nil {
					tc.change(&last)
				}
				asks := append(append([]agent.Ask{call("a")}, tc.before...), last)
				answers := make(chan agent.Answer, len(asks))
				id := h.launched(asker(answers, asks...))
				turn := h.send(id, "hi")
				approved := 0
				// Whoever is asked allows it.
				h.wait(id, func(e event.Event) bool {
					if r, ok := e.Data.(event.ApprovalRequired); ok {
						approved++
						if err := h.Approve(t.Context(), id, r.Ask, Decision{Allow: true}); err != nil {
							t.Error(err)
						}
					}
					return e.Data.Type() == event.TypeComplete
				})
				h.end(id, turn.Number)
				want := 0
				if judge.Ruling == RulingAsk {
					want++
				}
				if tc.asked {
					want++
				}
				if approved != want {
					t.Errorf("a person was asked %d times, want %d", approved, want)
				}
				for range asks {
					if got := <-answers; !got.Allow {
						t.Errorf("got %+v", got)
					}
				}
			})
		})
	}
}

// prompt is what the CLI asks in permission mode default about call("a").
func prompt(id string) agent.Ask {
	ask := call("a")
	ask.ID, ask.Stage = id, agent.StagePermission
	return ask
}

func TestACallThatWasDeniedIsNoConsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.guard.call = rules(asking("policy:x", "risky"))
		answers := make(chan agent.Answer, 2)
		id := h.launched(asker(answers, call("a"), prompt("p")))
		turn := h.send(id, "hi")
		h.wait(id, func(e event.Event) bool {
			if r, ok := e.Data.(event.ApprovalRequired); ok {
				if err := h.Approve(t.Context(), id, r.Ask, Decision{}); err != nil {
					t.Error(err)
				}
			}
			return e.Data.Type() == event.TypeComplete
		})
		for range 2 {
			if got := <-answers; got.Allow {
				t.Errorf("got %+v", got)
			}
		}
		h.end(id, turn.Number)
	})
}

// TestAllowedForTheSessionCoversThePrompt has a person allow calls for the session in a permission mode that prompts for each.
func TestAllowedForTheSessionCoversThePrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.guard.call = rules(asking("policy:x", "risky"))
		second, prompted := call("b"), prompt("q")
		prompted.ToolUseID = second.ToolUseID
		answers := make(chan agent.Answer, 4)
		id := h.launched(asker(answers, call("a"), prompt("p"), second, prompted))
		turn := h.send(id, "hi")
		h.approve(id, Decision{Allow: true, ForSession: true})
		for range 4 {
			if got := <-answers; !got.Allow {
				t.Errorf("got %+v", got)
			}
		}
		h.end(id, turn.Number)
	})
}

func TestNoMoreConsentsAreKeptThanThereAreAsks(t *testing.T) {
	var c consents
	for i := range maxAsks + 1 {
		ask := call(string(rune('a' + i)))
		c.give(ask)
	}
	if len(c.byUse) != maxAsks {
		t.Errorf("%d are kept", len(c.byUse))
	}
	if c.take(call(string(rune('a' + maxAsks)))) {
		t.Error("one that is not kept was found")
	}
	c.drop("toolu_a")
	if c.take(call("a")) || !c.take(call("b")) || c.take(call("b")) {
		t.Error("a consent counts once, until it is dropped")
	}
}
