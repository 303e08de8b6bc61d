package claude

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

const spareScript = `
rules:
  - match: {user: "who are you"}
    reply: [{text: "a reviewer, it seems"}]
`

// spareRig is a driver that has prepared its rig's spec.
func spareRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, spareScript, nil)
	// The rig starts its driver; a spare needs a new one.
	r.driver.Close()
	r.spec.TranscriptID = strings.Replace(transcript, "0001", "0002", 1)
	r.driver = New(r.cfg, zap.NewNop())
	t.Cleanup(r.driver.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 2 { // also twice
		if err := r.driver.Prepare(ctx, r.spec.Early()); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.driver.State(); got != "spare" {
		t.Fatalf("state %q", got)
	}
	return r
}

func TestASpareServesASessionOfItsBlueprint(t *testing.T) {
	r := spareRig(t)
	spare := r.driver.proc
	r.spec.SystemPrompt = agent.SystemPrompt{Append: "You review."}
	// Sub-agents are told late, but what tools they have is not: these the session has anyway.
	r.spec.Agents = map[string]agent.SubAgent{"reviewer": {Description: "reviews", Prompt: "Review.", Tools: []string{"Read"}}}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.driver.Start(ctx, r.spec); err != nil {
		t.Fatal(err)
	}
	if r.driver.proc != spare || r.driver.State() != "running" {
		t.Errorf("another process serves the session, state %q", r.driver.State())
	}
	s := r.turn(t, "who are you", event.CompleteOK, nil)
	inits := of[event.Init](s)
	if len(inits) != 1 || !strings.Contains(strings.Join(inits[0].Agents, " "), "reviewer") {
		t.Errorf("%+v", inits)
	}
	if err := r.driver.Prepare(ctx, r.spec.Early()); err == nil {
		t.Error("a session's CLI was prepared for another")
	}
}

func TestASpareThatDoesNotFitIsReplaced(t *testing.T) {
	for name, change := range map[string]func(*agent.SessionSpec){
		"model":       func(s *agent.SessionSpec) { s.Model = "opus" },
		"tools":       func(s *agent.SessionSpec) { s.Tools = s.Tools[1:] },
		"transcript":  func(s *agent.SessionSpec) { s.TranscriptID = strings.Replace(transcript, "0001", "0003", 1) },
		"environment": func(s *agent.SessionSpec) { s.Env = map[string]string{"A": "b"} },
	} {
		t.Run(name, func(t *testing.T) {
			r := spareRig(t)
			spare := r.driver.proc
			change(&r.spec)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := r.driver.Start(ctx, r.spec); err != nil {
				t.Fatal(err)
			}
			if r.driver.proc == spare || !spare.exited() {
				t.Error("the spare serves it, or still runs")
			}
			r.turn(t, "who are you", event.CompleteOK, nil)
		})
	}
}

func TestASpareThatDiedIsReplaced(t *testing.T) {
	r := spareRig(t)
	spare := r.driver.proc
	spare.kill()
	<-spare.done
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if got := r.driver.State(); got != "exited" {
		t.Errorf("state %q", got)
	}
	if err := r.driver.Start(ctx, r.spec); err != nil {
		t.Fatal(err)
	}
	r.turn(t, "who are you", event.CompleteOK, nil)
}

func TestASpareThatCanNotStartSaysWhy(t *testing.T) {
	r := &rig{t: t, cfg: Config{
		Binary: script(t, "echo out of luck >&2; exit 4"), Env: map[string]string{"HOME": t.TempDir(), "PATH": os.Getenv("PATH")},
	}, spec: agent.SessionSpec{TranscriptID: transcript, Cwd: filepath.Clean(t.TempDir()), PermissionMode: "default"}}
	r.driver = New(r.cfg, zap.NewNop())
	t.Cleanup(r.driver.Close)
	if err := r.driver.Prepare(t.Context(), r.spec); err == nil || !strings.Contains(err.Error(), "out of luck") {
		t.Errorf("%v", err)
	}
}
