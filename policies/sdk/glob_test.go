package sdk

import (
	"regexp"
	"strings"
	"testing"
)

func TestMatchPath(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/workspace/**", "/workspace/a/b", true},
		{"/workspace/**", "/workspace", false},
		{"/workspace/**", "/workspaces/a", false},
		{"/workspace/*", "/workspace/a", true},
		{"/workspace/*", "/workspace/a/b", false},
		{"**/.env", "a/b/.env", true},
		{"**/.env", ".env", false},
		{"**.env", ".env", true},
		{"/a/**/z", "/a/b/c/z", true},
		{"/a/**/z", "/a/b/c/y", false},
		{"/a/?", "/a/b", true},
		{"/a?b", "/a/b", false},
		{"*", "", true},
		{"", "", true},
		{"", "a", false},
		{"/x/**/*.go", "/x/a/b/main.go", true},
		{"/x/**/*.go", "/x/a/b/main.rs", false},
	} {
		if got := MatchPath(c.pattern, c.path); got != c.want {
			t.Errorf("MatchPath(%q, %q) = %v", c.pattern, c.path, got)
		}
	}
}

func TestMatchText(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"git *", "git push origin/main", true},
		{"git *", "git", false},
		{"git push*", "git push", true},
		{"*rm -rf*", "sudo rm -rf /", true},
		{"mcp__github__*", "mcp__github__get", true},
		{"Bash", "Bash", true},
		{"Bash", "BashOutput", false},
	} {
		if got := MatchText(c.pattern, c.text); got != c.want {
			t.Errorf("MatchText(%q, %q) = %v", c.pattern, c.text, got)
		}
	}
}

// FuzzMatchIsLikeRegexp compares both with what their descriptions mean as regular expressions.
func FuzzMatchIsLikeRegexp(f *testing.F) {
	for _, seed := range [][2]string{
		{"/a/**/z*", "/a/b/c/zz"}, {"*a*b**c?d", "xaxb/ycdd"}, {"**a*/b", "aa/a/b"}, {"***", "/"}, {"?*", "/"}, {"a**b*c", "axb/bxc"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 100 || len(text) > 200 {
			return
		}
		pattern, text = ascii(pattern), ascii(text)
		var path, plain strings.Builder
		for i := 0; i < len(pattern); i++ {
			switch {
			case strings.HasPrefix(pattern[i:], "**"):
				path.WriteString(".*")
				plain.WriteString(".*.*")
				i++
			case pattern[i] == '*':
				path.WriteString("[^/]*")
				plain.WriteString(".*")
			case pattern[i] == '?':
				path.WriteString("[^/]")
				plain.WriteString(".")
			default:
				path.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
				plain.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
			}
		}
		if got, want := MatchPath(pattern, text), regexp.MustCompile(`(?s)\A`+path.String()+`\z`).MatchString(text); got != want {
			t.Errorf("MatchPath(%q, %q) = %v", pattern, text, got)
		}
		if got, want := MatchText(pattern, text), regexp.MustCompile(`(?s)\A`+plain.String()+`\z`).MatchString(text); got != want {
			t.Errorf("MatchText(%q, %q) = %v", pattern, text, got)
		}
	})
}

func ascii(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] &= 0x7f
	}
	return string(b)
}

func TestHostileGlobsEnd(t *testing.T) {
	text := strings.Repeat("a", 4096)
	for _, pattern := range []string{
		strings.Repeat("*a", 500) + "b", strings.Repeat("**a", 300) + "b", strings.Repeat("**a*", 250) + "b", "**" + strings.Repeat("*a?", 300) + "b",
	} {
		if MatchPath(pattern, text) || MatchText(pattern, text) {
			t.Errorf("%.20q… matches", pattern)
		}
	}
}
