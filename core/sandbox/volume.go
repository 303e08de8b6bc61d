package sandbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// Volume is one volume that exists, or may exist.
type Volume struct{ Name, Provider string }

// Volumes keeps which volumes there are for good, so that none is forgotten when the host dies between making one and giving it to a
// session. It is safe for concurrent use.
type Volumes interface {
	PutVolume(ctx context.Context, v Volume) error
	// DeleteVolume forgets one; an unknown name is no error.
	DeleteVolume(ctx context.Context, name string) error
}

// newVolume names a volume and notes it before it is made.
func (p *Pool) newVolume(ctx context.Context, provider string) (string, error) {
	name := "vol-" + strings.ToLower(rand.Text())
	if err := p.volumes.PutVolume(ctx, Volume{Name: name, Provider: provider}); err != nil {
		return "", fmt.Errorf("noting a volume: %w", err)
	}
	return name, nil
}

// RemoveVolume implements session.Sandboxes.
func (p *Pool) RemoveVolume(ctx context.Context, name, volume string) error {
	if err := p.bury(ctx, volume); err != nil {
		return err
	}
	provider, err := p.providers(ctx, name)
	if err != nil {
		return err
	}
	if err := provider.Destroy(ctx, sdk.DestroyRequest{Volume: volume}); err != nil {
		return err
	}
	return p.volumes.DeleteVolume(ctx, volume)
}

// Reclaim removes volumes of the named provider that belong to nobody any more. It goes on when one can't be removed, and then fails.
func (p *Pool) Reclaim(ctx context.Context, name string, volumes []Volume) error {
	var errs []error
	for _, v := range volumes {
		if v.Provider != name {
			continue
		}
		if err := p.RemoveVolume(ctx, name, v.Name); err != nil {
			errs = append(errs, fmt.Errorf("removing volume %s: %w", v.Name, err))
		}
	}
	return errors.Join(errs...)
}

// abandon removes a volume that has just been made for a start that failed. What can't be removed now goes at the next start of the
// host.
func (p *Pool) abandon(ctx context.Context, provider, volume string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), destroyTimeout)
	defer cancel()
	if err := p.RemoveVolume(ctx, provider, volume); err != nil {
		return fmt.Errorf("removing volume %s: %w", volume, err)
	}
	return nil
}
