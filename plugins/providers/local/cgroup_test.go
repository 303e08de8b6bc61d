package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFindHierarchies(t *testing.T) {
	unified := t.TempDir()
	writeFile(t, filepath.Join(unified, "cgroup.controllers"), "cpuset cpu io memory pids\n")
	tests := []struct {
		name, mountinfo string
		want            map[string]hierarchy
	}{
		{"nothing", "", map[string]hierarchy{}},
		{"v1", "30 25 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n31 25 0:27 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n", map[string]hierarchy{
			"memory": {"/sys/fs/cgroup/memory", 1}, "cpu": {"/cg/cpu,cpuacct", 1}, "cpuacct": {"/cg/cpu,cpuacct", 1},
		}},
		{"v2", "30 25 0:26 / " + unified + " rw - cgroup2 cgroup2 rw\n", map[string]hierarchy{
			"memory": {unified, 2}, "cpu": {unified, 2}, "pids": {unified, 2},
		}},
		{"both", "30 25 0:26 / /m rw - cgroup cgroup rw,memory\n30 25 0:26 / " + unified + " rw - cgroup2 cgroup2 rw\n", map[string]hierarchy{
			"memory": {"/m", 1}, "cpu": {unified, 2}, "pids": {unified, 2},
		}},
		{"v2 that cannot be read", "30 25 0:26 / /nonexistent rw - cgroup2 cgroup2 rw\n", map[string]hierarchy{}},
		{"malformed lines", "x\n - \n1 2 3 4 - cgroup\n1 2 3 4 5 - cgroup x\n", map[string]hierarchy{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := findHierarchies(strings.NewReader(tt.mountinfo))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(hierarchy{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzFindHierarchies(f *testing.F) {
	f.Add("30 25 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n")
	f.Add("30 25 0:26 / /nonexistent rw - cgroup2 cgroup2 rw\n")
	f.Fuzz(func(t *testing.T, mountinfo string) {
		found, err := findHierarchies(strings.NewReader(mountinfo))
		if err != nil {
			return
		}
		for resource, h := range found {
			if !isUsed(resource) || h.root == "" || (h.version != 1 && h.version != 2) {
				t.Errorf("%q: %+v", resource, h)
			}
		}
	})
}

// TestCgroupV2Files checks what is written where; the machine that runs this may have v1 only.
func TestCgroupV2Files(t *testing.T) {
	root := t.TempDir()
	leaf := filepath.Join(root, "agcluster-h", "box")
	files := map[string]string{
		filepath.Join(root, "cgroup.subtree_control"):                "",
		filepath.Join(root, "agcluster-h", "cgroup.subtree_control"): "",
		filepath.Join(leaf, "memory.max"):                            "",
		filepath.Join(leaf, "cpu.max"):                               "",
		filepath.Join(leaf, "pids.max"):                              "",
		filepath.Join(leaf, "memory.events"):                         "low 0\noom 1\noom_kill 1\n",
	}
	for path, content := range files {
		writeFile(t, path, content)
	}
	c := &cgroups{name: "agcluster-h", hierarchies: map[string]hierarchy{"memory": {root, 2}, "cpu": {root, 2}, "pids": {root, 2}}}
	g := c.create("box", limits{memoryBytes: 1 << 30, milliCPU: 250, pids: 99})
	if diff := cmp.Diff([]string{leaf}, g.dirs); diff != "" || len(g.missing) > 0 {
		t.Fatal(diff, g.missing)
	}
	if diff := cmp.Diff([]string{filepath.Join(leaf, "cgroup.procs")}, g.procs); diff != "" {
		t.Error(diff)
	}
	for file, want := range map[string]string{"memory.max": "1073741824", "cpu.max": "25000 100000", "pids.max": "99"} {
		if raw, err := os.ReadFile(filepath.Join(leaf, file)); err != nil || string(raw) != want {
			t.Errorf("%s: %q, %v", file, raw, err)
		}
	}
	if n := g.oomKills(); n != 1 {
		t.Errorf("%d out-of-memory kills", n)
	}
	writeFile(t, filepath.Join(leaf, "memory.events"), "oom 3\noom_kill 0\n")
	if n := g.oomKills(); n != 0 {
		t.Errorf("%d out-of-memory kills where none was", n)
	}
}

func TestUnwritableCgroupIsNotClaimed(t *testing.T) {
	c := &cgroups{name: "agcluster-h", hierarchies: map[string]hierarchy{"memory": {filepath.Join(t.TempDir(), "missing"), 1}}}
	g := c.create("box", limits{memoryBytes: 1 << 30, milliCPU: 250, pids: 99})
	if len(g.by) != 0 || len(g.dirs) != 0 || g.missing["memory"] != "no cgroup access (no such file or directory)" || g.missing["cpu"] != "no cpu cgroup on this host" {
		t.Errorf("got %+v", g)
	}
}
