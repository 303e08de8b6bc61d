package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	maxRunDir  = 40
	runtimeDir = "XDG_RUNTIME_DIR"
)

// derive makes paths absolute and fills in the defaults that are no constants.
func (l *loading) derive(c *Config) error {
	for _, path := range []*string{&c.DataDir, &c.RunDir, &c.PoliciesDir, &c.PresetsDir, &c.Plugins.Dir, &c.Offline.Script} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("finding the current folder: %w", err)
		}
		*path = absolute
	}
	if c.RunDir == "" {
		c.RunDir = defaultRunDir(c.DataDir, l.opts.Environ, os.Geteuid() == 0)
	}
	if l.opts.Executable == "" {
		return nil
	}
	executable := l.opts.Executable
	// A link in /usr/local/bin leads to where plugins and policies are.
	if target, err := filepath.EvalSymlinks(executable); err == nil {
		executable = target
	}
	beside := filepath.Join(filepath.Dir(executable), "..")
	for folder, path := range map[string]*string{"plugins": &c.Plugins.Dir, "policies": &c.PoliciesDir} {
		if *path != "" {
			continue
		}
		absolute, err := filepath.Abs(filepath.Join(beside, folder))
		if err != nil {
			return fmt.Errorf("finding the current folder: %w", err)
		}
		*path = absolute
	}
	return nil
}

// defaultRunDir is short, the same at every start, and another one for another data folder: two hosts of one user must not empty
// each other's. Root's $XDG_RUNTIME_DIR is closed to the user that its sandboxes run as.
func defaultRunDir(dataDir string, environ []string, root bool) string {
	sum := sha256.Sum256([]byte(dataDir))
	name := "agcluster-" + hex.EncodeToString(sum[:4])
	for _, variable := range environ {
		dir, ok := strings.CutPrefix(variable, runtimeDir+"=")
		if dir = filepath.Clean(dir); ok && !root && filepath.IsAbs(dir) && len(dir)+1+len(name) <= maxRunDir {
			return filepath.Join(dir, name)
		}
	}
	return "/tmp/" + name
}
