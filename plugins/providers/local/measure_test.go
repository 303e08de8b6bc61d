package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agcluster/agcluster/plugins/sdk"
)

func TestCgroupsAreReadInBothVersions(t *testing.T) {
	v1, v2 := t.TempDir(), t.TempDir()
	for path, content := range map[string]string{
		v1 + "/memory.usage_in_bytes": "5000\n", v1 + "/memory.stat": "inactive_file 1\ntotal_inactive_file 2000\n",
		v1 + "/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", v1 + "/pids.current": "7\n", v1 + "/cpuacct.usage": "9000\n",
		v2 + "/memory.current": "5000\n", v2 + "/memory.stat": "anon 1\ninactive_file 9000\n",
		v2 + "/memory.events": "oom 9\noom_kill 4\n", v2 + "/pids.current": "8\n", v2 + "/cpu.stat": "usage_usec 11\nuser_usec 5\n",
	} {
		writeFile(t, path, content)
	}
	at := func(dir string) map[string]string {
		return map[string]string{resourceMemory: dir, resourceCPU: dir, resourcePIDs: dir, resourceCPUTime: dir}
	}
	lim := limits{memoryBytes: 1 << 20, milliCPU: 1500, pids: 64}
	for name, c := range map[string]struct {
		group group
		want  sdk.Stats
		ooms  int64
	}{
		"v1": {
			group{at: at(v1), by: map[string]int{resourceMemory: 1, resourceCPU: 1, resourcePIDs: 1, resourceCPUTime: 1}},
			sdk.Stats{CPUMicros: 9, MilliCPU: 1500, MemoryBytes: 3000, MemoryLimitBytes: 1 << 20, PIDs: 7},
			3,
		},
		"v2, all of it droppable": {
			group{at: at(v2), by: map[string]int{resourceMemory: 2, resourceCPU: 2, resourcePIDs: 2}},
			sdk.Stats{CPUMicros: 11, MilliCPU: 1500, MemoryBytes: 0, MemoryLimitBytes: 1 << 20, PIDs: 8},
			4,
		},
		"none": {group{}, sdk.Stats{CPUMicros: -1, MemoryBytes: -1, PIDs: -1}, -1},
		"gone": {
			group{at: at(filepath.Join(v1, "none")), by: map[string]int{resourceMemory: 1, resourceCPU: 1, resourcePIDs: 1}},
			sdk.Stats{CPUMicros: -1, MilliCPU: 1500, MemoryBytes: -1, MemoryLimitBytes: 1 << 20, PIDs: -1},
			-1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := sdk.Stats{CPUMicros: -1, MemoryBytes: -1, PIDs: -1}
			c.group.measure(&got, lim)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if n := c.group.oomKills(); n != c.ooms {
				t.Errorf("%d out-of-memory kills, want %d", n, c.ooms)
			}
		})
	}
}

func TestDescendantsAreCountedAndNobodyElse(t *testing.T) {
	proc := t.TempDir()
	stat := func(pid, parent int, name string) {
		// pid (name) state ppid … utime stime cutime cstime … num_threads … rss
		line := []string{strconv.Itoa(pid), "(" + name + ")", "S", strconv.Itoa(parent)}
		for range 9 {
			line = append(line, "0")
		}
		line = append(line, "1", "2", "3", "4", "20", "0", "5", "0", "0", "0", "10", "18446744073709551615")
		writeFile(t, filepath.Join(proc, strconv.Itoa(pid), "stat"), strings.Join(line, " ")+"\n")
	}
	stat(1, 0, "init")
	stat(10, 1, "bwrap")
	stat(11, 10, "a) S 1 (b")
	stat(12, 11, "child")
	stat(20, 1, "somebody else")
	writeFile(t, filepath.Join(proc, "12", "smaps_rollup"), "x\nRss: 100 kB\nPss:   3 kB\nPss_Anon: 1 kB\n")
	writeFile(t, filepath.Join(proc, "13", "stat"), "nonsense")
	pages := int64(10 * os.Getpagesize())
	want := sdk.Stats{CPUMicros: 3 * 100_000, PIDs: 15, MemoryBytes: 2*pages + 3<<10}
	if diff := cmp.Diff(want, descendants(proc, 10)); diff != "" {
		t.Error(diff)
	}
	if got := descendants(proc, 99); got != (sdk.Stats{}) {
		t.Errorf("of nobody: %+v", got)
	}
}

// measured is one measurement of a sandbox.
func measured(t *testing.T, p *Provider, id string) sdk.Stats {
	t.Helper()
	var got sdk.Stats
	if err := p.Stats(t.Context(), sdk.StatsRequest{ID: id}, func(s sdk.Stats) error { got = s; return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAMeasurementIsOfThatSandbox(t *testing.T) {
	for _, mode := range []string{cgroupAuto, cgroupOff} {
		t.Run("cgroup "+mode, func(t *testing.T) {
			p := newProvider(t, newPlace(t), map[string]any{"cgroup": mode})
			limited := mode == cgroupAuto && hasCgroups(t)
			req := request("measured")
			req.Resources = sdk.Resources{MemoryBytes: 256 << 20, MilliCPU: 1500, PIDs: 100, DiskBytes: 64 << 20}
			box := create(t, p, req)
			before := measured(t, p, "measured")
			// It says so once it has the memory and has been busy for half a second.
			inside(t, box, "sleep 600 >/dev/null 2>&1 & mkfifo ready; python3 -c 'import time\nx = bytearray(64<<20)\nwhile time.process_time() < 0.5: pass\n"+
				"open(\"ready\", \"w\").close()\nwhile True: pass' >/dev/null 2>&1 & cat ready")
			after := measured(t, p, "measured")
			t.Logf("before %+v after %+v", before, after)
			if grown := after.MemoryBytes - before.MemoryBytes; grown < 60<<20 || grown > 120<<20 {
				t.Errorf("64 MiB more are measured as %d", grown)
			}
			if spent := after.CPUMicros - before.CPUMicros; spent < 100_000 || spent > 20_000_000 {
				t.Errorf("half a busy second is measured as %d µs", spent)
			}
			if after.PIDs < before.PIDs+2 || after.PIDs > 60 {
				t.Errorf("%d processes after %d", after.PIDs, before.PIDs)
			}
			want := sdk.Stats{PIDsLimit: 100, DiskBytes: -1, DiskLimitBytes: 64 << 20, OOMKills: -1}
			if limited {
				want.MilliCPU, want.MemoryLimitBytes, want.OOMKills = 1500, 256<<20, 0
			}
			after.Time, after.CPUMicros, after.MemoryBytes, after.PIDs = time.Time{}, 0, 0, 0
			if diff := cmp.Diff(want, after); diff != "" {
				t.Error(diff)
			}
			if out, _ := inside(t, box, "echo $AGCLUSTER_DISK_LIMIT"); out != "67108864" {
				t.Errorf("the agent server is told a limit of %q", out)
			}
		})
	}
}

func TestKillsForWantOfMemoryAreCounted(t *testing.T) {
	if !hasCgroups(t) {
		return
	}
	p := newProvider(t, newPlace(t), nil)
	req := request("hungry")
	req.Resources.MemoryBytes = 128 << 20
	box := create(t, p, req)
	if out, code := inside(t, box, "/opt/agent/agcluster-agent eat 500; exit $?"); code != 137 {
		t.Fatalf("exit status %d, %q", code, out)
	}
	if n := measured(t, p, "hungry").OOMKills; n != 1 {
		t.Errorf("%d kills", n)
	}
}

func TestAnExitedSandboxIsNotMeasuredButStillTold(t *testing.T) {
	p := newProvider(t, newPlace(t), nil)
	box := create(t, p, request("over"))
	if _, _, err := call(t.Context(), box.Endpoint, "/exit", testToken, ""); err == nil {
		t.Fatal("the agent server answers though it was told to leave")
	}
	p.mu.Lock()
	s := p.sandboxes["over"]
	p.mu.Unlock()
	<-s.proc.gone
	if err := p.Stats(t.Context(), sdk.StatsRequest{ID: "over"}, func(sdk.Stats) error { return nil }); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	var last sdk.LogLine
	err := p.Logs(t.Context(), sdk.LogsRequest{ID: "over", Follow: true}, func(l sdk.LogLine) error { last = l; return nil })
	if err != nil || last.Text != "agent: told to leave" || last.Stream != "stderr" || time.Since(last.Time) > time.Minute {
		t.Errorf("the last line: %+v, %v", last, err)
	}
}
