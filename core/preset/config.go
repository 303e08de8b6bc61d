// Package preset owns agent configurations: their schema, validation, loading from YAML files, and the user's own ones. It knows
// nothing of how a session runs them.
package preset

import (
	"encoding/json"

	"github.com/agcluster/agcluster/core/agent"
)

// Config is an agent configuration, in the shape that AgCluster Container documents (plus policies and filters). The JSON and
// YAML names are the same.
type Config struct {
	// ID is 1 to 64 characters of [a-z0-9_-].
	ID          string `json:"id" required:"false" doc:"1 to 64 characters of a-z, 0-9, _ and -."`
	Name        string `json:"name" required:"false" doc:"What people call it; the id unless given."`
	Description string `json:"description,omitempty" doc:"What it is for, in a sentence."`
	Version     string `json:"version,omitempty" doc:"Its own version, such as 1.0.0."`
	// AllowedTools are the tools the agent may use without asking: names the CLI knows or mcp__server__tool.
	AllowedTools   []string                   `json:"allowed_tools,omitzero" required:"false" doc:"Names of Claude Code's tools, or mcp__server__tool."`
	SystemPrompt   SystemPrompt               `json:"system_prompt,omitzero"`
	MCPServers     map[string]agent.MCPServer `json:"mcp_servers,omitempty" doc:"Servers that give the agent further tools, by name: stdio {command, args, env}, or sse and http {url, headers}."`
	PermissionMode string                     `json:"permission_mode,omitempty" doc:"default, acceptEdits, plan or bypassPermissions: what Claude Code asks for before it does it."`
	Agents         map[string]agent.SubAgent  `json:"agents,omitempty" doc:"Sub-agents by name; the agent needs the tool Task for them."`
	ResourceLimits ResourceLimits             `json:"resource_limits,omitzero" doc:"What the sandbox may use; the host's defaults unless given."`
	// MaxTurns bounds the model round trips of one turn: 1 to 1000, 0 is the host's default.
	MaxTurns int    `json:"max_turns,omitempty" doc:"Model round trips of one turn, 1 to 1000; 0 is the host's default."`
	Model    string `json:"model,omitempty" doc:"sonnet, opus, haiku or a full name; Claude Code's default unless given."`
	// Cwd is where the agent works, within /workspace.
	Cwd            string            `json:"cwd,omitempty" doc:"Where the agent works: /workspace or a folder in it."`
	Env            map[string]string `json:"env,omitempty" doc:"Variables of the agent's commands."`
	SettingSources []string          `json:"setting_sources,omitempty" doc:"Where Claude Code reads further settings from: user, project, local."`
	// Network says where the agent may connect to.
	Network Network `json:"network,omitzero" doc:"Where the agent may connect to."`
	// Policies are asked in this order at each gate they know. The operator's come first.
	Policies []Policy `json:"policies,omitempty" doc:"Asked in this order, after the operator's."`
	// Filters are plugin names, asked in this order after the policies. The operator's come first.
	Filters []string `json:"filters,omitempty" doc:"Filter plugins, asked in this order, after the operator's."`
}

// SystemPrompt is a string in JSON (a replacement for Claude Code's own), or {type: preset, preset: claude_code, append: …}.
type SystemPrompt struct {
	Text   string
	Preset bool
	Append string
}

// ResourceLimits are upper limits of a sandbox.
type ResourceLimits struct {
	// CPUQuota is in 1/100000 of a CPU: 100000 is one CPU.
	CPUQuota int64 `json:"cpu_quota,omitempty" doc:"In 1/100000 of a CPU: 100000 is one."`
	// MemoryLimit and StorageLimit are sizes like "4g" or "512m" (binary units).
	MemoryLimit  string `json:"memory_limit,omitempty" doc:"Such as 512m or 4g."`
	StorageLimit string `json:"storage_limit,omitempty" doc:"Such as 5g: all files of the session together."`
}

// Network says where the agent may connect to; the operator's rule must allow it too.
type Network struct {
	// Egress is none, allowlist or open.
	Egress string `json:"egress,omitempty" doc:"none, allowlist or open (which is what nothing means)."`
	// Allow are hosts with an optional port; *.example.org is every name below example.org.
	Allow []string `json:"allow,omitempty" doc:"With egress: allowlist, hosts such as git.example.org, *.example.org or git.example.org:443."`
}

// Policy names a policy module and its parameters.
type Policy struct {
	Name   string          `json:"name"`
	Params json.RawMessage `json:"params,omitempty" doc:"Parameters by the policy's own schema; they can only narrow the operator's."`
}
