package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// Defaults of the options and bounds of what a request may ask for.
const (
	defaultServiceID    = 10001
	defaultTmpBytes     = 512 << 20
	defaultPIDs         = 512
	defaultMemoryBytes  = 4 << 30
	defaultMilliCPU     = 2000
	minMemoryBytes      = 16 << 20
	minMilliCPU         = 10
	minPIDs             = 8
	maxExtraBinds       = 64
	cgroupAuto          = "auto"
	cgroupOff           = "off"
	agentServerFile     = "agcluster-agent"
	claudeFile          = "claude"
	maxServiceID        = 1<<31 - 2
	minTmpBytes         = 1 << 20
	defaultAgentDirName = "agent"
)

// optionsSchema is what Describe publishes; parseOptions enforces it.
const optionsSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "agent_dir": {"type": "string", "description": "Folder with agcluster-agent and claude; default: ../agent beside the folder of this binary."},
    "bubblewrap": {"type": "string", "description": "Path of bwrap; default: searched in the usual folders."},
    "uid": {"type": "integer", "minimum": 1, "maximum": 2147483646, "default": 10001, "description": "User that sandboxes run as when the host runs as root."},
    "gid": {"type": "integer", "minimum": 1, "maximum": 2147483646, "default": 10001, "description": "Group that sandboxes run as when the host runs as root."},
    "extra_ro_binds": {"type": "array", "items": {"type": "string", "pattern": "^/."}, "maxItems": 64, "default": [], "description": "Host paths that every sandbox sees read-only, at the same path."},
    "tmp_bytes": {"type": "integer", "minimum": 1048576, "default": 536870912, "description": "Size of /tmp and of /dev/shm, each; at most a quarter of the sandbox's memory."},
    "cgroup": {"enum": ["auto", "off"], "default": "auto", "description": "auto: limits by cgroups where the host may; off: rlimits only."},
    "pids": {"type": "integer", "minimum": 8, "default": 512, "description": "Processes and threads when the launch names no limit."},
    "memory_bytes": {"type": "integer", "minimum": 16777216, "default": 4294967296, "description": "Memory when the launch names no limit."},
    "milli_cpu": {"type": "integer", "minimum": 10, "default": 2000, "description": "Thousandths of a CPU when the launch names no limit."}
  }
}`

// options are the provider's own settings, see optionsSchema.
type options struct {
	AgentDir     string   `json:"agent_dir"`
	Bubblewrap   string   `json:"bubblewrap"`
	UID          int      `json:"uid"`
	GID          int      `json:"gid"`
	ExtraROBinds []string `json:"extra_ro_binds"`
	TmpBytes     int64    `json:"tmp_bytes"`
	Cgroup       string   `json:"cgroup"`
	PIDs         int64    `json:"pids"`
	MemoryBytes  int64    `json:"memory_bytes"`
	MilliCPU     int64    `json:"milli_cpu"`
}

// parseOptions reads raw (empty means none) over the defaults. exeDir is the folder of the provider's binary.
func parseOptions(raw json.RawMessage, exeDir string) (options, error) {
	opts := options{
		AgentDir:    filepath.Join(filepath.Dir(exeDir), defaultAgentDirName),
		UID:         defaultServiceID,
		GID:         defaultServiceID,
		TmpBytes:    defaultTmpBytes,
		Cgroup:      cgroupAuto,
		PIDs:        defaultPIDs,
		MemoryBytes: defaultMemoryBytes,
		MilliCPU:    defaultMilliCPU,
	}
	if len(bytes.TrimSpace(raw)) > 0 {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&opts); err != nil {
			return options{}, fmt.Errorf("reading the options of provider local: %w", err)
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			return options{}, errors.New("reading the options of provider local: more than one JSON value")
		}
	}
	if err := opts.validate(); err != nil {
		return options{}, fmt.Errorf("checking the options of provider local: %w", err)
	}
	return opts, nil
}

func (o *options) validate() error {
	switch {
	case !filepath.IsAbs(o.AgentDir):
		return fmt.Errorf("agent_dir %q is not an absolute path", o.AgentDir)
	case o.Bubblewrap != "" && !filepath.IsAbs(o.Bubblewrap):
		return fmt.Errorf("bubblewrap %q is not an absolute path", o.Bubblewrap)
	case o.UID < 1 || o.UID > maxServiceID:
		return fmt.Errorf("uid %d is outside 1..%d (sandboxes never run as root)", o.UID, maxServiceID)
	case o.GID < 1 || o.GID > maxServiceID:
		return fmt.Errorf("gid %d is outside 1..%d", o.GID, maxServiceID)
	case o.TmpBytes < minTmpBytes:
		return fmt.Errorf("tmp_bytes %d is below %d", o.TmpBytes, minTmpBytes)
	case o.Cgroup != cgroupAuto && o.Cgroup != cgroupOff:
		return fmt.Errorf("cgroup %q is neither %q nor %q", o.Cgroup, cgroupAuto, cgroupOff)
	case o.PIDs < minPIDs:
		return fmt.Errorf("pids %d is below %d", o.PIDs, minPIDs)
	case o.MemoryBytes < minMemoryBytes:
		return fmt.Errorf("memory_bytes %d is below %d", o.MemoryBytes, minMemoryBytes)
	case o.MilliCPU < minMilliCPU:
		return fmt.Errorf("milli_cpu %d is below %d", o.MilliCPU, minMilliCPU)
	case len(o.ExtraROBinds) > maxExtraBinds:
		return fmt.Errorf("extra_ro_binds has %d entries, more than %d", len(o.ExtraROBinds), maxExtraBinds)
	}
	for i, path := range o.ExtraROBinds {
		if err := validateExtraBind(path); err != nil {
			return fmt.Errorf("extra_ro_binds[%d]: %w", i, err)
		}
	}
	return nil
}

// validateExtraBind refuses paths that would cover, or be covered by, what a sandbox is built of.
func validateExtraBind(path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" || strings.ContainsRune(path, 0) {
		return fmt.Errorf("%q is not a clean absolute path below /", path)
	}
	for _, own := range []string{"/proc", "/sys", "/dev", "/tmp", "/run", "/usr", "/bin", "/sbin", "/lib", "/lib64", sandboxWorkspace, "/home", "/opt/agent"} {
		if path == own || strings.HasPrefix(path, own+"/") || strings.HasPrefix(own, path+"/") {
			return fmt.Errorf("%q overlaps %s, which the sandbox has for itself", path, own)
		}
	}
	return nil
}
