package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/volume"

	"github.com/agcluster/agcluster/plugins/sdk"
)

const (
	// settle bounds how long the engine may take to let go of a container or volume that it says it is about to remove.
	settle    = 20 * time.Second
	minSettle = 5 * time.Millisecond
	maxSettle = 250 * time.Millisecond
)

// ensureVolume makes the two halves of a volume and returns those that were not there.
func (st *settings) ensureVolume(ctx context.Context, name string) (made []string, err error) {
	workspace, config := st.volumeNames(name)
	for _, half := range []string{workspace, config} {
		found, err := st.engine.api.VolumeInspect(ctx, half)
		if err == nil {
			if !st.owns(found.Labels) {
				return made, sdk.Permanent(fmt.Errorf("volume %s exists and is not this host's; fix: docker volume rm %s, or set the option prefix", half, half))
			}
			continue
		}
		if !errdefs.IsNotFound(err) {
			return made, fmt.Errorf("looking for volume %s: %w", half, st.engine.explain(err))
		}
		labels := st.ownLabels()
		labels[labelVolume] = name
		if _, err := st.engine.api.VolumeCreate(ctx, volume.CreateOptions{Name: half, Labels: labels}); err != nil {
			return made, fmt.Errorf("making volume %s: %w", half, st.engine.explain(err))
		}
		made = append(made, half)
	}
	return made, nil
}

// removeVolume removes both halves. A sandbox that runs keeps it; one that has exited goes with it, because its container holds on.
func (st *settings) removeVolume(ctx context.Context, name string) error {
	workspace, config := st.volumeNames(name)
	for _, half := range []string{workspace, config} {
		found, err := st.engine.api.VolumeInspect(ctx, half)
		switch {
		case errdefs.IsNotFound(err):
			continue
		case err != nil:
			return st.engine.explain(err)
		case !st.owns(found.Labels):
			continue // Nobody of ours made it.
		}
		if err := st.removeHalf(ctx, name, half); err != nil {
			return err
		}
	}
	return nil
}

// removeHalf removes one of Docker's volumes. The engine may say that it is in use a little longer than it is.
func (st *settings) removeHalf(ctx context.Context, name, half string) error {
	err := patiently(ctx, func() (bool, error) {
		err := st.engine.api.VolumeRemove(ctx, half, false)
		switch {
		case err == nil, errdefs.IsNotFound(err):
			return true, nil
		case !errdefs.IsConflict(err):
			return false, st.engine.explain(err)
		}
		users, listErr := st.containers(ctx, filters.Arg("label", labelVolume+"="+name))
		if listErr != nil {
			return false, listErr
		}
		for _, user := range users {
			if isRunning(user.State) {
				return false, fmt.Errorf("it is in use by sandbox %s", user.Labels[labelSandbox])
			}
			if err := st.removeContainer(ctx, user.ID); err != nil {
				return false, err
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("removing %s: %w", half, err)
	}
	return nil
}

// volumeUser names the running sandbox that has a volume. Two at once would write one transcript.
func (st *settings) volumeUser(ctx context.Context, name string) (string, error) {
	users, err := st.containers(ctx, filters.Arg("label", labelVolume+"="+name))
	if err != nil {
		return "", err
	}
	for _, user := range users {
		if isRunning(user.State) {
			return user.Labels[labelSandbox], nil
		}
	}
	return "", nil
}

// containers lists this host's containers, also those that have exited.
func (st *settings) containers(ctx context.Context, more ...filters.KeyValuePair) ([]container.Summary, error) {
	args := append([]filters.KeyValuePair{filters.Arg("label", labelManagedBy+"="+managedBy), filters.Arg("label", labelHost+"="+st.hostID)}, more...)
	list, err := st.engine.api.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(args...)})
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", st.engine.explain(err))
	}
	return list, nil
}

// removeContainer kills and removes a container with its anonymous volumes, and returns when it is gone. An unknown one is no error.
func (st *settings) removeContainer(ctx context.Context, id string) error {
	err := patiently(ctx, func() (bool, error) {
		err := st.engine.api.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
		switch {
		case err == nil, errdefs.IsNotFound(err):
			return true, nil
		case errdefs.IsConflict(err):
			return false, nil // Its removal is in progress; when that is done it is not found.
		}
		return false, st.engine.explain(err)
	})
	if err != nil {
		return fmt.Errorf("removing the container: %w", err)
	}
	return nil
}

// patiently calls attempt, with growing pauses, until it is done, fails or settle is over.
func patiently(ctx context.Context, attempt func() (done bool, err error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settle, errors.New("the engine did not let go of it in time"))
	defer cancel()
	for pause := minSettle; ; pause = min(2*pause, maxSettle) {
		if done, err := attempt(); done || err != nil {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// sleep waits, and fails with ctx's cause when that ends first.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
