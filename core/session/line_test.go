package session

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLinesByWhichASessionIsRecognised(t *testing.T) {
	long := strings.Repeat("ä", 300)
	for _, c := range []struct{ name, text, first, last string }{
		{"nothing", "", "", ""},
		{"one", "hello", "hello", "hello"},
		{"many", "\n  \n first\tone \nmiddle\n last \r\n\n", "first one", "last"},
		{"too long", long, strings.Repeat("ä", 79) + "…", strings.Repeat("ä", 199) + "…"},
		{"not to be seen", "\x1b[31mred\u202e\xff\nb\x00", "[31mred", "b"},
		{"only what is not to be seen", "\x00\n\u200b", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := firstLine(c.text, maxTitle); got != c.first {
				t.Errorf("first %q, want %q", got, c.first)
			}
			if got := lastLine(c.text, maxLastLine); got != c.last {
				t.Errorf("last %q, want %q", got, c.last)
			}
		})
	}
}

func FuzzLines(f *testing.F) {
	f.Add("a\nb")
	f.Add("\xff\n\r\u2028")
	f.Fuzz(func(t *testing.T, text string) {
		for _, line := range []string{firstLine(text, maxTitle), lastLine(text, maxTitle)} {
			if !utf8.ValidString(line) || utf8.RuneCountInString(line) > maxTitle || strings.ContainsAny(line, "\n\r\x1b") {
				t.Errorf("%q became %q", text, line)
			}
		}
	})
}
