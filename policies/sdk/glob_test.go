package sdk

import "testing"

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

func FuzzMatchPath(f *testing.F) {
	f.Add("/a/**/z*", "/a/b/c/zz")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if !MatchPath("**", path) {
			t.Errorf("** must match %q", path)
		}
		MatchPath(pattern, path)
	})
}
