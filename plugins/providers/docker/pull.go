package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/image"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// pullPace is how often a pull's progress is told at most.
const pullPace = 200 * time.Millisecond

// Pull implements sdk.PullProvider. An image that is there already is not looked for again.
func (p *Provider) Pull(ctx context.Context, req sdk.PullRequest, fn func(sdk.PullProgress) error) error {
	st, err := p.enter()
	if err != nil {
		return err
	}
	defer p.work.Done()
	ctx, leave := p.begin(ctx, "pull "+req.Image)
	defer leave()
	if _, err := st.engine.api.ImageInspect(ctx, req.Image); err == nil {
		return fn(sdk.PullProgress{Status: "present"})
	}
	if st.opts.Pull == pullNever {
		return sdk.Permanent(fmt.Errorf("image %s: the option pull is never; fix: make images, or docker pull %s", req.Image, req.Image))
	}
	body, err := st.engine.api.ImagePull(ctx, req.Image, image.PullOptions{})
	if err == nil {
		err = readPull(body, fn)
		_ = body.Close() // Only read.
	}
	switch err = st.engine.explain(err); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("pulling image %s: %w", req.Image, context.Cause(ctx))
	case errors.Is(err, sdk.ErrPlatformDown), errors.As(err, new(callerError)):
		return fmt.Errorf("pulling image %s: %w", req.Image, err)
	}
	return sdk.Permanent(fmt.Errorf("pulling image %s: %w; fix: make images, or docker pull %s where a registry has it", req.Image, err, req.Image))
}

// callerError is what the caller's function returned.
type callerError struct{ error }

func (e callerError) Unwrap() error { return e.error }

// pullMessage is one message of a pull.
type pullMessage struct {
	Status   string `json:"status"`
	ID       string `json:"id"`
	Error    string `json:"error"`
	Progress struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
}

// readPull adds up the layers' downloads. An error comes as a message of the stream.
func readPull(body io.Reader, fn func(sdk.PullProgress) error) error {
	type layer struct{ current, total int64 }
	layers := map[string]layer{}
	var told time.Time
	var last sdk.PullProgress
	for dec := json.NewDecoder(body); ; {
		var msg pullMessage
		err := dec.Decode(&msg)
		if errors.Is(err, io.EOF) {
			return tell(fn, last)
		}
		if err != nil {
			return fmt.Errorf("reading the engine's progress: %w", err)
		}
		if msg.Error != "" {
			return errors.New(msg.Error)
		}
		one := layers[msg.ID]
		switch msg.Status {
		case "Downloading":
			layers[msg.ID] = layer{max(one.current, msg.Progress.Current), max(one.total, msg.Progress.Total)}
		case "Download complete", "Pull complete":
			layers[msg.ID] = layer{one.total, one.total}
		}
		last = sdk.PullProgress{Status: msg.Status}
		for _, one := range layers {
			last.CurrentBytes += one.current
			last.TotalBytes += one.total
		}
		if now := time.Now(); now.Sub(told) >= pullPace {
			told = now
			if err := tell(fn, last); err != nil {
				return err
			}
		}
	}
}

func tell(fn func(sdk.PullProgress) error, progress sdk.PullProgress) error {
	if err := fn(progress); err != nil {
		return callerError{err}
	}
	return nil
}
