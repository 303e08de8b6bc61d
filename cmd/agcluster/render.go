package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"golang.org/x/term"

	"github.com/agcluster/agcluster/core/event"
)

// plainWidth is how wide a line of a tool's input or output may get where there is no terminal to say so, in cells.
const plainWidth = 400

// lostNote is what people are told when a stream can't be taken up again at once.
const lostNote = "the connection was lost; trying again"

// sink shows a stream's events.
type sink interface{ show(f frame) error }

// jsonSink prints events as they came, one a line.
type jsonSink struct{ g *globals }

func (s jsonSink) show(f frame) error { return s.g.printJSON(f.raw) }

// view shows events to people.
type view struct {
	out   io.Writer
	style style
	// width is where lines of tools are cut, 0 nowhere; lines is how many of a result are shown, 0 all.
	width, lines int
	// users says that messages of people are shown: in a chat they are on the screen already.
	users bool
	// approve is the command line that answers an approval, but for its last two words; empty when somebody is asked here.
	approve string

	// partial is what is shown of a text that is still being written, as it came. frozen says that a piece of it may be missing, so
	// that no further piece is shown before all of it is there.
	partial string
	frozen  bool
	// midline says that the last line has no end yet, text that the last thing shown was a text.
	midline, text, begun bool
	// prompted says that the last line is a question that waits for its answer.
	prompted bool
	// tool is the tool use that was shown last, so that what follows on it needs no name; reason is why a person was asked for last.
	tool, reason string
}

// newView returns a view on g.out; lines is how many lines of a tool's result to show.
func (g *globals) newView(lines int) *view {
	v := &view{out: g.out, style: g.colours(g.out), width: plainWidth, lines: lines}
	if w := g.width(); w > 0 {
		v.width = w
	}
	if lines == 0 && !isTerminal(g.out) {
		v.width = 0
	}
	return v
}

// colours says whether a stream gets colours.
func (g *globals) colours(stream any) style {
	if no, _ := g.env("NO_COLOR"); no != "" {
		return false
	}
	if kind, _ := g.env("TERM"); kind == "dumb" {
		return false
	}
	return style(isTerminal(stream))
}

// width is how many cells a line of the output has; 0 when it is no terminal.
func (g *globals) width() int {
	f, ok := terminal(g.out)
	if !ok {
		return 0
	}
	w, _, err := term.GetSize(int(f.Fd()))
	if err != nil || w < 20 {
		return 80
	}
	return w
}

// show implements sink.
func (v *view) show(f frame) error {
	if v.prompted {
		v.prompted = false
		if err := v.write("\n"); err != nil {
			return err
		}
	}
	if f.resumed && v.partial != "" {
		v.frozen = true
	}
	switch d := f.event.Data.(type) {
	case event.TextDelta:
		return v.delta(d)
	case event.Text:
		return v.whole(d)
	case event.User:
		v.partial = ""
		if !v.users {
			return nil
		}
		return v.block(true, "", v.style.bold(indent(clean(d.Content), "› ", "  ")))
	case event.Thinking:
		v.reset(d.Parent)
		shown, more := fold(clean(d.Content), v.lines, 0)
		return v.block(true, d.Parent, v.style.dim(folded(shown, more, "✻ ", "  ")))
	case event.ToolUse:
		v.reset(d.Parent)
		if d.Tool == "TodoWrite" {
			return nil // the list itself follows
		}
		v.tool = d.ID
		return v.block(false, d.Parent, v.style.cyan("●")+" "+v.style.bold(line(d.Tool))+v.tail("  "+line(d.Input), len(d.Tool)+2, d.Parent))
	case event.ToolResult:
		return v.result(d)
	case event.TodoUpdate:
		return v.todos(d)
	case event.ApprovalRequired:
		return v.approval(d)
	case event.ApprovalResolved:
		if d.Decision != "allow" {
			return nil // its verdict follows
		}
		return v.block(false, "", v.style.green("✓ allowed by "+line(d.By))+note(d.Reason))
	case event.Verdict:
		return v.verdict(d)
	case event.Init:
		return v.block(false, "", v.style.dim(about(d)))
	case event.Status:
		return v.block(false, "", v.style.dim("· the session is "+line(d.Status)+note(d.Reason)))
	case event.Settings:
		return v.block(false, "", v.style.dim("· model "+line(cmp.Or(d.Model, "default"))+", permission mode "+line(d.PermissionMode)+" from now on"))
	case event.Error:
		return v.block(false, "", v.style.red("✗ "+line(d.Code)+note(d.Message)))
	case event.Complete:
		return v.complete(d)
	default:
		return nil // of a newer host
	}
}

// reset ends a text that was never completed: the main agent does something else.
func (v *view) reset(parent string) {
	if parent == "" {
		v.partial, v.frozen = "", false
	}
}

// write writes text; it keeps book of where the cursor is.
func (v *view) write(text string) error {
	if text == "" {
		return nil
	}
	v.midline = !strings.HasSuffix(text, "\n")
	v.begun = true
	if _, err := io.WriteString(v.out, text); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

// open begins a block: on a line of its own, with an empty one before a text and after it.
func (v *view) open(text bool) error {
	gap := ""
	if v.midline {
		gap = "\n"
	}
	if v.begun && (text || v.text) {
		gap += "\n"
	}
	v.text = text
	return v.write(gap)
}

// block shows something that is whole.
func (v *view) block(text bool, parent, s string) error {
	if err := v.open(text); err != nil {
		return err
	}
	if parent != "" {
		s = indent(s, "  ", "  ")
	}
	return v.write(s + "\n")
}

func (v *view) delta(d event.TextDelta) error {
	if d.Parent != "" || v.frozen {
		return nil
	}
	if v.partial == "" || !v.midline && !v.text {
		if err := v.open(true); err != nil {
			return err
		}
	}
	v.partial += d.Content
	return v.write(clean(d.Content))
}

// whole shows a text: all of it, or what its previews have not shown yet.
func (v *view) whole(d event.Text) error {
	if d.Parent != "" {
		return v.block(true, d.Parent, clean(d.Content))
	}
	rest, continued := strings.CutPrefix(d.Content, v.partial)
	continued = continued && v.partial != ""
	v.partial, v.frozen = "", false
	if !continued {
		return v.block(true, "", strings.TrimRight(clean(d.Content), "\n"))
	}
	if rest != "" && !v.text {
		if err := v.open(true); err != nil {
			return err
		}
	}
	if err := v.write(clean(rest)); err != nil {
		return err
	}
	if v.midline {
		return v.write("\n")
	}
	return nil
}

// tail is the end of a line, cut to what is left of it.
func (v *view) tail(s string, used int, parent string) string {
	if v.width == 0 {
		return s
	}
	if parent != "" {
		used += 2
	}
	return cut(s, max(v.width-used, 10))
}

// folded joins lines and says how many are left out.
func folded(shown []string, more int, first, rest string) string {
	if more > 0 {
		shown = append(shown, fmt.Sprintf("… %s", plural(int64(more), "more line")))
	}
	return indent(strings.Join(shown, "\n"), first, rest)
}

func (v *view) result(d event.ToolResult) error {
	if d.Tool == "TodoWrite" && !d.IsError {
		return nil
	}
	mark := "⎿ "
	if d.ID != v.tool {
		mark += line(d.Tool) + ": "
	}
	cells := 0
	if v.width > 0 {
		cells = max(v.width-6, 10)
	}
	shown, more := fold(clean(d.Output), v.lines, cells)
	if len(shown) == 1 && shown[0] == "" {
		shown[0] = "(no output)"
	}
	text := folded(shown, more, "  "+mark, "    ")
	if d.IsError {
		return v.block(false, d.Parent, v.style.red(text))
	}
	return v.block(false, d.Parent, v.style.dim(text))
}

func (v *view) todos(d event.TodoUpdate) error {
	rows := make([]string, 0, len(d.Todos))
	for _, t := range d.Todos {
		switch t.Status {
		case "completed":
			rows = append(rows, v.style.dim("☑ "+line(t.Content)))
		case "in_progress":
			words := t.ActiveForm
			if words == "" {
				words = t.Content
			}
			rows = append(rows, v.style.bold("▶ "+line(words)))
		default:
			rows = append(rows, "☐ "+line(t.Content))
		}
	}
	if len(rows) == 0 {
		rows = append(rows, v.style.dim("☐ nothing to do"))
	}
	return v.block(false, "", indent(strings.Join(rows, "\n"), "  ", "  "))
}

func (v *view) verdict(d event.Verdict) error {
	who, why := line(d.By), note(d.Reason)
	if d.Tool != "" && (d.ToolUseID == "" || d.ToolUseID != v.tool) {
		why += v.style.dim(" (" + line(d.Tool) + ")")
	}
	switch d.Decision {
	case "deny":
		return v.block(false, d.Parent, "  "+v.style.red("✗ denied by "+who)+why)
	case "rewrite":
		return v.block(false, d.Parent, "  "+v.style.yellow("~ changed by "+who)+why)
	default:
		v.reason = d.Reason
		return v.block(false, d.Parent, "  "+v.style.yellow("? "+who+" wants a person to decide")+why)
	}
}

// approval shows all that a person must know to decide. Nothing of it is hidden without saying so.
func (v *view) approval(d event.ApprovalRequired) error {
	var b strings.Builder
	b.WriteString(v.style.yellow("? ") + v.style.bold(line(d.Tool)) + v.style.yellow(" needs an approval"))
	if d.Reason != v.reason {
		b.WriteString(note(d.Reason))
	}
	for _, f := range fieldsOf(d.Arguments) {
		shown, more := fold(visible(f.value, true), 40, 0)
		b.WriteString("\n" + indent(folded(shown, more, "", "  "), "    "+v.style.dim(visible(f.name, false)+": "), "    "))
	}
	if v.approve != "" {
		fmt.Fprintf(&b, "\n  answer with: %s %s allow|deny (until %s)", v.approve, line(d.Ask), line(d.ExpiresAt))
	}
	return v.block(false, d.Parent, b.String())
}

type field struct{ name, value string }

// fieldsOf are the fields of a JSON object in their order: strings as they are, all else as JSON.
func fieldsOf(object json.RawMessage) []field {
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return []field{{"input", string(object)}}
	}
	var fields []field
	for dec.More() {
		var raw json.RawMessage
		name, err := dec.Token()
		if err == nil {
			err = dec.Decode(&raw)
		}
		if err != nil {
			return []field{{"input", string(object)}}
		}
		f := field{name: fmt.Sprint(name), value: string(raw)}
		var s string
		if json.Unmarshal(raw, &s) == nil {
			f.value = s
		}
		fields = append(fields, f)
	}
	return fields
}

// complete shows how a turn ended and what it took.
func (v *view) complete(d event.Complete) error {
	v.reset("")
	status := line(strings.ReplaceAll(d.Status, "_", " "))
	switch d.Status {
	case event.CompleteOK:
		status = v.style.green(status)
	case event.CompleteInterrupted:
		status = v.style.yellow(status)
	default:
		status = v.style.red(status)
	}
	in := d.Usage.InputTokens + d.Usage.CacheReadTokens + d.Usage.CacheWriteTokens
	facts := " · " + plural(int64(d.Turns), "round trip") + " · " + count(in) + " tokens in"
	if d.Usage.CacheReadTokens > 0 {
		facts += " (" + count(d.Usage.CacheReadTokens) + " cached)"
	}
	facts += ", " + count(d.Usage.OutputTokens) + " out · " + dollars(d.CostUSD)
	v.text = true // for an empty line before
	return v.block(false, "", status+v.style.dim(facts))
}

// note is a reason after a colon; nothing when there is none.
func note(reason string) string {
	if reason = line(reason); reason == "" {
		return ""
	}
	return ": " + reason
}

func about(d event.Init) string {
	text := "· " + line(d.Model) + " · " + plural(int64(len(d.Tools)), "tool")
	if len(d.Agents) > 0 {
		text += " · " + plural(int64(len(d.Agents)), "sub-agent")
	}
	for _, s := range d.MCPServers {
		text += " · MCP " + line(s.Name) + " " + line(s.Status)
	}
	if d.CLIVersion != "" {
		text += " · Claude Code " + line(d.CLIVersion)
	}
	if d.Resumed {
		text += " · resumed"
	}
	return text
}

// exitCode is what a turn's end means for a script: an error with the code, nil for success.
func exitCode(status string) error {
	switch status {
	case event.CompleteOK:
		return nil
	case event.CompleteInterrupted:
		return exitError{130}
	default:
		return exitError{1}
	}
}

var _, _ sink = jsonSink{}, (*view)(nil)
