package claude

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/agcluster/agcluster/core/agent"
)

// placeholderKey is what the CLI believes to be its key. The gateway outside puts in the real one.
const placeholderKey = "agcluster-placeholder-key"

// blueprint is what a CLI can't be told any more once it runs. A spare serves a session whose blueprint is its own.
type blueprint struct {
	args, env []string
	dir       string
	// resumed says that an earlier transcript is taken up.
	resumed bool
	// bypass says that it can be told to ask for nothing.
	bypass bool
}

func draw(cfg Config, spec agent.SessionSpec) (blueprint, error) {
	args, resumed, err := arguments(cfg, spec)
	return blueprint{args: args, env: environment(cfg, spec), dir: spec.Cwd, resumed: resumed, bypass: spec.PermissionMode == modeBypass}, err
}

func (b blueprint) equal(other blueprint) bool {
	return b.dir == other.dir && slices.Equal(b.args, other.args) && slices.Equal(b.env, other.env)
}

// arguments is the CLI's argv, and whether it takes up a transcript.
func arguments(cfg Config, spec agent.SessionSpec) ([]string, bool, error) {
	if !isUUID(spec.TranscriptID) {
		return nil, false, fmt.Errorf("transcript_id %q is no UUID", spec.TranscriptID)
	}
	settings, err := settings(cfg)
	if err != nil {
		return nil, false, err
	}
	args := []string{
		"-p", "--output-format", "stream-json", "--input-format", "stream-json", "--verbose", "--include-partial-messages",
		// It says when it takes up a message, which tells the message's result from that of a run the CLI began by itself.
		"--replay-user-messages",
		"--permission-prompt-tool", "stdio", "--strict-mcp-config",
		"--settings", settings,
		"--setting-sources=" + strings.Join(spec.SettingSources, ","),
		"--tools=" + strings.Join(spec.BuiltinTools(), ","),
	}
	if spec.Model != "" {
		args = append(args, "--model="+spec.Model)
	}
	if spec.PermissionMode != "" {
		args = append(args, "--permission-mode="+spec.PermissionMode)
	}
	if spec.PermissionMode == modeBypass {
		args = append(args, "--allow-dangerously-skip-permissions")
	}
	if spec.MaxTurns > 0 {
		args = append(args, "--max-turns="+strconv.Itoa(spec.MaxTurns))
	}
	// --session-id of a transcript that exists is refused by the CLI, --resume of one that does not as well: what is on the disk
	// decides, not what the host remembers.
	resumed, err := hasTranscript(cfg, spec.TranscriptID)
	if err != nil {
		return nil, false, err
	}
	if resumed {
		return append(args, "--resume="+spec.TranscriptID), true, nil
	}
	return append(args, "--session-id="+spec.TranscriptID), false, nil
}

// settings is the layer of settings that wins over those of the project, which the agent can write: their "env" would otherwise
// replace the CLI's own environment and lead it past the gateway.
func settings(cfg Config) (string, error) {
	b, err := json.Marshal(map[string]any{"skipWebFetchPreflight": true, "disableAllHooks": false, "env": fixed(cfg)})
	if err != nil {
		return "", fmt.Errorf("encoding settings: %w", err)
	}
	return string(b), nil
}

func isUUID(s string) bool {
	ok, err := regexp.MatchString(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`, s)
	return err == nil && ok
}

func configDir(cfg Config) string {
	if dir := cfg.Env["CLAUDE_CONFIG_DIR"]; dir != "" {
		return dir
	}
	return filepath.Join(cfg.Env["HOME"], ".claude")
}

func hasTranscript(cfg Config, id string) (bool, error) {
	found, err := filepath.Glob(filepath.Join(configDir(cfg), "projects", "*", id+".jsonl"))
	if err != nil {
		return false, fmt.Errorf("looking for the transcript: %w", err)
	}
	return len(found) > 0, nil
}

// fixed is what neither a session nor a project may change. CLAUDE_CODE_SUBPROCESS_ENV_SCRUB is not among it: since 2.1 it makes Bash
// demand a sandbox of its own, and there is no key here to hide.
func fixed(cfg Config) map[string]string {
	env := map[string]string{
		"ANTHROPIC_API_KEY":                        placeholderKey,
		"ANTHROPIC_BASE_URL":                       cfg.GatewayURL,
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
		"DISABLE_AUTOUPDATER":                      "1",
		"CLAUDE_CODE_ENABLE_TASKS":                 "0",
		// Else the transcript follows the result by some 100 ms, and a sandbox that is removed right after a turn loses it.
		"CLAUDE_CODE_EAGER_FLUSH": "1",
		// The sandbox's own servers, and the gateway.
		"NO_PROXY": "127.0.0.1,localhost,::1",
		"no_proxy": "127.0.0.1,localhost,::1",
	}
	if cfg.ProxyURL == "" {
		return env
	}
	// Some programs read only the upper case, some only the lower.
	for _, k := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		env[k], env[strings.ToLower(k)] = cfg.ProxyURL, cfg.ProxyURL
	}
	// Node's own fetch looks at them only when it is told to (from version 24).
	env["NODE_USE_ENV_PROXY"] = "1"
	return env
}

// Environment is the environment of a program that is started beside the CLI, such as a person's shell: that of the CLI, and with it of
// its tools, with the variables of a session's configuration. There is no key in it.
func (d *Driver) Environment(own map[string]string) []string {
	return environment(d.cfg, agent.SessionSpec{Env: own})
}

// environment is the CLI's whole environment but the mark: the driver's own settings win over the session's, which win over the base.
func environment(cfg Config, spec agent.SessionSpec) []string {
	env := maps.Clone(cfg.Env)
	maps.Copy(env, spec.Env)
	maps.DeleteFunc(env, func(k, _ string) bool {
		switch strings.ToUpper(k) {
		case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN":
			return true
		}
		// What the agent server itself was told is none of the CLI's business.
		return strings.HasPrefix(k, "AGCLUSTER_")
	})
	maps.Copy(env, fixed(cfg))
	env["CLAUDE_CONFIG_DIR"] = configDir(cfg)
	env["HOME"] = cfg.Env["HOME"]
	// Without it the CLI refuses bypassPermissions to root.
	env["IS_SANDBOX"] = "1"
	list := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}
