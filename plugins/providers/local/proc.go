package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// ticksPerSecond is the unit of processor times in /proc, the same on every Linux that Go runs on.
const ticksPerSecond = 100

// procStat is what /proc/PID/stat says of a process.
type procStat struct {
	parent, micros, threads, resident int64
}

// descendants adds up what /proc shows of a process and all below it. Whatever a sandbox forks stays below its bwrap: those whose parent
// dies go to a process 1 that is. Time of what has exited counts by those that waited for it.
func descendants(proc string, root int) sdk.Stats {
	var out sdk.Stats
	all := processes(proc)
	children := map[int64][]int64{}
	for pid, st := range all {
		children[st.parent] = append(children[st.parent], pid)
	}
	seen := map[int64]bool{}
	for next := []int64{int64(root)}; len(next) > 0; {
		pid := next[len(next)-1]
		next = next[:len(next)-1]
		st, ok := all[pid]
		if !ok || seen[pid] {
			continue
		}
		seen[pid] = true
		out.CPUMicros += st.micros
		out.PIDs += st.threads
		out.MemoryBytes += share(filepath.Join(proc, strconv.FormatInt(pid, 10)), st.resident)
		next = append(next, children[pid]...)
	}
	return out
}

func processes(proc string) map[int64]procStat {
	all := map[int64]procStat{}
	dirs, err := os.ReadDir(proc)
	if err != nil {
		return all
	}
	for _, d := range dirs {
		pid, err := strconv.ParseInt(d.Name(), 10, 64)
		if err != nil {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(proc, d.Name(), "stat"))
		if err != nil {
			continue // It ended.
		}
		// The name in parentheses may hold anything; what follows its end is regular.
		fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
		if len(fields) < 22 {
			continue
		}
		at := func(i int) int64 {
			n, _ := strconv.ParseInt(string(fields[i]), 10, 64) // The kernel writes numbers.
			return n
		}
		all[pid] = procStat{
			parent: at(1), micros: (at(11) + at(12) + at(13) + at(14)) * (1_000_000 / ticksPerSecond), threads: at(17),
			resident: at(21) * int64(os.Getpagesize()),
		}
	}
	return all
}

// share is a process's part of the memory that it shares with others (PSS), or all it has resident where that can't be read.
func share(dir string, resident int64) int64 {
	raw, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
	if err != nil {
		return resident
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			if n := parsed(strings.TrimSuffix(strings.TrimSpace(rest), " kB")); n != unknown {
				return n << 10
			}
		}
	}
	return resident
}
