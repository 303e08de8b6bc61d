package main

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// found is a container of ours as the engine tells it.
type found struct {
	container, id string
	labels        map[string]string
	status        string
	// exit is known when it has exited.
	exit exit
	// pid is the number of its first process on the engine's machine, 0 when none runs or it is not known.
	pid int
	// milliCPU, memory and pids are its limits, 0 for none.
	milliCPU, memory, pids int64
	started                string
}

type exit struct {
	code        int
	outOfMemory bool
	// reason is the engine's own word on why it could not start.
	reason string
}

// isRunning says whether a container of this state has processes.
func isRunning(state string) bool {
	return state == container.StateRunning || state == container.StatePaused || state == container.StateRestarting
}

// inspect looks for a sandbox's container. It returns nil when there is none that is this host's.
func (st *settings) inspect(ctx context.Context, id string) (*found, error) {
	c, err := st.engine.api.ContainerInspect(ctx, st.containerName(id))
	switch {
	case errdefs.IsNotFound(err):
		return nil, nil //nolint:nilnil // Absence is an answer here, not an error.
	case err != nil:
		return nil, st.engine.explain(err)
	case c.Config == nil || c.State == nil || !st.owns(c.Config.Labels):
		return nil, nil //nolint:nilnil // as above
	}
	f := &found{container: c.ID, id: id, labels: c.Config.Labels, status: c.State.Status, pid: c.State.Pid, started: c.State.StartedAt}
	// The engine's flag also stays when a child was killed and the sandbox went on.
	f.exit = exit{code: c.State.ExitCode, outOfMemory: c.State.OOMKilled && c.State.ExitCode == 128+int(unix.SIGKILL), reason: c.State.Error}
	if h := c.HostConfig; h != nil {
		f.memory = h.Memory
		if h.CPUPeriod > 0 {
			f.milliCPU = h.CPUQuota * 1000 / h.CPUPeriod
		}
		if h.PidsLimit != nil {
			f.pids = max(0, *h.PidsLimit)
		}
	}
	return f, nil
}

// describe tells of a sandbox and makes sure that its endpoint is there.
func (st *settings) describe(ctx context.Context, f found) (sdk.Sandbox, error) {
	place := st.folder(f.id)
	box := sdk.Sandbox{ID: f.id, Labels: hostLabels(f.labels), State: sdk.StateRunning, Limits: hostLimits(f.labels), Endpoint: sdk.Endpoint{URL: "unix:" + place.socket()}}
	if f.labels[labelEndpoint] == endpointExec {
		box.Endpoint.URL = "unix:" + place.forward
	}
	if !isRunning(f.status) {
		box.State, box.Detail = sdk.StateExited, st.exitDetail(ctx, f)
		return box, nil
	}
	if f.labels[labelEndpoint] == endpointExec {
		if _, err := st.forward(f.id, f.container); err != nil {
			return sdk.Sandbox{}, err
		}
	}
	return box, nil
}

// exitDetail says why a sandbox is not running.
func (st *settings) exitDetail(ctx context.Context, f found) string {
	switch {
	case f.status == container.StateCreated:
		return "it was never started"
	case f.status == container.StateRemoving:
		return "it is being removed"
	case f.exit.outOfMemory:
		return "out of memory"
	}
	detail := fmt.Sprintf("exit status %d", f.exit.code)
	last := st.lastWords(ctx, f.container)
	if last == "" {
		last = lastLine(f.exit.reason)
	}
	if last != "" {
		detail += ": " + last
	}
	return detail
}
