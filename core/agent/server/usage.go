package server

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/agcluster/agcluster/core/agent"
)

// ticksPerSecond is the unit of processor times in /proc, the same on every Linux that Go runs on.
const ticksPerSecond = 100

func (s *Server) usage(w http.ResponseWriter, r *http.Request) error {
	u := processes("/proc")
	controlled(&u, "/sys/fs/cgroup")
	disk := s.storage.shown(r.Context())
	u.DiskBytes, u.DiskLimit = disk.Used, disk.Limit
	return reply(w, u)
}

// processes adds up what /proc shows: in a sandbox with a process namespace of its own, exactly its processes. What has exited counts
// by those that waited for it.
func processes(proc string) agent.Usage {
	var u agent.Usage
	dirs, err := os.ReadDir(proc)
	if err != nil {
		return u
	}
	for _, d := range dirs {
		if _, err := strconv.Atoi(d.Name()); err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(proc, d.Name(), "stat"))
		if err != nil {
			continue
		}
		u.Processes++
		// The name in parentheses may hold anything; what follows its end is regular.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 22 {
			continue
		}
		for _, f := range fields[11:15] { // utime, stime, cutime, cstime
			n, _ := strconv.ParseInt(string(f), 10, 64) // the kernel writes numbers
			u.CPUMicros += n * (1_000_000 / ticksPerSecond)
		}
		u.MemoryBytes += memory(filepath.Join(proc, d.Name()), fields[21])
	}
	return u
}

// memory is a process's share of memory (PSS), or all it has resident where that can't be read.
func memory(dir string, resident []byte) int64 {
	if b, err := os.ReadFile(filepath.Join(dir, "smaps_rollup")); err == nil {
		for line := range strings.Lines(string(b)) {
			rest, ok := strings.CutPrefix(line, "Pss:")
			if n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64); ok && err == nil {
				return n << 10
			}
		}
	}
	pages, _ := strconv.ParseInt(string(resident), 10, 64) // the kernel writes numbers
	return pages * int64(os.Getpagesize())
}

// controlled takes the numbers of the sandbox's own cgroup (version 2) where it is visible: they know more, and cheaper. The root of
// the machine's cgroups has no memory.current.
func controlled(u *agent.Usage, root string) {
	read := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(root, name)) // nothing, then
		return strings.TrimSpace(string(b))
	}
	number := func(text string, to *int64) bool {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return false
		}
		*to = n
		return true
	}
	if !number(read("memory.current"), &u.MemoryBytes) {
		return
	}
	number(read("pids.current"), &u.Processes)
	number(read("memory.max"), &u.MemoryLimit) // "max" is none
	number(read("pids.max"), &u.ProcessLimit)
	field := func(file, name string, to *int64) {
		for line := range strings.Lines(read(file)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
				number(value, to)
			}
		}
	}
	field("cpu.stat", "usage_usec", &u.CPUMicros)
	field("memory.events", "oom_kill", &u.OOMKills)
	var cached int64
	field("memory.stat", "inactive_file", &cached)
	// What the kernel can drop at once is no use of memory. Both change at any moment.
	u.MemoryBytes = max(0, u.MemoryBytes-cached)
	var quota, period int64
	if q, p, ok := strings.Cut(read("cpu.max"), " "); ok && number(q, &quota) && number(p, &period) && period > 0 {
		u.MilliCPU = quota * 1000 / period
	}
}
