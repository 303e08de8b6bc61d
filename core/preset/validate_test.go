package preset_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/preset"
)

// servers are those that the tests of tools refer to.
func servers() map[string]agent.MCPServer {
	return map[string]agent.MCPServer{"git_hub": {Command: "x"}, "web": {Type: "http", URL: "https://x"}}
}

func TestValidate(t *testing.T) {
	many := func(n int, prefix string) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("%s%d", prefix, i)
		}
		return list
	}
	vars := func(n int) map[string]string {
		m := map[string]string{}
		for _, name := range many(n, "V") {
			m[name] = "x"
		}
		return m
	}
	for _, tt := range []struct {
		name   string
		change func(*preset.Config)
		want   string // empty is valid
	}{
		{"as it is", func(*preset.Config) {}, ""},
		{"no id", func(c *preset.Config) { c.ID = "" }, `id: must be 1 to 64 characters of a-z, 0-9, _ and -, got ""`},
		{"id with a capital", func(c *preset.Config) { c.ID = "Code" }, `id: must be 1 to 64`},
		{"id with a path", func(c *preset.Config) { c.ID = "../x" }, `id: must be 1 to 64`},
		{"id with a newline", func(c *preset.Config) { c.ID = "x\n" }, `id: must be 1 to 64`},
		{"id of 65", func(c *preset.Config) { c.ID = strings.Repeat("x", 65) }, `id: must be 1 to 64`},
		{"id of 64", func(c *preset.Config) { c.ID = strings.Repeat("x", 64) }, ""},
		{"no name", func(c *preset.Config) { c.Name = " " }, "name: must not be empty"},
		{"name too long", func(c *preset.Config) { c.Name = strings.Repeat("x", 201) }, "name: has 201 bytes, more than 200"},
		{"name with NUL", func(c *preset.Config) { c.Name = "a\x00" }, "name: must be UTF-8 without NUL"},
		{"description too long", func(c *preset.Config) { c.Description = strings.Repeat("x", 2001) }, "description: has 2001 bytes, more than 2000"},
		{"version too long", func(c *preset.Config) { c.Version = strings.Repeat("x", 51) }, "version: has 51 bytes, more than 50"},

		{"no network", func(c *preset.Config) { c.Network = preset.Network{Egress: "none"} }, ""},
		{"an open network", func(c *preset.Config) { c.Network = preset.Network{Egress: "open"} }, ""},
		{"some hosts", func(c *preset.Config) {
			c.Network = preset.Network{Egress: "allowlist", Allow: []string{"*.example.com:443", "git.example.org", "192.0.2.1:8080", "[2001:db8::1]:443", "2001:db8::1"}}
		}, ""},
		{"unknown egress", func(c *preset.Config) { c.Network.Egress = "closed" }, `network.egress: must be one of none, allowlist, open, got "closed"`},
		{"hosts without a mode", func(c *preset.Config) { c.Network.Allow = []string{"x.org"} }, "network.allow: needs egress: allowlist"},
		{"hosts in an open network", func(c *preset.Config) { c.Network = preset.Network{Egress: "open", Allow: []string{"x.org"}} }, "network.allow: needs egress: allowlist"},
		{"an allowlist without hosts", func(c *preset.Config) { c.Network.Egress = "allowlist" }, "network.allow: must name a host; egress: none allows nothing"},
		{"too many hosts", func(c *preset.Config) { c.Network = preset.Network{Egress: "allowlist", Allow: many(201, "h")} }, "network.allow: has 201 entries, more than 200"},
		{"a host twice", func(c *preset.Config) {
			c.Network = preset.Network{Egress: "allowlist", Allow: []string{"x.org", "x.org"}}
		}, `network.allow[1]: "x.org" is given twice`},
		{"a URL for a host", func(c *preset.Config) {
			c.Network = preset.Network{Egress: "allowlist", Allow: []string{"x.org", "https://x.org"}}
		}, `network.allow[1]: must be a host such as git.example.org, *.example.org or git.example.org:443, not a URL, a path or a network, got "https://x.org"`},
		{"a star in the middle", func(c *preset.Config) {
			c.Network = preset.Network{Egress: "allowlist", Allow: []string{"a.*.org"}}
		}, `network.allow[0]: a wildcard is only possible as the first label`},
		{"a port too large", func(c *preset.Config) {
			c.Network = preset.Network{Egress: "allowlist", Allow: []string{"x.org:70000"}}
		}, `network.allow[0]: the port "70000" is no number from 1 to 65535`},

		{"unknown tool", func(c *preset.Config) { c.AllowedTools = []string{"Bash", "Wrte"} }, `allowed_tools[1]: unknown tool "Wrte"; did you mean Write?`},
		{"tool in lower case", func(c *preset.Config) { c.AllowedTools = []string{"bash"} }, `allowed_tools[0]: unknown tool "bash"; did you mean Bash?`},
		{"empty tool", func(c *preset.Config) { c.AllowedTools = []string{""} }, `allowed_tools[0]: unknown tool ""`},
		{"tool twice", func(c *preset.Config) { c.AllowedTools = []string{"Bash", "Bash"} }, `allowed_tools[1]: "Bash" is given twice`},
		{"tool of older versions", func(c *preset.Config) { c.AllowedTools = []string{"MultiEdit"} }, `allowed_tools[0]: unknown tool "MultiEdit": Claude Code no longer has it; use Edit`},
		{"tool with a new name", func(c *preset.Config) { c.AllowedTools = []string{"BashOutput"} }, `it is called TaskOutput now`},
		{"tool with a rule", func(c *preset.Config) { c.AllowedTools = []string{"Bash(git *)"} }, `allowed_tools[0]: unknown tool "Bash(git *)": name the tool alone (Bash); rules on its arguments belong into the parameters of the tools policy`},
		{"too many tools", func(c *preset.Config) { c.AllowedTools = many(201, "T") }, "allowed_tools: has 201 tools, more than 200"},
		{"no tools", func(c *preset.Config) { c.AllowedTools = []string{} }, ""},
		{"tool of a server", func(c *preset.Config) {
			c.MCPServers, c.AllowedTools = servers(), []string{"mcp__git_hub__create_issue", "mcp__git_hub__*", "mcp__git_hub"}
		}, ""},
		{"tool of an unknown server", func(c *preset.Config) { c.MCPServers, c.AllowedTools = servers(), []string{"mcp__gitlab__x"} }, `allowed_tools[0]: unknown tool "mcp__gitlab__x": mcp_servers has no "gitlab"`},
		{"tool of a server without a name", func(c *preset.Config) { c.MCPServers, c.AllowedTools = servers(), []string{"mcp__web__"} }, `allowed_tools[0]: "mcp__web__" is no tool of an MCP server`},
		{"tool of a server with a bad name", func(c *preset.Config) { c.MCPServers, c.AllowedTools = servers(), []string{"mcp__web__a b"} }, `is no tool of an MCP server: write mcp__server__tool or mcp__server__*`},

		{"prompt as text", func(c *preset.Config) { c.SystemPrompt = preset.SystemPrompt{Text: "x"} }, ""},
		{"prompt too long", func(c *preset.Config) { c.SystemPrompt.Text = strings.Repeat("x", 256<<10+1) }, "system_prompt: has 262145 bytes, more than 262144"},
		{"append too long", func(c *preset.Config) {
			c.SystemPrompt = preset.SystemPrompt{Preset: true, Append: strings.Repeat("x", 256<<10+1)}
		}, "system_prompt.append: has 262145 bytes"},
		{"both prompts", func(c *preset.Config) { c.SystemPrompt = preset.SystemPrompt{Preset: true, Text: "x"} }, "system_prompt: is either a text or a preset, not both"},
		{"append alone", func(c *preset.Config) { c.SystemPrompt = preset.SystemPrompt{Append: "x"} }, "system_prompt.append: needs type: preset"},

		{"sub-agents without Task", func(c *preset.Config) { c.AllowedTools = []string{"Read"}; c.Agents = helper(nil) }, "allowed_tools: must have Task, or the agent can't call its sub-agents"},
		{"sub-agents with Agent", func(c *preset.Config) { c.AllowedTools = []string{"Agent"}; c.Agents = helper(nil) }, ""},
		{"sub-agent without description", func(c *preset.Config) { c.Agents = helper(func(a *agent.SubAgent) { a.Description = "" }) }, "agents.helper.description: must not be empty"},
		{"sub-agent without prompt", func(c *preset.Config) { c.Agents = helper(func(a *agent.SubAgent) { a.Prompt = "" }) }, "agents.helper.prompt: must not be empty"},
		{"sub-agent with an unknown tool", func(c *preset.Config) {
			c.Agents = helper(func(a *agent.SubAgent) { a.Tools = []string{"Read", "Nope"} })
		}, `agents.helper.tools[1]: unknown tool "Nope"`},
		{"sub-agent with an unknown model", func(c *preset.Config) { c.Agents = helper(func(a *agent.SubAgent) { a.Model = "sonet" }) }, `agents.helper.model: must be sonnet, opus, haiku or a model's full name, got "sonet"`},
		{"sub-agent that inherits its model", func(c *preset.Config) { c.Agents = helper(func(a *agent.SubAgent) { a.Model = "inherit" }) }, ""},
		{"sub-agent's name", func(c *preset.Config) { c.Agents = map[string]agent.SubAgent{"a b": {Description: "x", Prompt: "x"}} }, `agents."a b": a sub-agent's name must be 1 to 64 characters`},
		{"too many sub-agents", func(c *preset.Config) {
			c.Agents = map[string]agent.SubAgent{}
			for _, name := range many(51, "a") {
				c.Agents[name] = agent.SubAgent{Description: "x", Prompt: "x"}
			}
		}, "agents: has 51 sub-agents, more than 50"},

		{"too little CPU", func(c *preset.Config) { c.ResourceLimits.CPUQuota = 999 }, "resource_limits.cpu_quota: must be 1000 to 25600000 (100000 is one CPU), got 999"},
		{"negative CPU", func(c *preset.Config) { c.ResourceLimits.CPUQuota = -1 }, "resource_limits.cpu_quota: must be"},
		{"too much CPU", func(c *preset.Config) { c.ResourceLimits.CPUQuota = 25_600_001 }, "resource_limits.cpu_quota: must be"},
		{"too little memory", func(c *preset.Config) { c.ResourceLimits.MemoryLimit = "255m" }, "resource_limits.memory_limit: must be 256m to 1t, got 255m"},
		{"memory without sense", func(c *preset.Config) { c.ResourceLimits.MemoryLimit = "lots" }, `resource_limits.memory_limit: "lots" is no size; write it like 512m or 4g`},
		{"too much memory", func(c *preset.Config) { c.ResourceLimits.MemoryLimit = "2t" }, "resource_limits.memory_limit: must be 256m to 1t, got 2t"},
		{"too little storage", func(c *preset.Config) { c.ResourceLimits.StorageLimit = "1m" }, "resource_limits.storage_limit: must be 16m to 16t, got 1m"},

		{"unknown mode", func(c *preset.Config) { c.PermissionMode = "ask" }, `permission_mode: must be one of default, acceptEdits, plan, bypassPermissions, got "ask"`},
		{"negative turns", func(c *preset.Config) { c.MaxTurns = -1 }, "max_turns: must be 0 (the host's default) to 1000, got -1"},
		{"too many turns", func(c *preset.Config) { c.MaxTurns = 1001 }, "max_turns: must be 0 (the host's default) to 1000, got 1001"},
		{"model's full name", func(c *preset.Config) { c.Model = "claude-opus-4-1-20250805" }, ""},
		{"model with a long context", func(c *preset.Config) { c.Model = "sonnet[1m]" }, ""},
		{"model as an option", func(c *preset.Config) { c.Model = "--dangerous" }, `model: must be sonnet, opus, haiku or a model's full name, got "--dangerous"`},
		{"model inherited by nobody", func(c *preset.Config) { c.Model = "inherit" }, `model: must be`},
		{"cwd below", func(c *preset.Config) { c.Cwd = "/workspace/a/b" }, ""},
		{"cwd is the workspace", func(c *preset.Config) { c.Cwd = "/workspace" }, ""},
		{"cwd outside", func(c *preset.Config) { c.Cwd = "/etc" }, `cwd: must be /workspace or a clean path below it, got "/etc"`},
		{"cwd that climbs", func(c *preset.Config) { c.Cwd = "/workspace/../etc" }, "cwd: must be"},
		{"cwd beside", func(c *preset.Config) { c.Cwd = "/workspace2" }, "cwd: must be"},
		{"cwd relative", func(c *preset.Config) { c.Cwd = "a" }, "cwd: must be"},
		{"cwd with NUL", func(c *preset.Config) { c.Cwd = "/workspace/\x00" }, "cwd: must be"},
		{"unknown source", func(c *preset.Config) { c.SettingSources = []string{"project", "global"} }, `setting_sources[1]: must be one of user, project, local, got "global"`},
		{"source twice", func(c *preset.Config) { c.SettingSources = []string{"project", "project"} }, `setting_sources[1]: "project" is empty or given twice`},
		{"empty source", func(c *preset.Config) { c.SettingSources = []string{""} }, `setting_sources[0]: "" is empty or given twice`},

		{"variable of one's own", func(c *preset.Config) { c.Env = map[string]string{"DEBUG": "1", "_x9": ""} }, ""},
		{"variable without a name", func(c *preset.Config) { c.Env = map[string]string{"": "1"} }, `env."": a variable's name must be 1 to 128 characters`},
		{"variable with an equals sign", func(c *preset.Config) { c.Env = map[string]string{"A=B": "1"} }, `env.A=B: a variable's name must be`},
		{"variable with a digit first", func(c *preset.Config) { c.Env = map[string]string{"1A": "1"} }, `env.1A: a variable's name must be`},
		{"value with NUL", func(c *preset.Config) { c.Env = map[string]string{"A": "hunter2\x00"} }, "env.A: its value must be UTF-8 without NUL"},
		{"value too long", func(c *preset.Config) { c.Env = map[string]string{"A": strings.Repeat("x", 32<<10+1)} }, "env.A: its value has 32769 bytes, more than 32768"},
		{"too many variables", func(c *preset.Config) { c.Env = vars(101) }, "env: has 101 variables, more than 100"},

		{"server's name", func(c *preset.Config) { c.MCPServers = map[string]agent.MCPServer{"a__b": {Command: "x"}} }, "mcp_servers.a__b: an MCP server's name must be 1 to 64 characters"},
		{"server without command", func(c *preset.Config) { c.MCPServers = server(agent.MCPServer{}) }, "mcp_servers.s.command: must not be empty"},
		{"server of an unknown type", func(c *preset.Config) { c.MCPServers = server(agent.MCPServer{Type: "ws", URL: "ws://x"}) }, `mcp_servers.s.type: must be one of stdio, sse, http, got "ws"`},
		{"stdio with url", func(c *preset.Config) { c.MCPServers = server(agent.MCPServer{Command: "x", URL: "https://x"}) }, `mcp_servers.s.type: must be "sse" or "http" for a server with url or headers`},
		{"http with a command", func(c *preset.Config) {
			c.MCPServers = server(agent.MCPServer{Type: "http", URL: "https://x", Command: "x"})
		}, "mcp_servers.s: a server of type http has url and headers, not command, args or env"},
		{"http without url", func(c *preset.Config) { c.MCPServers = server(agent.MCPServer{Type: "http"}) }, "mcp_servers.s.url: must be an http or https URL"},
		{"sse with a file", func(c *preset.Config) { c.MCPServers = server(agent.MCPServer{Type: "sse", URL: "file:///x"}) }, "mcp_servers.s.url: must be an http or https URL"},
		{"url with a password", func(c *preset.Config) {
			c.MCPServers = server(agent.MCPServer{Type: "sse", URL: "https://a:hunter2@x"})
		}, "mcp_servers.s.url: must not hold a user or password; use headers"},
		{"header's name", func(c *preset.Config) {
			c.MCPServers = server(agent.MCPServer{Type: "sse", URL: "https://x", Headers: map[string]string{"a b": "c"}})
		}, `mcp_servers.s.headers."a b": is no name of an HTTP header`},
		{"header's value", func(c *preset.Config) {
			c.MCPServers = server(agent.MCPServer{Type: "sse", URL: "https://x", Headers: map[string]string{"A": "hunter2\r\nB: c"}})
		}, "mcp_servers.s.headers.A: its value must be one line of at most 32768 bytes"},
		{"server's reserved variable", func(c *preset.Config) {
			c.MCPServers = server(agent.MCPServer{Command: "x", Env: map[string]string{"LD_PRELOAD": "y"}})
		}, "mcp_servers.s.env.LD_PRELOAD: may not be set"},
		{"too many arguments", func(c *preset.Config) { c.MCPServers = server(agent.MCPServer{Command: "x", Args: many(101, "")}) }, "mcp_servers.s.args: has 101 arguments, more than 100"},
		{"argument with NUL", func(c *preset.Config) { c.MCPServers = server(agent.MCPServer{Command: "x", Args: []string{"a\x00"}}) }, "mcp_servers.s.args[0]: must be UTF-8 without NUL"},
		{"too many servers", func(c *preset.Config) {
			c.MCPServers = map[string]agent.MCPServer{}
			for _, name := range many(51, "s") {
				c.MCPServers[name] = agent.MCPServer{Command: "x"}
			}
		}, "mcp_servers: has 51 servers, more than 50"},

		{"policy's name", func(c *preset.Config) { c.Policies = []preset.Policy{{Name: "A"}} }, `policies[0].name: must be 1 to 64 characters of a-z, 0-9, _ and -, got "A"`},
		{"policy twice", func(c *preset.Config) { c.Policies = []preset.Policy{{Name: "path"}, {Name: "path"}} }, `policies[1].name: policy "path" is given twice`},
		{"unknown policy", func(c *preset.Config) { c.Policies = []preset.Policy{{Name: "paths"}} }, `policies[0].name: unknown policy "paths"; did you mean path?`},
		{"parameters that are a list", func(c *preset.Config) { c.Policies = []preset.Policy{{Name: "path", Params: json.RawMessage("[]")}} }, "policies[0].params: must be an object"},
		{"parameters that are no JSON", func(c *preset.Config) { c.Policies = []preset.Policy{{Name: "path", Params: json.RawMessage("{")}} }, "policies[0].params: must be an object"},
		{"parameters that are too long", func(c *preset.Config) {
			c.Policies = []preset.Policy{{Name: "path", Params: json.RawMessage(`{"a":"` + strings.Repeat("x", 64<<10) + `"}`)}}
		}, "policies[0].params: has 65544 bytes, more than 65536"},
		{"parameters that the policy refuses", func(c *preset.Config) {
			c.Policies = []preset.Policy{{Name: "tools", Params: json.RawMessage(`{"bad":1}`)}}
		}, "policies[0].params: tools does not know bad"},
		{"too many policies", func(c *preset.Config) { c.Policies = make([]preset.Policy, 21) }, "policies: has 21 policies, more than 20"},
		{"unknown filter", func(c *preset.Config) { c.Filters = []string{"secrets", "shel"} }, `filters[1]: unknown filter "shel"; did you mean shell?`},
		{"filter twice", func(c *preset.Config) { c.Filters = []string{"secrets", "secrets"} }, `filters[1]: filter "secrets" is given twice`},
		{"too many filters", func(c *preset.Config) { c.Filters = make([]string, 21) }, "filters: has 21 filters, more than 20"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := preset.Config{ID: "x", Name: "X", AllowedTools: []string{"Bash", "Task"}}
			tt.change(&c)
			err := preset.Validate(c, known())
			if tt.want == "" {
				if err != nil {
					t.Errorf("got %v, want none", err)
				}
				return
			}
			found, ok := errors.AsType[preset.Errors](err)
			if !ok || len(found) != 1 || !strings.HasPrefix(found[0].Error(), tt.want) && !strings.Contains(found[0].Error(), tt.want) {
				t.Errorf("got %.300v\nwant %s", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("the error holds a credential")
			}
		})
	}
}

func helper(change func(*agent.SubAgent)) map[string]agent.SubAgent {
	a := agent.SubAgent{Description: "x", Prompt: "x"}
	if change != nil {
		change(&a)
	}
	return map[string]agent.SubAgent{"helper": a}
}

func server(s agent.MCPServer) map[string]agent.MCPServer { return map[string]agent.MCPServer{"s": s} }

func known() preset.Known {
	return preset.Known{
		Policies: []string{"path", "tools"}, Filters: []string{"secrets", "shell"},
		Params: func(policy string, params json.RawMessage) error {
			if strings.Contains(string(params), "bad") {
				return fmt.Errorf("%s does not know bad", policy)
			}
			return nil
		},
	}
}

func TestValidateFindsEverythingAtOnce(t *testing.T) {
	err := preset.Validate(preset.Config{ID: "X", AllowedTools: []string{"A", "B"}, MaxTurns: -1}, preset.Known{})
	found, _ := errors.AsType[preset.Errors](err)
	var fields []string
	for _, e := range found {
		fields = append(fields, e.Field)
	}
	if want := []string{"id", "name", "allowed_tools[0]", "allowed_tools[1]", "max_turns"}; !slices.Equal(fields, want) {
		t.Errorf("got %v, want %v", fields, want)
	}
}

func TestNilKnownChecksNoNames(t *testing.T) {
	c := preset.Config{ID: "x", Name: "x", Policies: []preset.Policy{{Name: "any"}}, Filters: []string{"any"}}
	if err := preset.Validate(c, preset.Known{}); err != nil {
		t.Error(err)
	}
	if err := preset.Validate(c, preset.Known{Policies: []string{}, Filters: []string{}}); err == nil {
		t.Error("a host without policies and filters takes any name")
	}
}

func TestReservedVariables(t *testing.T) {
	for name, allowed := range map[string]bool{
		"ANTHROPIC_API_KEY": false, "anthropic_base_url": false, "CLAUDE_CONFIG_DIR": false, "CLAUDECODE": false, "AGCLUSTER_TOKEN": false,
		"LD_PRELOAD": false, "LD_LIBRARY_PATH": false, "BUN_OPTIONS": false, "NODE_OPTIONS": false, "NODE_EXTRA_CA_CERTS": false,
		"BASH_ENV": false, "BASH_FUNC_ls%%": false, "ENV": false, "PATH": false, "HOME": false, "SHELL": false, "IFS": false, "TMPDIR": false,
		"HTTP_PROXY": false, "https_proxy": false, "NO_PROXY": false, "SSL_CERT_FILE": false, "DISABLE_AUTOUPDATER": false, "IS_SANDBOX": false,
		"GITHUB_TOKEN": true, "DATABASE_URL": true, "PYTHONUNBUFFERED": true, "MPLBACKEND": true, "PATH_TO_DATA": true, "MY_CLAUDE": true,
		"NODEJS": true, "LDFLAGS": true, "PROXY": true, "HOMEPAGE": true,
	} {
		err := preset.Validate(preset.Config{ID: "x", Name: "x", Env: map[string]string{name: "hunter2"}}, preset.Known{})
		if allowed != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error holds the value: %v", err)
		}
	}
}

func TestValidateMCPEnv(t *testing.T) {
	c := preset.Config{MCPServers: servers()}
	for _, tt := range []struct {
		name string
		env  map[string]map[string]string
		want string
	}{
		{"none", nil, ""},
		{"a server's", map[string]map[string]string{"git_hub": {"GITHUB_PERSONAL_ACCESS_TOKEN": "hunter2"}}, ""},
		{"an unknown server's", map[string]map[string]string{"x": {"A": "hunter2"}}, "mcp_env.x: the configuration has no MCP server of this name"},
		{"one without an environment", map[string]map[string]string{"web": {"A": "hunter2"}}, "mcp_env.web: the MCP server is reached by URL and has no environment"},
		{"a reserved name", map[string]map[string]string{"git_hub": {"PATH": "hunter2"}}, "mcp_env.git_hub.PATH: may not be set: the name is the host's"},
		{"a hidden value", map[string]map[string]string{"git_hub": {"A": "***"}}, "mcp_env.git_hub.A: *** stands for a value that is not shown; give the value itself, or launch by config_id"},
		{"a bad value", map[string]map[string]string{"git_hub": {"A": "hunter2\x00"}}, "mcp_env.git_hub.A: its value must be UTF-8 without NUL"},
	} {
		err := preset.ValidateMCPEnv(c, tt.env)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || err.Error() != tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestTools(t *testing.T) {
	c := preset.Config{AllowedTools: []string{"Bash", "mcp__web__*", "ReadMcpResource"}}
	if got := c.Tools(); !slices.Equal(got, c.AllowedTools) {
		t.Errorf("without servers: %v", got)
	}
	c.MCPServers = servers()
	if got, want := c.Tools(), []string{"Bash", "mcp__web__*", "ReadMcpResource", "mcp__git_hub__*", "ListMcpResources"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(c.AllowedTools) != 3 {
		t.Error("the configuration was changed")
	}
}
