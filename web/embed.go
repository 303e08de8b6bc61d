// Package web is the dashboard: its sources (React, TypeScript) and, embedded, its production build in dist. `make web` builds it anew;
// `make check` verifies that dist is what the sources give, so that `go build` needs no Node. README.md has the decisions.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Files is the production build: index.html at its root, everything else under the names that index.html uses. It is read-only.
func Files() (fs.FS, error) { return fs.Sub(dist, "dist") }
