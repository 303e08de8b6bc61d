package preset

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agcluster/agcluster/core/config/strict"
)

// Tool is a built-in tool of Claude Code, for people who choose.
type Tool struct {
	Name        string `json:"name"`
	Category    string `json:"category" enum:"files,shell,web,planning,agents,notebook,mcp" doc:"What it has to do with."`
	Description string `json:"description"`
}

// ToolCatalog lists the built-in tools of the pinned Claude Code (2.1.197) that work in a session, by category: it was started with
// --tools and asked for its init message. Left out are those that need what a sandbox has not (CronCreate, ScheduleWakeup,
// SendMessage, Workflow, the worktrees) and TaskCreate and its kin, which TodoWrite stands for.
func ToolCatalog() []Tool {
	const files, shell, web, planning, agents, notebook, mcp = "files", "shell", "web", "planning", "agents", "notebook", "mcp"
	return []Tool{
		{"Read", files, "Reads a file: text, an image, a PDF or a notebook."},
		{"Write", files, "Writes a whole file, new or over the old one."},
		{"Edit", files, "Replaces a piece of text in a file."},
		{"Glob", files, "Finds files by the pattern of their names."},
		{"Grep", files, "Searches the contents of files with regular expressions."},
		{"Bash", shell, "Runs shell commands in the sandbox."},
		{"TaskOutput", shell, "Reads what a command or sub-agent in the background has written so far."},
		{"TaskStop", shell, "Ends a command or sub-agent in the background."},
		{"WebFetch", web, "Reads a page of the web, as far as the network rules allow."},
		{"WebSearch", web, "Searches the web, through the model's API."},
		{"TodoWrite", planning, "Keeps the agent's task list."},
		{"EnterPlanMode", planning, "Begins to plan: reads and thinks, and changes nothing."},
		{"ExitPlanMode", planning, "Shows the plan for approval and ends planning."},
		{"AskUserQuestion", planning, "Asks the person a question with choices."},
		{"Task", agents, "Gives a piece of work to a sub-agent; needed to use sub-agents."},
		{"Agent", agents, "The same as Task, by its newer name."},
		{"Skill", agents, "Runs a skill or slash command that the workspace or the settings define."},
		{"NotebookEdit", notebook, "Changes a cell of a Jupyter notebook."},
		{"ListMcpResources", mcp, "Lists the resources of MCP servers; allowed with any MCP server."},
		{"ReadMcpResource", mcp, "Reads a resource of an MCP server; allowed with any MCP server."},
	}
}

// tools are the names of the catalogue.
func tools() []string {
	all := ToolCatalog()
	names := make([]string, len(all))
	for i, t := range all {
		names[i] = t.Name
	}
	return names
}

// formerly says what became of tools that older versions had. Accepting the old name would give a tool that the guard, which sees
// the new one, refuses.
func formerly() map[string]string {
	return map[string]string{
		"BashOutput": "it is called TaskOutput now", "AgentOutputTool": "it is called TaskOutput now",
		"KillShell": "it is called TaskStop now", "KillBash": "it is called TaskStop now",
		"MultiEdit": "Claude Code no longer has it; use Edit", "LS": "Claude Code no longer has it; use Glob or Bash",
		"NotebookRead": "Claude Code no longer has it; use Read", "TodoRead": "Claude Code no longer has it; use TodoWrite",
		"SlashCommand": "Claude Code no longer has it; use Skill",
		"TaskCreate":   "use TodoWrite", "TaskUpdate": "use TodoWrite", "TaskList": "use TodoWrite", "TaskGet": "use TodoWrite",
	}
}

// Tools returns every tool that the configuration allows the main agent: allowed_tools and, since configuring an MCP server allows
// its tools, mcp__server__* for each server, ListMcpResources and ReadMcpResource.
func (c Config) Tools() []string {
	all := slices.Clone(c.AllowedTools)
	add := func(name string) {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	for _, server := range slices.Sorted(maps.Keys(c.MCPServers)) {
		add("mcp__" + server + "__*")
	}
	if len(c.MCPServers) > 0 {
		add("ListMcpResources")
		add("ReadMcpResource")
	}
	return all
}

func (v *validation) tools(field string, list []string) {
	if len(list) > maxTools {
		v.add(field, "has %d tools, more than %d", len(list), maxTools)
		return
	}
	seen := map[string]bool{}
	for i, name := range list {
		at := strict.Index(field, i)
		if seen[name] {
			v.add(at, "%q is given twice", name)
		}
		seen[name] = true
		v.tool(at, name)
	}
}

func (v *validation) tool(field, name string) {
	if rest, ok := strings.CutPrefix(name, "mcp__"); ok {
		server, tool, named := strings.Cut(rest, "__")
		if _, configured := v.c.MCPServers[server]; !configured {
			v.add(field, "unknown tool %.80q: mcp_servers has no %.64q", name, server)
		} else if named && tool != "*" && !mcpToolForm.MatchString(tool) {
			v.add(field, "%.80q is no tool of an MCP server: write mcp__server__tool or mcp__server__*", name)
		}
		return
	}
	if slices.Contains(tools(), name) {
		return
	}
	if hint := formerly()[name]; hint != "" {
		v.add(field, "unknown tool %q: %s", name, hint)
		return
	}
	if base, _, ok := strings.Cut(name, "("); ok && slices.Contains(tools(), base) {
		v.add(field, "unknown tool %.80q: name the tool alone (%s); rules on its arguments belong into the parameters of the tools policy", name, base)
		return
	}
	hint := ""
	if near := strict.Nearest(name, tools()); near != "" {
		hint = fmt.Sprintf("; did you mean %s?", near)
	}
	v.add(field, "unknown tool %.80q%s", name, hint)
}
