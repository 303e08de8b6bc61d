package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestTextIsMadeFitForATerminal(t *testing.T) {
	tests := []struct{ in, clean, visible string }{
		{"plain\n\ttext", "plain\n\ttext", `plain\n\ttext`},
		{"\x1b[31mred\x1b[0m", "red", `\x1b[31mred\x1b[0m`},
		{"\x1b]0;title\x07x", "]0;titlex", `\x1b]0;title\ax`},
		{"\x1bPq\x1b\\", "Pq\\", `\x1bPq\x1b\`},
		{"c1 \u009b2J and \u0085", "c1  and ", `c1 \u009b2J and \u0085`},
		{"one\rtwo\r\nthree\b\b\v\f\x00\x7f", "one\ntwo\nthree", `one\rtwo\r\nthree\b\b\v\f\x00\x7f`},
		{"ab\u202ecd\u2066\u200f", "abcd", `ab\u202ecd\u2066\u200f`},
		{"a\u2028b", "a\nb", `a\u2028b`},
		{"bad \xff\xc3", "bad \uFFFD", `bad \xff\xc3`},
		{"ünï 日本 👩‍💻", "ünï 日本 👩‍💻", "ünï 日本 👩‍💻"},
	}
	for _, test := range tests {
		if got := clean(test.in); got != test.clean {
			t.Errorf("clean(%q) = %q, want %q", test.in, got, test.clean)
		}
		if got := visible(test.in, false); got != test.visible {
			t.Errorf("visible(%q) = %q, want %q", test.in, got, test.visible)
		}
		var b bytes.Buffer
		w := &safeWriter{w: &b}
		for i := range len(test.in) { // byte by byte
			if _, err := w.Write([]byte{test.in[i]}); err != nil {
				t.Fatal(err)
			}
		}
		if unsafe(b.String()) {
			t.Errorf("safeWriter of %q wrote %q", test.in, b.String())
		}
	}
	if got := visible("a\n\tb\r", true); got != "a\n\tb\\r" {
		t.Errorf("visible with lines: %q", got)
	}
	if got := line(" a\n b\t\x1b[1mc "); got != "a b c" {
		t.Errorf("line: %q", got)
	}
}

// unsafe says that a text does more on a terminal than to be there.
func unsafe(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
		return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
	})
}

func FuzzTextIsMadeFitForATerminal(f *testing.F) {
	f.Add("\x1b[31mred\x1b[0m\u009b1A\r\n\u202e\xff")
	f.Add("\x1b\x1b[[31mm")
	f.Fuzz(func(t *testing.T, s string) {
		if got := clean(s); unsafe(got) {
			t.Errorf("clean(%q) = %q", s, got)
		}
		if got := visible(s, true); unsafe(got) {
			t.Errorf("visible(%q) = %q", s, got)
		}
		if got := line(s); unsafe(got) || strings.ContainsAny(got, "\n\t") {
			t.Errorf("line(%q) = %q", s, got)
		}
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		escaped := escapeJSON(b)
		var back, want string
		if json.Unmarshal(escaped, &back) != nil || json.Unmarshal(b, &want) != nil || back != want || unsafe(string(escaped)) {
			t.Errorf("escapeJSON(%q) = %q", b, escaped)
		}
		var out bytes.Buffer
		w := &safeWriter{w: &out}
		for i := 0; i < len(s); i += 3 {
			if _, err := w.Write([]byte(s[i:min(i+3, len(s))])); err != nil {
				t.Fatal(err)
			}
		}
		if unsafe(out.String()) {
			t.Errorf("safeWriter of %q wrote %q", s, out.String())
		}
	})
}

func TestNumbersAreReadable(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", 100000: "100,000"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %s", n, got)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 5 << 20: "5.0 MiB", 3 << 40: "3072.0 GiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s", n, got)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 90 * time.Second: "1m", 47 * time.Hour: "47h", 49 * time.Hour: "2d",
	} {
		if got := ago(start, start.Add(-d)); got != want {
			t.Errorf("ago(%s) = %s", d, got)
		}
	}
	if ago(start, time.Time{}) != "-" {
		t.Error("nobody knows when that was")
	}
}

func TestLinesAreCutAndFolded(t *testing.T) {
	if got := cut("日本語text", 5); got != "日本…" {
		t.Errorf("cut: %q", got)
	}
	shown, more := fold("a\nb\nc\n\n", 2, 0)
	if len(shown) != 2 || more != 1 {
		t.Errorf("fold: %q, %d more", shown, more)
	}
	if shown, more = fold("a\nb\nc", 0, 0); len(shown) != 3 || more != 0 {
		t.Errorf("fold without a limit: %q, %d more", shown, more)
	}
}
