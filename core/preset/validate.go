package preset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/config/strict"
)

// Bounds of a configuration.
const (
	maxName        = 200
	maxDescription = 2000
	maxVersion     = 50
	maxPrompt      = 256 << 10
	maxTools       = 200
	maxAgents      = 50
	maxServers     = 50
	maxArgs        = 100
	maxArg         = 8 << 10
	maxVars        = 100
	maxValue       = 32 << 10
	maxPolicies    = 20
	maxHosts       = 200
	maxParams      = 64 << 10
	maxTurns       = 1000
	workspace      = "/workspace"
)

var (
	idForm      = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)
	agentForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)
	serverForm  = regexp.MustCompile(`^[A-Za-z0-9](_?[A-Za-z0-9-])*$`)
	mcpToolForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)
	modelForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}(\[1m\])?$`)
	partForm    = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	headerForm  = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")
)

// Known is what a host has to offer to a configuration. A nil field is not checked.
type Known struct {
	// Policies and Filters are the names of the modules and plugins.
	Policies []string
	Filters  []string
	// Params checks the parameters of a policy.
	Params func(policy string, params json.RawMessage) error
}

// Validate checks everything that can be known before a launch. The error is nil or Errors, with every field that is wrong.
func Validate(c Config, known Known) error {
	v := &validation{c: c, known: known}
	v.identity()
	v.tools("allowed_tools", c.AllowedTools)
	v.prompt()
	v.agents()
	v.servers()
	v.limits()
	v.behaviour()
	v.env("env", c.Env)
	v.network()
	v.policies()
	v.filters()
	return v.found.orNil()
}

// ValidateMCPEnv checks credentials for MCP servers, {server: {VAR: value}}. The error is nil or Errors and never holds a value.
func ValidateMCPEnv(c Config, env map[string]map[string]string) error {
	v := &validation{c: c}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		field := strict.Join("mcp_env", name)
		server, ok := c.MCPServers[name]
		switch {
		case !ok:
			v.add(field, "the configuration has no MCP server of this name")
		case server.Command == "":
			v.add(field, "the MCP server is reached by URL and has no environment")
		default:
			v.env(field, env[name])
			v.found = append(v.found, hiddenIn(field, env[name])...)
		}
	}
	return v.found.orNil()
}

type validation struct {
	c     Config
	known Known
	found Errors
}

func (v *validation) add(field, format string, args ...any) {
	v.found = append(v.found, FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
}

// text checks a string that people read; limit is in bytes.
func (v *validation) text(field, s string, limit int, required bool) {
	switch {
	case required && strings.TrimSpace(s) == "":
		v.add(field, "must not be empty")
	case len(s) > limit:
		v.add(field, "has %d bytes, more than %d", len(s), limit)
	case strings.ContainsRune(s, 0) || !utf8.ValidString(s):
		v.add(field, "must be UTF-8 without NUL")
	}
}

func (v *validation) oneOf(field, s string, allowed ...string) {
	if s != "" && !slices.Contains(allowed, s) {
		v.add(field, "must be one of %s, got %.80q", strings.Join(allowed, ", "), s)
	}
}

func (v *validation) identity() {
	if !idForm.MatchString(v.c.ID) {
		v.add("id", "must be 1 to 64 characters of a-z, 0-9, _ and -, got %.80q", v.c.ID)
	}
	v.text("name", v.c.Name, maxName, true)
	v.text("description", v.c.Description, maxDescription, false)
	v.text("version", v.c.Version, maxVersion, false)
}

func (v *validation) prompt() {
	p := v.c.SystemPrompt
	if p.Preset {
		v.text("system_prompt.append", p.Append, maxPrompt, false)
		if p.Text != "" {
			v.add("system_prompt", "is either a text or a preset, not both")
		}
		return
	}
	v.text("system_prompt", p.Text, maxPrompt, false)
	if p.Append != "" {
		v.add("system_prompt.append", "needs type: preset")
	}
}

func (v *validation) agents() {
	if len(v.c.Agents) > maxAgents {
		v.add("agents", "has %d sub-agents, more than %d", len(v.c.Agents), maxAgents)
		return
	}
	if len(v.c.Agents) > 0 && !slices.ContainsFunc(v.c.AllowedTools, func(t string) bool { return t == "Task" || t == "Agent" }) {
		v.add("allowed_tools", "must have Task, or the agent can't call its sub-agents")
	}
	for _, name := range slices.Sorted(maps.Keys(v.c.Agents)) {
		field, a := strict.Join("agents", name), v.c.Agents[name]
		if !agentForm.MatchString(name) {
			v.add(field, "a sub-agent's name must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -")
		}
		v.text(field+".description", a.Description, maxDescription, true)
		v.text(field+".prompt", a.Prompt, maxPrompt, true)
		v.tools(field+".tools", a.Tools)
		if a.Model != "inherit" {
			v.model(field+".model", a.Model)
		}
	}
}

// model takes the aliases and full names: new models come out more often than hosts are updated. A letter wrong in an alias is
// caught all the same, as full names have a dash or a colon.
func (v *validation) model(field, s string) {
	switch s {
	case "", "sonnet", "opus", "haiku", "sonnet[1m]", "opus[1m]", "opusplan", "default":
		return
	}
	if !modelForm.MatchString(s) || !strings.ContainsAny(s, "-:.") {
		v.add(field, "must be sonnet, opus, haiku or a model's full name, got %.80q", s)
	}
}

func (v *validation) limits() {
	l := v.c.ResourceLimits
	if l.CPUQuota != 0 && (l.CPUQuota < MinCPU || l.CPUQuota > MaxCPU) {
		v.add("resource_limits.cpu_quota", "must be %d to %d (100000 is one CPU), got %d", MinCPU, MaxCPU, l.CPUQuota)
	}
	v.size("resource_limits.memory_limit", l.MemoryLimit, MinMemory, MaxMemory)
	v.size("resource_limits.storage_limit", l.StorageLimit, MinStorage, MaxStorage)
}

func (v *validation) size(field, text string, least, most int64) {
	if text == "" {
		return
	}
	n, err := ParseSize(text)
	switch {
	case err != nil:
		v.add(field, "%s", err)
	case n < least || n > most:
		v.add(field, "must be %s to %s, got %s", FormatSize(least), FormatSize(most), text)
	}
}

func (v *validation) behaviour() {
	v.oneOf("permission_mode", v.c.PermissionMode, "default", "acceptEdits", "plan", "bypassPermissions")
	if v.c.MaxTurns < 0 || v.c.MaxTurns > maxTurns {
		v.add("max_turns", "must be 0 (the host's default) to %d, got %d", maxTurns, v.c.MaxTurns)
	}
	v.model("model", v.c.Model)
	if cwd := v.c.Cwd; cwd != "" && (path.Clean(cwd) != cwd || (cwd != workspace && !strings.HasPrefix(cwd, workspace+"/")) ||
		strings.ContainsFunc(cwd, isControl) || !utf8.ValidString(cwd) || len(cwd) > 4096) {
		v.add("cwd", "must be /workspace or a clean path below it, got %.80q", cwd)
	}
	for i, source := range v.c.SettingSources {
		field := strict.Index("setting_sources", i)
		v.oneOf(field, source, "user", "project", "local")
		if source == "" || slices.Contains(v.c.SettingSources[:i], source) {
			v.add(field, "%q is empty or given twice", source)
		}
	}
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

func (v *validation) servers() {
	if len(v.c.MCPServers) > maxServers {
		v.add("mcp_servers", "has %d servers, more than %d", len(v.c.MCPServers), maxServers)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(v.c.MCPServers)) {
		field := strict.Join("mcp_servers", name)
		if len(name) > 64 || !serverForm.MatchString(name) {
			v.add(field, "an MCP server's name must be 1 to 64 characters of A-Z, a-z, 0-9, - and single _")
		}
		v.server(field, v.c.MCPServers[name])
	}
}

func (v *validation) server(field string, s agent.MCPServer) {
	switch s.Type {
	case "", "stdio":
		if s.URL != "" || len(s.Headers) > 0 {
			v.add(field+".type", `must be "sse" or "http" for a server with url or headers`)
			return
		}
		v.text(field+".command", s.Command, maxArg, true)
		if len(s.Args) > maxArgs {
			v.add(field+".args", "has %d arguments, more than %d", len(s.Args), maxArgs)
		}
		for i, arg := range s.Args {
			v.text(strict.Index(field+".args", i), arg, maxArg, false)
		}
		v.env(field+".env", s.Env)
	case "sse", "http":
		if s.Command != "" || len(s.Args) > 0 || len(s.Env) > 0 {
			v.add(field, "a server of type %s has url and headers, not command, args or env", s.Type)
		}
		u, err := url.Parse(s.URL)
		switch {
		case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || len(s.URL) > maxArg:
			v.add(field+".url", "must be an http or https URL")
		case u.User != nil:
			v.add(field+".url", "must not hold a user or password; use headers")
		}
		v.headers(field+".headers", s.Headers)
	default:
		v.oneOf(field+".type", s.Type, "stdio", "sse", "http")
	}
}

func (v *validation) headers(field string, headers map[string]string) {
	if len(headers) > maxVars {
		v.add(field, "has %d entries, more than %d", len(headers), maxVars)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		at, value := strict.Join(field, name), headers[name]
		if !headerForm.MatchString(name) {
			v.add(at, "is no name of an HTTP header")
		}
		if strings.ContainsFunc(value, func(r rune) bool { return isControl(r) && r != '\t' }) || len(value) > maxValue {
			v.add(at, "its value must be one line of at most %d bytes", maxValue)
		}
	}
}

func (v *validation) policies() {
	if len(v.c.Policies) > maxPolicies {
		v.add("policies", "has %d policies, more than %d", len(v.c.Policies), maxPolicies)
		return
	}
	seen := map[string]bool{}
	for i, p := range v.c.Policies {
		field := strict.Index("policies", i)
		before := len(v.found)
		v.part(field+".name", "policy", p.Name, v.known.Policies, seen)
		params := bytes.TrimSpace(p.Params)
		switch {
		case len(params) > maxParams:
			v.add(field+".params", "has %d bytes, more than %d", len(params), maxParams)
		case len(params) > 0 && (params[0] != '{' || !json.Valid(params)):
			v.add(field+".params", "must be an object")
		case v.known.Params != nil && len(v.found) == before:
			if err := v.known.Params(p.Name, p.Params); err != nil {
				v.add(field+".params", "%s", err)
			}
		}
	}
}

func (v *validation) filters() {
	if len(v.c.Filters) > maxPolicies {
		v.add("filters", "has %d filters, more than %d", len(v.c.Filters), maxPolicies)
		return
	}
	seen := map[string]bool{}
	for i, name := range v.c.Filters {
		v.part(strict.Index("filters", i), "filter", name, v.known.Filters, seen)
	}
}

func (v *validation) part(field, what, name string, known []string, seen map[string]bool) {
	switch {
	case !partForm.MatchString(name):
		v.add(field, "must be 1 to 64 characters of a-z, 0-9, _ and -, got %.80q", name)
	case seen[name]:
		v.add(field, "%s %q is given twice", what, name)
	case known != nil && !slices.Contains(known, name):
		e := strict.Unknown(field, fmt.Sprintf("%s %q", what, name), name, known)
		v.found = append(v.found, e)
	}
	seen[name] = true
}
