package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// settings are fixed by Configure.
type settings struct {
	opts     options
	runDir   string
	volumes  *volumes
	cgroups  *cgroups
	launcher *launcher
	// root says that sandboxes run as another user than the provider: uid and gid. Otherwise these are -1.
	root     bool
	uid, gid int
	// noCgroups says why there are none when cgroups is nil.
	noCgroups string
	// probe holds one token; probed is guarded by it.
	probe  chan struct{}
	probed bool
}

func (st *settings) openCgroups(hostID string) error {
	switch {
	case st.opts.Cgroup == cgroupOff:
		st.noCgroups = "cgroups are off by option"
		return nil
	case !st.root:
		st.noCgroups = "no cgroup access"
		return nil
	}
	mountinfo, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("reading the mount table: %w", err)
	}
	defer func() { _ = mountinfo.Close() }() // Only read.
	st.cgroups, err = newCgroups(hostID, mountinfo)
	return err
}

// spec orders the shim to execute command in bubblewrap. mounts are used as root only.
func (st *settings) spec(bwrap string, mounts []stageMount, command ...string) shimSpec {
	spec := shimSpec{Info: !st.root}
	if st.root {
		spec.UID, spec.GID, spec.Stage = st.uid, st.gid, mounts
		if st.opts.Bubblewrap != "" {
			// It may lie where the service user cannot walk to. One from the system's folders keeps its path, which AppArmor
			// profiles go by.
			spec.Stage = append(spec.Stage, stageMount{Source: bwrap, Name: "bwrap"})
			bwrap = filepath.Join(stageDir, "bwrap")
		}
	}
	spec.Argv = append([]string{bwrap, "--args", strconv.Itoa(fdArgs), "--"}, command...)
	return spec
}

// tmpBytes is the size of /tmp and of /dev/shm. What is in them is memory of the sandbox: they must not be able to fill it, or the
// kernel kills the agent server for a large file.
func (st *settings) tmpBytes(lim limits) int64 { return min(st.opts.TmpBytes, lim.memoryBytes/4) }

func (st *settings) group(id string, lim limits) group {
	if st.cgroups != nil {
		return st.cgroups.create(id, lim)
	}
	g := group{missing: map[string]string{}}
	for _, resource := range limitedResources() {
		g.missing[resource] = st.noCgroups
	}
	return g
}

// findPrograms resolves what is bound into the sandbox. Links are followed here, by the host: inside there is one plain file.
func (st *settings) findPrograms(src *sources) error {
	for name, target := range map[string]*string{agentServerFile: &src.agent, claudeFile: &src.claude} {
		path, err := filepath.EvalSymlinks(filepath.Join(st.opts.AgentDir, name))
		if err != nil {
			return fmt.Errorf("finding %s in agent_dir; fix: make build, or set the option agent_dir: %w", name, err)
		}
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("looking at %s: %w", name, err)
		}
		if !info.Mode().IsRegular() || info.Mode().Perm()&0o005 != 0o005 {
			return fmt.Errorf("%s cannot be executed by the sandbox's user; fix: chmod 755 %s", path, path)
		}
		*target = path
	}
	for _, path := range st.opts.ExtraROBinds {
		from, err := filepath.EvalSymlinks(path)
		if err != nil {
			return fmt.Errorf("finding a path of the option extra_ro_binds: %w", err)
		}
		src.extra = append(src.extra, bind{from: from, to: path})
	}
	return nil
}

// ensureProbed tries a sandbox around /usr/bin/true until one has worked. The errors are permanent and name the fix.
func (st *settings) ensureProbed(ctx context.Context) error {
	select {
	case <-st.probe:
		defer func() { st.probe <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("waiting for the trial of bubblewrap: %w", ctx.Err())
	}
	if st.probed {
		return nil
	}
	bwrap, err := findBubblewrap(st.opts.Bubblewrap)
	if err != nil {
		return sdk.Permanent(err)
	}
	spec := st.spec(bwrap, []stageMount{{Source: st.runDir, Name: "run"}}, "/usr/bin/true")
	args := slices.Concat(namespaceArgs(), infoArgs(spec.Info), systemArgs(minTmpBytes))
	proc, err := startProcess(st.launcher, spec, args, "")
	if err != nil {
		return err
	}
	timer := time.NewTimer(readyLimit)
	defer timer.Stop()
	select {
	case <-proc.gone:
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("trying bubblewrap: %w", ctx.Err()), proc.stop(context.WithoutCancel(ctx)))
	case <-timer.C:
		return errors.Join(fmt.Errorf("trying bubblewrap: no end within %s", readyLimit), proc.stop(context.WithoutCancel(ctx)))
	}
	if proc.code == 0 {
		st.probed = true
		return nil
	}
	if fix := diagnose(proc.out.spoken()); fix != nil {
		return sdk.Permanent(fmt.Errorf("trying bubblewrap: %w (%s)", fix, proc.out.lastLine()))
	}
	return sdk.Permanent(fmt.Errorf("trying bubblewrap: it does not work on this host: %s", proc.exitDetail(false)))
}
