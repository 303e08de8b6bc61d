package main

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"

	"github.com/dustin/go-humanize"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// limits are the resources of one sandbox with the defaults filled in. diskBytes may be zero: no limit was asked for.
type limits struct {
	memoryBytes, milliCPU, pids, diskBytes int64
}

// resolveLimits fills in the defaults and refuses what no sandbox could start with.
func resolveLimits(res sdk.Resources, opts options) (limits, error) {
	lim := limits{
		memoryBytes: cmp.Or(res.MemoryBytes, opts.MemoryBytes),
		milliCPU:    cmp.Or(res.MilliCPU, opts.MilliCPU),
		pids:        cmp.Or(res.PIDs, opts.PIDs),
		diskBytes:   res.DiskBytes,
	}
	switch {
	case lim.memoryBytes < minMemoryBytes:
		return limits{}, fmt.Errorf("resources.memory_bytes %d is below %d", lim.memoryBytes, minMemoryBytes)
	case lim.milliCPU < minMilliCPU:
		return limits{}, fmt.Errorf("resources.milli_cpu %d is below %d", lim.milliCPU, minMilliCPU)
	case lim.milliCPU > 1_000_000:
		return limits{}, fmt.Errorf("resources.milli_cpu %d is above 1000000", lim.milliCPU)
	case lim.pids < minPIDs:
		return limits{}, fmt.Errorf("resources.pids %d is below %d", lim.pids, minPIDs)
	case lim.diskBytes < 0:
		return limits{}, errors.New("resources.disk_bytes is negative")
	}
	return lim, nil
}

// describe says per resource how it is enforced. nproc tells that processes are limited by rlimit.
func (l limits) describe(g group, nproc bool) map[string]string {
	words := map[string]string{
		resourceMemory: humanize.IBytes(uint64(l.memoryBytes)), //nolint:gosec // checked to be positive
		resourceCPU:    strconv.FormatFloat(float64(l.milliCPU)/1000, 'f', -1, 64) + " CPU",
		resourcePIDs:   strconv.FormatInt(l.pids, 10) + " processes",
	}
	for resource, amount := range words {
		switch version, ok := g.by[resource]; {
		case ok:
			words[resource] = fmt.Sprintf("%s by cgroup v%d", amount, version)
		case resource == resourcePIDs && nproc:
			words[resource] = amount + " by rlimit"
		default:
			words[resource] = "not enforced: " + g.missing[resource]
		}
	}
	words[resourceDisk] = "not enforced: no quota on this filesystem"
	if l.diskBytes > 0 {
		words[resourceDisk] = humanize.IBytes(uint64(l.diskBytes)) + " for each file by rlimit, for all together by the agent server"
	}
	return words
}
