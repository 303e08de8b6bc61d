package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// forkMany starts more processes than the limit, in dash because bash repeats a refused fork for half a minute.
const forkMany = `exec 2>&1; i=0; while [ $i -lt 300 ]; do sleep 300 >/dev/null 2>&1 & i=$((i+1)); done`

// requireCgroups tells whether this process may make cgroups; the tests of limits by cgroup and by rlimit share the rest.
func hasCgroups(t testing.TB) bool {
	t.Helper()
	return os.Geteuid() == 0
}

func TestMemoryHogDiesAlone(t *testing.T) {
	if !hasCgroups(t) {
		t.Log("as an ordinary user memory has no limit to test; TestLimitsAreToldHonestly covers what is said")
		return
	}
	provider := newProvider(t, newPlace(t), nil)
	req := request("hungry")
	req.Resources = sdk.Resources{MemoryBytes: 128 << 20, MilliCPU: 500}
	box := create(t, provider, req)
	if out, code := inside(t, box, "/opt/agent/agcluster-agent eat 500; exit $?"); code != 137 {
		t.Fatalf("a process took 500 MiB of 128: exit status %d, %q", code, out)
	}
	if out, _ := inside(t, box, "echo alive"); out != "alive" {
		t.Errorf("the sandbox died with its child: %q", out)
	}
	if out, code := inside(t, box, "head -c 300M /dev/zero > /tmp/x"); code == 0 {
		t.Errorf("/tmp is not counted as memory: %q", out)
	}
	if got := box.Limits; got["memory"] != "128 MiB by cgroup v1" && got["memory"] != "128 MiB by cgroup v2" {
		t.Errorf("limits: %v", got)
	}
}

func TestSandboxThatDiesOfHungerSaysSo(t *testing.T) {
	if !hasCgroups(t) {
		return
	}
	provider := newProvider(t, newPlace(t), nil)
	req := request("starved")
	req.Resources.MemoryBytes = 64 << 20
	box := create(t, provider, req)
	if _, _, err := call(t.Context(), box.Endpoint, "/eat?mib=500", testToken, ""); err == nil {
		t.Fatal("the agent server took 500 MiB of 64")
	}
	provider.mu.Lock()
	s := provider.sandboxes["starved"]
	provider.mu.Unlock()
	<-s.proc.gone
	got, err := provider.Get(t.Context(), sdk.GetRequest{ID: "starved"})
	if err != nil {
		t.Fatal(err)
	}
	if got.State != sdk.StateExited || got.Detail != "out of memory" {
		t.Errorf("state %q, detail %q", got.State, got.Detail)
	}
}

func TestProcessesAreLimited(t *testing.T) {
	for _, mode := range []string{cgroupAuto, cgroupOff} {
		t.Run("cgroup "+mode, func(t *testing.T) {
			provider := newProvider(t, newPlace(t), map[string]any{"cgroup": mode})
			req := request("forks")
			req.Resources.PIDs = 64
			box := create(t, provider, req)
			if out, _ := inside(t, box, "exec sh -c '"+forkMany+"'"); !strings.Contains(out, "Cannot fork") {
				t.Errorf("300 processes were let through: %q, limits %v", out, box.Limits)
			}
			// The limit is the sandbox's own: a full one takes nothing from another.
			other := create(t, provider, request("neighbour"))
			if out, _ := inside(t, other, "for i in 1 2 3; do sleep 60 >/dev/null 2>&1 & done; echo fine"); out != "fine" {
				t.Errorf("the neighbour suffers: %q", out)
			}
		})
	}
}

func TestFilesAreLimited(t *testing.T) {
	provider := newProvider(t, newPlace(t), nil)
	req := request("disk")
	req.Resources.DiskBytes = 1 << 20
	box := create(t, provider, req)
	if out, _ := inside(t, box, "head -c 3M /dev/zero > file; stat -c %s file"); !strings.HasSuffix(out, "1048576") {
		t.Errorf("got %q", out)
	}
}

func TestCPUQuotaIsSet(t *testing.T) {
	if !hasCgroups(t) {
		return
	}
	pl := newPlace(t)
	provider := newProvider(t, pl, nil)
	req := request("cpu")
	req.Resources.MilliCPU = 1500
	create(t, provider, req)
	var values []string
	for _, pattern := range []string{"/sys/fs/cgroup/*/agcluster-" + pl.host + "/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/agcluster-" + pl.host + "/cpu/cpu.max"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, strings.Fields(string(raw))[0])
		}
	}
	if diff := cmp.Diff([]string{"150000"}, values); diff != "" {
		t.Error(diff)
	}
}

func TestLimitsAreToldHonestly(t *testing.T) {
	lim := limits{memoryBytes: 4 << 30, milliCPU: 1500, pids: 512, diskBytes: 10 << 30}
	tests := []struct {
		name  string
		group group
		nproc bool
		want  map[string]string
	}{
		{"cgroup v1", group{by: map[string]int{"memory": 1, "cpu": 1, "pids": 1}}, false, map[string]string{
			"memory": "4.0 GiB by cgroup v1", "cpu": "1.5 CPU by cgroup v1", "pids": "512 processes by cgroup v1",
			"disk": "10 GiB for each file by rlimit, for all together by the agent server",
		}},
		{"none", group{missing: map[string]string{"memory": "no cgroup access", "cpu": "no cgroup access", "pids": "no cgroup access"}}, true, map[string]string{
			"memory": "not enforced: no cgroup access", "cpu": "not enforced: no cgroup access", "pids": "512 processes by rlimit",
			"disk": "10 GiB for each file by rlimit, for all together by the agent server",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, lim.describe(tt.group, tt.nproc)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("without a limit on disk", func(t *testing.T) {
		if got := (limits{}).describe(group{}, false)["disk"]; got != "not enforced: no quota on this filesystem" {
			t.Errorf("got %q", got)
		}
	})
}
