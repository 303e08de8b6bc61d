package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/plugins/sdk"
)

const (
	orphanMin = 2 * time.Second
	orphanMax = time.Minute
)

// orphan is a sandbox that nobody wants any more and that could not be destroyed when it should have been.
type orphan struct {
	provider sdk.Provider
	volume   string
}

// destroy removes a sandbox, at once or, when its provider can't now, as soon as it can: what nobody owns must not stay.
func (p *Pool) destroy(ctx context.Context, provider sdk.Provider, id, volume string) error {
	err := destroy(ctx, provider, id)
	if err == nil || sdk.IsPermanent(err) {
		return err
	}
	p.mu.Lock()
	p.orphans[id] = orphan{provider, volume}
	p.mu.Unlock()
	if leave, closed := p.enter(); closed == nil {
		go func() {
			defer leave()
			p.haunt(provider, id)
		}()
	}
	return err
}

// haunt tries to destroy an orphan until it is gone or the pool is closed.
func (p *Pool) haunt(provider sdk.Provider, id string) {
	for wait := orphanMin; ; wait = min(2*wait, orphanMax) {
		select {
		case <-p.closed:
			return
		case <-time.After(wait):
		}
		p.mu.Lock()
		_, left := p.orphans[id]
		p.mu.Unlock()
		if !left {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), destroyTimeout)
		err := p.retry(ctx, provider, id)
		cancel()
		if err == nil {
			p.log.Info("destroyed a sandbox that could not be destroyed before", zap.String("sandbox", id))
			return
		}
		p.log.Warn("destroying a sandbox; will try again", zap.String("sandbox", id), zap.Error(err))
	}
}

func (p *Pool) retry(ctx context.Context, provider sdk.Provider, id string) error {
	if err := provider.Destroy(ctx, sdk.DestroyRequest{ID: id}); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.orphans, id)
	return nil
}

// bury destroys the orphans on a volume. While one lives nobody else may have it: two would write one transcript.
func (p *Pool) bury(ctx context.Context, volume string) error {
	return p.buryAll(ctx, func(o orphan) bool { return o.volume == volume })
}

func (p *Pool) buryAll(ctx context.Context, which func(orphan) bool) error {
	p.mu.Lock()
	found := map[string]orphan{}
	for id, o := range p.orphans {
		if which(o) {
			found[id] = o
		}
	}
	p.mu.Unlock()
	var errs []error
	for id, o := range found {
		if err := p.retry(ctx, o.provider, id); err != nil {
			errs = append(errs, fmt.Errorf("destroying sandbox %s, which should be gone: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

// destroy asks until it is done or hopeless: a sandbox without an owner must not stay, also when its caller has gone away or its
// provider's process is just being restarted.
func destroy(ctx context.Context, provider sdk.Provider, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), destroyTimeout)
	defer cancel()
	for wait := redialMin; ; wait = min(wait*2, redialMax) {
		err := provider.Destroy(ctx, sdk.DestroyRequest{ID: id})
		if err == nil {
			return nil
		}
		if sdk.IsPermanent(err) || ctx.Err() != nil {
			return fmt.Errorf("destroying sandbox %s: %w", id, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}
