package image

import (
	"regexp"
	"testing"
)

func TestAVersionIsPinned(t *testing.T) {
	if v, err := ClaudeCode(); err != nil || !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(v) {
		t.Errorf("got %q, %v", v, err)
	}
}
