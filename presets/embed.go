// Package presets holds the built-in agent configurations. README.md says how to add one; core/preset reads and checks them.
package presets

import "embed"

// FS holds the YAML files, in its top folder.
//
//go:embed *.yaml
var FS embed.FS
