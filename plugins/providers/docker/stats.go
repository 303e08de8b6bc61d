package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// minStatsInterval bounds how often one caller makes the engine measure.
const minStatsInterval = time.Second

// Stats implements sdk.StatsProvider. A sandbox that has exited is gone for it.
func (p *Provider) Stats(ctx context.Context, req sdk.StatsRequest, fn func(sdk.Stats) error) error {
	st, err := p.enter()
	if err != nil {
		return err
	}
	defer p.work.Done()
	ctx, leave := p.begin(ctx, "stats "+req.ID) // Close must not wait for a follower.
	defer leave()
	for {
		stats, err := st.measure(ctx, req.ID)
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return fmt.Errorf("measuring sandbox %s: %w", req.ID, err)
		}
		if err := fn(stats); err != nil {
			return err
		}
		if req.Interval == 0 {
			return nil
		}
		if err := sleep(ctx, max(req.Interval, minStatsInterval)); err != nil {
			return err
		}
	}
}

// measure asks for one sample: the engine's own stream has a pace of its own and two samples in each message.
func (st *settings) measure(ctx context.Context, id string) (sdk.Stats, error) {
	f, err := st.known(ctx, id)
	if err != nil {
		return sdk.Stats{}, err
	}
	if !isRunning(f.status) {
		return sdk.Stats{}, fmt.Errorf("it has exited: %w", sdk.ErrNotFound)
	}
	answer, err := st.engine.api.ContainerStatsOneShot(ctx, f.container)
	if errdefs.IsNotFound(err) {
		return sdk.Stats{}, sdk.ErrNotFound
	}
	if err != nil {
		return sdk.Stats{}, st.engine.explain(err)
	}
	var raw container.StatsResponse
	err = json.NewDecoder(answer.Body).Decode(&raw)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return sdk.Stats{}, fmt.Errorf("reading the engine's numbers: %w", st.engine.explain(err))
	}
	stats := translate(raw)
	stats.MilliCPU, stats.MemoryLimitBytes, stats.PIDsLimit = f.milliCPU, f.memory, f.pids
	stats.OOMKills = st.oomKills(ctx, *f)
	return stats, nil
}

// translate reads what the engine measured. It has no numbers for the disk: the agent server accounts that.
func translate(raw container.StatsResponse) sdk.Stats {
	s := sdk.Stats{Time: raw.Read, CPUMicros: -1, MemoryBytes: -1, PIDs: -1, DiskBytes: -1, DiskLimitBytes: -1}
	if s.Time.IsZero() {
		s.Time = time.Now()
	}
	if raw.CPUStats.CPUUsage.TotalUsage > 0 {
		s.CPUMicros = clamp(raw.CPUStats.CPUUsage.TotalUsage / 1000)
	}
	if usage := raw.MemoryStats.Usage; usage > 0 {
		idle, ok := raw.MemoryStats.Stats["total_inactive_file"] // cgroup v1
		if !ok {
			idle = raw.MemoryStats.Stats["inactive_file"]
		}
		s.MemoryBytes = clamp(usage - min(usage, idle))
	}
	if raw.PidsStats.Current > 0 {
		s.PIDs = clamp(raw.PidsStats.Current)
	}
	for _, network := range raw.Networks {
		s.NetworkRxBytes += clamp(network.RxBytes)
		s.NetworkTxBytes += clamp(network.TxBytes)
	}
	return s
}

func clamp(n uint64) int64 {
	return int64(min(n, 1<<62))
}

// oomKills counts the processes that the kernel killed: by the container's cgroup where that can be read, else by the engine's
// events, of which it keeps the last few hundred only. -1 when neither tells.
func (st *settings) oomKills(ctx context.Context, f found) int64 {
	if st.engine.local && f.pid > 0 {
		if n, ok := cgroupKills("/proc", "/sys/fs/cgroup", f.pid, f.container); ok {
			return n
		}
	}
	messages, failed := st.engine.api.Events(ctx, events.ListOptions{
		Since: f.started, Until: strconv.FormatInt(time.Now().Unix()+1, 10),
		Filters: filters.NewArgs(filters.Arg("container", f.container), filters.Arg("event", string(events.ActionOOM))),
	})
	n := int64(0)
	for {
		select {
		case <-messages:
			n++
		case err := <-failed:
			if errors.Is(err, io.EOF) {
				return n
			}
			return -1
		}
	}
}

// cgroupKills reads the kernel's counter. The cgroup must carry the container's id: the process may be another one by now, or
// the engine's numbers those of another machine.
func cgroupKills(proc, root string, pid int, id string) (int64, bool) {
	raw, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(raw)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || !strings.Contains(parts[2], id) {
			continue
		}
		var file string
		switch parts[1] {
		case "":
			file = filepath.Join(root, parts[2], "memory.events")
		case "memory":
			file = filepath.Join(root, "memory", parts[2], "memory.oom_control")
		default:
			continue
		}
		if n, ok := killCounter(file); ok {
			return n, true
		}
	}
	return 0, false
}

func killCounter(file string) (int64, bool) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			n, err := strconv.ParseInt(value, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
