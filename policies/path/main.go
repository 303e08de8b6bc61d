// Command path is the policy that keeps an agent and its users to the paths they are meant for. It judges the gate path.access and,
// in batches, what an export would read (archive.entry).
package main

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/agcluster/agcluster/policies/sdk"
)

func main() {} // a module is a library: the host calls its exports (wasm.go)

type params struct {
	Read  []string `json:"read"`
	Write []string `json:"write"`
	Deny  []string `json:"deny"`
}

type access struct {
	Op         string `json:"op"`
	Path       string `json:"path"`
	Raw        string `json:"raw"`
	Source     string `json:"source"`
	Tool       string `json:"tool"`
	Unresolved bool   `json:"unresolved"`
	// Guess says that it may be no path at all.
	Guess bool `json:"guess"`
	// Paths are many for the same Op, instead of Path.
	Paths []string `json:"paths"`
}

type batch struct {
	Entries []struct {
		Path string `json:"path"`
	} `json:"entries"`
}

func judge(in sdk.Input[params]) sdk.Verdict {
	if in.Gate == "archive.entry" {
		return judgeExport(in)
	}
	var a access
	if err := json.Unmarshal(in.Input, &a); err != nil {
		return sdk.Denied("the access can't be read (path policy)")
	}
	if a.Paths == nil {
		return judgeAccess(in.Params, a)
	}
	for _, p := range a.Paths {
		a.Path = p
		if v := judgeAccess(in.Params, a); v.Decision != sdk.Allow {
			return v
		}
	}
	return sdk.Allowed()
}

// judgeExport judges every entry of an archive as read. The entries' names are relative to the workspace.
func judgeExport(in sdk.Input[params]) sdk.Verdict {
	var b batch
	if err := json.Unmarshal(in.Input, &b); err != nil {
		return sdk.Denied("the batch can't be read (path policy)")
	}
	for _, e := range b.Entries {
		if v := judgeAccess(in.Params, access{Op: "read", Path: "/workspace/" + e.Path, Source: "export"}); v.Decision != sdk.Allow {
			return v
		}
	}
	return sdk.Allowed()
}

func judgeAccess(p params, a access) sdk.Verdict {
	allowed, verb := p.Read, "reading"
	switch a.Op {
	case "read":
	case "list":
		verb = "listing"
	case "write":
		allowed, verb = p.Write, "writing"
	case "delete":
		allowed, verb = p.Write, "deleting"
	default:
		return sdk.Denied(fmt.Sprintf("unknown operation %q (path policy)", a.Op))
	}
	if !path.IsAbs(a.Path) || path.Clean(a.Path) != a.Path || strings.ContainsRune(a.Path, 0) {
		return sdk.Denied(fmt.Sprintf("%s %q: not a clean absolute path (path policy)", verb, a.Path))
	}
	if a.Unresolved && a.Raw == "" {
		return sdk.Denied("the command can't be read as Bash, so nobody knows which paths it touches (path policy)")
	}
	if matches(p.Deny, a) {
		return sdk.Denied(fmt.Sprintf("%s %s is denied (path policy)", verb, a.Path))
	}
	if allowed != nil && !a.Guess && !matches(allowed, a) {
		return sdk.Denied(fmt.Sprintf("%s %s is outside of the allowed paths (path policy)", verb, a.Path))
	}
	return sdk.Allowed()
}

// matches says whether a pattern holds for the path or, since a folder is part of what is below it, for the folder that
// "/folder/**" names.
func matches(patterns []string, a access) bool {
	for _, p := range patterns {
		if sdk.MatchPath(p, a.Path) {
			return true
		}
		if folder, ok := strings.CutSuffix(p, "/**"); ok && sdk.MatchPath(folder, a.Path) {
			return true
		}
	}
	return false
}
