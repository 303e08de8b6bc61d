package guard

import (
	"encoding/json"
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/session"
)

// Access is the input of the gate path.access.
type Access struct {
	// Op is read, write, delete or list.
	Op string `json:"op"`
	// Path is absolute and lexically clean.
	Path string `json:"path"`
	// Raw is the path as it was given.
	Raw string `json:"raw"`
	// Source is tool, api or export.
	Source string `json:"source"`
	Tool   string `json:"tool,omitempty"`
	// Unresolved says that the path goes on with something only the shell knows, such as a variable.
	Unresolved bool `json:"unresolved,omitempty"`
}

// toolCall is the input of the gate tool.call.
type toolCall struct {
	Tool      string          `json:"tool"`
	ToolUseID string          `json:"tool_use_id"`
	Input     json.RawMessage `json:"input"`
	Parent    string          `json:"parent,omitempty"`
	// Commands are the simple commands of a Bash call, also those in pipes, subshells and substitutions, one line each.
	Commands []string `json:"commands,omitempty"`
	// Unparsed says that a Bash command is no Bash we can read.
	Unparsed bool `json:"unparsed,omitempty"`
}

func toolInput(ask agent.Ask, input json.RawMessage) toolCall {
	call := toolCall{Tool: ask.Tool, ToolUseID: ask.ToolUseID, Input: input, Parent: ask.Parent}
	if ask.Tool != "Bash" {
		return call
	}
	script, err := parse(input)
	if err != nil {
		call.Unparsed = true
		return call
	}
	printer := syntax.NewPrinter(syntax.SingleLine(true))
	syntax.Walk(script, func(node syntax.Node) bool {
		if c, ok := node.(*syntax.CallExpr); ok && len(c.Args) > 0 {
			var words []string
			for _, w := range c.Args {
				var b strings.Builder
				if s, whole := static(w); whole {
					b.WriteString(s)
				} else if printer.Print(&b, w) != nil {
					call.Unparsed = true
				}
				words = append(words, b.String())
			}
			call.Commands = append(call.Commands, strings.Join(words, " "))
		}
		return true
	})
	return call
}

func parse(input json.RawMessage) (*syntax.File, error) {
	var bash struct {
		Command string `json:"command"`
	}
	if err := json.Unmarshal(input, &bash); err != nil {
		return nil, err
	}
	return syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(bash.Command), "")
}

// paths lists the accesses that a tool call names. For the file tools that is exact. For Bash it is what can be read off the
// command: a guardrail that catches honest mistakes and gives the model a clear no. The boundary is the sandbox.
func paths(tool string, input json.RawMessage, cwd string) []Access {
	if cwd == "" {
		cwd = session.Workspace
	}
	if tool == "Bash" {
		return bashPaths(input, cwd)
	}
	op, field := fileTool(tool)
	if op == "" {
		return nil
	}
	var fields map[string]json.RawMessage
	var raw string
	if json.Unmarshal(input, &fields) != nil || json.Unmarshal(fields[field], &raw) != nil || raw == "" {
		return nil
	}
	return []Access{{Op: op, Path: clean(raw, cwd), Raw: raw, Source: "tool", Tool: tool}}
}

func fileTool(tool string) (op, field string) {
	switch tool {
	case "Read":
		return "read", "file_path"
	case "NotebookRead":
		return "read", "notebook_path"
	case "Write", "Edit", "MultiEdit":
		return "write", "file_path"
	case "NotebookEdit":
		return "write", "notebook_path"
	case "Grep", "Glob", "LS":
		return "list", "path"
	default:
		return "", ""
	}
}

func clean(raw, cwd string) string {
	switch {
	case raw == "~" || strings.HasPrefix(raw, "~/"):
		return path.Clean(agentHome + raw[1:])
	case path.IsAbs(raw):
		return path.Clean(raw)
	default:
		return path.Join(cwd, raw)
	}
}

const agentHome = "/home/agent"

func bashPaths(input json.RawMessage, cwd string) []Access {
	script, err := parse(input)
	if err != nil {
		return []Access{{Op: "read", Path: "/", Raw: "", Source: "tool", Tool: "Bash", Unresolved: true}}
	}
	var found []Access
	add := func(op string, w *syntax.Word) {
		text, whole := static(w)
		raw, ok := pathIn(text)
		if !ok {
			return
		}
		found = append(found, Access{Op: op, Path: clean(raw, cwd), Raw: raw, Source: "tool", Tool: "Bash", Unresolved: !whole})
	}
	syntax.Walk(script, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.CallExpr:
			for _, w := range n.Args {
				add("read", w)
			}
		case *syntax.Redirect:
			if n.Word == nil || n.Hdoc != nil {
				break
			}
			switch n.Op {
			case syntax.RdrOut, syntax.AppOut, syntax.RdrAll, syntax.AppAll, syntax.RdrClob, syntax.RdrInOut:
				add("write", n.Word)
			case syntax.RdrIn:
				add("read", n.Word)
			}
		}
		return true
	})
	return found
}

// static is the part of a word that is known before the shell runs, up to the first thing that is not, and whether that is all.
func static(w *syntax.Word) (string, bool) {
	var b strings.Builder
	for _, part := range w.Parts {
		if !staticPart(&b, part) {
			return b.String(), false
		}
	}
	return b.String(), true
}

func staticPart(b *strings.Builder, part syntax.WordPart) bool {
	switch p := part.(type) {
	case *syntax.Lit:
		b.WriteString(unescape(p.Value))
	case *syntax.SglQuoted:
		b.WriteString(p.Value)
	case *syntax.DblQuoted:
		for _, inner := range p.Parts {
			if !staticPart(b, inner) {
				return false
			}
		}
	case *syntax.ParamExp:
		switch {
		case p.Param == nil || p.Exp != nil || p.Repl != nil || p.Slice != nil || p.Index != nil || p.Length || p.Excl:
			return false
		case p.Param.Value == "HOME":
			b.WriteString(agentHome)
		default:
			return false
		}
	default:
		return false
	}
	return true
}

func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
			if s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// pathIn finds the path that a word of a command names, if it names one: /etc/x, ~/x, ../x, and what follows in --file=/x,
// if=/x, @/x. A slash alone proves nothing: '/api/v1' and '/pattern/d' are arguments too, so an absolute path counts when it
// begins with a folder that a Linux system has.
func pathIn(word string) (string, bool) {
	if strings.ContainsAny(word, "\x00\n") {
		return "", false
	}
	for _, mark := range []string{"=", "@", ":"} {
		before, after, ok := strings.Cut(word, mark)
		if ok && !strings.Contains(before, "/") && (strings.HasPrefix(after, "/") || strings.HasPrefix(after, "~/")) &&
			!strings.HasPrefix(after, "//") {
			word = after
			break
		}
	}
	if after, ok := strings.CutPrefix(word, "file://"); ok {
		word = after
	}
	if len(word) > 3 && word[0] == '-' && word[1] != '-' && word[2] == '/' {
		word = word[2:] // -I/usr/include, -f/etc/x
	}
	switch {
	case word == "~" || strings.HasPrefix(word, "~/"):
		return word, true
	case word == ".." || strings.HasPrefix(word, "../") || strings.Contains(word, "/../") || strings.HasSuffix(word, "/.."):
		return word, true
	case strings.HasPrefix(word, "/"):
		first, _, _ := strings.Cut(strings.TrimLeft(path.Clean(word), "/"), "/")
		return word, isSystemFolder(first)
	default:
		return "", false
	}
}

func isSystemFolder(name string) bool {
	switch name {
	case "", "bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "media", "mnt", "opt", "proc", "root", "run", "sbin",
		"srv", "sys", "tmp", "usr", "var", "workspace":
		return true
	default:
		return false
	}
}
