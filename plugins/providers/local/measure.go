package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// unknown is a number that can't be measured.
const unknown = -1

// measure is what a sandbox uses now: by its cgroups where it has them, else by what /proc shows of its processes. What its files hold
// is not known here: its agent server counts them.
func (s *sandbox) measure() sdk.Stats {
	out := sdk.Stats{
		Time: time.Now().UTC(), CPUMicros: unknown, MemoryBytes: unknown, PIDs: unknown, PIDsLimit: s.lim.pids,
		DiskBytes: unknown, DiskLimitBytes: s.lim.diskBytes, OOMKills: s.group.oomKills(),
	}
	s.group.measure(&out, s.lim)
	if out.CPUMicros == unknown || out.MemoryBytes == unknown || out.PIDs == unknown {
		seen := descendants("/proc", s.proc.cmd.Process.Pid)
		for _, n := range []struct{ to, from *int64 }{
			{&out.CPUMicros, &seen.CPUMicros}, {&out.MemoryBytes, &seen.MemoryBytes}, {&out.PIDs, &seen.PIDs},
		} {
			if *n.to == unknown {
				*n.to = *n.from
			}
		}
	}
	return out
}

// measure fills in what the cgroups of a sandbox tell.
func (g group) measure(out *sdk.Stats, lim limits) {
	if dir, ok := g.at[resourceMemory]; ok {
		used, cached := "memory.current", "inactive_file"
		if g.by[resourceMemory] == 1 {
			used, cached = "memory.usage_in_bytes", "total_inactive_file"
		}
		out.MemoryLimitBytes = lim.memoryBytes
		if n := readNumber(filepath.Join(dir, used)); n != unknown {
			// Both change at any moment: together they may be below zero.
			out.MemoryBytes = max(0, n-max(0, readField(filepath.Join(dir, "memory.stat"), cached)))
		}
	}
	if dir, ok := g.at[resourcePIDs]; ok {
		out.PIDs = readNumber(filepath.Join(dir, "pids.current"))
	}
	if dir, ok := g.at[resourceCPU]; ok {
		out.MilliCPU = lim.milliCPU
		if g.by[resourceCPU] == 2 {
			out.CPUMicros = readField(filepath.Join(dir, "cpu.stat"), "usage_usec")
		}
	}
	if dir, ok := g.at[resourceCPUTime]; ok && out.CPUMicros == unknown {
		if nanos := readNumber(filepath.Join(dir, "cpuacct.usage")); nanos != unknown {
			out.CPUMicros = nanos / 1000
		}
	}
}

// oomKills is how many processes of the group the kernel killed for want of memory.
func (g group) oomKills() int64 {
	dir, ok := g.at[resourceMemory]
	if !ok {
		return unknown
	}
	return readField(filepath.Join(dir, map[int]string{1: "memory.oom_control", 2: "memory.events"}[g.by[resourceMemory]]), "oom_kill")
}

// readNumber reads a control file that holds one number.
func readNumber(path string) int64 {
	raw, err := os.ReadFile(path)
	if err != nil {
		return unknown
	}
	return parsed(string(raw))
}

// readField reads one line of a control file of names and numbers.
func readField(path, name string) int64 {
	raw, err := os.ReadFile(path)
	if err != nil {
		return unknown
	}
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return parsed(value)
		}
	}
	return unknown
}

func parsed(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 {
		return unknown
	}
	return n
}
