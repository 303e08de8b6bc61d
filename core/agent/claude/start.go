package claude

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/agcluster/agcluster/core/agent"
)

const (
	waitDelay = 2 * time.Second
	// placeholderKey is what the CLI believes to be its key. The gateway outside puts in the real one.
	placeholderKey = "agcluster-placeholder-key"
	// markName is an environment variable that every descendant of a CLI carries, so that they can be found when it died.
	markName = "AGCLUSTER_RUN"
)

func newMark() string {
	b := make([]byte, 16)
	rand.Read(b) //nolint:errcheck,gosec // crypto/rand.Read never fails since Go 1.24
	return hex.EncodeToString(b)
}

// arguments is the CLI's argv, and whether it takes up a transcript.
func arguments(cfg Config, spec agent.SessionSpec) ([]string, bool, error) {
	if !isUUID(spec.TranscriptID) {
		return nil, false, fmt.Errorf("transcript_id %q is no UUID", spec.TranscriptID)
	}
	args := []string{
		"-p", "--output-format", "stream-json", "--input-format", "stream-json", "--verbose", "--include-partial-messages",
		"--permission-prompt-tool", "stdio", "--strict-mcp-config",
		"--settings", `{"skipWebFetchPreflight":true}`,
		"--setting-sources=" + strings.Join(spec.SettingSources, ","),
		"--tools=" + strings.Join(builtin(spec), ","),
	}
	if spec.Model != "" {
		args = append(args, "--model="+spec.Model)
	}
	if spec.PermissionMode != "" {
		args = append(args, "--permission-mode="+spec.PermissionMode)
	}
	if spec.PermissionMode == "bypassPermissions" {
		args = append(args, "--allow-dangerously-skip-permissions")
	}
	if spec.MaxTurns > 0 {
		args = append(args, "--max-turns="+strconv.Itoa(spec.MaxTurns))
	}
	// --session-id of a transcript that exists is refused by the CLI, --resume of one that does not as well.
	resumed, err := hasTranscript(cfg, spec.TranscriptID)
	if err != nil {
		return nil, false, err
	}
	if resumed {
		return append(args, "--resume="+spec.TranscriptID), true, nil
	}
	return append(args, "--session-id="+spec.TranscriptID), false, nil
}

func isUUID(s string) bool {
	ok, err := regexp.MatchString(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`, s)
	return err == nil && ok
}

// builtin lists the tools to name in argv: the session's and its sub-agents', because --tools bounds both; MCP tools come with
// their servers.
func builtin(spec agent.SessionSpec) []string {
	var tools []string
	add := func(names []string) {
		for _, n := range names {
			if !strings.HasPrefix(n, "mcp__") && !slices.Contains(tools, n) {
				tools = append(tools, n)
			}
		}
	}
	add(spec.Tools)
	for _, name := range sortedKeys(spec.Agents) {
		add(spec.Agents[name].Tools)
	}
	return tools
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
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

// environment is the CLI's whole environment: the driver's own settings win over the session's, which win over the base.
func environment(cfg Config, spec agent.SessionSpec, mark string) []string {
	env := map[string]string{}
	for k, v := range cfg.Env {
		env[k] = v
	}
	for k, v := range spec.Env {
		env[k] = v
	}
	env["CLAUDE_CONFIG_DIR"] = configDir(cfg)
	env["HOME"] = cfg.Env["HOME"]
	env["ANTHROPIC_API_KEY"] = placeholderKey
	env["ANTHROPIC_BASE_URL"] = cfg.GatewayURL
	env["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = "1"
	env["DISABLE_AUTOUPDATER"] = "1"
	env["CLAUDE_CODE_ENABLE_TASKS"] = "0"
	env["NO_PROXY"] = "127.0.0.1,localhost"
	env["no_proxy"] = env["NO_PROXY"]
	env["IS_SANDBOX"] = "1"
	env[markName] = mark
	for _, k := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		delete(env, k)
		if cfg.ProxyURL != "" {
			env[k] = cfg.ProxyURL
		}
	}
	for _, k := range []string{"ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "AGCLUSTER_TOKEN", "AGCLUSTER_TOKEN_FD"} {
		delete(env, k)
	}
	list := make([]string, 0, len(env))
	for _, k := range sortedKeys(env) {
		list = append(list, k+"="+env[k])
	}
	return list
}

// killMarked kills every process that carries mark or belongs to the group that the CLI led. Processes that a tool started in a
// session of their own outlive the CLI's group; the mark in their environment gives them away.
func killMarked(mark string, group int) {
	needle := []byte(markName + "=" + mark)
	// A process may fork while we look: look again until nothing is found, but not for ever.
	for range 20 {
		found := false
		dirs, err := os.ReadDir("/proc")
		if err != nil {
			return
		}
		for _, d := range dirs {
			pid, err := strconv.Atoi(d.Name())
			if err != nil || pid == os.Getpid() {
				continue
			}
			env, err := os.ReadFile(filepath.Join("/proc", d.Name(), "environ")) //nolint:gosec // /proc
			if err != nil || !bytes.Contains(env, needle) {
				continue
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err == nil {
				found = true
			}
		}
		if err := syscall.Kill(-group, syscall.SIGKILL); errors.Is(err, syscall.ESRCH) && !found {
			return
		}
	}
}
