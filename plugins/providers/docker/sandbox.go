package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// readyLimit bounds the start of an agent server when the caller sets no earlier deadline.
const readyLimit = 60 * time.Second

// errApart says that the engine does not see this machine's folders, or sees them otherwise.
var errApart = errors.New("the engine does not share this machine's folders")

// create does the work of Create, with the lock of the id.
func (st *settings) create(ctx context.Context, req sdk.CreateRequest) (sdk.Sandbox, error) {
	lim, err := resolveLimits(req.Resources, st.opts)
	if err != nil {
		return sdk.Sandbox{}, sdk.Permanent(err)
	}
	if box, err := st.existing(ctx, req.ID); box != nil || err != nil {
		if err != nil {
			return sdk.Sandbox{}, err
		}
		return *box, nil
	}
	if req.Volume != "" {
		release, err := st.locks.take(ctx, "volume "+req.Volume)
		if err != nil {
			return sdk.Sandbox{}, err
		}
		defer release()
		user, err := st.volumeUser(ctx, req.Volume)
		if err != nil {
			return sdk.Sandbox{}, err
		}
		if user != "" {
			return sdk.Sandbox{}, fmt.Errorf("volume %s is in use by sandbox %s", req.Volume, user)
		}
	}
	info, err := st.engine.about(ctx)
	if err != nil {
		return sdk.Sandbox{}, err
	}
	s := spec{req: req, lim: lim, words: lim.describe(info), endpoint: st.endpoint(info), runDir: st.folder(req.ID).inside(), podman: info.podman}
	box, err := st.build(ctx, s)
	if errors.Is(err, errApart) && st.opts.Endpoint == endpointAuto {
		st.log.Info("sandboxes are reached through an exec", zap.Error(err))
		st.apart.Store(true)
		s.endpoint = endpointExec
		box, err = st.build(ctx, s)
	}
	return box, err
}

// existing finds the sandbox of an earlier Create. What never got ready is removed: a killed predecessor left it.
func (st *settings) existing(ctx context.Context, id string) (*sdk.Sandbox, error) {
	f, err := st.inspect(ctx, id)
	if f == nil || err != nil {
		return nil, err
	}
	place := st.folder(id)
	if isRunning(f.status) {
		switch err := st.await(ctx, *f); {
		case err == nil:
			if err := place.markReady(); err != nil {
				return nil, err
			}
		case place.wasReady() || ctx.Err() != nil || errors.Is(err, sdk.ErrPlatformDown):
			return nil, err
		}
	}
	if !place.wasReady() {
		return nil, st.destroyed(ctx, id, f.container)
	}
	box, err := st.describe(ctx, *f)
	return &box, err
}

// build makes a sandbox. When it fails it leaves nothing of its own.
func (st *settings) build(ctx context.Context, s spec) (sdk.Sandbox, error) {
	defer st.make(s.req.ID)()
	place := st.folder(s.req.ID)
	var id string
	var volumes []string
	undo := func() {
		// The caller may be gone; what was begun is taken apart all the same.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
		defer cancel()
		if err := errors.Join(st.destroyed(ctx, s.req.ID, id), st.removeMade(ctx, volumes)); err != nil {
			st.log.Error("a failed sandbox could not be removed", zap.String("sandbox", s.req.ID), zap.Error(err))
		}
	}
	fail := func(err error) (sdk.Sandbox, error) {
		undo()
		return sdk.Sandbox{}, err
	}
	if err := ctx.Err(); err != nil {
		return sdk.Sandbox{}, err //nolint:wrapcheck // The caller says what for.
	}
	if err := place.make(s.endpoint == endpointSocket); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: %w", errApart, err)
		}
		return sdk.Sandbox{}, err
	}
	// What the engine has begun it finishes, also for a caller that hangs up: only an answer says what is to be removed.
	making, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
	defer cancel()
	var err error
	if s.req.Volume != "" {
		if volumes, err = st.ensureVolume(making, s.req.Volume); err != nil {
			return fail(err)
		}
	}
	made, err := st.engine.api.ContainerCreate(making, st.config(s), st.hostConfig(s), nil, nil, st.containerName(s.req.ID))
	if err != nil {
		return fail(st.explainCreate(making, err, s))
	}
	id = made.ID
	for _, warning := range made.Warnings {
		st.log.Debug("the engine warns", zap.String("sandbox", s.req.ID), zap.String("warning", warning))
	}
	f := found{container: id, id: s.req.ID, labels: st.labels(s), status: container.StateRunning}
	if err := st.start(ctx, f, s); err != nil {
		return fail(err)
	}
	if err := place.markReady(); err != nil {
		return fail(err)
	}
	box, err := st.describe(ctx, f)
	if err != nil {
		return fail(err)
	}
	return box, nil
}

// start starts a container, hands it the token and waits for its agent server.
func (st *settings) start(ctx context.Context, f found, s spec) error {
	stdin, err := st.engine.api.ContainerAttach(ctx, f.container, container.AttachOptions{Stream: true, Stdin: true})
	if err != nil {
		// Podman prepares the container here and keeps to itself what went wrong; it tells at a start.
		if startErr := st.engine.api.ContainerStart(ctx, f.container, container.StartOptions{}); startErr != nil {
			return st.explainStart(startErr)
		}
		return fmt.Errorf("attaching to the container: %w", st.engine.explain(err))
	}
	defer stdin.Close()
	if err := st.engine.api.ContainerStart(ctx, f.container, container.StartOptions{}); err != nil {
		return st.explainStart(err)
	}
	if err := giveToken(stdin, s.req.Token); err != nil {
		if now, inspectErr := st.inspect(ctx, f.id); inspectErr == nil && now != nil && isRunning(now.status) {
			return err
		}
		return st.explainEnd(ctx, f.id)
	}
	return st.await(ctx, f)
}

// giveToken writes the token and ends the stream. The engine keeps nothing of standard input: no log, no inspection shows it.
func giveToken(stdin types.HijackedResponse, token string) error {
	if err := stdin.Conn.SetWriteDeadline(time.Now().Add(readyLimit)); err != nil {
		return fmt.Errorf("handing over the token: %w", err)
	}
	if _, err := stdin.Conn.Write([]byte(token)); err != nil {
		return fmt.Errorf("handing over the token: %w", err)
	}
	if err := stdin.CloseWrite(); err != nil {
		return fmt.Errorf("handing over the token: %w", err)
	}
	return nil
}

// await returns when the agent server can be dialled, or says why the container has ended before.
func (st *settings) await(ctx context.Context, f found) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyLimit, fmt.Errorf("the agent server did not listen within %s", readyLimit))
	defer cancel()
	ready, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	errEnded := errors.New("it ended before the agent server listened")
	watched := make(chan struct{})
	watch, stopWatch := context.WithCancel(ctx)
	go func() {
		defer close(watched)
		if st.ended(watch, f.container) {
			stop(errEnded)
		}
	}()
	err := st.reach(ready, f)
	stopWatch()
	<-watched
	if err == nil {
		return nil
	}
	if errors.Is(context.Cause(ready), errEnded) {
		return st.explainEnd(ctx, f.id)
	}
	return err
}

// reach waits until the sandbox's endpoint answers.
func (st *settings) reach(ctx context.Context, f found) error {
	if f.labels[labelEndpoint] == endpointSocket {
		return st.folder(f.id).await(ctx)
	}
	forward, err := st.forward(f.id, f.container)
	if err != nil {
		return err
	}
	return forward.await(ctx)
}

// ended waits for a container's end. It reports false when ctx ends first or the engine can't tell.
func (st *settings) ended(ctx context.Context, id string) bool {
	ended, failed := st.engine.api.ContainerWait(ctx, id, container.WaitConditionNotRunning)
	// Exactly one of the two arrives, also after ctx has ended: the client reads until then.
	select {
	case <-ended:
		return true
	case <-failed: //nolint:errcheck // what the caller waits for will tell
		return false
	}
}

// destroy removes a sandbox. One that is not there is no error.
func (st *settings) destroy(ctx context.Context, id string) error {
	release, err := st.locks.take(ctx, "sandbox "+id)
	if err != nil {
		return err
	}
	defer release()
	f, err := st.inspect(ctx, id)
	if err != nil {
		return err
	}
	container := ""
	if f != nil {
		container = f.container
	}
	return st.destroyed(ctx, id, container)
}

// destroyed removes a container, when there is one, and what a sandbox has on this machine.
func (st *settings) destroyed(ctx context.Context, id, container string) error {
	if container != "" {
		if err := st.removeContainer(ctx, container); err != nil {
			return err
		}
	}
	return errors.Join(st.unforward(id), st.folder(id).remove())
}

// removeMade removes volumes that a failed Create has made.
func (st *settings) removeMade(ctx context.Context, volumes []string) error {
	var errs []error
	for _, name := range volumes {
		err := patiently(ctx, func() (bool, error) {
			err := st.engine.api.VolumeRemove(ctx, name, false)
			if err == nil || errdefs.IsNotFound(err) {
				return true, nil
			}
			if errdefs.IsConflict(err) {
				return false, nil
			}
			return false, st.engine.explain(err)
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("removing volume %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
