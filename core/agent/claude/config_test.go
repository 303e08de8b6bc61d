package claude

import (
	"bytes"
	"encoding/json"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

func pixels(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, 2, 2))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func buildMCP(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mcp")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./testdata/mcp").CombinedOutput(); err != nil {
		t.Fatalf("building the MCP server: %v: %s", err, out)
	}
	return path
}

// TestConfigurationReachesTheCLI covers all that a preset says, in one process, with project settings that try to undo it.
func TestConfigurationReachesTheCLI(t *testing.T) {
	mcp := buildMCP(t)
	r := newRig(t, basic, func(r *rig) {
		r.spec.Model = "haiku"
		r.spec.Tools = []string{"Bash", "Agent", "mcp__tiny__*"}
		r.spec.MaxTurns = 3
		r.spec.SettingSources = []string{"project"}
		r.spec.SystemPrompt = agent.SystemPrompt{Replace: "You are REPLACED."}
		r.spec.Agents = map[string]agent.SubAgent{"reviewer": {Description: "reviews", Prompt: "p", Tools: []string{"Read"}}}
		r.spec.MCPServers = map[string]agent.MCPServer{"tiny": {Command: mcp, Env: map[string]string{"TELL": "friend"}}}
		r.spec.Env = map[string]string{"MY_VAR": "mine", "ANTHROPIC_BASE_URL": "http://127.0.0.1:1", "AGCLUSTER_TOKEN": "x"}
		r.write("CLAUDE.md", "PROJECT MEMORY")
		r.write(".claude/settings.json", `{"disableAllHooks": true, "env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1",
			"ANTHROPIC_API_KEY": "theirs"}, "permissions": {"deny": ["Bash(touch denied*)"], "ask": ["Bash(touch asked*)"]}}`)
	})
	s := r.turn(t, "tell", event.CompleteOK, nil)
	inits := of[event.Init](s)
	if len(inits) != 1 {
		t.Fatalf("%d init events", len(inits))
	}
	init, first := inits[0], r.requests()[0]
	if !strings.Contains(init.Model, "haiku") || !strings.Contains(first.Model, "haiku") {
		t.Errorf("model %q, asked for %q", init.Model, first.Model)
	}
	wanted := []string{"Agent", "Bash", "Read", "mcp__tiny__draw", "mcp__tiny__tell"}
	if got := slices.Sorted(slices.Values(first.tools())); !slices.Equal(got, wanted) {
		t.Errorf("the model has the tools %v in its first request, want %v", got, wanted)
	}
	if !slices.Contains(init.Agents, "reviewer") || len(init.MCPServers) != 1 || init.MCPServers[0] != (event.MCP{Name: "tiny", Status: "connected"}) {
		t.Errorf("%+v", init)
	}
	if init.PermissionMode != "acceptEdits" || init.Cwd != r.spec.Cwd || init.CLIVersion == "" || init.Resumed {
		t.Errorf("%+v", init)
	}
	if !strings.Contains(string(first.System), "You are REPLACED.") || strings.Contains(string(first.System), "interactive") {
		t.Errorf("system prompt %s", first.System)
	}
	if !strings.Contains(first.raw, "PROJECT MEMORY") {
		t.Error("the setting source project does not reach the CLI")
	}
	if got := of[event.ToolResult](s); len(got) != 1 || got[0].Output != "MCP says friend" {
		t.Errorf("%+v", got)
	}
	if len(s.asked(agent.StageCall, "mcp__tiny__tell")) != 1 {
		t.Error("project settings switched the hooks off")
	}

	s = r.turn(t, "run echo $MY_VAR $ANTHROPIC_BASE_URL-$HTTPS_PROXY-$ANTHROPIC_API_KEY-$AGCLUSTER_TOKEN", event.CompleteOK, nil)
	if got := of[event.ToolResult](s)[0].Output; got != "mine "+r.cfg.GatewayURL+"--"+placeholderKey+"-" && !strings.HasPrefix(got, "mine "+r.cfg.GatewayURL) {
		t.Errorf("environment: %s", got)
	}
	// The project's own rules hold beside ours.
	s = r.turn(t, "run touch denied1", event.CompleteOK, nil)
	if got := of[event.ToolResult](s); exists(r.file("denied1")) || len(got) != 1 || !got[0].IsError {
		t.Errorf("%+v", got)
	}
	s = r.turn(t, "run touch asked1", event.CompleteOK, at(agent.StagePermission, deny("NO PERSON")))
	if exists(r.file("asked1")) || len(s.asked(agent.StagePermission, "Bash")) != 1 {
		s.dump(t)
		t.Error("the project's ask rule does not reach a person")
	}
	r.turn(t, "draw", event.CompleteOK, at(agent.StageResult, deny("WITHHELD")))
	if got := r.lastRequest().lastResult(); got != `"WITHHELD"` {
		t.Errorf("the model sees %s", got)
	}
	s = r.turn(t, "loop", event.CompleteMaxTurns, nil)
	if got := of[event.Error](s); len(got) != 1 || got[0].Code != "max_turns" {
		t.Errorf("%+v", got)
	}
	for _, e := range r.model.Log() {
		if e.KeyLength != len(placeholderKey) {
			t.Fatal("the CLI has another key than the placeholder")
		}
	}
}

// TestModesThatAskAPerson has the modes in which a permitted call may still want a person.
func TestModesThatAskAPerson(t *testing.T) {
	t.Run("default", func(t *testing.T) {
		r := newRig(t, basic, func(r *rig) {
			r.spec.PermissionMode = "default"
			r.spec.SystemPrompt = agent.SystemPrompt{Append: "APPENDED to it"}
			r.write("CLAUDE.md", "PROJECT MEMORY")
		})
		s := r.turn(t, "run echo harmless", event.CompleteOK, at(agent.StagePermission, deny("NO PERSON")))
		if got := of[event.ToolResult](s); len(got) != 1 || got[0].Output != "harmless" {
			t.Errorf("a call that only reads wants a person: %+v", got)
		}
		first := r.requests()[0]
		if !strings.Contains(string(first.System), "APPENDED to it") || !strings.Contains(string(first.System), "Claude") {
			t.Errorf("system prompt %.300s", first.System)
		}
		if strings.Contains(first.raw, "PROJECT MEMORY") {
			t.Error("project memory without the setting source")
		}
		s = r.turn(t, "run touch no", event.CompleteOK, at(agent.StagePermission, deny("NO PERSON")))
		if len(s.asked(agent.StageCall, "Bash")) != 1 || len(s.asked(agent.StagePermission, "Bash")) != 1 || exists(r.file("no")) {
			s.dump(t)
			t.Error("a change did not want a person")
		}
		if got := r.lastRequest().lastResult(); !strings.Contains(got, "NO PERSON") {
			t.Errorf("the model sees %s", got)
		}
		r.turn(t, "write yes.txt", event.CompleteOK, nil)
		if !exists(r.file("yes.txt")) {
			t.Error("what a person allowed did not happen")
		}
		// What a gate rewrote is what the person sees and what runs.
		s = r.turn(t, "run touch original", event.CompleteOK, at(agent.StageCall, rewriteInput(`{"command":"touch rewritten"}`)))
		if got := s.asked(agent.StagePermission, "Bash"); len(got) != 1 || command(t, got[0].Input) != "touch rewritten" {
			t.Errorf("%+v", got)
		}
		if exists(r.file("original")) || !exists(r.file("rewritten")) {
			t.Error("the rewritten call did not run")
		}
		s = r.turn(t, "run touch once", event.CompleteOK, at(agent.StagePermission, rewriteInput(`{"command":"touch twice"}`)))
		if exists(r.file("once")) || !exists(r.file("twice")) {
			s.dump(t)
			t.Error("what the person changed did not run")
		}
	})
	t.Run("plan", func(t *testing.T) {
		r := newRig(t, basic, func(r *rig) {
			r.spec.PermissionMode = "plan"
			r.spec.Tools = append(r.spec.Tools, "ExitPlanMode")
		})
		person := at(agent.StagePermission, deny("NO PERSON"))
		s := r.turn(t, "write early.txt", event.CompleteOK, person)
		if len(s.asked(agent.StagePermission, "Write")) != 1 || exists(r.file("early.txt")) {
			s.dump(t)
			t.Error("something was changed before the plan was approved")
		}
		s = r.turn(t, "plan", event.CompleteOK, nil)
		if len(s.asked(agent.StagePermission, "ExitPlanMode")) != 1 {
			s.dump(t)
			t.Error("nobody was asked for the plan")
		}
		// The CLI goes on in default mode, which asks for each change.
		s = r.turn(t, "write late.txt", event.CompleteOK, person)
		if len(s.asked(agent.StagePermission, "Write")) != 1 || exists(r.file("late.txt")) {
			s.dump(t)
			t.Error("after the plan, a change did not want a person")
		}
	})
	t.Run("bypassPermissions", func(t *testing.T) {
		r := newRig(t, basic, func(r *rig) { r.spec.PermissionMode = "bypassPermissions" })
		s := r.turn(t, "write .git/hooks/x", event.CompleteOK, nil)
		if !exists(r.file(".git/hooks/x")) || len(s.asked(agent.StageCall, "Write")) != 1 || len(s.asked(agent.StagePermission, "")) != 0 {
			s.dump(t)
			t.Error("bypassPermissions does not reach the CLI, or the hooks don't")
		}
	})
}

func command(t *testing.T, input json.RawMessage) string {
	t.Helper()
	var in struct {
		Command string `json:"command"`
	}
	if err := json.Unmarshal(input, &in); err != nil {
		t.Fatal(err)
	}
	return in.Command
}

func TestStartSaysWhyItFailed(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*rig)
		want   string
	}{
		{"no such binary", func(r *rig) { r.cfg.Binary = "/nonexistent/claude" }, "no such file"},
		{"a program that ends", func(r *rig) { r.cfg.Binary = script(t, "echo broken >&2; exit 7") }, "exit status 7: broken"},
		{"no JSON", func(r *rig) { r.cfg.Binary = script(t, "echo hello; sleep 60") }, "invalid character"},
		{"no such folder", func(r *rig) { r.spec.Cwd += "/none" }, "no such file"},
		{"no UUID", func(r *rig) { r.spec.TranscriptID = "../x" }, "no UUID"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &rig{t: t, cfg: Config{Binary: "/bin/true", Env: map[string]string{"HOME": t.TempDir()}}}
			r.spec = agent.SessionSpec{TranscriptID: transcript, Cwd: t.TempDir(), PermissionMode: "default"}
			c.change(r)
			d := New(r.cfg, zap.NewNop())
			defer d.Close()
			if err := d.Start(t.Context(), r.spec); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "claude")
	if err := os.WriteFile(path, []byte("#!/bin/bash\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}
