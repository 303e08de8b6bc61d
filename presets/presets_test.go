package presets_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/guard"
	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/policy/policytest"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk"
	"github.com/agcluster/agcluster/presets"
)

// names lists the folders that hold a file, as the Makefile finds plugins and policies.
func names(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: nothing found, %v", pattern, err)
	}
	for i, path := range found {
		found[i] = filepath.Base(filepath.Dir(path))
	}
	return found
}

// policies loads the real modules; the caches of go and wazero make the second time quick.
func policies(t *testing.T) *policy.Runtime {
	t.Helper()
	r, err := policy.New(t.Context(), policy.Config{CacheDir: "../build/cache/wazero"}, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	for _, name := range names(t, "../policies/*/policy.yaml") {
		manifest, err := os.ReadFile(filepath.Join("../policies", name, "policy.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), name+".wasm")
		if err := policytest.Build(out, filepath.Join("../policies", name)); err != nil {
			t.Fatal(err)
		}
		code, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Load(t.Context(), manifest, code); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// load is how the host loads them.
func load(t *testing.T, r *policy.Runtime) map[string]preset.Config {
	t.Helper()
	known := preset.Known{
		Policies: names(t, "../policies/*/policy.yaml"), Filters: names(t, "../plugins/filters/*/main.go"),
		Params: func(name string, params json.RawMessage) error {
			m, ok := r.Module(name)
			if !ok {
				return fmt.Errorf("there is no policy %q", name)
			}
			_, err := m.Resolve(params)
			return err
		},
	}
	list, err := preset.Load(presets.FS, known)
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]preset.Config{}
	for _, c := range list {
		byID[c.ID] = c
	}
	return byID
}

// documented is what AgCluster Container documents of its presets.
func documented() map[string]preset.Config {
	words := strings.Fields
	limits := func(cpus int64, memory, storage string) preset.ResourceLimits {
		return preset.ResourceLimits{CPUQuota: cpus * 100_000, MemoryLimit: memory, StorageLimit: storage}
	}
	return map[string]preset.Config{
		"code-assistant": {
			AllowedTools: words("Bash Read Write Edit Grep Glob Task TodoWrite"), ResourceLimits: limits(2, "4g", "10g"), MaxTurns: 100,
			SettingSources: words("project"), SystemPrompt: preset.SystemPrompt{Preset: true},
		},
		"research-agent": {
			AllowedTools: words("WebFetch WebSearch Read Write Grep TodoWrite"), ResourceLimits: limits(1, "2g", "5g"), MaxTurns: 50,
		},
		"data-analysis": {
			AllowedTools: words("Bash Read Write Edit Grep Glob NotebookEdit TodoWrite"), ResourceLimits: limits(2, "6g", "15g"), MaxTurns: 75,
			SystemPrompt: preset.SystemPrompt{Preset: true},
		},
		"fullstack-team": {
			AllowedTools: words("Task Read Glob Grep TodoWrite"), ResourceLimits: limits(3, "6g", "10g"), MaxTurns: 150,
			SystemPrompt: preset.SystemPrompt{Preset: true},
			Agents:       map[string]agent.SubAgent{"frontend": {Model: "sonnet"}, "backend": {Model: "sonnet"}, "devops": {Model: "haiku"}},
		},
	}
}

// One test, because the policies take seconds to compile.
func TestPresets(t *testing.T) {
	r := policies(t)
	all := load(t, r)
	t.Run("are as documented", func(t *testing.T) { asDocumented(t, all) })
	t.Run("keep their intent", func(t *testing.T) { keepTheirIntent(t, all) })
	t.Run("are guarded", func(t *testing.T) { areGuarded(t, r, all) })
}

func asDocumented(t *testing.T, got map[string]preset.Config) {
	want := documented()
	if len(got) != len(want) {
		t.Errorf("there are %d presets, %d are documented", len(got), len(want))
	}
	for id, w := range want {
		t.Run(id, func(t *testing.T) {
			c, ok := got[id]
			if !ok {
				t.Fatal("it is not there")
			}
			for _, field := range []struct {
				name      string
				got, want any
			}{
				{"allowed_tools", c.AllowedTools, w.AllowedTools},
				{"resource_limits", c.ResourceLimits, w.ResourceLimits},
				{"max_turns", c.MaxTurns, w.MaxTurns},
				{"permission_mode", c.PermissionMode, "acceptEdits"},
				{"setting_sources", c.SettingSources, w.SettingSources},
				{"system_prompt.preset", c.SystemPrompt.Preset, w.SystemPrompt.Preset},
				{"filters", c.Filters, []string{"secrets"}},
				{"model", c.Model, ""},
				{"sub-agents", len(c.Agents), len(w.Agents)},
			} {
				if !reflect.DeepEqual(field.got, field.want) {
					t.Errorf("%s is %v, want %v", field.name, field.got, field.want)
				}
			}
			for name, a := range w.Agents {
				if c.Agents[name].Model != a.Model || len(c.Agents[name].Tools) == 0 || len(c.Agents[name].Prompt) < 500 {
					t.Errorf("sub-agent %s: %+v", name, c.Agents[name])
				}
			}
			if c.Name == "" || c.Description == "" || c.Version == "" || len(c.SystemPrompt.Text+c.SystemPrompt.Append) < 500 {
				t.Error("name, description, version and a prompt that helps are needed")
			}
			var named []string
			for _, p := range c.Policies {
				named = append(named, p.Name)
				if len(p.Params) == 0 {
					t.Errorf("policy %s has no parameters", p.Name)
				}
			}
			if !slices.Equal(named, []string{"tools", "path", "archive"}) {
				t.Errorf("policies are %v", named)
			}
		})
	}
}

func keepTheirIntent(t *testing.T, all map[string]preset.Config) {
	for id, words := range map[string][]string{
		"code-assistant": {"test first", "todo list"},
		"research-agent": {"source", "Cite"},
		"data-analysis":  {"pandas", "numpy", "scipy", "scikit-learn", "matplotlib", "seaborn"},
		"fullstack-team": {"frontend", "backend", "devops", "React", "Next.js", "Tailwind", "Python", "FastAPI", "databases", "Docker", "CI/CD"},
	} {
		text := all[id].SystemPrompt.Text + all[id].SystemPrompt.Append
		for _, word := range words {
			if !strings.Contains(text, word) {
				t.Errorf("%s does not speak of %s", id, word)
			}
		}
	}
	for name, words := range map[string][]string{
		"frontend": {"React", "Next.js", "Tailwind"}, "backend": {"Python", "FastAPI", "database"}, "devops": {"Docker", "CI/CD"},
	} {
		a := all["fullstack-team"].Agents[name]
		for _, word := range words {
			if !strings.Contains(a.Description+a.Prompt, word) {
				t.Errorf("sub-agent %s does not speak of %s", name, word)
			}
		}
	}
}

// noStates keeps nothing: the built-in policies remember nothing.
type noStates struct{}

func (noStates) PolicyState(context.Context, string, string) (json.RawMessage, error) {
	return nil, nil
}

func (noStates) PutPolicyState(context.Context, string, string, json.RawMessage) error { return nil }

// pass stands for filter-secrets.
type pass struct{}

func (pass) FilterCall(context.Context, sdk.Call) (sdk.Outcome, error) {
	return sdk.Outcome{Decision: sdk.Pass}, nil
}

func (pass) FilterResult(context.Context, sdk.Result) (sdk.Outcome, error) {
	return sdk.Outcome{Decision: sdk.Pass}, nil
}

func areGuarded(t *testing.T, r *policy.Runtime, all map[string]preset.Config) {
	g, err := guard.New(guard.Config{}, r.Module, func(context.Context, string) (sdk.Filter, error) { return pass{}, nil }, noStates{}, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	const (
		allow, deny, ask = session.RulingAllow, session.RulingDeny, session.RulingAsk

		results = "/home/agent/.claude/projects/-workspace/1/tool-results/x.txt"
	)
	bash := func(command string) map[string]any { return map[string]any{"command": command} }
	file := func(path string) map[string]any { return map[string]any{"file_path": path, "content": "x"} }
	web := func(url string) map[string]any { return map[string]any{"url": url, "prompt": "x"} }
	for _, tt := range []struct {
		preset, agent, tool string
		input               map[string]any
		want                session.Ruling
	}{
		{"code-assistant", "", "Bash", bash("go test ./... 2>&1 | tail -5 > /tmp/out; python3 -m pytest -q"), allow},
		{"code-assistant", "", "Bash", bash("git init && git add -A && git commit -m 'x'"), allow},
		{"code-assistant", "", "Bash", bash("cat /etc/passwd"), deny},
		{"code-assistant", "", "Bash", bash("true; git push"), ask},
		{"code-assistant", "", "Bash", bash("(git push origin main)"), ask},
		{"code-assistant", "", "Bash", bash("sudo ls"), deny},
		{"code-assistant", "", "Read", file(results), allow},
		{"code-assistant", "", "Write", file("/workspace/a/b.go"), allow},
		{"code-assistant", "", "Write", file("/usr/bin/x"), deny},
		{"code-assistant", "", "Edit", file("/workspace/.git/hooks/pre-commit"), deny},
		{"code-assistant", "", "WebFetch", web("https://example.com"), deny},
		{"research-agent", "", "WebFetch", web("https://example.com/a?b=c"), allow},
		{"research-agent", "", "WebFetch", web("http://localhost:8080/"), deny},
		{"research-agent", "", "WebFetch", web("http://127.0.0.1/"), deny},
		{"research-agent", "", "WebFetch", web("http://169.254.169.254/latest/meta-data"), deny},
		{"research-agent", "", "WebFetch", web("http://[::1]/"), deny},
		{"research-agent", "", "WebFetch", web("https://10.example.com/"), deny},
		{"research-agent", "", "WebFetch", web("file:///etc/passwd"), deny},
		{"research-agent", "", "WebSearch", map[string]any{"query": "what is 127.0.0.1"}, allow},
		{"research-agent", "", "Write", file("/workspace/report.md"), allow},
		{"research-agent", "", "Read", file(results), allow},
		{"research-agent", "", "Read", file("/usr/share/x"), deny},
		{"research-agent", "", "Bash", bash("ls"), deny},
		{"data-analysis", "", "Bash", bash("python3 analyse.py > output/log.txt 2>/dev/null"), allow},
		{"data-analysis", "", "NotebookEdit", map[string]any{"notebook_path": "/workspace/a.ipynb", "new_source": "x"}, allow},
		{"data-analysis", "", "Read", file("/root/.ssh/id_rsa"), deny},
		{"fullstack-team", "", "Agent", map[string]any{"subagent_type": "frontend", "prompt": "x"}, allow},
		{"fullstack-team", "", "Bash", bash("ls"), deny},
		{"fullstack-team", "devops", "Bash", bash("docker build ."), allow},
		{"fullstack-team", "devops", "Bash", bash("kubectl apply -f x.yaml"), ask},
		{"fullstack-team", "backend", "Write", file("/workspace/app.py"), allow},
		{"fullstack-team", "backend", "Write", file("/etc/cron.d/x"), deny},
	} {
		t.Run(fmt.Sprintf("%s/%s/%v", tt.preset, tt.tool, tt.input), func(t *testing.T) {
			input, err := json.Marshal(tt.input)
			if err != nil {
				t.Fatal(err)
			}
			c := all[tt.preset]
			if err := g.Check(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			j := g.Call(t.Context(), session.Scope{SessionID: tt.preset, ConfigID: tt.preset, Config: c}, agent.Ask{
				ID: "1", Stage: agent.StageCall, Tool: tt.tool, ToolUseID: "t", Input: input, AgentType: tt.agent,
			})
			if j.Ruling != tt.want {
				t.Errorf("%s (%s), want %s", j.Ruling, j.Reason, tt.want)
			}
		})
	}
}
