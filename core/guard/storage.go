package guard

import (
	"context"
	"encoding/json"
	"path"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/preset"
)

// stored lets a call pass that stores nothing, and any call while there is room. What is stored, the agent server has counted. A shell has
// a thousand ways to write: what passes here must only leave the agent a way to delete, and the agent server ends a turn whose storage
// goes on growing.
func (g *Guard) stored(ctx context.Context, c preset.Config, ask agent.Ask, input json.RawMessage) (reason string, ok bool) {
	if ask.Disk == nil || !ask.Disk.Over() {
		return "", true
	}
	select {
	case g.reading <- struct{}{}:
		defer func() { <-g.reading }()
	case <-ctx.Done():
		return "the turn ended before the call was read", false
	}
	if !writes(c, ask.Tool, input) {
		return "", true
	}
	return "the session's storage is full: " + ask.Disk.String() + "; delete files first, with rm in a Bash command that does nothing else", false
}

// writes says whether a call can store something. Who is not known can.
func writes(c preset.Config, tool string, input json.RawMessage) bool {
	if server, isMCP := mcpServer(tool); isMCP {
		// One that runs in the sandbox can write there; one that is reached by a URL is elsewhere.
		s, known := c.MCPServers[server]
		return !known || s.URL == ""
	}
	switch tool {
	case "Bash":
		return !frees(input)
	case "Read", "Grep", "Glob", "LS", "NotebookRead", "TodoWrite", "WebFetch", "WebSearch", "Task", "Agent", "BashOutput", "TaskOutput",
		"KillShell", "KillBash", "TaskStop", "ExitPlanMode", "ListMcpResources", "ReadMcpResource", "ListMcpResourcesTool",
		"ReadMcpResourceTool":
		return false
	default:
		return true
	}
}

// frees says whether a Bash call does nothing but look and delete.
func frees(input json.RawMessage) bool {
	script, ok := parse(input)
	if !ok {
		return false
	}
	b := &bash{}
	frees := true
	syntax.Walk(script, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.CallExpr:
			frees = frees && len(n.Assigns) == 0 && b.harmless(n.Args)
		case *syntax.Redirect:
			frees = frees && b.discards(n)
		case *syntax.FuncDecl, *syntax.DeclClause, *syntax.CoprocClause, *syntax.ProcSubst:
			frees = false
		}
		return frees
	})
	return frees
}

// discards says whether a redirection writes to no file.
func (b *bash) discards(n *syntax.Redirect) bool {
	switch n.Op {
	case syntax.RdrIn, syntax.WordHdoc, syntax.DplIn, syntax.Hdoc, syntax.DashHdoc:
		return true
	case syntax.DplOut: // 2>&1, and >&FILE
		to, whole := b.static(n.Word)
		return whole && (to == "1" || to == "2" || to == "-")
	default:
		to, whole := b.static(n.Word)
		return whole && to == "/dev/null"
	}
}

// harmless says whether a simple command only looks or deletes.
func (b *bash) harmless(args []*syntax.Word) bool {
	if len(args) == 0 {
		return true
	}
	name, whole := b.static(args[0])
	if !whole {
		return false
	}
	if dir := path.Dir(name); dir == "/bin" || dir == "/usr/bin" {
		name = path.Base(name)
	}
	switch name {
	case "rm", "rmdir", "unlink", "ls", "du", "df", "pwd", "cd", "stat", "wc", "head", "tail", "cat", "echo", "true", "false", "test", "[", ":":
		return true
	case "find":
		return b.finds(args[1:])
	case "xargs":
		return b.removes(args[1:])
	default:
		return false
	}
}

// finds says whether the words of a find neither run anything but rm nor write to a file.
func (b *bash) finds(args []*syntax.Word) bool {
	for i, w := range args {
		word, whole := b.static(w)
		switch {
		case !whole:
			// What it becomes may be any action.
			return false
		case word == "-exec" || word == "-execdir":
			if !b.removes(args[i+1:]) {
				return false
			}
		case slices.ContainsFunc([]string{"-ok", "-fprint", "-fls"}, func(action string) bool { return strings.HasPrefix(word, action) }):
			return false
		}
	}
	return true
}

// removes says whether the first word, after options of one letter without a value, is rm or rmdir.
func (b *bash) removes(args []*syntax.Word) bool {
	for _, w := range args {
		switch word, whole := b.static(w); {
		case !whole:
			return false
		case slices.Contains([]string{"-0", "-r", "-0r", "-r0", "--null", "--no-run-if-empty"}, word):
		default:
			return slices.Contains([]string{"rm", "rmdir", "/bin/rm", "/usr/bin/rm", "/bin/rmdir", "/usr/bin/rmdir"}, word)
		}
	}
	return false
}
