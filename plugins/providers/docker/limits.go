package main

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"

	"github.com/dustin/go-humanize"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// The resources of sdk.Sandbox.Limits.
const (
	resourceMemory = "memory"
	resourceCPU    = "cpu"
	resourcePIDs   = "pids"
	resourceDisk   = "disk"
)

// cfsPeriod is the scheduler's accounting period, in microseconds.
const cfsPeriod = 100_000

// limits are the resources of one sandbox with the defaults filled in. diskBytes may be zero: no limit was asked for.
type limits struct {
	memoryBytes, milliCPU, pids, diskBytes int64
}

// resolveLimits fills in the defaults and refuses what no sandbox could start with.
func resolveLimits(res sdk.Resources, opts options) (limits, error) {
	lim := limits{
		memoryBytes: cmp.Or(res.MemoryBytes, opts.MemoryBytes), milliCPU: cmp.Or(res.MilliCPU, opts.MilliCPU),
		pids: cmp.Or(res.PIDs, opts.PIDs), diskBytes: res.DiskBytes,
	}
	switch {
	case lim.memoryBytes < minMemoryBytes:
		return limits{}, fmt.Errorf("resources.memory_bytes %d is below %d", lim.memoryBytes, minMemoryBytes)
	case lim.milliCPU < minMilliCPU || lim.milliCPU > maxMilliCPU:
		return limits{}, fmt.Errorf("resources.milli_cpu %d is outside %d..%d", lim.milliCPU, minMilliCPU, maxMilliCPU)
	case lim.pids < minPIDs:
		return limits{}, fmt.Errorf("resources.pids %d is below %d", lim.pids, minPIDs)
	case lim.diskBytes < 0:
		return limits{}, errors.New("resources.disk_bytes is negative")
	}
	return lim, nil
}

// quota is the CPU limit in microseconds per cfsPeriod. It may exceed the engine's CPUs, which NanoCPUs may not: a preset that asks
// for three must start on two.
func (l limits) quota() int64 { return l.milliCPU * cfsPeriod / 1000 }

// describe says per resource how the engine holds the limit.
func (l limits) describe(info facts) map[string]string {
	by := func(amount string, can bool, resource string) string {
		if !can {
			return "not enforced: the engine has no " + resource + " cgroup"
		}
		if info.CgroupVersion == "" {
			return amount + " by cgroup"
		}
		return amount + " by cgroup v" + info.CgroupVersion
	}
	words := map[string]string{
		resourceMemory: by(bytesText(l.memoryBytes), info.MemoryLimit, resourceMemory),
		resourceCPU:    by(strconv.FormatFloat(float64(l.milliCPU)/1000, 'f', -1, 64)+" CPU", info.CPUCfsQuota, resourceCPU),
		resourcePIDs:   by(strconv.FormatInt(l.pids, 10)+" processes", info.PidsLimit, resourcePIDs),
		resourceDisk:   "not enforced: no limit was asked for",
	}
	if info.MemoryLimit && !info.SwapLimit {
		words[resourceMemory] += "; swap is not limited"
	}
	if l.diskBytes > 0 {
		words[resourceDisk] = bytesText(l.diskBytes) + " by the agent server's accounting: Docker's volumes have no quota here"
	}
	return words
}

func bytesText(n int64) string {
	return humanize.IBytes(uint64(n)) //nolint:gosec // checked not to be negative
}
