package session

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

func call(id string) agent.Ask {
	return agent.Ask{
		ID: id, Stage: agent.StageCall, Tool: "Bash", ToolUseID: "toolu_" + id, Parent: "toolu_0",
		Input: json.RawMessage(`{"command": "ls"}`),
	}
}

// asker is an agent that puts asks one after the other, hands out the answers, and completes.
func asker(answers chan<- agent.Answer, asks ...agent.Ask) script {
	return func(ctx context.Context, a *fakeAgent, _ agent.TurnRequest, fn func(agent.Frame) error) error {
		for _, ask := range asks {
			answer, err := a.ask(ctx, fn, ask)
			if err != nil {
				return err
			}
			answers <- answer
		}
		return emit(fn, completed())
	}
}

func rules(j Judgement) func(context.Context, agent.Ask) Judgement {
	return func(context.Context, agent.Ask) Judgement { return j }
}

func TestJudgementsBecomeAnswers(t *testing.T) {
	rewrite := []byte(`{"command":"true"}`)
	deny := event.Verdict{Gate: "tool.call", Decision: "deny", By: "policy:x", Reason: "no"}
	rewritten := event.Verdict{Gate: "tool.call", Decision: "rewrite", By: "policy:x", Reason: "better"}
	result := call("a")
	result.Stage, result.Output = agent.StageResult, json.RawMessage(`"out"`)
	strange := call("a")
	strange.Stage = "gossip"
	for _, tc := range []struct {
		name     string
		ask      agent.Ask
		judge    Judgement
		want     agent.Answer
		verdicts int
	}{
		{"allow", call("a"), Judgement{Ruling: RulingAllow}, agent.Answer{Allow: true}, 0},
		{"deny", call("a"), Judgement{Ruling: RulingDeny, Reason: "no", Verdicts: []event.Verdict{deny}}, agent.Answer{Reason: "no"}, 1},
		{"nothing", call("a"), Judgement{}, agent.Answer{}, 0},
		{"something else", call("a"), Judgement{Ruling: "perhaps"}, agent.Answer{}, 0},
		{
			"a rewritten call", call("a"),
			Judgement{Ruling: RulingAllow, Rewrite: rewrite, Verdicts: []event.Verdict{rewritten}},
			agent.Answer{Allow: true, Input: rewrite},
			1,
		},
		{
			"a rewritten result", result,
			Judgement{Ruling: RulingAllow, Rewrite: []byte(`"***"`), Verdicts: []event.Verdict{rewritten}},
			agent.Answer{Allow: true, Output: []byte(`"***"`)},
			1,
		},
		{"a denied result", result, Judgement{Ruling: RulingDeny, Reason: "no", Verdicts: []event.Verdict{deny}}, agent.Answer{Reason: "no"}, 1},
		{"a denied rewrite", call("a"), Judgement{Ruling: RulingDeny, Reason: "no", Rewrite: rewrite}, agent.Answer{Reason: "no"}, 0},
		{"a result for a person", result, Judgement{Ruling: RulingAsk}, agent.Answer{Reason: "a result can't wait for a person"}, 0},
		{"an unknown stage", strange, Judgement{Ruling: RulingAllow}, agent.Answer{Reason: "unknown kind of ask"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				answers := make(chan agent.Answer, 1)
				h.guard.call, h.guard.result = rules(tc.judge), rules(tc.judge)
				id := h.launched(asker(answers, tc.ask))
				turn := h.send(id, "hi")
				got := <-answers
				if got.Allow != tc.want.Allow || got.Reason != tc.want.Reason || string(got.Input) != string(tc.want.Input) ||
					string(got.Output) != string(tc.want.Output) {
					t.Errorf("got %+v, want %+v", got, tc.want)
				}
				h.end(id, turn.Number)
				var verdicts []event.Verdict
				h.wait(id, func(e event.Event) bool {
					if v, ok := e.Data.(event.Verdict); ok {
						verdicts = append(verdicts, v)
					}
					return e.Data.Type() == event.TypeComplete
				})
				if len(verdicts) != tc.verdicts {
					t.Fatalf("got %+v", verdicts)
				}
				for _, v := range verdicts {
					if v.Tool != "Bash" || v.ToolUseID != "toolu_a" || v.Parent != "toolu_0" {
						t.Errorf("the verdict does not say on what: %+v", v)
					}
				}
			})
		})
	}
}

// TestAVerdictThatCannotBeRecordedDenies covers what must be in the log before the agent may go on.
func TestAVerdictThatCannotBeRecordedDenies(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fail  event.Type
		judge Judgement
	}{
		{"a rewrite", event.TypeVerdict, Judgement{Ruling: RulingAllow, Rewrite: []byte(`{}`), Verdicts: []event.Verdict{{Decision: "rewrite"}}}},
		{"an approval asked for", event.TypeApprovalRequired, Judgement{Ruling: RulingAsk}},
		{"an approval given", event.TypeApprovalResolved, Judgement{Ruling: RulingAsk}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				answers := make(chan agent.Answer, 1)
				h.guard.call = rules(tc.judge)
				id := h.launched(asker(answers, call("a")))
				h.mem.failing(failOn(tc.fail, 1))
				turn := h.send(id, "hi")
				if tc.fail == event.TypeApprovalResolved {
					h.approve(id, Decision{Allow: true})
				}
				if got := <-answers; got.Allow || got.Reason != "the host could not record its verdict" {
					t.Errorf("got %+v", got)
				}
				h.end(id, turn.Number)
			})
		})
	}
}

// approve waits for an open approval and answers it.
func (h *harness) approve(id string, d Decision) event.ApprovalRequired {
	h.tb.Helper()
	required := h.waitFor(id, event.TypeApprovalRequired).Data.(event.ApprovalRequired)
	if err := h.Approve(context.Background(), id, required.Ask, d); err != nil {
		h.tb.Error(err)
	}
	return required
}

func TestApprovals(t *testing.T) {
	permission := call("a")
	permission.Stage = agent.StagePermission
	asks := Judgement{Ruling: RulingAsk, Reason: "risky", Verdicts: []event.Verdict{{Gate: "tool.call", Decision: "ask", By: "policy:x"}}}
	for _, tc := range []struct {
		name   string
		ask    agent.Ask
		judge  Judgement
		act    func(h *harness, id string)
		after  time.Duration
		want   agent.Answer
		by     string
		reason string
	}{
		{
			name: "allowed", ask: call("a"), judge: asks, act: func(h *harness, id string) { h.approve(id, Decision{Allow: true, Reason: "go on"}) },
			want: agent.Answer{Allow: true, Reason: "go on"}, by: "person", reason: "go on",
		},
		{
			name: "denied", ask: call("a"), judge: asks, act: func(h *harness, id string) { h.approve(id, Decision{Reason: "no way"}) },
			want: agent.Answer{Reason: "no way"}, by: "person", reason: "no way",
		},
		{
			name: "denied without a word", ask: call("a"), judge: asks, act: func(h *harness, id string) { h.approve(id, Decision{}) },
			want: agent.Answer{Reason: "a person denied it"}, by: "person",
		},
		{
			name: "unanswered", ask: call("a"), judge: asks, act: func(*harness, string) {}, after: 5 * time.Minute,
			want: agent.Answer{Reason: "nobody answered in time"}, by: "timeout", reason: "nobody answered in time",
		},
		{
			name: "the CLI's own prompt", ask: permission, act: func(h *harness, id string) { h.approve(id, Decision{Allow: true}) },
			want: agent.Answer{Allow: true}, by: "person",
		},
		{
			name: "of a rewritten call", ask: call("a"), judge: Judgement{Ruling: RulingAsk, Rewrite: []byte(`{"command":"true"}`)},
			act: func(h *harness, id string) {
				if r := h.approve(id, Decision{Allow: true}); string(r.Arguments) != `{"command":"true"}` {
					h.tb.Errorf("the person saw %s", r.Arguments)
				}
			},
			want: agent.Answer{Allow: true, Input: json.RawMessage(`{"command":"true"}`)}, by: "person",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				answers := make(chan agent.Answer, 1)
				h.guard.call = rules(tc.judge)
				id := h.launched(asker(answers, tc.ask))
				began := time.Now()
				turn := h.send(id, "hi")
				required := h.waitFor(id, event.TypeApprovalRequired).Data.(event.ApprovalRequired)
				if rec, err := h.Get(context.Background(), id); err != nil || rec.Activity != ActivityWaiting {
					t.Errorf("got %+v, %v", rec.Activity, err)
				}
				if required.ExpiresAt != began.Add(5*time.Minute).UTC().Format(time.RFC3339) || required.Tool != "Bash" ||
					required.ToolUseID != "toolu_a" || required.Parent != "toolu_0" {
					t.Errorf("got %+v", required)
				}
				tc.act(h, id)
				got := <-answers
				if took := time.Since(began); took != tc.after {
					t.Errorf("it took %v", took)
				}
				if got.Allow != tc.want.Allow || got.Reason != tc.want.Reason || string(got.Input) != string(tc.want.Input) {
					t.Errorf("got %+v, want %+v", got, tc.want)
				}
				resolved := h.waitFor(id, event.TypeApprovalResolved).Data.(event.ApprovalResolved)
				if resolved.Ask != required.Ask || (resolved.Decision == "allow") != tc.want.Allow || resolved.By != tc.by ||
					resolved.Reason != tc.reason {
					t.Errorf("got %+v", resolved)
				}
				if err := h.Approve(context.Background(), id, required.Ask, Decision{Allow: true}); !errors.Is(err, ErrNoAsk) {
					t.Errorf("a second answer: %v", err)
				}
				h.end(id, turn.Number)
				synctest.Wait()
				if err := h.Approve(context.Background(), id, required.Ask, Decision{Allow: true}); !errors.Is(err, ErrNoAsk) {
					t.Errorf("an answer after the turn: %v", err)
				}
			})
		})
	}
}

func TestTheEndOfATurnAnswersItsApprovals(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(h *harness, id string) error
		by   string
	}{
		{"interrupt", func(h *harness, id string) error { return h.Interrupt(context.Background(), id) }, "interrupt"},
		{"stop", func(h *harness, id string) error { return h.Stop(context.Background(), id) }, "host"},
		{"close", func(h *harness, _ string) error { return h.Close(context.Background()) }, "host"},
		{"lost", func(h *harness, _ string) error { h.boxes.last().lose("exited"); return nil }, "host"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t)
				h.guard.call = rules(Judgement{Ruling: RulingAsk})
				id := h.launched(asker(make(chan agent.Answer, 1), call("a")))
				h.send(id, "hi")
				h.waitFor(id, event.TypeApprovalRequired)
				if err := tc.end(h, id); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				var resolved event.ApprovalResolved
				h.mem.mu.Lock()
				defer h.mem.mu.Unlock()
				for _, e := range h.mem.ever[id] {
					switch d := e.Data.(type) {
					case event.ApprovalResolved:
						resolved = d
					case event.Verdict:
						if d.By != "host" {
							t.Errorf("the verdict is by %q", d.By)
						}
					}
				}
				if resolved.Decision != "deny" || resolved.By != tc.by {
					t.Errorf("got %+v", resolved)
				}
			})
		})
	}
}

// TestAnAnswerThatWasTakenCounts puts answers and time-outs at the same moment.
func TestAnAnswerThatWasTakenCounts(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t)
			answers := make(chan agent.Answer, 1)
			h.guard.call = rules(Judgement{Ruling: RulingAsk})
			id := h.launched(asker(answers, call("a")))
			turn := h.send(id, "hi")
			required := h.waitFor(id, event.TypeApprovalRequired).Data.(event.ApprovalRequired)
			time.Sleep(5 * time.Minute) // on the bubble's clock
			err := h.Approve(context.Background(), id, required.Ask, Decision{Allow: true})
			if got := <-answers; got.Allow != (err == nil) {
				t.Errorf("the person was told %v, the agent %+v", err, got)
			}
			h.end(id, turn.Number)
		})
	}
}

func TestAFloodOfAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.guard.call = rules(Judgement{Ruling: RulingAsk})
		const flood = maxAsks + 50
		id := h.launched(func(ctx context.Context, a *fakeAgent, _ agent.TurnRequest, fn func(agent.Frame) error) error {
			var wg sync.WaitGroup
			defer wg.Wait()
			for i := range flood {
				ask := call(strconv.Itoa(i))
				if err := fn(agent.Frame{Ask: &ask}); err != nil {
					return err
				}
			}
			<-a.interrupts
			return emit(fn, event.Complete{Status: event.CompleteInterrupted})
		})
		turn := h.send(id, "hi")
		synctest.Wait()
		l, err := h.live(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		l.mu.Lock()
		open := len(l.turn.asks)
		l.mu.Unlock()
		a := h.boxes.last().agent
		a.mu.Lock()
		denied := len(a.answers)
		for _, answer := range a.answers {
			if answer.Allow || answer.Reason != "too many tool calls at once" {
				t.Errorf("got %+v", answer)
			}
		}
		a.mu.Unlock()
		if open != maxAsks || denied != flood-maxAsks {
			t.Errorf("%d open, %d denied", open, denied)
		}
		if err := h.Interrupt(context.Background(), id); err != nil {
			t.Error(err)
		}
		if complete, _ := h.end(id, turn.Number); complete.Status != event.CompleteInterrupted {
			t.Errorf("got %+v", complete)
		}
	})
}

// TestAFloodThatTakesNoAnswer is a sandbox that asks and asks and never takes what it is told: it must cost the host no more than its
// share, and the person can still end the turn.
func TestAFloodThatTakesNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		sent := 0
		h.boxes.preparing(func(b *fakeBox) {
			b.agent.answer = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
			b.agent.script = func(ctx context.Context, _ *fakeAgent, _ agent.TurnRequest, fn func(agent.Frame) error) error {
				for ctx.Err() == nil {
					ask := call(strconv.Itoa(sent))
					if err := fn(agent.Frame{Ask: &ask}); err != nil {
						return err
					}
					sent++
				}
				return ctx.Err()
			}
		})
		id := h.launch().ID
		turn := h.send(id, "hi")
		synctest.Wait()
		if sent > maxAsks {
			t.Errorf("the host took %d asks without an answer going out", sent)
		}
		if err := h.Interrupt(context.Background(), id); err != nil {
			t.Error(err)
		}
		if complete, _ := h.end(id, turn.Number); complete.Status != event.CompleteInterrupted {
			t.Errorf("got %+v", complete)
		}
	})
}

func TestAGuardThatThinksIsCutOffWithTheTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		h.guard.call = func(ctx context.Context, _ agent.Ask) Judgement {
			<-ctx.Done()
			return Judgement{Ruling: RulingDeny, Verdicts: []event.Verdict{{Gate: "tool.call", Decision: "deny", By: "host"}}}
		}
		id := h.launched(asker(make(chan agent.Answer, 1), call("a")))
		h.send(id, "hi")
		synctest.Wait()
		began := time.Now()
		if err := h.Stop(context.Background(), id); err != nil || time.Since(began) > 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
