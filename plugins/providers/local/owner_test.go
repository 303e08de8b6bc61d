package main

import (
	"os"
	"syscall"
	"testing"
)

// serviceUID is who sandboxes are on the host.
func serviceUID() uint32 {
	if os.Geteuid() == 0 {
		return defaultServiceID
	}
	return uint32(os.Geteuid())
}

func checkOwner(t testing.TB, path string) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Uid != serviceUID() {
		t.Errorf("%s belongs to %d, not %d", path, stat.Uid, serviceUID())
	}
}
