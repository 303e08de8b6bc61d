// Package image has what the host knows of the agents' image.
package image

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

//go:embed package.json
var manifest []byte

// ClaudeCode is the version of Claude Code that this build pins.
func ClaudeCode() (string, error) {
	var m struct {
		Versions map[string]string `json:"optionalDependencies"`
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return "", fmt.Errorf("reading the pinned version of Claude Code: %w", err)
	}
	version := m.Versions["@anthropic-ai/claude-code-linux-x64"]
	if version == "" {
		return "", fmt.Errorf("package.json pins no version of Claude Code")
	}
	return version, nil
}
