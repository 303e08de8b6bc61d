package config

import (
	"strings"
	"testing"
)

func TestDefaultRunDir(t *testing.T) {
	hash := strings.TrimPrefix(defaultRunDir("/data", nil, false), "/tmp/agcluster-")
	if len(hash) != 8 {
		t.Fatalf("hash = %q", hash)
	}
	for _, tt := range []struct {
		name    string
		environ []string
		root    bool
		want    string
	}{
		{"without XDG_RUNTIME_DIR", []string{"HOME=/x"}, false, "/tmp/agcluster-" + hash},
		{"with it", []string{"HOME=/x", "XDG_RUNTIME_DIR=/run/user/1000/"}, false, "/run/user/1000/agcluster-" + hash},
		{"root's is closed to the sandboxes' user", []string{"XDG_RUNTIME_DIR=/run/user/0"}, true, "/tmp/agcluster-" + hash},
		{"empty", []string{"XDG_RUNTIME_DIR="}, false, "/tmp/agcluster-" + hash},
		{"relative", []string{"XDG_RUNTIME_DIR=run"}, false, "/tmp/agcluster-" + hash},
		{"too long", []string{"XDG_RUNTIME_DIR=/run/" + strings.Repeat("x", 30)}, false, "/tmp/agcluster-" + hash},
	} {
		got := defaultRunDir("/data", tt.environ, tt.root)
		if got != tt.want || len(got) > maxRunDir {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	if defaultRunDir("/data", nil, false) == defaultRunDir("/data2", nil, false) {
		t.Error("two data folders share one")
	}
}
