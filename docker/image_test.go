// Package docker_test checks the agent image that .ci/images builds against what the Docker provider relies on (README.md).
package docker_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	image = "agcluster-agent:minimal"
	// maxSize bounds the image, in bytes: the CLI is 246 MB of it.
	maxSize = 380 << 20
)

// inspected is the part of `docker image inspect` that is looked at.
type inspected struct {
	ID     string `json:"Id"`
	Size   int64
	Config struct {
		User, WorkingDir string
		Entrypoint, Cmd  []string
		Env              []string
		Labels           map[string]string
	}
}

func TestAgentImage(t *testing.T) {
	if os.Getenv("AGCLUSTER_TEST_DOCKER") == "off" {
		t.Skip("AGCLUSTER_TEST_DOCKER=off")
	}
	run(t, "../.ci/images", "minimal")
	built := inspect(t)

	t.Run("an unchanged image is kept", func(t *testing.T) {
		contains(t, run(t, "../.ci/images", "minimal"), "is current")
		equal(t, built.ID, inspect(t).ID)
	})
	t.Run("says how it wants to be run", func(t *testing.T) { checkConfig(t, built) })
	t.Run("is small", func(t *testing.T) {
		if built.Size > maxSize {
			t.Errorf("it has %d bytes, more than %d", built.Size, maxSize)
		}
	})
	t.Run("both programs run in a hardened sandbox", func(t *testing.T) {
		contains(t, sandbox(t, "/opt/agent/agcluster-agent", "--version"), "agcluster-agent "+built.Config.Labels["org.agcluster.version"])
		contains(t, sandbox(t, "/opt/agent/claude", "--version"), built.Config.Labels["org.agcluster.claude.version"])
	})
	t.Run("files have the owners that the provider relies on", checkOwners)
	t.Run("an agent can write its workspace and nothing of the system", checkWritable)
	t.Run("no program gives its caller more rights", func(t *testing.T) {
		equal(t, "", root(t, "find / -xdev -type f -perm /6000"))
	})
	t.Run("its history names no host, no proxy and no key", func(t *testing.T) {
		history := run(t, "docker", "history", "--no-trunc", "--format", "{{.CreatedBy}} {{.Comment}}", image)
		if found := regexp.MustCompile(`(?i).*(://|proxy|sk-ant|token|password).*`).FindString(history); found != "" {
			t.Error(found)
		}
	})
}

func checkConfig(t *testing.T, built inspected) {
	t.Helper()
	want := built
	want.Config.User, want.Config.WorkingDir = "10001:10001", "/workspace"
	want.Config.Entrypoint, want.Config.Cmd = []string{"/opt/agent/agcluster-agent"}, built.Config.Cmd[:0]
	want.Config.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/home/agent", "SHELL=/bin/bash", "LANG=C.UTF-8"}
	equal(t, want, built)
	labels := built.Config.Labels
	if os.Getenv("AGCLUSTER_CLAUDE") != "" {
		return // Another CLI than the pinned one.
	}
	if got := labels["org.agcluster.claude.version"] + " " + labels["org.agcluster.claude.integrity"]; !slices.Contains(pinned(t), got) {
		t.Errorf("the CLI's labels are %s, the lock file has %q", got, pinned(t))
	}
}

// pinned are "version integrity" of docker/agent's lock file, one for each architecture.
func pinned(t *testing.T) (all []string) {
	t.Helper()
	text, err := os.ReadFile("agent/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct{ Version, Integrity string }
	}
	if err := json.Unmarshal(text, &lock); err != nil {
		t.Fatal(err)
	}
	for _, one := range lock.Packages {
		if one.Integrity != "" {
			all = append(all, one.Version+" "+one.Integrity)
		}
	}
	return all
}

func checkOwners(t *testing.T) {
	if os.Getenv("BASE_IMAGE") != "" {
		t.Skip("another base has sources of its own")
	}
	got := root(t, "stat -c '%n %u:%g %a' /opt/agent /opt/agent/agcluster-agent /opt/agent/claude /workspace /home/agent /home/agent/.claude"+
		" /tmp /etc/apt/sources.list; grep agent: /etc/passwd /etc/group")
	want := `/opt/agent 0:0 755
/opt/agent/agcluster-agent 0:0 755
/opt/agent/claude 0:0 755
/workspace 10001:10001 755
/home/agent 10001:10001 700
/home/agent/.claude 10001:10001 755
/tmp 0:0 1777
/etc/apt/sources.list 0:0 600
/etc/passwd:agent:x:10001:10001::/home/agent:/bin/bash
/etc/group:agent:x:10001:
`
	equal(t, want, got)
}

func checkWritable(t *testing.T) {
	got := sandbox(t, "bash", "-c", `
		for dir in /workspace /home/agent /home/agent/.claude /tmp /opt/agent /usr/bin /etc; do
			if touch "$dir/x" 2>/dev/null; then echo "$dir"; fi
		done
		id -u; ls /sys/class/net`)
	equal(t, "/workspace\n/home/agent\n/home/agent/.claude\n/tmp\n10001\nlo\n", got)
}

// sandbox runs a program with the walls that the Docker provider puts up, and volumes as it mounts them.
func sandbox(t *testing.T, program string, args ...string) string {
	t.Helper()
	flags := []string{
		"run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--init",
		"--pids-limit", "256", "--memory", "1g", "--memory-swap", "1g",
		"--tmpfs", "/tmp:rw,nosuid,nodev,size=64m,mode=1777",
		"--tmpfs", "/home/agent:rw,nosuid,nodev,size=64m,uid=10001,gid=10001,mode=0700",
		"-v", "/workspace", "-v", "/home/agent/.claude", "--entrypoint", program, image,
	}
	return run(t, "docker", append(flags, args...)...)
}

// root runs a script as root, who sees every file.
func root(t *testing.T, script string) string {
	t.Helper()
	return run(t, "docker", "run", "--rm", "--network", "none", "--read-only", "--user", "0:0", "--entrypoint", "bash", image, "-c", script)
}

func inspect(t *testing.T) inspected {
	t.Helper()
	var list []inspected
	if err := json.Unmarshal([]byte(run(t, "docker", "image", "inspect", image)), &list); err != nil || len(list) != 1 {
		t.Fatalf("%d images, %v", len(list), err)
	}
	return list[0]
}

// run returns what a program wrote, and fails the test with it when the program fails.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, &out)
	}
	return out.String()
}

func equal[T any](t *testing.T, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func contains(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("no %q in %q", part, text)
	}
}
