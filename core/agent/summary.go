package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// summaryLimit bounds a summary, in runes.
const summaryLimit = 200

// Summary is one readable line on a tool's input: the command, the path, the pattern, or the input itself as compact JSON. It is
// at most 200 characters long, without control characters.
func Summary(tool string, input json.RawMessage) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(input, &fields) != nil {
		return line(string(input))
	}
	if tool == "TodoWrite" {
		var todos []json.RawMessage
		if json.Unmarshal(fields["todos"], &todos) == nil {
			return fmt.Sprintf("%d todos", len(todos))
		}
	}
	for _, name := range summaryFields(tool) {
		var s string
		if json.Unmarshal(fields[name], &s) == nil && s != "" {
			return line(s)
		}
	}
	var compact bytes.Buffer
	if json.Compact(&compact, input) != nil {
		return line(string(input))
	}
	return line(compact.String())
}

// summaryFields names the fields of a tool's input that tell most, the best first.
func summaryFields(tool string) []string {
	switch tool {
	case "Bash":
		return []string{"command"}
	case "Read", "Write", "Edit", "MultiEdit":
		return []string{"file_path"}
	case "NotebookEdit", "NotebookRead":
		return []string{"notebook_path"}
	case "Grep", "Glob":
		return []string{"pattern"}
	case "WebFetch":
		return []string{"url"}
	case "WebSearch":
		return []string{"query"}
	case "Task", "Agent":
		return []string{"description", "prompt"}
	default:
		return nil
	}
}

// Line makes a text out of a sandbox fit for a log line, an error or a summary: valid UTF-8 on one line without control characters.
func Line(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Join(strings.Fields(s), " ")
}

// line is Line, cut.
func line(s string) string {
	s = Line(s)
	if utf8.RuneCountInString(s) > summaryLimit {
		s = string([]rune(s)[:summaryLimit-1]) + "…"
	}
	return s
}
