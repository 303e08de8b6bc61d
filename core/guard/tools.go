package guard

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/preset"
)

// permitted says whether the configuration gives the caller this tool: the main agent has allowed_tools and what its MCP servers
// offer, a sub-agent of the configuration has its own tools and no more (or, without any, those of the main agent). The CLI is
// started with no more than these; this holds even when it offers others.
func permitted(c preset.Config, ask agent.Ask) (reason string, ok bool) {
	list, who, own := c.AllowedTools, "the agent", false
	if sub, known := c.Agents[ask.AgentType]; known && ask.AgentType != "" {
		who = fmt.Sprintf("sub-agent %q", ask.AgentType)
		if own = len(sub.Tools) > 0; own {
			list = sub.Tools
		}
	}
	if slices.ContainsFunc(list, func(allowed string) bool { return sameTool(allowed, ask.Tool) }) {
		return "", true
	}
	if !own && impliedByServer(c, ask.Tool) {
		return "", true
	}
	return fmt.Sprintf("%s may not use %s: it is not among its allowed tools", who, ask.Tool), false
}

// impliedByServer says whether configuring an MCP server allows the tool: its own tools, and the resources.
func impliedByServer(c preset.Config, tool string) bool {
	if server, isMCP := mcpServer(tool); isMCP {
		_, configured := c.MCPServers[server]
		return configured
	}
	switch tool {
	case "ListMcpResources", "ReadMcpResource", "ListMcpResourcesTool", "ReadMcpResourceTool":
		return len(c.MCPServers) > 0
	default:
		return false
	}
}

// sameTool knows that the CLI lists Task and calls it Agent, and that MCP tools may be given as mcp__server or mcp__server__*.
func sameTool(allowed, tool string) bool {
	if allowed == tool || (isTask(allowed) && isTask(tool)) {
		return true
	}
	server, ok := strings.CutPrefix(strings.TrimSuffix(allowed, "__*"), "mcp__")
	// One that goes on after the server's name is one tool, and no beginning of others.
	return ok && server != "" && !strings.Contains(server, "__") && strings.HasPrefix(tool, "mcp__"+server+"__")
}

func isTask(name string) bool { return name == "Task" || name == "Agent" }

func mcpServer(tool string) (string, bool) {
	rest, ok := strings.CutPrefix(tool, "mcp__")
	if !ok {
		return "", false
	}
	server, _, ok := strings.Cut(rest, "__")
	return server, ok
}
