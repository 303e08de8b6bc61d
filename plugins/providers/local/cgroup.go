package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The resources a cgroup may limit, named as in sdk.Sandbox.Limits; they are the names of the kernel's controllers too.
const (
	resourceMemory = "memory"
	resourceCPU    = "cpu"
	resourcePIDs   = "pids"
	resourceDisk   = "disk"
	// resourceCPUTime is what counts processor time in cgroups v1; v2 counts by resourceCPU. It limits nothing.
	resourceCPUTime = "cpuacct"
)

const (
	cgroupPrefix = "agcluster-"
	// cfsPeriod is the scheduler's accounting period, in microseconds.
	cfsPeriod = 100_000
	// emptyWait bounds how long a cgroup may take to empty after its last process was killed.
	emptyWait = 5 * time.Second
)

// hierarchy is where one controller is mounted.
type hierarchy struct {
	root    string
	version int
}

// cgroups makes and removes the cgroups of one host's sandboxes: <root>/agcluster-<host>/<sandbox>, for cgroup v1 and v2 and any
// mixture of them. It is safe for concurrent use.
type cgroups struct {
	name        string
	hierarchies map[string]hierarchy
	// mu keeps the removal of an empty parent and the making of a child in it apart.
	mu sync.Mutex
}

// group is the set of cgroups of one sandbox.
type group struct {
	dirs  []string
	procs []string
	// by says which cgroup version holds a resource; missing says why one does not.
	by      map[string]int
	missing map[string]string
	// at is the cgroup of each resource that has one.
	at map[string]string
}

// newCgroups prepares cgroups below the hierarchies that mountinfo (the text of /proc/self/mountinfo) names.
func newCgroups(hostID string, mountinfo io.Reader) (*cgroups, error) {
	found, err := findHierarchies(mountinfo)
	if err != nil {
		return nil, err
	}
	return &cgroups{name: cgroupPrefix + hostID, hierarchies: found}, nil
}

// findHierarchies reads which controller is mounted where. A controller mounted as v1 is not available to v2.
func findHierarchies(mountinfo io.Reader) (map[string]hierarchy, error) {
	found := map[string]hierarchy{}
	scanner := bufio.NewScanner(mountinfo)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		left, right, ok := strings.Cut(scanner.Text(), " - ")
		fields, tail := strings.Fields(left), strings.Fields(right)
		if !ok || len(fields) < 5 || len(tail) < 3 {
			continue
		}
		switch root := fields[4]; tail[0] {
		case "cgroup":
			for _, controller := range strings.Split(tail[2], ",") {
				if isUsed(controller) {
					found[controller] = hierarchy{root: root, version: 1}
				}
			}
		case "cgroup2":
			raw, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
			if err != nil {
				continue // Not readable means not usable; the limits will say so.
			}
			for _, controller := range strings.Fields(string(raw)) {
				if _, v1 := found[controller]; isUsed(controller) && !v1 {
					found[controller] = hierarchy{root: root, version: 2}
				}
			}
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("reading the mount table: %w", err)
	}
	return found, nil
}

func isUsed(controller string) bool {
	return controller == resourceCPUTime || slices.Contains(limitedResources(), controller)
}

func limitedResources() []string { return []string{resourceMemory, resourceCPU, resourcePIDs} }

// create makes the cgroups of sandbox id. What cannot be limited is told in the group, not an error: the caller reports it.
func (c *cgroups) create(id string, lim limits) group {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := group{by: map[string]int{}, missing: map[string]string{}, at: map[string]string{}}
	for _, resource := range append(limitedResources(), resourceCPUTime) {
		if why := c.add(&g, id, resource, lim); why != "" && resource != resourceCPUTime {
			g.missing[resource] = why
		}
	}
	return g
}

// add makes the cgroup of one resource, or says why not.
func (c *cgroups) add(g *group, id, resource string, lim limits) string {
	h, ok := c.hierarchies[resource]
	if !ok {
		return "no " + resource + " cgroup on this host"
	}
	dir := filepath.Join(h.root, c.name, id)
	if err := c.limit(h, dir, resource, lim); err != nil {
		if !slices.Contains(g.dirs, dir) {
			_ = os.Remove(dir) // Made by this attempt, perhaps; it has no process.
			_ = os.Remove(filepath.Dir(dir))
		}
		return "no cgroup access (" + plainReason(err) + ")"
	}
	g.by[resource], g.at[resource] = h.version, dir
	if !slices.Contains(g.dirs, dir) {
		g.dirs = append(g.dirs, dir)
		g.procs = append(g.procs, filepath.Join(dir, "cgroup.procs"))
	}
	return ""
}

func (c *cgroups) limit(h hierarchy, dir, resource string, lim limits) error {
	parent := filepath.Dir(dir)
	if err := mkdirOnce(parent); err != nil {
		return err
	}
	if h.version == 2 {
		for _, above := range []string{h.root, parent} {
			if err := writeControl(filepath.Join(above, "cgroup.subtree_control"), "+"+resource); err != nil {
				return err
			}
		}
	}
	if err := mkdirOnce(dir); err != nil {
		return err
	}
	for _, knob := range knobs(h.version, resource, lim) {
		err := writeControl(filepath.Join(dir, knob.file), knob.value)
		if errors.Is(err, fs.ErrNotExist) && knob.optional {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// knob is one control file and its value; optional ones exist on some kernels only.
type knob struct {
	file, value string
	optional    bool
}

func knobs(version int, resource string, lim limits) []knob {
	memory, quota := strconv.FormatInt(lim.memoryBytes, 10), strconv.FormatInt(lim.milliCPU*cfsPeriod/1000, 10)
	period, pids := strconv.Itoa(cfsPeriod), strconv.FormatInt(lim.pids, 10)
	switch {
	case resource == resourceCPUTime:
		return nil
	case resource == resourceMemory && version == 1:
		return []knob{{file: "memory.limit_in_bytes", value: memory}, {file: "memory.swappiness", value: "0", optional: true}, {file: "memory.memsw.limit_in_bytes", value: memory, optional: true}}
	case resource == resourceMemory:
		return []knob{{file: "memory.max", value: memory}, {file: "memory.swap.max", value: "0", optional: true}}
	case resource == resourceCPU && version == 1:
		return []knob{{file: "cpu.cfs_period_us", value: period}, {file: "cpu.cfs_quota_us", value: quota}}
	case resource == resourceCPU:
		return []knob{{file: "cpu.max", value: quota + " " + period}}
	default:
		return []knob{{file: "pids.max", value: pids}}
	}
}

// remove waits for the group to empty and removes it, and the host's parent with the last one. It may be repeated.
func (c *cgroups) remove(ctx context.Context, g group) error {
	var errs []error
	for _, dir := range g.dirs {
		if err := c.removeDir(ctx, dir); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (c *cgroups) removeDir(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, emptyWait)
	defer cancel()
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		c.mu.Lock()
		err := syscall.Rmdir(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			// Refused as long as a sibling is there.
			_ = syscall.Rmdir(filepath.Dir(dir))
		}
		c.mu.Unlock()
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, syscall.EBUSY) {
			return fmt.Errorf("removing cgroup %s: %w", dir, err)
		}
		// The kernel has no event for "removable" that v1 and v2 share.
		select {
		case <-ctx.Done():
			return fmt.Errorf("removing cgroup %s: %w", dir, err)
		case <-time.After(pause):
		}
	}
}

// sweep removes the cgroups of sandboxes that a killed provider left. Those with a live process stay and are reported.
func (c *cgroups) sweep(ctx context.Context) error {
	var errs []error
	seen := map[string]bool{}
	for _, h := range c.hierarchies {
		parent := filepath.Join(h.root, c.name)
		if seen[parent] {
			continue
		}
		seen[parent] = true
		entries, err := os.ReadDir(parent)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("listing cgroups: %w", err))
			}
			continue
		}
		for _, entry := range entries {
			if entry.IsDir() {
				errs = append(errs, c.removeDir(ctx, filepath.Join(parent, entry.Name())))
			}
		}
		_ = syscall.Rmdir(parent)
	}
	return errors.Join(errs...)
}

func mkdirOnce(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // The kernel ignores the mode's finer points.
		return fmt.Errorf("making a cgroup: %w", err)
	}
	return nil
}

// plainReason is the innermost error: the path in front of it is no news to the reader of a limit.
func plainReason(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
