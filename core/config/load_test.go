package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/agcluster/agcluster/core/config"
)

// given is what a test loads from.
type given struct {
	yaml  string
	env   []string
	flags []string
}

// load runs in a folder of its own, which holds agcluster.yaml when there is some.
func load(t *testing.T, g given) (config.Config, config.Sources, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if g.yaml != "" {
		write(t, config.FileName, g.yaml)
	}
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.RegisterFlags(flags)
	if err := flags.Parse(g.flags); err != nil {
		t.Fatal(err)
	}
	return config.Load(config.LoadOptions{Environ: g.env, Flags: flags, Executable: "/opt/agcluster/bin/agcluster"})
}

func mustLoad(t *testing.T, g given) (config.Config, config.Sources) {
	t.Helper()
	c, sources, err := load(t, g)
	if err != nil {
		t.Fatal(err)
	}
	return c, sources
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDefaults(t *testing.T) {
	c, sources := mustLoad(t, given{})
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		key       string
		got, want any
	}{
		{"api.host", c.API.Host, "127.0.0.1"},
		{"api.port", c.API.Port, 8000},
		{"api.heartbeat_interval", c.API.HeartbeatInterval, 10 * time.Second},
		{"api.shutdown_timeout", c.API.ShutdownTimeout, 30 * time.Second},
		{"data_dir", c.DataDir, filepath.Join(here, "agcluster-data")},
		{"log.level", c.Log.Level, "info"},
		{"gateway.upstream", c.Gateway.Upstream, "https://api.anthropic.com"},
		{"provider", c.Provider, "local"},
		{"limits.cpu_quota", c.Limits.CPUQuota, int64(200000)},
		{"limits.memory_limit", c.Limits.MemoryLimit, config.Size(4 << 30)},
		{"limits.storage_limit", c.Limits.StorageLimit, config.Size(10 << 30)},
		{"defaults.permission_mode", c.Defaults.PermissionMode, "acceptEdits"},
		{"session.idle_timeout", c.Session.IdleTimeout, 30 * time.Minute},
		{"session.cleanup_interval", c.Session.CleanupInterval, 5 * time.Minute},
		{"session.launch_timeout", c.Session.LaunchTimeout, time.Minute},
		{"session.approval_timeout", c.Session.ApprovalTimeout, 5 * time.Minute},
		{"session.interrupt_timeout", c.Session.InterruptTimeout, 10 * time.Second},
		{"policy.timeout", c.Policy.Timeout, time.Second},
		{"policy.memory_limit", c.Policy.MemoryPages(), uint32(512)},
		{"plugins.dir", c.Plugins.Dir, "/opt/agcluster/plugins"},
		{"policies_dir", c.PoliciesDir, "/opt/agcluster/policies"},
		{"presets_dir", c.PresetsDir, ""},
		{"offline.enabled", c.Offline.Enabled, false},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s = %v, want %v", tt.key, tt.got, tt.want)
		}
		if s := sources[tt.key]; s.Kind != config.KindDefault {
			t.Errorf("%s comes from %s", tt.key, s)
		}
	}
	defaults := c.PresetDefaults()
	if defaults.ResourceLimits.MemoryLimit != "4g" || defaults.MaxTurns != 100 {
		t.Errorf("preset defaults are %+v", defaults)
	}
}

func TestPrecedence(t *testing.T) {
	for _, tt := range []struct {
		name   string
		given  given
		port   int
		source string
	}{
		{"default", given{}, 8000, "default"},
		{"file over default", given{yaml: "log: {level: debug}\napi:\n  port: 1\n"}, 1, "agcluster.yaml:3"},
		{"documented name over file", given{yaml: "api: {port: 1}", env: []string{"API_PORT=2"}}, 2, "environment API_PORT"},
		{
			"own name over documented one, first",
			given{yaml: "api: {port: 1}", env: []string{"AGCLUSTER_API_PORT=3", "API_PORT=2"}},
			3, "environment AGCLUSTER_API_PORT",
		},
		{
			"own name over documented one, last",
			given{env: []string{"API_PORT=2", "AGCLUSTER_API_PORT=3"}},
			3, "environment AGCLUSTER_API_PORT",
		},
		{
			"flag over all",
			given{yaml: "api: {port: 1}", env: []string{"API_PORT=2", "AGCLUSTER_API_PORT=3"}, flags: []string{"--api.port=4"}},
			4, "flag --api.port",
		},
		{"short flag", given{env: []string{"API_PORT=2"}, flags: []string{"--port", "5"}}, 5, "flag --port"},
		{"an empty variable is none", given{yaml: "api: {port: 1}", env: []string{"AGCLUSTER_API_PORT="}}, 1, "agcluster.yaml:1"},
		{"a default given again", given{yaml: "api: {port: 1}", flags: []string{"--api.port=8000"}}, 8000, "flag --api.port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, sources := mustLoad(t, tt.given)
			if c.API.Port != tt.port || sources["api.port"].String() != tt.source {
				t.Errorf("port %d from %s, want %d from %s", c.API.Port, sources["api.port"], tt.port, tt.source)
			}
			if c.API.Host != "127.0.0.1" {
				t.Errorf("host = %q: the group's other keys must stay", c.API.Host)
			}
		})
	}
}

func TestSourcesReplaceAKeyAsAWhole(t *testing.T) {
	c, sources := mustLoad(t, given{
		yaml: "plugins:\n  options:\n    provider-local: {pids: 64}\n    filter-secrets: {calls: deny}\n  dir: p\ndefaults: {allowed_tools: [Bash, Read]}\n",
		env:  []string{`AGCLUSTER_PLUGINS_OPTIONS={"provider-local":{"a.b":{"c":7}}}`, "DEFAULT_ALLOWED_TOOLS=Grep"},
	})
	raw := map[string]map[string]any{"provider-local": {"a.b": map[string]any{"c": number("7")}}}
	if !reflect.DeepEqual(c.Plugins.Options, raw) {
		t.Errorf("options = %#v", c.Plugins.Options)
	}
	if !slices.Equal(c.Defaults.AllowedTools, []string{"Grep"}) {
		t.Errorf("tools = %v", c.Defaults.AllowedTools)
	}
	if sources["plugins.dir"].String() != "agcluster.yaml:5" || !filepath.IsAbs(c.Plugins.Dir) {
		t.Errorf("plugins.dir = %s from %s", c.Plugins.Dir, sources["plugins.dir"])
	}
}

func TestDocumentedVariables(t *testing.T) {
	for _, tt := range []struct {
		variable string
		key      string
		got      func(config.Config) any
		want     any
	}{
		{"API_HOST=0.0.0.0", "api.host", func(c config.Config) any { return c.API.Host }, "0.0.0.0"},
		{"API_PORT=9001", "api.port", func(c config.Config) any { return c.API.Port }, 9001},
		{"AGENT_IMAGE=reg.example:5000/agent:2", "agent_image", func(c config.Config) any { return c.AgentImage }, "reg.example:5000/agent:2"},
		{"CONTAINER_PROVIDER=docker", "provider", func(c config.Config) any { return c.Provider }, "docker"},
		{"CONTAINER_CPU_QUOTA=50000", "limits.cpu_quota", func(c config.Config) any { return c.Limits.CPUQuota }, int64(50000)},
		{"CONTAINER_MEMORY_LIMIT=512m", "limits.memory_limit", func(c config.Config) any { return c.Limits.MemoryLimit }, config.Size(512 << 20)},
		{"CONTAINER_STORAGE_LIMIT=1g", "limits.storage_limit", func(c config.Config) any { return c.Limits.StorageLimit }, config.Size(1 << 30)},
		{"DEFAULT_SYSTEM_PROMPT=Be brief, please.", "defaults.system_prompt", func(c config.Config) any { return c.Defaults.SystemPrompt }, "Be brief, please."},
		{`DEFAULT_ALLOWED_TOOLS=["Bash", "Read"]`, "defaults.allowed_tools", func(c config.Config) any { return c.Defaults.AllowedTools }, []string{"Bash", "Read"}},
		{"DEFAULT_ALLOWED_TOOLS=Bash, Read,", "defaults.allowed_tools", func(c config.Config) any { return c.Defaults.AllowedTools }, []string{"Bash", "Read"}},
		{"DEFAULT_PERMISSION_MODE=plan", "defaults.permission_mode", func(c config.Config) any { return c.Defaults.PermissionMode }, "plan"},
		{"DEFAULT_MAX_TURNS=7", "defaults.max_turns", func(c config.Config) any { return c.Defaults.MaxTurns }, 7},
		{"SESSION_CLEANUP_INTERVAL=300", "session.cleanup_interval", func(c config.Config) any { return c.Session.CleanupInterval }, 5 * time.Minute},
		{"SESSION_IDLE_TIMEOUT=1800", "session.idle_timeout", func(c config.Config) any { return c.Session.IdleTimeout }, 30 * time.Minute},
		{"SESSION_IDLE_TIMEOUT=45m", "session.idle_timeout", func(c config.Config) any { return c.Session.IdleTimeout }, 45 * time.Minute},
		{"SESSION_IDLE_TIMEOUT=0", "session.idle_timeout", func(c config.Config) any { return c.Session.IdleTimeout }, time.Duration(0)},
	} {
		t.Run(tt.variable, func(t *testing.T) {
			c, sources := mustLoad(t, given{env: []string{tt.variable}})
			if got := tt.got(c); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s = %v, want %v", tt.key, got, tt.want)
			}
			name, _, _ := strings.Cut(tt.variable, "=")
			if s := sources[tt.key]; s != (config.Source{Kind: config.KindEnvironment, Name: name}) {
				t.Errorf("%s comes from %s", tt.key, s)
			}
		})
	}
}

// sample is a value that a key accepts, as the environment gives it.
func sample(k config.Key) string {
	switch {
	case k.Default != "" && !strings.Contains(k.Default, "<"):
		return k.Default
	case k.Name == "egress.private":
		return "10.0.0.0/8"
	case k.Type == "list":
		return "secrets"
	default:
		return "/x"
	}
}

func TestEveryKeyHasAVariableAndAFlag(t *testing.T) {
	for _, k := range config.Describe() {
		var with []string
		if k.Name == "egress.allow" {
			with = []string{"AGCLUSTER_EGRESS_MODE=allowlist"} // no list without the mode that looks at it
		}
		for _, name := range k.Env {
			_, sources := mustLoad(t, given{env: append(with, name+"="+sample(k))})
			if s := sources[k.Name]; s.Name != name {
				t.Errorf("%s: %s is not read: %s", k.Name, name, s)
			}
		}
		for _, flag := range k.Flags {
			_, sources := mustLoad(t, given{env: with, flags: []string{flag + "=" + sample(k)}})
			if s := sources[k.Name]; s.Name != flag {
				t.Errorf("%s: %s is not read: %s", k.Name, flag, s)
			}
		}
	}
}

func TestFile(t *testing.T) {
	t.Run("an explicit one must exist", func(t *testing.T) {
		_, _, err := config.Load(config.LoadOptions{File: filepath.Join(t.TempDir(), "x.yaml"), Executable: "/x/y"})
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an explicit one takes the place of ./agcluster.yaml", func(t *testing.T) {
		t.Chdir(t.TempDir())
		write(t, config.FileName, "api: {port: 1}")
		write(t, "other.yaml", "api: {port: 2}")
		c, sources, err := config.Load(config.LoadOptions{File: "other.yaml", Executable: "/x/y"})
		if err != nil || c.API.Port != 2 || sources["api.port"].Name != "other.yaml" {
			t.Errorf("port %d from %s, %v", c.API.Port, sources["api.port"], err)
		}
	})
	t.Run("a folder is none", func(t *testing.T) {
		if _, _, err := config.Load(config.LoadOptions{File: t.TempDir(), Executable: "/x/y"}); err == nil {
			t.Error("no error")
		}
	})
	t.Run("an empty one is fine", func(t *testing.T) { mustLoad(t, given{yaml: "# nothing yet\n"}) })
	t.Run("numbers may be durations and sizes", func(t *testing.T) {
		c, _ := mustLoad(t, given{yaml: "session: {idle_timeout: 90}\nlimits: {memory_limit: 536870912}"})
		if c.Session.IdleTimeout != 90*time.Second || c.Limits.MemoryLimit.String() != "512m" {
			t.Errorf("got %s, %s", c.Session.IdleTimeout, c.Limits.MemoryLimit)
		}
	})
	t.Run("policies keep their parameters", func(t *testing.T) {
		c, _ := mustLoad(t, given{yaml: "guard:\n  policies:\n    - {name: path, params: {read: [/workspace/**], n: 1.5}}\n    - {name: tools}\n"})
		if len(c.Guard.Policies) != 2 || string(c.Guard.Policies[0].Params) != `{"n":1.5,"read":["/workspace/**"]}` ||
			c.Guard.Policies[1].Params != nil {
			t.Errorf("got %+v", c.Guard.Policies)
		}
	})
}

func TestReservedVariablesAreNoKeys(t *testing.T) {
	t.Chdir(t.TempDir())
	_, _, err := config.Load(config.LoadOptions{
		Environ: []string{"AGCLUSTER_URL=http://x", "HOME=/root", "PORT=abc", "noise"}, Reserved: []string{"AGCLUSTER_URL"}, Executable: "/x/y",
	})
	if err != nil {
		t.Error(err)
	}
}

func TestFoldersBesideTheExecutable(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.MkdirAll("real/bin", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, "real/bin/agcluster", "")
	if err := os.Symlink(filepath.Join(dir, "real/bin/agcluster"), "link"); err != nil {
		t.Fatal(err)
	}
	c, _, err := config.Load(config.LoadOptions{Executable: filepath.Join(dir, "link")})
	if err != nil {
		t.Fatal(err)
	}
	if target, err := filepath.EvalSymlinks(dir); err != nil || c.Plugins.Dir != filepath.Join(target, "real/plugins") {
		t.Errorf("plugins.dir = %s, %v", c.Plugins.Dir, err)
	}
	_, _, err = config.Load(config.LoadOptions{})
	if err == nil || !strings.Contains(err.Error(), "plugins.dir: must not be empty") {
		t.Errorf("without an executable: %v", err)
	}
}
