// Command archive is the policy that bounds what leaves in an archive: how many entries, how many bytes, how far they may be
// packed, and which names. It judges the gate archive.entry, in batches.
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
	MaxEntries    *int64   `json:"max_entries"`
	MaxBytes      *int64   `json:"max_bytes"`
	MaxEntryBytes *int64   `json:"max_entry_bytes"`
	MaxRatio      *float64 `json:"max_ratio"`
	Deny          []string `json:"deny"`
}

// ratioFloor is how many bytes an archive may hold before its ratio counts: small files of zeros harm nobody.
const ratioFloor = 16 << 20

type batch struct {
	Entries []struct {
		Path string `json:"path"`
		Type string `json:"type"`
		Size int64  `json:"size"`
	} `json:"entries"`
	EntriesBefore int64 `json:"entries_before"`
	BytesBefore   int64 `json:"bytes_before"`
	BytesOut      int64 `json:"bytes_out"`
}

func judge(in sdk.Input[params]) sdk.Verdict {
	var b batch
	if err := json.Unmarshal(in.Input, &b); err != nil {
		return sdk.Denied("the batch can't be read (archive policy)")
	}
	p := in.Params
	entries, bytes := b.EntriesBefore, b.BytesBefore
	for _, e := range b.Entries {
		entries++
		if e.Size < 0 || bytes+e.Size < bytes {
			return sdk.Denied(fmt.Sprintf("%q has the impossible size %d (archive policy)", e.Path, e.Size))
		}
		bytes += e.Size
		if e.Path == "" || path.IsAbs(e.Path) || path.Clean(e.Path) != e.Path || e.Path == ".." ||
			strings.HasPrefix(e.Path, "../") || strings.ContainsRune(e.Path, 0) {
			return sdk.Denied(fmt.Sprintf("%q is no clean relative name (archive policy)", e.Path))
		}
		for _, pattern := range p.Deny {
			if sdk.MatchPath(pattern, e.Path) || sdk.MatchPath(pattern, "/"+e.Path) {
				return sdk.Denied(fmt.Sprintf("%q may not leave: rule %s (archive policy)", e.Path, pattern))
			}
		}
		switch {
		case p.MaxEntries != nil && entries > *p.MaxEntries:
			return sdk.Denied(fmt.Sprintf("%q is entry %d, the limit is max_entries = %d (archive policy)", e.Path, entries, *p.MaxEntries))
		case p.MaxEntryBytes != nil && e.Size > *p.MaxEntryBytes:
			return sdk.Denied(fmt.Sprintf("%q has %d bytes, the limit is max_entry_bytes = %d (archive policy)", e.Path, e.Size, *p.MaxEntryBytes))
		case p.MaxBytes != nil && bytes > *p.MaxBytes:
			return sdk.Denied(fmt.Sprintf("with %q the archive has %d bytes, the limit is max_bytes = %d (archive policy)", e.Path, bytes, *p.MaxBytes))
		}
	}
	if p.MaxRatio != nil && b.BytesOut > 0 && bytes > ratioFloor {
		if ratio := float64(bytes) / float64(b.BytesOut); ratio > *p.MaxRatio {
			return sdk.Denied(fmt.Sprintf("the archive packs %.0f to 1, the limit is max_ratio = %g (archive policy)", ratio, *p.MaxRatio))
		}
	}
	return sdk.Allowed()
}
