package sandbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// pull fetches the image that a sandbox lacks, if its provider can, and asks for the sandbox again. missing is what the provider said
// first, and stays the answer where there is no pull.
func (p *Pool) pull(
	ctx context.Context, provider sdk.Provider, req sdk.CreateRequest, progress func(session.Progress), missing error,
) (sdk.Sandbox, error) {
	puller, ok := provider.(sdk.PullProvider)
	if !ok {
		return sdk.Sandbox{}, missing
	}
	told := ""
	err := puller.Pull(ctx, sdk.PullRequest{Image: req.Image}, func(at sdk.PullProgress) error {
		// A tenth at a time: each is kept as an event.
		note := "fetching image " + req.Image
		if at.TotalBytes > 0 {
			note += fmt.Sprintf(": %d %% of %d MB", at.CurrentBytes*10/at.TotalBytes*10, at.TotalBytes/1_000_000)
		}
		if progress != nil && note != told {
			told = note
			progress(session.Progress{Note: note})
		}
		return nil
	})
	switch {
	case errors.Is(err, sdk.ErrUnimplemented):
		return sdk.Sandbox{}, missing
	case err != nil:
		return sdk.Sandbox{}, fmt.Errorf("fetching image %s: %w", req.Image, err)
	}
	return provider.Create(ctx, req)
}
