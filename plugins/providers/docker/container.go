package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// Paths inside every sandbox: the contract with the image, the agent server and presets.
const (
	sandboxWorkspace = "/workspace"
	sandboxHome      = "/home/agent"
	sandboxConfig    = sandboxHome + "/.claude"
	sandboxRun       = "/run/agent"
	sandboxAgent     = "/opt/agent/agcluster-agent"
	sandboxClaude    = "/opt/agent/claude"
	sandboxUser      = "10001:10001"
	socketName       = "agent.sock"
)

const (
	envListen    = "AGCLUSTER_LISTEN"
	envTokenFD   = "AGCLUSTER_TOKEN_FD"
	envDiskLimit = "AGCLUSTER_DISK_LIMIT"
)

// Labels of containers and volumes. The host's own have labelPrefix before their names; ours lie outside it, so that none of the
// host's can pass for one.
const (
	labelPrefix    = "org.agcluster."
	labelManagedBy = "org.agcluster-provider.managed-by"
	labelHost      = "org.agcluster-provider.host-id"
	labelSandbox   = "org.agcluster-provider.sandbox"
	labelVolume    = "org.agcluster-provider.volume"
	labelEndpoint  = "org.agcluster-provider.endpoint"
	labelLimit     = "org.agcluster-provider.limit."
	managedBy      = "provider-docker"
)

// spec is one container before it is made.
type spec struct {
	req sdk.CreateRequest
	lim limits
	// words say how lim is enforced.
	words map[string]string
	// endpoint is endpointSocket or endpointExec; runDir is what a socket endpoint shares with the sandbox.
	endpoint, runDir string
	// podman is told of an engine that takes less: a mount in memory has no owner there.
	podman bool
}

func (st *settings) containerName(id string) string { return st.opts.Prefix + "-" + id }

// volumeNames are Docker's names of one volume's two halves: API 1.41 can't mount a part of a volume.
func (st *settings) volumeNames(volume string) (workspace, config string) {
	return st.opts.Prefix + "-" + volume + "-workspace", st.opts.Prefix + "-" + volume + "-claude"
}

// ownLabels mark what belongs to this host.
func (st *settings) ownLabels() map[string]string {
	return map[string]string{labelManagedBy: managedBy, labelHost: st.hostID}
}

func (st *settings) owns(labels map[string]string) bool {
	return labels[labelManagedBy] == managedBy && labels[labelHost] == st.hostID
}

func (st *settings) labels(s spec) map[string]string {
	labels := st.ownLabels()
	labels[labelSandbox], labels[labelVolume], labels[labelEndpoint] = s.req.ID, s.req.Volume, s.endpoint
	for resource, words := range s.words {
		labels[labelLimit+resource] = words
	}
	for key, value := range s.req.Labels {
		labels[labelPrefix+key] = value
	}
	return labels
}

// hostLabels are the labels that the host gave to a sandbox, and hostLimits its limits in words.
func hostLabels(labels map[string]string) map[string]string { return cut(labels, labelPrefix) }
func hostLimits(labels map[string]string) map[string]string { return cut(labels, labelLimit) }

func cut(labels map[string]string, prefix string) map[string]string {
	out := map[string]string{}
	for key, value := range labels {
		if name, ok := strings.CutPrefix(key, prefix); ok {
			out[name] = value
		}
	}
	return out
}

// environment is what the agent server sees, besides the image's PATH: fixed names, then the host's, then ours.
func environment(s spec) []string {
	env := map[string]string{
		"HOME": sandboxHome, "SHELL": "/bin/bash", "LANG": "C.UTF-8", "TMPDIR": "/tmp", "CLAUDE_CONFIG_DIR": sandboxConfig,
		"AGCLUSTER_CLAUDE": sandboxClaude, "AGCLUSTER_WORKSPACE": sandboxWorkspace,
	}
	maps.Copy(env, s.req.Env)
	env[envListen] = "unix:" + sandboxRun + "/" + socketName
	env[envTokenFD] = "0"
	if s.lim.diskBytes > 0 {
		env[envDiskLimit] = strconv.FormatInt(s.lim.diskBytes, 10)
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out
}

// config is what runs. The token comes by standard input, which closes after it.
func (st *settings) config(s spec) *container.Config {
	config := &container.Config{
		Image: s.req.Image, Hostname: "sandbox", User: sandboxUser, WorkingDir: sandboxWorkspace,
		Entrypoint: []string{sandboxAgent}, Cmd: []string{}, Env: environment(s), Labels: st.labels(s),
		OpenStdin: true, StdinOnce: true, AttachStdin: true,
	}
	if !s.podman { // which makes a timer of systemd's also for none
		config.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
	}
	return config
}

// hostConfig is the walls. Docker's own seccomp and AppArmor profiles apply because nothing here says otherwise.
func (st *settings) hostConfig(s spec) *container.HostConfig {
	yes, pids := true, s.lim.pids
	quarter := s.lim.memoryBytes / 4
	owner := ",uid=10001,gid=10001,mode=0700"
	tmpfs := map[string]string{"/tmp": fmt.Sprintf("rw,exec,nosuid,nodev,size=%d,mode=1777", min(st.opts.TmpBytes, quarter))}
	if s.podman {
		owner = ",mode=0777" // Nobody else is in there.
	} else {
		tmpfs[sandboxHome] = fmt.Sprintf("rw,exec,nosuid,nodev,size=%d", min(st.opts.HomeBytes, quarter)) + owner
	}
	if s.endpoint == endpointExec {
		tmpfs[sandboxRun] = "rw,noexec,nosuid,nodev,size=1048576" + owner
	}
	ulimits := []*container.Ulimit{{Name: "nofile", Soft: st.opts.NoFile, Hard: st.opts.NoFile}, {Name: "core", Soft: 0, Hard: 0}}
	return &container.HostConfig{
		NetworkMode: "none", ReadonlyRootfs: true, CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges:true"},
		Init: &yes, Runtime: st.opts.Runtime, RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		IpcMode: container.IPCModePrivate, ShmSize: min(st.opts.ShmBytes, quarter), Tmpfs: tmpfs, Mounts: st.mounts(s),
		LogConfig: container.LogConfig{Type: "json-file", Config: map[string]string{
			"max-size": strconv.FormatInt(st.opts.LogBytes/2, 10), "max-file": "2", // The older half goes when the newer is full.
		}},
		Resources: container.Resources{
			Memory: s.lim.memoryBytes, MemorySwap: s.lim.memoryBytes, PidsLimit: &pids,
			CPUPeriod: cfsPeriod, CPUQuota: s.lim.quota(),
			Ulimits: ulimits,
		},
	}
}

// mounts are the volume's halves and, for a socket endpoint, the folder of the socket. A request without a volume gets anonymous
// ones, which the engine removes with the container.
func (st *settings) mounts(s spec) []mount.Mount {
	var workspace, config string
	if s.req.Volume != "" {
		workspace, config = st.volumeNames(s.req.Volume)
	}
	mounts := []mount.Mount{
		{Type: mount.TypeVolume, Source: workspace, Target: sandboxWorkspace},
		{Type: mount.TypeVolume, Source: config, Target: sandboxConfig},
	}
	if s.podman {
		// In memory it would be root's; a volume gets the image's owner, and goes with the container.
		mounts = append(mounts, mount.Mount{Type: mount.TypeVolume, Target: sandboxHome})
	}
	if s.endpoint == endpointSocket {
		mounts = append(mounts, mount.Mount{
			Type: mount.TypeBind, Source: s.runDir, Target: sandboxRun, BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate},
		})
	}
	return mounts
}
