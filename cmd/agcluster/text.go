package main

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// What comes out of a session is the words of a model and of whatever it read. None of it may steer the terminal it is shown on:
// move the cursor over what was printed before, set the title, answer for the person, or turn the reading direction around.

// sequence is a colour or cursor sequence: taken out whole, for its letters would read as noise. Longer ones (OSC, DCS) have no
// sure end; they lose their control characters only, or they could hide the text that follows.
var sequence = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]")

// control says that a character does something instead of being shown. U+2028 and U+2029 are line ends to some.
func control(r rune) bool {
	switch {
	case unicode.IsControl(r), r == '\u2028', r == '\u2029':
		return true
	case r == '\u061c', r == '\u200e', r == '\u200f', r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
		return true // reading direction
	default:
		return false
	}
}

// clean makes a text fit for a terminal: of all control characters only newline and tab are left.
func clean(s string) string {
	if !strings.ContainsFunc(s, control) && utf8.ValidString(s) {
		return s
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.ReplaceAll(sequence.ReplaceAllString(s, ""), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r', r == '\u2028', r == '\u2029':
			return '\n'
		case r != '\n' && r != '\t' && control(r):
			return -1
		default:
			return r
		}
	}, s)
}

// line is clean on one line.
func line(s string) string { return strings.Join(strings.Fields(clean(s)), " ") }

// visible shows control characters as they are written in Go (\x1b, \u202e), newline and tab included unless multi: for what a
// person decides upon, and for names.
func visible(s string, multi bool) string {
	if !strings.ContainsFunc(s, control) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case multi && (r == '\n' || r == '\t'), !control(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
		s = s[n:]
	}
	return b.String()
}

// escapeJSON writes the control characters that JSON leaves as they are (DEL and above) as escapes; it stays the same JSON.
func escapeJSON(b []byte) []byte {
	s := string(b)
	if !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x7f && control(r) }) {
		return b
	}
	var out strings.Builder
	for _, r := range s {
		if r >= 0x7f && control(r) {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return []byte(out.String())
}

// safeWriter makes bytes that go to a terminal fit for it, character by character. It keeps what may be half a character.
type safeWriter struct {
	w    io.Writer
	rest []byte
}

// Write implements io.Writer.
func (s *safeWriter) Write(p []byte) (int, error) {
	b := append(s.rest, p...)
	end := len(b)
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-i:]) {
				end = len(b) - i
			}
			break
		}
	}
	text := clean(string(b[:end]))
	s.rest = append([]byte(nil), b[end:]...)
	if _, err := io.WriteString(s.w, text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// cut shortens a line to a number of cells; 0 leaves it.
func cut(s string, cells int) string {
	if cells <= 0 {
		return s
	}
	return ansi.Truncate(s, cells, "…")
}

// indent puts first before the first line of s and rest before the others.
func indent(s, first, rest string) string {
	return first + strings.ReplaceAll(s, "\n", "\n"+rest)
}

// fold is the first lines of a text, each cut to a number of cells, and how many lines are left out. 0 is no limit.
func fold(s string, lines, cells int) (shown []string, more int) {
	all := strings.Split(strings.TrimRight(s, " \t\n"), "\n")
	if lines > 0 && len(all) > lines {
		all, more = all[:lines], len(all)-lines
	}
	for i, l := range all {
		all[i] = cut(strings.ReplaceAll(l, "\t", "    "), cells)
	}
	return all, more
}

// table prints rows under their headings, in columns as wide as need be.
func table(w io.Writer, style style, rows [][]string) error {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], ansi.StringWidth(cell))
		}
	}
	var b strings.Builder
	for n, row := range rows {
		var l strings.Builder
		for i, cell := range row {
			l.WriteString(cell)
			if i < len(row)-1 {
				l.WriteString(strings.Repeat(" ", widths[i]-ansi.StringWidth(cell)+2))
			}
		}
		text := strings.TrimRight(l.String(), " ")
		if n == 0 {
			text = style.dim(text)
		}
		b.WriteString(text + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// style colours text, or does not.
type style bool

func (s style) paint(code, text string) string {
	if !s || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string   { return s.paint("1", text) }
func (s style) dim(text string) string    { return s.paint("2", text) }
func (s style) red(text string) string    { return s.paint("31", text) }
func (s style) green(text string) string  { return s.paint("32", text) }
func (s style) yellow(text string) string { return s.paint("33", text) }
func (s style) cyan(text string) string   { return s.paint("36", text) }

// size is a number of bytes in the unit that suits it.
func size(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f := float64(n)
	for _, unit := range []string{"KiB", "MiB", "GiB"} {
		f /= 1024
		if f < 1024 || unit == "GiB" {
			return strconv.FormatFloat(f, 'f', 1, 64) + " " + unit
		}
	}
	return ""
}

// count is a number with commas.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	digits := strings.TrimPrefix(s, "-")
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return s[:len(s)-len(strings.TrimPrefix(s, "-"))] + digits
}

// plural is a number with its noun.
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n) + " " + noun + "s"
}

// ago is how long ago t was, in one unit; "-" when nobody knows.
func ago(now, t time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "-"
	case d < time.Minute:
		return strconv.Itoa(max(int(d.Seconds()), 0)) + "s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + "h"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + "d"
	}
}

func dollars(v float64) string { return fmt.Sprintf("$%.4f", v) }
