package config_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/agcluster/agcluster/core/config"
)

func number(s string) json.Number { return json.Number(s) }

func TestBadValues(t *testing.T) {
	long := "/" + strings.Repeat("x", 40)
	for _, tt := range []struct {
		name  string
		given given
		want  []string
	}{
		{"unknown key", given{yaml: "api:\n  prot: 1\n"}, []string{"agcluster.yaml:2: api.prot: unknown key; did you mean port?"}},
		{"unknown group", given{yaml: "\nsesion: {}\n"}, []string{"agcluster.yaml:2: sesion: unknown key; did you mean session?"}},
		{"key given twice", given{yaml: "api:\n  port: 1\n  port: 2\n"}, []string{"agcluster.yaml:3: api.port: is given twice"}},
		{"no YAML", given{yaml: "api: [\n"}, []string{"agcluster.yaml"}},
		{"a list", given{yaml: "- a\n"}, []string{"agcluster.yaml: must be an object, got a list"}},
		{"a group without content", given{yaml: "api:\n"}, []string{"agcluster.yaml:1: api: has no value; leave the key out instead"}},
		{"text for a number", given{yaml: "api: {port: \"80\"}"}, []string{"agcluster.yaml:1: api.port: must be a whole number, got a string"}},
		{"number for text", given{yaml: "provider: 1"}, []string{"agcluster.yaml:1: provider: must be a string, got a number; put it in quotes"}},
		{"port too large", given{yaml: "api:\n  port: 70000\n"}, []string{"agcluster.yaml:2: api.port: must be 0 to 65535, got 70000"}},
		{"port negative", given{env: []string{"API_PORT=-1"}}, []string{"environment API_PORT: api.port: must be 0 to 65535, got -1"}},
		{"port no number", given{env: []string{"AGCLUSTER_API_PORT=http"}}, []string{`environment AGCLUSTER_API_PORT: api.port: must be a whole number, got "http"`}},
		{"host with port", given{flags: []string{"--host", "localhost:80"}}, []string{`flag --host: api.host: must be an IP address or a host's name without a port, got "localhost:80"`}},
		{"duration without sense", given{env: []string{"SESSION_IDLE_TIMEOUT=soon"}}, []string{`environment SESSION_IDLE_TIMEOUT: session.idle_timeout: must be a duration such as 30m, or a whole number of seconds: "soon" is none`}},
		{"duration negative", given{env: []string{"SESSION_IDLE_TIMEOUT=-1"}}, []string{"environment SESSION_IDLE_TIMEOUT: session.idle_timeout: must be 0s to 720h, got -1s"}},
		{"duration too large for a number", given{env: []string{"SESSION_IDLE_TIMEOUT=9223372036854775807"}}, []string{`"9223372036854775807" is too large`}},
		{"duration of a fraction", given{yaml: "session: {idle_timeout: 1.5}"}, []string{`agcluster.yaml:1: session.idle_timeout: must be a duration`}},
		{"duration as a list", given{yaml: "session: {idle_timeout: [1]}"}, []string{"session.idle_timeout: must be a duration such as 30m, or a whole number of seconds, got a list"}},
		{"cleanup never", given{env: []string{"SESSION_CLEANUP_INTERVAL=0"}}, []string{"session.cleanup_interval: must be 10ms to 24h, got 0s"}},
		{"size without sense", given{env: []string{"CONTAINER_MEMORY_LIMIT=much"}}, []string{`environment CONTAINER_MEMORY_LIMIT: limits.memory_limit: must be a size such as 512m or 4g, or a whole number of bytes: "much" is no size`}},
		{"memory too small", given{env: []string{"CONTAINER_MEMORY_LIMIT=128m"}}, []string{"environment CONTAINER_MEMORY_LIMIT: limits.memory_limit: must be 256m to 1t, got 128m"}},
		{"CPU too small", given{env: []string{"CONTAINER_CPU_QUOTA=2"}}, []string{"environment CONTAINER_CPU_QUOTA: limits.cpu_quota: must be 1000 to 25600000, got 2"}},
		{"too few processes", given{yaml: "limits: {pids: 8}"}, []string{"limits.pids: must be 64 to 65536, got 8"}},
		{"unknown level", given{env: []string{"AGCLUSTER_LOG_LEVEL=loud"}}, []string{`log.level: must be one of debug, info, warn, error, got "loud"`}},
		{"unknown mode", given{env: []string{"DEFAULT_PERMISSION_MODE=yolo"}}, []string{`environment DEFAULT_PERMISSION_MODE: defaults.permission_mode: must be one of default, acceptEdits, plan, bypassPermissions, got "yolo"`}},
		{"too many turns", given{env: []string{"DEFAULT_MAX_TURNS=1001"}}, []string{"defaults.max_turns: must be 1 to 1000, got 1001"}},
		{"unknown tool", given{env: []string{"DEFAULT_ALLOWED_TOOLS=Bash,Raed"}}, []string{`environment DEFAULT_ALLOWED_TOOLS: defaults.allowed_tools[1]: unknown tool "Raed"; did you mean Read?`}},
		{"tools of the wrong type", given{env: []string{`DEFAULT_ALLOWED_TOOLS=["Bash", 1]`}}, []string{"environment DEFAULT_ALLOWED_TOOLS: defaults.allowed_tools[1]: must be a string, got a number; put it in quotes"}},
		{"tools as broken JSON", given{env: []string{`DEFAULT_ALLOWED_TOOLS=["Bash"`}}, []string{"environment DEFAULT_ALLOWED_TOOLS: defaults.allowed_tools: the JSON ends too early"}},
		{"object as text", given{env: []string{"AGCLUSTER_PLUGINS_PINS=abc"}}, []string{"environment AGCLUSTER_PLUGINS_PINS: plugins.pins: is no valid JSON"}},
		{"object as null", given{env: []string{"AGCLUSTER_PLUGINS_PINS=null"}}, []string{"plugins.pins: must be JSON, got null"}},
		{"neither true nor false", given{env: []string{"AGCLUSTER_OFFLINE_ENABLED=maybe"}}, []string{`offline.enabled: must be true or false, got "maybe"`}},
		{"unknown variable", given{env: []string{"AGCLUSTER_API_PROT=1"}}, []string{"environment AGCLUSTER_API_PROT: no key has this name; did you mean AGCLUSTER_API_PORT (api.port)?"}},
		{"unknown empty variable", given{env: []string{"AGCLUSTER_XYZZY="}}, []string{"environment AGCLUSTER_XYZZY: no key has this name; `agcluster config` lists all"}},
		{"run_dir too long", given{yaml: "run_dir: " + long}, []string{"agcluster.yaml:1: run_dir: " + long + " has 41 bytes, more than 40"}},
		{"data_dir nowhere", given{flags: []string{"--data-dir="}}, []string{"flag --data-dir: data_dir: must not be empty"}},
		{"data_dir is all", given{env: []string{"AGCLUSTER_DATA_DIR=/"}}, []string{"data_dir: must not be /"}},
		{"path with a newline", given{yaml: `presets_dir: "a\nb"`}, []string{"presets_dir: must have no control characters"}},
		{"upstream no URL", given{yaml: "gateway: {upstream: ftp://x}"}, []string{"agcluster.yaml:1: gateway.upstream: must be an http or https URL"}},
		{"upstream with a password", given{yaml: "gateway: {upstream: https://a:hunter2@x}"}, []string{"gateway.upstream: must have no user, query or fragment"}},
		{"provider's name", given{env: []string{"CONTAINER_PROVIDER=../x"}}, []string{`environment CONTAINER_PROVIDER: provider: must be 1 to 64 characters of a-z, 0-9, _ and -, got "../x"`}},
		{"image's name", given{env: []string{"AGENT_IMAGE=-x"}}, []string{"environment AGENT_IMAGE: agent_image: must be an image's name"}},
		{"policy without a name", given{yaml: "guard:\n  policies:\n    - params: {}\n"}, []string{"agcluster.yaml:3: guard.policies[0].name: must be 1 to 64 characters"}},
		{"policy with an unknown key", given{yaml: "guard:\n  policies:\n    - name: path\n      parms: {}\n"}, []string{"agcluster.yaml:4: guard.policies[0].parms: unknown key; did you mean params?"}},
		{"policy's parameters a list", given{yaml: "guard:\n  policies:\n    - name: path\n      params: []\n"}, []string{"agcluster.yaml:4: guard.policies[0].params: must be an object"}},
		{"filter twice", given{env: []string{"AGCLUSTER_GUARD_FILTERS=secrets,secrets"}}, []string{`environment AGCLUSTER_GUARD_FILTERS: guard.filters[1]: filter "secrets" is given twice`}},
		{"hosts in a mode that looks at none", given{env: []string{"AGCLUSTER_EGRESS_ALLOW=example.org"}}, []string{"environment AGCLUSTER_EGRESS_ALLOW: egress.allow: needs egress.mode allowlist"}},
		{"a mode without its hosts", given{env: []string{"AGCLUSTER_EGRESS_MODE=allowlist"}}, []string{"egress.allow: must name a host; egress.mode none allows nothing"}},
		{"unknown egress mode", given{yaml: "egress: {mode: closed}"}, []string{`agcluster.yaml:1: egress.mode: must be one of none, allowlist, open, got "closed"`}},
		{"a host that is none", given{yaml: "egress:\n  mode: allowlist\n  allow:\n    - example.org\n    - a*.example.org\n"}, []string{`agcluster.yaml:5: egress.allow[1]: a wildcard is only possible as the first label, as in "*.example.org", got "a*.example.org"`}},
		{"a private host without a port", given{env: []string{"AGCLUSTER_EGRESS_PRIVATE=10.0.0.0/8,db.internal"}}, []string{`environment AGCLUSTER_EGRESS_PRIVATE: egress.private[1]: the host db.internal needs a port, as in db.internal:443, got "db.internal"`}},
		{"a private network that is none", given{env: []string{"AGCLUSTER_EGRESS_PRIVATE=10.0.0.1/8"}}, []string{`egress.private[0]: 10.0.0.1/8 has bits behind its length; the network is 10.0.0.0/8`}},
		{"pin without a kind", given{yaml: "plugins:\n  pins:\n    local: sha256:" + strings.Repeat("a", 64)}, []string{"agcluster.yaml:3: plugins.pins.local: a plugin is called provider-NAME, filter-NAME or exporter-NAME"}},
		{"pin no digest", given{yaml: "policy:\n  pins: {path: abc}"}, []string{"agcluster.yaml:2: policy.pins.path: must be sha256: and 64 digits of 0-9 and a-f"}},
		{"options of nothing", given{yaml: "plugins: {options: {x: {a: 1}}}"}, []string{"plugins.options.x: a plugin is called"}},
		{"options no object", given{yaml: "plugins: {options: {filter-x: 1}}"}, []string{"agcluster.yaml:1: plugins.options.filter-x: must be an object, got a number"}},
		{
			"everything is reported at once",
			given{yaml: "api:\n  prot: 1\nlog: {level: 3}\n", env: []string{"API_PORT=x", "AGCLUSTER_NOPE=1"}},
			[]string{
				"agcluster.yaml:2: api.prot: unknown key", "agcluster.yaml:3: log.level: must be a string",
				"environment API_PORT: api.port", "environment AGCLUSTER_NOPE",
			},
		},
		{
			"limits are reported at once",
			given{yaml: "api: {port: 70000}\nlog: {level: loud}\npolicy: {instances: 0}"},
			[]string{"api.port: must be", "log.level: must be", "policy.instances: must be 1 to 256, got 0"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := load(t, tt.given)
			if err == nil {
				t.Fatal("no error")
			}
			if lines := strings.Split(err.Error(), "\n"); len(lines) != len(tt.want) {
				t.Errorf("got %d errors, want %d", len(lines), len(tt.want))
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got\n%s\nwant\n%s", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the error holds the password")
			}
		})
	}
}

func TestWrongFlagIsAnErrorOfTheCommandLine(t *testing.T) {
	for _, tt := range []struct{ flag, want string }{
		{"--api.port=http", `invalid argument "http" for "--api.port" flag: must be a whole number, got "http"`},
		{"--port=http", `"--port" flag: must be a whole number`},
		{"--session.idle-timeout=soon", `must be a duration such as 30m`},
		{`--defaults.allowed-tools=[1]`, "[0]: must be a string"},
		{"--nope=1", "unknown flag: --nope"},
	} {
		flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
		config.RegisterFlags(flags)
		if err := flags.Parse([]string{tt.flag}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.flag, err, tt.want)
		}
	}
}
