package agent

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxPath bounds a path in bytes, as Linux does.
const maxPath = 4096

// Usage is what a sandbox uses, as far as it can see itself; unknown numbers are 0, and so is a limit that is none or not known.
type Usage struct {
	// MemoryBytes does not count what the kernel can drop at once, where that can be told.
	MemoryBytes int64 `json:"memory_bytes"`
	MemoryLimit int64 `json:"memory_limit"`
	// CPUMicros is the processor time used so far, in microseconds; MilliCPU the limit, in thousandths of a CPU.
	CPUMicros    int64 `json:"cpu_micros"`
	MilliCPU     int64 `json:"milli_cpu"`
	Processes    int64 `json:"processes"`
	ProcessLimit int64 `json:"process_limit"`
	// DiskBytes is what the workspace and the CLI's folder hold, as the agent server counts it, DiskLimit what they may.
	DiskBytes int64 `json:"disk_bytes"`
	DiskLimit int64 `json:"disk_limit"`
	// OOMKills is how many processes the kernel killed because the sandbox was out of memory.
	OOMKills int64 `json:"oom_kills"`
}

// NewEntry returns an entry for a path whose bytes may be no UTF-8.
func NewEntry(path string) Entry {
	if utf8.ValidString(path) {
		return Entry{Path: path}
	}
	return Entry{Path: strings.ToValidUTF8(path, "\uFFFD"), PathBytes: []byte(path)}
}

// Raw is the entry's path with the bytes it has on disk: what Read, Write and the others take.
func (e Entry) Raw() string {
	if len(e.PathBytes) > 0 {
		return string(e.PathBytes)
	}
	return e.Path
}

// check refuses an entry that no honest agent server sends.
func (e Entry) check() error {
	raw := e.Raw()
	switch {
	case len(raw) > maxPath || len(e.Target) > maxPath:
		return fmt.Errorf("%w: a path over %d bytes", ErrProtocol, maxPath)
	case len(e.PathBytes) > 0 && e.Path != strings.ToValidUTF8(raw, "\uFFFD"):
		return fmt.Errorf("%w: an entry with two different paths", ErrProtocol)
	case strings.HasPrefix(raw, "/") || strings.ContainsRune(raw, 0):
		return fmt.Errorf("%w: a path that is absolute or has a NUL", ErrProtocol)
	case e.Size < 0 || e.Mode > 0o7777:
		return fmt.Errorf("%w: impossible size or mode", ErrProtocol)
	case !isTag(e.Tag):
		return fmt.Errorf("%w: a malformed tag", ErrProtocol)
	}
	for part := range strings.SplitSeq(raw, "/") {
		if part == ".." {
			return fmt.Errorf("%w: a path that goes up", ErrProtocol)
		}
	}
	switch e.Type {
	case EntryFile, EntryDirectory, EntrySymlink, EntryOther:
		return nil
	default:
		return fmt.Errorf("%w: unknown entry type", ErrProtocol)
	}
}

// isTag says whether s is at most 64 hex digits: what may stand in a header without further thought.
func isTag(s string) bool {
	return len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
}
