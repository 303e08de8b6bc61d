package guard

import (
	"encoding/json"
	"path"
	"regexp"
	"strings"

	"github.com/agcluster/agcluster/core/session"
)

// Access is the input of the gate path.access.
type Access struct {
	// Op is read, write, delete or list.
	Op string `json:"op"`
	// Path is absolute and lexically clean.
	Path string `json:"path"`
	// Raw is the path as it was given; empty when nobody knows which.
	Raw string `json:"raw"`
	// Source is tool, api or export.
	Source string `json:"source"`
	Tool   string `json:"tool,omitempty"`
	// Unresolved says that the path goes on with something only the shell knows, such as a variable.
	Unresolved bool `json:"unresolved,omitempty"`
	// Guess says that a word of a Bash command has the form of a relative path and may be something else, such as sed's s/a/b/ or a
	// branch: it is to be held against what is denied, not against what is allowed.
	Guess bool `json:"guess,omitempty"`
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

// reading is what can be read off a call before it runs.
type reading struct {
	commands []string
	unparsed bool
	accesses []Access
}

// agentHome is the home of the agent in its sandbox.
const agentHome = "/home/agent"

// read lists the accesses that a tool call names. For the file tools that is exact. For Bash it is what can be read off the command:
// a guardrail that catches honest mistakes and gives the model a clear no. The boundary is the sandbox.
func read(tool string, input json.RawMessage, cwd string) reading {
	if cwd == "" {
		cwd = session.Workspace
	}
	if tool == "Bash" {
		return readBash(input, cwd)
	}
	op, field := fileTool(tool)
	if op == "" {
		return reading{}
	}
	unknown := reading{accesses: []Access{{Op: op, Path: "/", Source: "tool", Tool: tool, Unresolved: true}}}
	raw, ok := text(input, field)
	if !ok {
		return unknown
	}
	var r reading
	base := cwd
	if raw != "" {
		base = clean(raw, cwd)
		r.accesses = append(r.accesses, Access{Op: op, Path: base, Raw: raw, Source: "tool", Tool: tool})
	}
	if tool != "Glob" {
		return r
	}
	pattern, ok := text(input, "pattern")
	if !ok {
		return unknown
	}
	// A pattern may lead out of the folder it is looked for in.
	if found := clean(beforeStar(pattern), base); found != base && (path.IsAbs(pattern) || strings.Contains(pattern, "..") || strings.HasPrefix(pattern, "~")) {
		r.accesses = append(r.accesses, Access{Op: op, Path: found, Raw: pattern, Source: "tool", Tool: tool})
	}
	return r
}

// fileTool tells what a tool of Claude Code does with a path, and which field of its input holds it.
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
	case "Grep":
		return "read", "path"
	case "Glob", "LS":
		return "list", "path"
	default:
		return "", ""
	}
}

// text is a field of an input: empty when it is not there, and not ok when it is no text. Names count as they are written, as
// they do for the tool.
func text(input json.RawMessage, field string) (s string, ok bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(input, &fields) != nil {
		return "", false
	}
	raw, there := fields[field]
	return s, !there || json.Unmarshal(raw, &s) == nil
}

// beforeStar is the part of a glob that has no wildcard: the folder in which the search begins.
func beforeStar(pattern string) string {
	fixed := pattern
	if i := strings.IndexAny(pattern, `*?[{\`); i >= 0 {
		fixed = pattern[:i]
		fixed = fixed[:strings.LastIndex(fixed, "/")+1]
	}
	if strings.Contains(pattern[len(fixed):], "..") {
		return "/" // it climbs after a wildcard; nobody knows how far
	}
	return fixed
}

// clean is a path as the tools take it: ~ is the agent's home.
func clean(raw, cwd string) string {
	if raw == "~" || strings.HasPrefix(raw, "~/") {
		return path.Clean(agentHome + raw[1:])
	}
	return absolute(raw, cwd)
}

func absolute(raw, cwd string) string {
	if path.IsAbs(raw) {
		return path.Clean(raw)
	}
	return path.Join(cwd, raw)
}

// pathIn finds the path that a word of a command names, if it names one: /etc/x, ~/x, ../x, and what follows in --file=/x,
// if=/x, @/x. A slash alone proves nothing: '/api/v1' and '/pattern/d' are arguments too, so an absolute path counts when it
// begins with a folder that a Linux system has, and a relative one is a guess.
func pathIn(word string) (raw string, guess, ok bool) {
	if strings.ContainsAny(word, "\x00\n") {
		return "", false, false
	}
	given := word
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
		return word, false, true
	case word == ".." || strings.HasPrefix(word, "../") || strings.Contains(word, "/../") || strings.HasSuffix(word, "/.."):
		return word, false, true
	case strings.HasPrefix(word, "/"):
		first, _, _ := strings.Cut(strings.TrimLeft(path.Clean(word), "/"), "/")
		return word, false, isSystemFolder(first)
	default:
		return relativeIn(given)
	}
}

// substitution is sed's s/a/b/g, and y/abc/xyz/.
var substitution = regexp.MustCompile(`^[0-9,$]*[sy]/[^/]*/[^/]*/[A-Za-z0-9]*$`)

// relativeIn finds what may be a path below the folder that the command runs in: a word with a slash, also in of=a/b and --file=a/b, that
// is no option, no URL, no text of several words and no substitution.
func relativeIn(word string) (raw string, guess, ok bool) {
	if before, after, cut := strings.Cut(word, "="); cut && !strings.Contains(before, "/") {
		word = after
	}
	if !strings.Contains(word, "/") || word[0] == '-' || strings.Contains(word, "://") || strings.ContainsAny(word, " \t") || substitution.MatchString(word) {
		return "", false, false
	}
	return word, true, true
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
