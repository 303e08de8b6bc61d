package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// explainCreate makes the engine's refusal of a container one that names the fix.
func (st *settings) explainCreate(ctx context.Context, err error, s spec) error {
	text := err.Error()
	if errdefs.IsNotFound(err) {
		if _, imageErr := st.engine.api.ImageInspect(ctx, s.req.Image); errdefs.IsNotFound(imageErr) {
			return st.imageMissing(s.req.Image)
		}
	}
	if s.endpoint == endpointSocket && (strings.Contains(text, "bind source path does not exist") || strings.Contains(text, s.runDir)) {
		return fmt.Errorf("%w: %w", errApart, err)
	}
	if isRuntimeError(text) {
		return st.runtimeUnknown(err)
	}
	if errdefs.IsConflict(err) {
		return sdk.Permanent(fmt.Errorf("the name %s is taken by a container that is not this host's; fix: docker rm %s, or set the option prefix: %w", st.containerName(s.req.ID), st.containerName(s.req.ID), err))
	}
	return fmt.Errorf("making the container: %w", st.engine.explain(err))
}

func (st *settings) explainStart(err error) error {
	if isRuntimeError(err.Error()) {
		return st.runtimeUnknown(err)
	}
	return fmt.Errorf("starting the container: %w", st.engine.explain(err))
}

func isRuntimeError(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "unknown or invalid runtime") || strings.Contains(text, "unknown runtime") || strings.Contains(text, "runtime not found") ||
		strings.Contains(text, "default oci runtime") || strings.Contains(text, "invalid runtime")
}

func (st *settings) runtimeUnknown(err error) error {
	return sdk.Permanent(fmt.Errorf("the engine has no runtime %q; fix: install it and name it in the engine's daemon.json, or set the option runtime: %w", st.opts.Runtime, err))
}

func (st *settings) imageMissing(image string) error {
	return sdk.Permanent(fmt.Errorf("%w: %s is not at the engine %s; fix: make images, or docker pull %s", sdk.ErrImageMissing, image, st.engine.where, image))
}

// explainEnd says why a container ended before its agent server listened.
func (st *settings) explainEnd(ctx context.Context, id string) error {
	f, err := st.inspect(ctx, id)
	if err != nil {
		return err
	}
	if f == nil {
		return errors.New("the container was removed before the agent server listened")
	}
	err = fmt.Errorf("the container ended before the agent server listened: %s", st.exitDetail(ctx, *f))
	if f.exit.code == 126 || f.exit.code == 127 {
		return sdk.Permanent(fmt.Errorf("%w; fix: an image with %s that user %s can execute (make images)", err, sandboxAgent, sandboxUser))
	}
	return err
}
