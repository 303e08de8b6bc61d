// Package policytest builds policy modules for tests, as `make policies` does.
package policytest

import (
	"fmt"
	"os"
	"os/exec"
)

// Build compiles the Go package in dir to the module out. It needs the go command.
func Build(out, dir string) error {
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, ".") //nolint:noctx // it ends by itself
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building policy %s: %w\n%s", dir, err, text)
	}
	return nil
}
