package claude

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

func TestSettingsOfACLIThatRuns(t *testing.T) {
	r := newRig(t, basic, func(r *rig) { r.spec.Model = "claude-first-1" })
	first := r.driver.proc
	set := func(model, mode string) {
		t.Helper()
		var s agent.Settings
		if model != "" {
			s.Model = &model
		}
		if mode != "" {
			s.PermissionMode = &mode
		}
		if err := r.driver.Set(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("commands", func(t *testing.T) {
		list := r.driver.Commands()
		if !slices.ContainsFunc(list, func(c agent.Command) bool { return c.Name == "compact" && c.Description != "" }) {
			t.Errorf("no compact in %+v", list)
		}
	})
	r.turn(t, "say one", event.CompleteOK, nil)
	if got := r.lastRequest().Model; got != "claude-first-1" {
		t.Fatalf("it begins with %s", got)
	}
	set("claude-second-1", "")
	r.turn(t, "say two", event.CompleteOK, nil)
	if got := r.lastRequest().Model; got != "claude-second-1" {
		t.Errorf("after a switch the model is %s", got)
	}
	person := at(agent.StagePermission, deny("NO PERSON"))
	r.turn(t, "write free.txt", event.CompleteOK, person)
	set("", "default")
	if s := r.turn(t, "write asked.txt", event.CompleteOK, person); len(s.asked(agent.StagePermission, "Write")) != 1 || !exists(r.file("free.txt")) || exists(r.file("asked.txt")) {
		s.dump(t)
		t.Error("the mode did not change")
	}
	if r.driver.proc != first {
		t.Error("the CLI was started again")
	}
	t.Run("in a turn", func(t *testing.T) {
		set("", "acceptEdits")
		release := make(chan struct{})
		b := r.begin("run echo between", at(agent.StageCall, func(context.Context, agent.Ask) (agent.Answer, error) {
			<-release
			return agent.Answer{Allow: true}, nil
		}))
		b.sink.await(t, "the call", func() bool { return len(b.sink.asked(agent.StageCall, "Bash")) == 1 })
		set("claude-third-1", "")
		close(release)
		if c := b.wait(t, 30*time.Second); c.Status != event.CompleteOK {
			t.Errorf("%+v", c)
		}
		// The CLI ends its turn with the model that it began with.
		r.turn(t, "say on", event.CompleteOK, nil)
		if got := r.lastRequest().Model; got != "claude-third-1" {
			t.Errorf("the next turn has %s", got)
		}
	})
	t.Run("a mode that it was not started for", func(t *testing.T) {
		set("", "bypassPermissions")
		s := r.turn(t, "write .git/hooks/x", event.CompleteOK, nil)
		if !exists(r.file(".git/hooks/x")) || len(s.asked(agent.StagePermission, "")) != 0 || r.driver.proc == first {
			s.dump(t)
			t.Error("bypassPermissions did not come with the next turn")
		}
		if got := r.lastRequest(); got.Model != "claude-third-1" || len(got.Messages) < 5 {
			t.Errorf("the new CLI has %s and %d messages", got.Model, len(got.Messages))
		}
		second := r.driver.proc
		set("", "acceptEdits")
		set("", "bypassPermissions")
		r.turn(t, "say on", event.CompleteOK, nil)
		if r.driver.proc != second {
			t.Error("a CLI that can do it was started again")
		}
	})
	t.Run("a CLI that died", func(t *testing.T) {
		r.driver.proc.kill()
		<-r.driver.proc.done
		set("claude-fourth-1", "")
		r.turn(t, "say again", event.CompleteOK, nil)
		if got := r.lastRequest().Model; got != "claude-fourth-1" {
			t.Errorf("it was started with %s", got)
		}
	})
	t.Run("the CLI's own model", func(t *testing.T) {
		if err := r.driver.Set(t.Context(), agent.Settings{Model: new("")}); err != nil {
			t.Fatal(err)
		}
		r.turn(t, "say default", event.CompleteOK, nil)
		if got := r.lastRequest().Model; got == "claude-fourth-1" || got == "" {
			t.Errorf("the model is %q", got)
		}
	})
}

// TestWhatTheCLIRefusesHoldsNowhere has a CLI that takes every mode and no model but one.
func TestWhatTheCLIRefusesHoldsNowhere(t *testing.T) {
	heard := filepath.Join(t.TempDir(), "heard")
	r := &rig{t: t, cfg: Config{Env: map[string]string{"HOME": t.TempDir(), "PATH": os.Getenv("PATH")}, Binary: script(t, `
while IFS= read -r line; do
  id=$(sed -n 's/.*"request_id":"\([^"]*\)".*/\1/p' <<<"$line")
  grep -o '"subtype":"set_[^,}]*\|"mode":"[^"]*"\|"model":"[^"]*"' <<<"$line" >>`+heard+`
  case "$line" in
  *'"model":"claude-bad-1"'*) echo '{"type":"control_response","response":{"subtype":"error","request_id":"'$id'","error":"no such model"}}' ;;
  *) echo '{"type":"control_response","response":{"subtype":"success","request_id":"'$id'","response":{}}}' ;;
  esac
done`)}, spec: agent.SessionSpec{TranscriptID: transcript, Cwd: t.TempDir(), PermissionMode: "default", Model: "claude-good-1"}}
	r.driver = New(r.cfg, zap.NewNop())
	t.Cleanup(r.driver.Close)
	if err := r.driver.Start(t.Context(), r.spec); err != nil {
		t.Fatal(err)
	}
	err := r.driver.Set(t.Context(), agent.Settings{Model: new("claude-bad-1"), PermissionMode: new("plan")})
	if !errors.Is(err, agent.ErrInvalid) || !strings.Contains(err.Error(), "no such model") {
		t.Errorf("got %v", err)
	}
	if now := *r.driver.spec; now.Model != "claude-good-1" || now.PermissionMode != "default" {
		t.Errorf("the next CLI is started with %s, %s", now.Model, now.PermissionMode)
	}
	b, err := os.ReadFile(heard)
	var said []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, `"subtype"`) {
			said = append(said, line)
		}
	}
	want := []string{`"mode":"plan"`, `"model":"claude-bad-1"`, `"mode":"default"`, `"model":"claude-good-1"`}
	if err != nil || !slices.Equal(said, want) {
		t.Errorf("the CLI was told %q, want %q (%v)", said, want, err)
	}
}

func TestSettingsNeedASession(t *testing.T) {
	d := New(Config{}, nil)
	if err := d.Set(t.Context(), agent.Settings{}); !errors.Is(err, agent.ErrConflict) {
		t.Errorf("got %v", err)
	}
}
