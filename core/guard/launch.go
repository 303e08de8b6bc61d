package guard

import (
	"context"
	"maps"
	"slices"

	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
)

// Launch is the input of the gate agent.launch (policies/README.md). It has no credentials: of an MCP server, only what kind it is.
type Launch struct {
	// Change says that nothing is started: the session runs, and a person wants another model or permission mode.
	Change bool `json:"change,omitempty"`
	// Source is preset, custom or inline.
	Source   session.Source `json:"source"`
	ConfigID string         `json:"config_id"`
	Name     string         `json:"name"`
	Provider string         `json:"provider"`
	// Model is empty for Claude Code's default.
	Model          string   `json:"model"`
	PermissionMode string   `json:"permission_mode"`
	Tools          []string `json:"tools"`
	// Agents and MCPServers are sorted by name.
	Agents         []LaunchAgent  `json:"agents"`
	MCPServers     []LaunchServer `json:"mcp_servers"`
	Limits         LaunchLimits   `json:"limits"`
	Egress         string         `json:"egress"`
	SettingSources []string       `json:"setting_sources"`
}

// LaunchAgent is a sub-agent. Without tools of its own it has the main agent's.
type LaunchAgent struct {
	Name  string   `json:"name"`
	Tools []string `json:"tools"`
	Model string   `json:"model"`
}

// LaunchServer is an MCP server; its type is stdio, sse or http.
type LaunchServer struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// LaunchLimits are what the sandbox may use, the host's defaults filled in; 0 is no limit.
type LaunchLimits struct {
	// CPUQuota is in 1/100000 of a CPU.
	CPUQuota int64 `json:"cpu_quota"`
	// Memory and Storage are in bytes.
	Memory  int64 `json:"memory"`
	Storage int64 `json:"storage"`
}

// Launch implements session.Guard. A refusal is a *DeniedError.
func (g *Guard) Launch(ctx context.Context, scope session.Scope, change bool) error {
	// A typed nil would be an error.
	if denied := g.launch(ctx, scope, change); denied != nil {
		return denied
	}
	return nil
}

// launch asks the policies about a launch; nil allows it.
func (g *Guard) launch(ctx context.Context, scope session.Scope, change bool) *DeniedError {
	gate := policy.GateAgentLaunch
	input, err := launchOf(scope, change)
	if err != nil {
		return &DeniedError{Gate: string(gate), By: "host", Reason: "the limits can't be read: " + err.Error()}
	}
	v := g.ask(ctx, scope, gate, input)
	switch v.Decision {
	case policy.Allow:
		return nil
	case policy.Ask, policy.Rewrite:
		// Whoever launches is a person already, and what they asked for is what they get or not.
		v.Reason = "the policy answers " + string(v.Decision) + ", which a launch can't follow"
	}
	return &DeniedError{Gate: string(gate), By: v.by, Reason: orText(v.Reason, "denied by the policy")}
}

func launchOf(scope session.Scope, change bool) (Launch, error) {
	c := scope.Config
	l := Launch{
		Change: change, Source: scope.Source, ConfigID: scope.ConfigID, Name: c.Name, Provider: scope.Provider, Model: c.Model,
		PermissionMode: orText(c.PermissionMode, session.DefaultMode), Tools: listed(c.AllowedTools), Agents: []LaunchAgent{},
		MCPServers: []LaunchServer{}, Limits: LaunchLimits{CPUQuota: c.ResourceLimits.CPUQuota}, Egress: c.Network.Egress,
		SettingSources: listed(c.SettingSources),
	}
	for _, name := range slices.Sorted(maps.Keys(c.Agents)) {
		a := c.Agents[name]
		l.Agents = append(l.Agents, LaunchAgent{Name: name, Tools: listed(a.Tools), Model: a.Model})
	}
	for _, name := range slices.Sorted(maps.Keys(c.MCPServers)) {
		l.MCPServers = append(l.MCPServers, LaunchServer{Name: name, Type: orText(c.MCPServers[name].Type, "stdio")})
	}
	for _, size := range []struct {
		text string
		to   *int64
	}{{c.ResourceLimits.MemoryLimit, &l.Limits.Memory}, {c.ResourceLimits.StorageLimit, &l.Limits.Storage}} {
		if size.text == "" {
			continue
		}
		var err error
		if *size.to, err = preset.ParseSize(size.text); err != nil {
			return l, err
		}
	}
	return l, nil
}

// listed is a list that JSON shows as one: no list is none.
func listed(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
