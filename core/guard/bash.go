package guard

import (
	"encoding/json"
	"path"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

const (
	// maxScript is how long a Bash command may be to be read, in bytes, and maxNesting how deep its brackets may go. The parser and
	// its tree are recursive: beyond these a hostile command takes all of the stack, and with it the host.
	maxScript  = 64 << 10
	maxNesting = 1000
)

// readBash lists the commands of a Bash call and the paths they name.
func readBash(input json.RawMessage, cwd string) reading {
	script, ok := parse(input)
	if !ok {
		return reading{unparsed: true, accesses: []Access{{Op: "read", Path: "/", Source: "tool", Tool: "Bash", Unresolved: true}}}
	}
	b := &bash{cwd: cwd, seen: map[Access]bool{}, printer: syntax.NewPrinter(syntax.SingleLine(true))}
	syntax.Walk(script, b.visit)
	return b.reading
}

func parse(input json.RawMessage) (*syntax.File, bool) {
	command, ok := text(input, "command")
	if !ok || len(command) > maxScript || nesting(command) > maxNesting {
		return nil, false
	}
	script, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(command), "")
	return script, err == nil
}

// nesting bounds how deep the brackets of a script go, whatever stands between them.
func nesting(script string) int {
	deepest, depth := 0, 0
	for i := range len(script) {
		switch script[i] {
		case '(', '{', '[':
			depth++
			deepest = max(deepest, depth)
		case ')', '}', ']':
			depth = max(0, depth-1)
		}
	}
	return deepest
}

// bash gathers a reading on a walk through a script, in the order in which it runs.
type bash struct {
	reading
	printer *syntax.Printer
	cwd     string
	seen    map[Access]bool
	// leave holds what is to be done at the end of each node that the walk is in.
	leave []func()
}

func (b *bash) visit(node syntax.Node) bool {
	if node == nil {
		last := len(b.leave) - 1
		b.leave[last]()
		b.leave = b.leave[:last]
		return true
	}
	leave, before := func() {}, b.cwd
	back := func() { b.cwd = before }
	switch n := node.(type) {
	case *syntax.Stmt:
		// A redirection is done before its command, whichever folder that changes to.
		for _, r := range n.Redirs {
			b.redirect(r)
		}
		if n.Background || n.Coprocess {
			leave = back
		}
	case *syntax.BinaryCmd:
		if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
			// Each side is a shell of its own.
			for _, side := range []*syntax.Stmt{n.X, n.Y} {
				syntax.Walk(side, b.visit)
				back()
			}
			return false
		}
	case *syntax.CallExpr:
		b.command(n.Args)
		if to, ok := b.changed(n.Args); ok {
			leave = func() { b.cwd = to }
		}
	case *syntax.WordIter:
		b.add("read", n.Items...)
	case *syntax.UnaryTest:
		b.operand(n.X)
	case *syntax.BinaryTest:
		b.operand(n.X)
		if n.Op != syntax.TsReMatch {
			b.operand(n.Y)
		}
	case *syntax.Subshell, *syntax.CmdSubst, *syntax.ProcSubst, *syntax.FuncDecl, *syntax.CoprocClause:
		leave = back
	}
	b.leave = append(b.leave, leave)
	return true
}

// command notes a simple command and the paths among its words.
func (b *bash) command(args []*syntax.Word) {
	if len(args) == 0 {
		return
	}
	words := make([]string, len(args))
	for i, w := range args {
		var printed strings.Builder
		s, whole := b.static(w)
		switch {
		case whole:
			printed.WriteString(s)
		case b.printer.Print(&printed, w) != nil:
			b.unparsed = true
		}
		words[i] = printed.String()
	}
	b.commands = append(b.commands, strings.Join(words, " "))
	b.add("read", args...)
}

// changed is where cd or pushd leads, as far as that can be known.
func (b *bash) changed(args []*syntax.Word) (string, bool) {
	if len(args) == 0 {
		return "", false
	}
	if name, whole := b.static(args[0]); !whole || (name != "cd" && name != "pushd") {
		return "", false
	}
	for _, w := range args[1:] {
		to, whole := b.static(w)
		switch {
		case !whole || to == "" || to == "-":
			return "", false
		case to[0] == '-':
			continue
		default:
			return clean(to, b.cwd), true
		}
	}
	return agentHome, true
}

func (b *bash) operand(x syntax.TestExpr) {
	if w, ok := x.(*syntax.Word); ok {
		b.add("read", w)
	}
}

// redirect notes the target of a redirection: whatever it looks like, it is a path.
func (b *bash) redirect(n *syntax.Redirect) {
	if n.Word == nil || n.Hdoc != nil {
		return
	}
	target, whole := b.static(n.Word)
	op := "write"
	switch n.Op {
	case syntax.RdrOut, syntax.AppOut, syntax.RdrAll, syntax.AppAll, syntax.RdrClob, syntax.RdrInOut:
	case syntax.DplOut:
		if _, err := strconv.Atoi(strings.TrimSuffix(target, "-")); err == nil || target == "-" {
			return // 2>&1, 3>&1-, 2>&-; else it is &> as csh writes it
		}
	case syntax.RdrIn:
		op = "read"
	default:
		return
	}
	if target != "" && !strings.ContainsRune(target, 0) {
		b.note(Access{Op: op, Path: clean(target, b.cwd), Raw: target, Unresolved: !whole})
	}
}

// add notes the paths among words.
func (b *bash) add(op string, words ...*syntax.Word) {
	for _, w := range words {
		s, whole := b.static(w)
		if raw, guess, ok := pathIn(s); ok {
			b.note(Access{Op: op, Path: clean(raw, b.cwd), Raw: raw, Unresolved: !whole, Guess: guess})
		}
	}
}

func (b *bash) note(a Access) {
	a.Source, a.Tool = "tool", "Bash"
	if !b.seen[a] {
		b.seen[a] = true
		b.accesses = append(b.accesses, a)
	}
}

// static is the part of a word that is known before the shell runs, up to the first thing that is not, and whether that is all.
func (b *bash) static(w *syntax.Word) (string, bool) {
	var s strings.Builder
	for _, part := range w.Parts {
		if !b.part(&s, part) {
			return s.String(), false
		}
	}
	return s.String(), true
}

func (b *bash) part(s *strings.Builder, part syntax.WordPart) bool {
	switch p := part.(type) {
	case *syntax.Lit:
		s.WriteString(unescape(p.Value))
	case *syntax.SglQuoted:
		if p.Dollar && strings.Contains(p.Value, `\`) {
			return false
		}
		s.WriteString(p.Value)
	case *syntax.DblQuoted:
		for _, inner := range p.Parts {
			if !b.part(s, inner) {
				return false
			}
		}
	case *syntax.ParamExp:
		if p.Param == nil || p.Exp != nil || p.Repl != nil || p.Slice != nil || p.Index != nil || p.Length || p.Excl {
			return false
		}
		switch p.Param.Value {
		case "HOME":
			s.WriteString(agentHome)
		case "PWD":
			s.WriteString(path.Clean(b.cwd))
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
