package claude

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/offspring"
	"github.com/agcluster/agcluster/core/event"
)

const basic = `
rules:
  - match: {user: "(?m)^say (.*)"}
    reply: [{text: "{{index .Match 1}}"}]
  - match: {user: "^run (.*)"}
    reply: [{tool: {name: Bash, input: {command: "{{index .Match 1}}", description: run}}}]
  - match: {user: "^background (.*)"}
    reply: [{tool: {name: Bash, input: {command: "{{index .Match 1}}", run_in_background: true, description: run}}}]
  - match: {user: "(?s)task-notification.*<status>completed"}
    times: 1
    reply: [{tool: {name: Bash, input: {command: "touch stray", description: stray}}}]
  - match: {user: "^todo"}
    reply: [{tool: {name: TodoWrite, input: {todos: [{content: one, status: pending, activeForm: doing}]}}}]
  - match: {user: "^write (\\S+)"}
    reply: [{tool: {name: Write, input: {file_path: "{{index .Match 1}}", content: hello}}}]
  - match: {user: "^read (\\S+)"}
    reply: [{tool: {name: Read, input: {file_path: "{{index .Match 1}}"}}}]
  - match: {user: "^grep"}
    reply: [{tool: {name: Grep, input: {pattern: SECRET, output_mode: content}}}]
  - match: {user: "^notebook"}
    reply: [{tool: {name: NotebookEdit, input: {notebook_path: "n.ipynb", cell_id: c1, new_source: "SECRET", edit_mode: replace}}}]
  - match: {user: "^delegate"}
    reply: [{tool: {name: Agent, input: {description: have it written, prompt: "SUB write it", subagent_type: backend}}}]
  - match: {user: "^SUB"}
    reply: [{text: "SECRET of the sub-agent"}, {tool: {name: Write, input: {file_path: sub.txt, content: hello}}}]
  - match: {user: "^SUB", result: "."}
    reply: [{text: "SECRET of the sub-agent"}]
  - match: {user: "^tell"}
    reply: [{tool: {name: mcp__tiny__tell, input: {}}}]
  - match: {user: "^draw"}
    reply: [{tool: {name: mcp__tiny__draw, input: {}}}]
  - match: {user: "^loop"}
    reply: [{tool: {name: Bash, input: {command: "echo AGAIN", description: loop}}}]
  - match: {user: "^fail"}
    times: 1
    reply: [{error: {status: 401, type: authentication_error, message: bad key}}]
  - match: {user: "^plan"}
    reply: [{tool: {name: ExitPlanMode, input: {plan: "write it"}}}]
  - match: {user: "^what"}
    reply: [{text: "You said: {{join .History \" | \"}}"}]
  - match: {result: "AGAIN"}
    reply: [{tool: {name: Bash, input: {command: "echo AGAIN", description: again}}}]
  - match: {result: "(?s)(.*)"}
    reply: [{text: "result was: {{.Result}}"}]
  - match: {user: ".*"}
    reply: [{text: "you said {{.User}}"}]
`

func deny(reason string) judge {
	return func(context.Context, agent.Ask) (agent.Answer, error) { return agent.Answer{Reason: reason}, nil }
}

// at judges one stage and allows the others.
func at(stage agent.Stage, j judge) judge {
	return func(ctx context.Context, a agent.Ask) (agent.Answer, error) {
		if a.Stage == stage {
			return j(ctx, a)
		}
		return agent.Answer{Allow: true}, nil
	}
}

func rewriteInput(s string) judge {
	return func(context.Context, agent.Ask) (agent.Answer, error) {
		return agent.Answer{Allow: true, Input: []byte(s)}, nil
	}
}

func rewriteOutput(s string) judge {
	return func(context.Context, agent.Ask) (agent.Answer, error) {
		return agent.Answer{Allow: true, Output: []byte(s)}, nil
	}
}

// TestOneProcess shares one CLI among all that does not need one of its own.
func TestOneProcess(t *testing.T) {
	r := newRig(t, basic, func(r *rig) {
		r.spec.Agents = map[string]agent.SubAgent{"backend": {Description: "d", Prompt: "You are BACKEND", Tools: []string{"Write"}}}
	})
	t.Run("a turn shows calls, results and deltas", func(t *testing.T) {
		for _, c := range []struct{ message, output string }{
			{"run echo fine", "fine"},
			{"run echo out; echo bad >&2; exit 3", "Exit code 3\nout\nbad"},
		} {
			s := r.turn(t, c.message, event.CompleteOK, nil)
			if got := of[event.ToolResult](s); len(got) != 1 || got[0].Output != c.output || got[0].Tool != "Bash" {
				t.Errorf("%s: results %+v", c.message, got)
			}
			if len(of[event.TextDelta](s)) == 0 || len(of[event.ToolUse](s)) != 1 {
				s.dump(t)
				t.Errorf("%s: no deltas or no call", c.message)
			}
			if got := s.asked(agent.StageResult, "Bash"); len(got) != 1 || got[0].IsError != strings.Contains(c.message, "exit") {
				t.Errorf("%s: asked about %+v", c.message, got)
			}
		}
	})
	t.Run("todos", func(t *testing.T) {
		s := r.turn(t, "todo", event.CompleteOK, nil)
		if got := of[event.TodoUpdate](s); len(got) != 1 || len(got[0].Todos) != 1 || got[0].Todos[0].Content != "one" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("verdicts on calls", func(t *testing.T) { verdictsOnCalls(t, r) })
	t.Run("verdicts on results", func(t *testing.T) { verdictsOnResults(t, r) })
	t.Run("sub-agent", func(t *testing.T) {
		r.remove("sub.txt")
		s := r.turn(t, "delegate", event.CompleteOK, nil)
		if !exists(r.file("sub.txt")) {
			t.Error("the sub-agent has written nothing")
		}
		named := 0
		for _, a := range append(s.asked(agent.StageCall, "Write"), s.asked(agent.StageResult, "Write")...) {
			if a.AgentType == "backend" && a.Parent != "" {
				named++
			}
		}
		if named != 2 {
			s.dump(t)
			t.Errorf("%d asks name the sub-agent, want its call and its result", named)
		}
		texts := of[event.Text](s)
		if !slices.ContainsFunc(texts, func(x event.Text) bool { return x.Parent != "" }) {
			t.Errorf("no text of the sub-agent: %+v", texts)
		}
	})
	t.Run("writes to where settings and hooks lie want a person in any case", func(t *testing.T) {
		s := r.turn(t, "write .claude/settings.local.json", event.CompleteOK, at(agent.StagePermission, deny("NO PERSON")))
		if len(s.asked(agent.StagePermission, "Write")) != 1 || exists(r.file(".claude/settings.local.json")) {
			s.dump(t)
			t.Error("the CLI did not ask")
		}
	})
	t.Run("environment", func(t *testing.T) {
		pid := r.driver.proc.cmd.Process.Pid
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		if err != nil {
			t.Fatal(err)
		}
		for kv := range strings.SplitSeq(string(b), "\x00") {
			name, _, _ := strings.Cut(kv, "=")
			if strings.HasPrefix(name, "AGCLUSTER_") && name != offspring.Variable || strings.Contains(name, "PROXY") && name != "NO_PROXY" ||
				name == "ANTHROPIC_AUTH_TOKEN" {
				t.Errorf("the CLI has %s in its environment", name)
			}
		}
		// What is started beside the CLI has the same, but for the mark, by which it would end with the CLI.
		own := slices.DeleteFunc(strings.Split(strings.TrimRight(string(b), "\x00"), "\x00"), func(kv string) bool {
			return strings.HasPrefix(kv, offspring.Variable+"=")
		})
		if got := r.driver.Environment(nil); !slices.Equal(got, own) {
			t.Errorf("a shell has %q, the CLI %q", got, own)
		}
		if got := r.driver.Environment(map[string]string{"OWN": "1", "HTTP_PROXY": "http://elsewhere"}); !slices.Contains(got, "OWN=1") ||
			slices.Contains(got, "HTTP_PROXY=http://elsewhere") {
			t.Errorf("with variables of its session a shell has %q", got)
		}
	})
	t.Run("an error of the model", func(t *testing.T) {
		s := r.turn(t, "fail", event.CompleteFailed, nil)
		if got := of[event.Error](s); len(got) != 1 || got[0].Code != "authentication_failed" {
			t.Errorf("%+v", got)
		}
		// The message stays, for the model to see with the next.
		r.turn(t, "say on", event.CompleteOK, nil)
	})
	t.Run("the CLI's own commands end their turn", func(t *testing.T) {
		r.turn(t, "/cost", event.CompleteOK, nil)
		r.turn(t, "say on", event.CompleteOK, nil)
	})
	t.Run("interrupt", func(t *testing.T) { interrupts(t, r) })
	t.Run("what the CLI begins by itself", func(t *testing.T) { strays(t, r) })
	t.Run("death", func(t *testing.T) { deaths(t, r) })
}

func verdictsOnCalls(t *testing.T, r *rig) {
	for _, c := range []struct {
		name  string
		judge judge
		ran   bool
		sees  string
	}{
		{"denied", deny("NOT THIS"), false, "NOT THIS"},
		{"no verdict", func(context.Context, agent.Ask) (agent.Answer, error) { return agent.Answer{}, errors.New("host lost") }, false, "host lost"},
		{"malformed replacement", rewriteInput(`{"command":`), false, "malformed"},
		{"replacement that is no object", rewriteInput(`[]`), false, "malformed"},
		{"rewritten", rewriteInput(`{"command":"echo other; touch ran","description":"d"}`), true, "other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.remove("ran")
			r.turn(t, "run echo this; touch ran", event.CompleteOK, at(agent.StageCall, c.judge))
			if exists(r.file("ran")) != c.ran {
				t.Errorf("ran: %v", !c.ran)
			}
			if got := r.lastRequest().lastResult(); !strings.Contains(got, c.sees) || strings.Contains(got, "this") && c.ran {
				t.Errorf("the model sees %s, want %s", got, c.sees)
			}
		})
	}
}

func verdictsOnResults(t *testing.T, r *rig) {
	r.write("a.txt", "SECRET\n")
	r.write("n.ipynb", `{"cells":[{"id":"c1","cell_type":"code","source":["SECRET=1"],"outputs":[],"execution_count":null,"metadata":{}}],`+
		`"metadata":{"language_info":{"name":"python"}},"nbformat":4,"nbformat_minor":5}`)
	r.write("i.png", string(pixels(t)))
	allowRead := func(t *testing.T) { r.turn(t, "read n.ipynb", event.CompleteOK, nil) }
	withhold := deny("WITHHELD")
	for _, c := range []struct {
		name, message string
		judge         judge
		not           string
	}{
		{"Bash rewritten", "run echo SECRET", rewriteOutput(`{"stdout":"WITHHELD","stderr":"","interrupted":false,"isImage":false}`), "SECRET"},
		{"Bash", "run echo SECRET", withhold, "SECRET"},
		{"Read", "read a.txt", withhold, "SECRET"},
		{"Read of an image", "read i.png", withhold, `"image"`},
		{"Grep", "grep", withhold, "SECRET"},
		{"NotebookEdit", "notebook", withhold, "SECRET"},
		{"Agent", "delegate", func(ctx context.Context, a agent.Ask) (agent.Answer, error) {
			if a.Tool != "Agent" {
				return allow(ctx, a)
			}
			return withhold(ctx, a)
		}, "SECRET"},
		{"Bash, malformed replacement", "run echo SECRET", rewriteOutput(`{`), "SECRET"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.message == "notebook" {
				allowRead(t)
			}
			s := r.turn(t, c.message, event.CompleteOK, at(agent.StageResult, c.judge))
			want := "WITHHELD"
			if strings.Contains(c.name, "malformed") {
				want = "malformed"
			}
			if got := r.lastRequest().lastResult(); strings.Contains(got, c.not) || !strings.Contains(got, want) {
				s.dump(t)
				t.Errorf("the model sees %s", got)
			}
			results := of[event.ToolResult](s)
			if len(results) == 0 || !strings.Contains(results[len(results)-1].Output, want) {
				t.Errorf("the event shows %+v", results)
			}
		})
	}
	t.Run("a failed call, whose text a hook can't replace for the model", func(t *testing.T) {
		s := r.turn(t, "run echo SECRET; false", event.CompleteOK, at(agent.StageResult, withhold))
		if got := of[event.ToolResult](s); len(got) != 1 || got[0].Output != "WITHHELD" || !got[0].IsError {
			t.Errorf("the event shows %+v", got)
		}
		if got := r.lastRequest().lastResult(); !strings.Contains(got, "SECRET") {
			t.Errorf("the model sees %s: this CLI can do more than we knew, use it", got)
		}
	})
}

func interrupts(t *testing.T, r *rig) {
	interrupted := func(t *testing.T, b *run) {
		t.Helper()
		close(b.interrupt)
		if c := b.wait(t, 2*time.Second); c.Status != event.CompleteInterrupted {
			b.sink.dump(t)
			t.Errorf("%+v", c)
		}
		if r.driver.State() != "running" {
			t.Error("the CLI was killed")
		}
	}
	t.Run("while a tool runs", func(t *testing.T) {
		b := r.begin("run touch begun; sleep 61.25", nil)
		eventually(t, "the command runs", func() bool { return exists(r.file("begun")) })
		interrupted(t, b)
		eventually(t, "its child is gone", func() bool { return !alive(t, "61.25") })
	})
	t.Run("while an ask is open", func(t *testing.T) {
		given := make(chan error, 1)
		b := r.begin("run touch asked", at(agent.StageCall, func(ctx context.Context, _ agent.Ask) (agent.Answer, error) {
			<-ctx.Done()
			given <- ctx.Err()
			return agent.Answer{}, ctx.Err()
		}))
		b.sink.await(t, "ask", func() bool { return len(b.sink.asked(agent.StageCall, "Bash")) == 1 })
		interrupted(t, b)
		if err := <-given; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if exists(r.file("asked")) {
			t.Error("the call ran")
		}
	})
	t.Run("at once", func(t *testing.T) {
		b := r.begin("run touch once; sleep 61.25", nil)
		interrupted(t, b)
	})
	t.Run("and the next turn works", func(t *testing.T) {
		// The message of the turn before is still there, for the model to see.
		s := r.turn(t, "say fine", event.CompleteOK, nil)
		if got := of[event.Text](s); len(got) != 1 || got[0].Content != "fine" {
			s.dump(t)
			t.Errorf("%+v", got)
		}
	})
}

// strays lets a background task end between two turns, which makes the CLI wake the model by itself.
func strays(t *testing.T, r *rig) {
	r.turn(t, "background touch started; while [ ! -e go ]; do sleep 0.02; done", event.CompleteOK, nil)
	eventually(t, "the task runs", func() bool { return exists(r.file("started")) })
	r.write("go", "")
	// The CLI says nothing that a turn would see; what it does is to leave the model alone.
	eventually(t, "the stray run is over", func() bool {
		p := r.driver.proc
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.strays > 0 && p.idle == nil
	})
	s := r.turn(t, "say something else", event.CompleteOK, nil)
	if exists(r.file("stray")) {
		t.Error("a tool ran between two turns")
	}
	if got := of[event.Text](s); len(got) != 1 || got[0].Content != "something else" {
		s.dump(t)
		t.Error("the turn did not get its own answer")
	}
	if !strings.Contains(r.lastRequest().raw, "task-notification") {
		t.Error("the model never hears that the task has ended")
	}
}

func deaths(t *testing.T, r *rig) {
	// Killed the moment the turn has ended, the CLI must have kept it.
	r.turn(t, "my word is plugh", event.CompleteOK, nil)
	r.driver.proc.kill()
	<-r.driver.proc.done
	if s := r.turn(t, "what was it?", event.CompleteOK, nil); !strings.Contains(of[event.Text](s)[0].Content, "plugh") {
		s.dump(t)
		t.Error("the last turn is lost")
	}

	r.turn(t, "my word is xyzzy", event.CompleteOK, nil)
	b := r.begin("run touch dying; setsid sleep 62.25 & sleep 62.5", nil)
	eventually(t, "the command runs", func() bool { return exists(r.file("dying")) })
	process, err := os.FindProcess(r.driver.proc.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	if c := b.wait(t, 10*time.Second); c.Status != event.CompleteFailed {
		t.Errorf("%+v", c)
	}
	if got := of[event.Error](b.sink); len(got) != 1 || got[0].Code != "agent_exited" {
		t.Errorf("%+v", got)
	}
	if r.driver.State() != "exited" {
		t.Errorf("state %s", r.driver.State())
	}
	if alive(t, "62.25") || alive(t, "62.5") {
		t.Error("the CLI's children outlive it")
	}
	s := r.turn(t, "what was it?", event.CompleteOK, nil)
	texts := of[event.Text](s)
	if len(texts) != 1 || !strings.Contains(texts[0].Content, "xyzzy") {
		s.dump(t)
		t.Error("the next turn has no context")
	}
	if got := of[event.Init](s); len(got) != 1 || !got[0].Resumed {
		t.Errorf("%+v", got)
	}
}
