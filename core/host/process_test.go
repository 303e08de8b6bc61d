package host_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// proc is one process as /proc shows it.
type proc struct {
	pid, parent int
	cmdline     string
}

func processes() []proc {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var all []proc
	for _, dir := range dirs {
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue
		}
		// The name in parentheses may hold anything.
		after := stat[bytes.LastIndexByte(stat, ')')+1:]
		fields := strings.Fields(string(after))
		pid, _ := strconv.Atoi(filepath.Base(dir))
		parent, _ := strconv.Atoi(fields[1])
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		all = append(all, proc{pid, parent, strings.ReplaceAll(string(cmdline), "\x00", " ")})
	}
	return all
}

// below lists the descendants of a process.
func below(pid int) []proc {
	all := processes()
	var found []proc
	frontier := map[int]bool{pid: true}
	for changed := true; changed; {
		changed = false
		for _, p := range all {
			if frontier[p.parent] && !frontier[p.pid] {
				frontier[p.pid] = true
				found = append(found, p)
				changed = true
			}
		}
	}
	return found
}

// find returns the processes of the host and its sandboxes whose command line has all parts.
func (r *rig) find(parts ...string) []proc {
	var found []proc
next:
	for _, p := range r.inside() {
		for _, part := range parts {
			if !strings.Contains(p.cmdline, part) {
				continue next
			}
		}
		found = append(found, p)
	}
	return found
}

// eventually waits for a state outside of any event stream, such as the process table.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("never: %s", what)
		}
	}
}

// left lists what a host leaves that it should not: processes, mounts, cgroups and sockets that name its folders.
func (r *rig) left(before map[int]bool) []string {
	var found []string
	for _, p := range processes() {
		if before[p.pid] || contained(p.pid) {
			continue // a container is known by its label, and may be somebody else's
		}
		if strings.Contains(p.cmdline, r.run) || strings.Contains(p.cmdline, "/opt/agent/") || strings.Contains(p.cmdline, "bwrap") {
			found = append(found, "process "+strconv.Itoa(p.pid)+" "+p.cmdline)
		}
	}
	if r.on == onDocker {
		for _, id := range r.containers() {
			found = append(found, "container "+id)
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for _, m := range strings.Split(string(mounts), "\n") {
		if strings.Contains(m, r.data) || strings.Contains(m, r.run) {
			found = append(found, "mount "+m)
		}
	}
	id, _ := os.ReadFile(filepath.Join(r.data, "host-id"))
	if name := strings.TrimSpace(string(id)); name != "" {
		groups, _ := filepath.Glob("/sys/fs/cgroup/*/agcluster/*" + name + "*")
		more, _ := filepath.Glob("/sys/fs/cgroup/*/agcluster*/*" + name + "*/*")
		for _, g := range append(groups, more...) {
			if strings.Contains(g, "sb-") {
				found = append(found, "cgroup "+g)
			}
		}
	}
	_ = filepath.WalkDir(r.run, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type()&os.ModeSocket != 0 {
			found = append(found, "socket "+path)
		}
		return nil
	})
	return found
}

func running() map[int]bool {
	now := map[int]bool{}
	for _, p := range processes() {
		now[p.pid] = true
	}
	return now
}

// memory is what the host process has resident, in bytes.
func (r *rig) memory() int64 {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(r.cmd.Process.Pid), "statm"))
	if err != nil {
		r.t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// contained says whether a process is in a container of an engine.
func contained(pid int) bool {
	group, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	return err == nil && strings.Contains(string(group), "/docker/")
}
