package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// shimArg makes the provider's binary act as the shim between fork and bwrap.
const shimArg = "sandbox-shim"

// File descriptors of the shim and of bwrap after it. The token's is a contract with the agent server (AGCLUSTER_TOKEN_FD).
const (
	fdToken = 3 + iota
	fdSpec
	fdInfo
	fdArgs
	fdPasswd
	fdGroup
	fdHosts
)

// stageDir is where the shim, as root, collects a sandbox's sources in a mount namespace of its own. bwrap runs as the service
// user, who may not be able to walk to them (a data folder under a 0700 home); mounts made by root need no walking. It is /tmp
// because bwrap itself needs that folder to exist.
const stageDir = "/tmp"

// shimSpec tells the shim what to do. It travels in an anonymous file, so that nothing of it shows in argv or environment.
type shimSpec struct {
	// UID and GID to become; zero keeps the current ones.
	UID int `json:"uid"`
	GID int `json:"gid"`
	// Procs are the cgroup.procs files to enter.
	Procs []string `json:"procs"`
	// Stage lists what is mounted under stageDir; empty means no mount namespace.
	Stage []stageMount `json:"stage"`
	// Info says that bwrap reports on fdInfo.
	Info bool `json:"info"`
	// FileBytes limits the size of one file; zero means no limit.
	FileBytes uint64 `json:"file_bytes"`
	// Argv is what to execute in the end; Argv[0] is a path.
	Argv []string `json:"argv"`
}

// stageMount is one source and its name under stageDir.
type stageMount struct {
	Source string `json:"source"`
	Name   string `json:"name"`
}

// runShim enters cgroups, collects mounts, drops root and becomes bwrap. It returns only on failure. Everything here happens
// before exec, in a process the kernel kills when the provider's launcher thread dies.
func runShim() error {
	// Mount namespace and Pdeathsig belong to a thread; exec keeps those of the thread that calls it.
	runtime.LockOSThread()
	unix.CloseOnExec(fdSpec)
	file := os.NewFile(fdSpec, "spec")
	raw, err := io.ReadAll(file)
	if err != nil {
		return fmt.Errorf("reading the shim's orders: %w", err)
	}
	var spec shimSpec
	if err := json.Unmarshal(raw, &spec); err != nil {
		return fmt.Errorf("parsing the shim's orders: %w", err)
	}
	if len(spec.Argv) == 0 {
		return errors.New("parsing the shim's orders: no command")
	}
	for _, procs := range spec.Procs {
		if err := writeControl(procs, "0"); err != nil {
			return fmt.Errorf("entering a cgroup: %w", err)
		}
	}
	if err := limitFiles(spec.FileBytes); err != nil {
		return err
	}
	if len(spec.Stage) > 0 {
		if err := stage(spec.Stage); err != nil {
			return err
		}
	}
	if spec.UID != 0 {
		if err := becomeUser(spec.UID, spec.GID); err != nil {
			return err
		}
	}
	// Changing the user cleared the death signal that the fork had set. A provider that died meanwhile has let go of its pipe's other
	// end; its process number says nothing, it is not in our namespace.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("tying the sandbox to the provider: %w", err)
	}
	if providerIsGone() {
		return errors.New("the provider is gone")
	}
	if !spec.Info {
		unix.CloseOnExec(fdInfo)
	}
	if err := closeOnExecAbove(fdHosts); err != nil {
		return err
	}
	// The command comes from the provider over an inherited file, never from a request.
	err = syscall.Exec(spec.Argv[0], spec.Argv, []string{})
	return fmt.Errorf("executing %s: %w", spec.Argv[0], err)
}

func providerIsGone() bool {
	for {
		fds := []unix.PollFd{{Fd: fdInfo}}
		n, err := unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			return n > 0 && fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
		}
	}
}

// closeOnExecAbove keeps descriptors that the host itself inherited, a log file or a listener, out of the sandbox. Go marks its own,
// but nobody vouches for those from before.
func closeOnExecAbove(last int) error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("listing open descriptors: %w", err)
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > last {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// limitFiles forbids core dumps, which would put a sandbox's memory into its workspace, and bounds one file's size.
func limitFiles(fileBytes uint64) error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core dumps: %w", err)
	}
	if fileBytes > 0 {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: fileBytes, Max: fileBytes}); err != nil {
			return fmt.Errorf("limiting the size of files: %w", err)
		}
	}
	return nil
}

// stage mounts the sources under stageDir in a new mount namespace, which ends with the sandbox's last process.
func stage(mounts []stageMount) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("making a mount namespace: %w", err)
	}
	// Slave and not private: the host's unmounts still arrive here, so a sandbox does not keep its disks busy.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("detaching the mount namespace: %w", err)
	}
	// All sources are opened first, for the tmpfs may cover some of them.
	sources := make([]int, 0, len(mounts))
	for _, m := range mounts {
		fd, err := unix.Open(m.Source, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("opening %s: %w", m.Source, err)
		}
		sources = append(sources, fd)
	}
	if err := unix.Mount("agcluster", stageDir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=1m"); err != nil {
		return fmt.Errorf("mounting the staging folder: %w", err)
	}
	for i, m := range mounts {
		if err := stageOne(sources[i], filepath.Join(stageDir, m.Name)); err != nil {
			return fmt.Errorf("staging %s: %w", m.Source, err)
		}
	}
	// bwrap looks its child up in /proc, by the number that it has in our pid namespace.
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	return nil
}

func stageOne(source int, target string) error {
	var st unix.Stat_t
	if err := unix.Fstat(source, &st); err != nil {
		return fmt.Errorf("looking at it: %w", err)
	}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		err = os.Mkdir(target, 0o755) //nolint:gosec // Covered by the mount; the service user must be able to walk to it.
	case unix.S_IFREG:
		err = os.WriteFile(target, nil, 0o600)
	default:
		err = errors.New("it is neither a file nor a folder")
	}
	if err != nil {
		return fmt.Errorf("making a mount point: %w", err)
	}
	if err := unix.Mount("/proc/self/fd/"+strconv.Itoa(source), target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mounting it: %w", err)
	}
	return nil
}

// becomeUser gives up root for good: groups, then group, then user.
func becomeUser(uid, gid int) error {
	if err := syscall.Setgroups([]int{}); err != nil {
		return fmt.Errorf("dropping supplementary groups: %w", err)
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return fmt.Errorf("becoming group %d: %w", gid, err)
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("becoming user %d: %w", uid, err)
	}
	return nil
}

// writeControl writes to a kernel control file that must exist.
func writeControl(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("opening a control file: %w", err)
	}
	if _, err := file.WriteString(value); err != nil {
		_ = file.Close() // The write's error says more.
		return fmt.Errorf("writing %q: %w", value, err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("closing %s: %w", path, err)
	}
	return nil
}
