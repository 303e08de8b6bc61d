package server

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/core/agent"
)

// ticksPerSecond is the unit of processor times in /proc, the same on every Linux that Go runs on.
const ticksPerSecond = 100

func (s *Server) usage(w http.ResponseWriter, _ *http.Request) error {
	u := processes("/proc")
	controlled(&u, "/sys/fs/cgroup")
	var err error
	if u.DiskBytes, u.DiskLimit, err = s.files.disk(); err != nil {
		return err
	}
	return reply(w, u)
}

// disk is what is used and what there is of the filesystem that holds the workspace, in bytes.
func (w *Workspace) disk() (used, limit int64, err error) {
	dir, err := w.root.Open(".")
	if err != nil {
		return 0, 0, fmt.Errorf("measuring the disk: %w", err)
	}
	var st unix.Statfs_t
	err = unix.Fstatfs(int(dir.Fd()), &st)
	if err := errors.Join(err, dir.Close()); err != nil {
		return 0, 0, fmt.Errorf("measuring the disk: %w", err)
	}
	size := st.Bsize
	//nolint:gosec // no disk has 2^63 blocks
	return int64(st.Blocks-st.Bfree) * size, int64(st.Blocks) * size, nil
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
	for line := range strings.Lines(read("cpu.stat")) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "usage_usec "); ok {
			number(value, &u.CPUMicros)
		}
	}
}
