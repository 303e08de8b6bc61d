package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Paths inside every sandbox. The agent server and presets rely on them.
const (
	sandboxWorkspace = "/workspace"
	sandboxHome      = "/home/agent"
	sandboxRun       = "/run/agent"
	sandboxAgent     = "/opt/agent/agcluster-agent"
	sandboxClaude    = "/opt/agent/claude"
	sandboxID        = 10001
	socketName       = "agent.sock"
)

// Small files that every sandbox gets in place of the host's.
const (
	passwdData = "root:x:0:0:root:/root:/usr/sbin/nologin\nagent:x:10001:10001:agent:/home/agent:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n" //nolint:gosec // no password is in it
	groupData  = "root:x:0:\nagent:x:10001:\nnogroup:x:65534:\n"
	hostsData  = "127.0.0.1 localhost sandbox\n::1 localhost ip6-localhost\n"
)

// sources are the host paths a sandbox is built of, as bwrap will be able to reach them.
type sources struct {
	workspace, home, run, agent, claude string
	extra                               []bind
}

type bind struct{ from, to string }

// staged gives the sources as they look below stageDir, and the mounts that make them so.
func (s sources) staged() (sources, []stageMount) {
	var mounts []stageMount
	put := func(source, name string) string {
		mounts = append(mounts, stageMount{Source: source, Name: name})
		return filepath.Join(stageDir, name)
	}
	out := sources{
		workspace: put(s.workspace, "workspace"),
		home:      put(s.home, "home"),
		run:       put(s.run, "run"),
		agent:     put(s.agent, agentServerFile),
		claude:    put(s.claude, claudeFile),
	}
	for i, b := range s.extra {
		out.extra = append(out.extra, bind{from: put(b.from, "extra"+strconv.Itoa(i)), to: b.to})
	}
	return out, mounts
}

// namespaceArgs are the walls: no namespace is shared with the host, none can be made inside.
func namespaceArgs() []string {
	return []string{
		"--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--disable-userns",
		"--uid", strconv.Itoa(sandboxID), "--gid", strconv.Itoa(sandboxID), "--hostname", "sandbox",
		"--new-session", "--die-with-parent", "--cap-drop", "ALL", "--clearenv",
	}
}

// infoArgs makes bwrap tell the number of the sandbox's process 1, when it is one that means something to the provider.
func infoArgs(info bool) []string {
	if !info {
		return nil
	}
	return []string{"--info-fd", strconv.Itoa(fdInfo)}
}

// systemArgs is the read-only system: the host's /usr (python, git, node and /usr/local come from there, by design) and the few
// files of /etc that programs need to run. Nothing else of the host.
func systemArgs(tmpBytes int64) []string {
	size := strconv.FormatInt(tmpBytes, 10)
	args := []string{
		"--ro-bind", "/usr", "/usr",
		"--symlink", "usr/bin", "/bin", "--symlink", "usr/sbin", "/sbin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
		"--dir", "/etc",
	}
	for _, path := range []string{"/etc/ld.so.cache", "/etc/alternatives", "/etc/ssl/certs", "/etc/localtime", "/etc/nsswitch.conf"} {
		args = append(args, "--ro-bind-try", path, path)
	}
	return append(
		args,
		"--ro-bind-data", strconv.Itoa(fdPasswd), "/etc/passwd",
		"--ro-bind-data", strconv.Itoa(fdGroup), "/etc/group",
		"--ro-bind-data", strconv.Itoa(fdHosts), "/etc/hosts",
		"--proc", "/proc", "--dev", "/dev",
		"--perms", "1777", "--size", size, "--tmpfs", "/dev/shm",
		"--perms", "1777", "--size", size, "--tmpfs", "/tmp",
		"--perms", "0755", "--size", "1048576", "--tmpfs", "/run",
	)
}

// sandboxArgs is the whole command line of bwrap up to the command, to be passed by --args.
func sandboxArgs(src sources, info bool, tmpBytes int64, env map[string]string) []string {
	args := slices.Concat(namespaceArgs(), infoArgs(info), systemArgs(tmpBytes), []string{
		"--ro-bind", src.agent, sandboxAgent,
		"--ro-bind", src.claude, sandboxClaude,
		"--bind", src.workspace, sandboxWorkspace,
		"--dir", "/home", "--bind", src.home, sandboxHome,
		"--bind", src.run, sandboxRun,
	})
	for _, b := range src.extra {
		args = append(args, "--ro-bind", b.from, b.to)
	}
	// Without this the root folder and /dev are writable tmpfs without a size.
	args = append(args, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", sandboxWorkspace)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		args = append(args, "--setenv", name, env[name])
	}
	return args
}

// environment is what the agent server sees: fixed names, then the host's. Nothing comes from the provider's own environment.
// diskBytes limits what the volume may hold, which the agent server counts; 0 is no limit.
func environment(requested map[string]string, diskBytes int64) map[string]string {
	env := map[string]string{
		"PATH":                "/usr/local/bin:/usr/bin:/bin",
		"HOME":                sandboxHome,
		"SHELL":               "/bin/bash",
		"LANG":                "C.UTF-8",
		"TMPDIR":              "/tmp",
		"CLAUDE_CONFIG_DIR":   sandboxHome + "/.claude",
		"AGCLUSTER_CLAUDE":    sandboxClaude,
		"AGCLUSTER_WORKSPACE": sandboxWorkspace,
	}
	maps.Copy(env, requested)
	env["AGCLUSTER_LISTEN"] = "unix:" + sandboxRun + "/" + socketName
	env["AGCLUSTER_TOKEN_FD"] = strconv.Itoa(fdToken)
	if diskBytes > 0 {
		env["AGCLUSTER_DISK_LIMIT"] = strconv.FormatInt(diskBytes, 10)
	}
	return env
}

// command is what bwrap executes. Without a pids cgroup the limit on processes is set inside, where the sandbox's own user
// namespace counts only its own processes; bash is there, Claude Code needs it.
func command(nproc int64) []string {
	if nproc == 0 {
		return []string{sandboxAgent}
	}
	return []string{"/bin/bash", "-c", `ulimit -u "$1" && exec "$0"`, sandboxAgent, strconv.FormatInt(nproc, 10)}
}

// findBubblewrap returns the path of bwrap. The host gives plugins no environment, so the usual folders are tried before PATH.
func findBubblewrap(configured string) (string, error) {
	if configured != "" {
		if err := executable(configured); err != nil {
			return "", fmt.Errorf("option bubblewrap: %w", err)
		}
		path, err := filepath.EvalSymlinks(configured)
		if err != nil {
			return "", fmt.Errorf("option bubblewrap: %w", err)
		}
		return path, nil
	}
	for _, path := range []string{"/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"} {
		if executable(path) == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath("bwrap")
	if err != nil {
		return "", fmt.Errorf("bubblewrap (bwrap) is not installed, and agents never run without a sandbox; fix: apt-get install bubblewrap: %w", err)
	}
	return filepath.Abs(path)
}

func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("looking for it: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("%s is not an executable file", path)
	}
	return nil
}

// diagnose turns what bwrap or the shim said into an error that names the fix, or returns nil when the words are unknown.
func diagnose(output string) error {
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(output, part) })
	}
	switch {
	case has("Unknown option"):
		return errors.New("this bubblewrap is too old: 0.8 or newer is needed; fix: apt-get install --only-upgrade bubblewrap")
	case has("max_*_namespaces exceeded"):
		return errors.New("the kernel allows no more user namespaces; fix: sysctl -w user.max_user_namespaces=15000")
	case has("No permissions to creat", "Creating new namespace failed", "setting up uid map", "RTM_NEWADDR", "unprivileged user namespaces", "clone failed"):
		return errors.New("user namespaces are forbidden on this host; fix: sysctl -w kernel.unprivileged_userns_clone=1 (Debian), " +
			"or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu); in a container also allow unshare and mount in its seccomp and AppArmor profile")
	case has("making a mount namespace"):
		return errors.New("root without CAP_SYS_ADMIN cannot build sandboxes; fix: run the host as an ordinary user, or give it CAP_SYS_ADMIN")
	}
	return nil
}
