package guard

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/preset"
)

// permitted says whether the configuration gives the caller this tool: the main agent has allowed_tools, a sub-agent of the
// configuration has its own tools (or, without any, those of the main agent). The CLI is started with no more than these; this
// holds even when it offers others.
func permitted(c preset.Config, ask agent.Ask) (reason string, ok bool) {
	list, who := c.AllowedTools, "the agent"
	if sub, known := c.Agents[ask.AgentType]; known && ask.AgentType != "" {
		who = fmt.Sprintf("sub-agent %q", ask.AgentType)
		if len(sub.Tools) > 0 {
			list = sub.Tools
		}
	}
	if slices.ContainsFunc(list, func(allowed string) bool { return sameTool(allowed, ask.Tool) }) {
		return "", true
	}
	// Configuring an MCP server allows its tools and its resources.
	if server, isMCP := mcpServer(ask.Tool); isMCP {
		if _, configured := c.MCPServers[server]; configured {
			return "", true
		}
	}
	if len(c.MCPServers) > 0 && (ask.Tool == "ListMcpResources" || ask.Tool == "ReadMcpResource" ||
		ask.Tool == "ListMcpResourcesTool" || ask.Tool == "ReadMcpResourceTool") {
		return "", true
	}
	return fmt.Sprintf("%s may not use %s: it is not among its allowed tools", who, ask.Tool), false
}

// sameTool knows that the CLI lists Task and calls it Agent, and that MCP tools may be given as mcp__server or mcp__server__*.
func sameTool(allowed, tool string) bool {
	if allowed == tool || (isTask(allowed) && isTask(tool)) {
		return true
	}
	if server, ok := strings.CutSuffix(allowed, "__*"); ok && strings.HasPrefix(allowed, "mcp__") {
		return strings.HasPrefix(tool, server+"__")
	}
	return strings.HasPrefix(allowed, "mcp__") && strings.HasPrefix(tool, allowed+"__")
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
