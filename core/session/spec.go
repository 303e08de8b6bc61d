package session

import (
	"fmt"
	"maps"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/preset"
)

// Workspace is where a session's files are, as its agent sees them.
const Workspace = "/workspace"

// DefaultMode is the permission mode of a configuration that names none.
const DefaultMode = "acceptEdits"

// SpareSpec is the sandbox that launches of a configuration ask for, as far as it is known before there is one.
func SpareSpec(provider string, c preset.Config) (SandboxSpec, error) {
	spec, err := sessionSpec(Session{Config: c}, "")
	return SandboxSpec{Provider: provider, Limits: c.ResourceLimits, Agent: &spec}, err
}

// sessionSpec is what the agent server needs to start the CLI. key opens mcp_env.
func sessionSpec(rec Session, key string) (agent.SessionSpec, error) {
	env, err := unseal(key, rec.ID, rec.SealedEnv)
	if err != nil {
		return agent.SessionSpec{}, fmt.Errorf("preparing MCP servers: %w", err)
	}
	c := rec.Config
	spec := agent.SessionSpec{
		TranscriptID: rec.TranscriptID, Resume: rec.Turn > 0, Model: c.Model, Tools: c.AllowedTools, Agents: c.Agents,
		PermissionMode: c.PermissionMode, MaxTurns: c.MaxTurns, SettingSources: c.SettingSources, Env: c.Env, Cwd: c.Cwd,
		SystemPrompt: agent.SystemPrompt{Replace: c.SystemPrompt.Text, Append: c.SystemPrompt.Append},
	}
	if spec.Cwd == "" {
		spec.Cwd = Workspace
	}
	if spec.PermissionMode == "" {
		spec.PermissionMode = DefaultMode
	}
	if len(c.MCPServers) > 0 {
		spec.MCPServers = make(map[string]agent.MCPServer, len(c.MCPServers))
	}
	for name, server := range c.MCPServers {
		if extra := env[name]; len(extra) > 0 {
			merged := maps.Clone(server.Env)
			if merged == nil {
				merged = map[string]string{}
			}
			maps.Copy(merged, extra)
			server.Env = merged
		}
		spec.MCPServers[name] = server
	}
	return spec, nil
}
