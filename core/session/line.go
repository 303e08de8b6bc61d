package session

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// How long the lines are by which a session is recognised in a list, in characters.
const (
	maxTitle    = 80
	maxLastLine = 200
)

// firstLine is the first line of text that is not empty, of at most limit characters.
func firstLine(text string, limit int) string {
	for line := range strings.Lines(text) {
		if line = oneLine(line, limit); line != "" {
			return line
		}
	}
	return ""
}

// lastLine is the last one.
func lastLine(text string, limit int) string {
	for text != "" {
		cut := strings.LastIndexByte(text, '\n')
		if line := oneLine(text[cut+1:], limit); line != "" {
			return line
		}
		text = text[:max(cut, 0)]
	}
	return ""
}

// oneLine makes a line fit for a list: control and other characters that are not to be seen are gone, white space is single, and
// what is too long ends with an ellipsis.
func oneLine(line string, limit int) string {
	// A line may have megabytes; after so many characters nothing of it is shown, unless they are all to be dropped.
	const look = 4096
	if len(line) > look {
		line = line[:look]
	}
	line = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return -1
		default:
			return r
		}
	}, line)
	runes := []rune(strings.Join(strings.Fields(line), " "))
	if len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return string(runes)
}
