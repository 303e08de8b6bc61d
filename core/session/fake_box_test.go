package session

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/agcluster/agcluster/core/agent"
)

// boxes is a Sandboxes that keeps the books: what was started and closed, and which volumes there are. As a provider would, it
// refuses a second sandbox on a volume and the removal of one in use.
type boxes struct {
	mu      sync.Mutex
	all     []*fakeBox
	volumes map[string]bool
	// start and remove are called first, without the lock.
	start  func(ctx context.Context, spec SandboxSpec) error
	remove func(ctx context.Context) error
	// prepare is called for every new box before anybody else has it.
	prepare func(b *fakeBox)
}

var _ Sandboxes = (*boxes)(nil)

func (f *boxes) Start(ctx context.Context, spec SandboxSpec) (Sandbox, error) {
	f.mu.Lock()
	start := f.start
	f.mu.Unlock()
	if start != nil {
		if err := start(ctx, spec); err != nil {
			return nil, err
		}
	}
	fresh := spec.Volume == ""
	if fresh {
		spec.Volume = "vol-" + spec.SessionID
	}
	b, err := f.add(spec)
	if err != nil || spec.Agent == nil {
		return b, err
	}
	if err := b.agent.Configure(ctx, *spec.Agent); err != nil {
		// What a start that failed has made is gone.
		if fresh {
			defer f.forget(spec.Volume)
		}
		return nil, errors.Join(fmt.Errorf("starting Claude Code: %w", err), b.Close(context.Background()))
	}
	return b, nil
}

func (f *boxes) add(spec SandboxSpec) (*fakeBox, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.all {
		if b.spec.Volume == spec.Volume && b.closes() == 0 {
			return nil, errors.New("the volume is in use by another sandbox")
		}
	}
	b := &fakeBox{spec: spec, agent: newFakeAgent(), gone: make(chan struct{})}
	if f.prepare != nil {
		f.prepare(b)
	}
	f.all = append(f.all, b)
	f.volumes[spec.Volume] = true
	return b, nil
}

func (f *boxes) forget(volume string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.volumes, volume)
}

func (f *boxes) RemoveVolume(ctx context.Context, _, volume string) error {
	f.mu.Lock()
	remove := f.remove
	f.mu.Unlock()
	if remove != nil {
		if err := remove(ctx); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.all {
		if b.spec.Volume == volume && b.closes() == 0 {
			return errors.New("the volume is in use")
		}
	}
	delete(f.volumes, volume)
	return nil
}

func (f *boxes) on(start func(context.Context, SandboxSpec) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.start = start
}

func (f *boxes) preparing(prepare func(b *fakeBox)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.prepare = prepare
}

func (f *boxes) onRemove(remove func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remove = remove
}

// count is how many boxes were ever started, last the newest.
func (f *boxes) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all)
}

func (f *boxes) last() *fakeBox {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[len(f.all)-1]
}

// open is how many boxes run.
func (f *boxes) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, b := range f.all {
		if b.closes() == 0 {
			n++
		}
	}
	return n
}

type fakeBox struct {
	spec  SandboxSpec
	agent *fakeAgent
	gone  chan struct{}
	// close is called by Close before the box counts as closed.
	close func(ctx context.Context) error

	mu     sync.Mutex
	reason string
	closed int
}

func (b *fakeBox) Agent() Agent          { return b.agent }
func (b *fakeBox) Gone() <-chan struct{} { return b.gone }

func (b *fakeBox) Configure(ctx context.Context, spec agent.SessionSpec, progress func(Progress)) error {
	progress(Progress{})
	return b.agent.Configure(ctx, spec)
}

func (b *fakeBox) Info() SandboxInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	info := SandboxInfo{
		Volume: b.spec.Volume, Limits: map[string]string{"memory": "not enforced"}, Lost: b.reason,
		Start: Start{Kind: StartCold, Reason: "there are no spares here"},
	}
	if b.spec.Agent != nil {
		info.TranscriptID = b.spec.Agent.TranscriptID
	}
	return info
}

func (b *fakeBox) lose(reason string) {
	b.mu.Lock()
	b.reason = reason
	b.mu.Unlock()
	close(b.gone)
}

func (b *fakeBox) Close(ctx context.Context) error {
	var err error
	if b.close != nil {
		err = b.close(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed++
	return err
}

func (b *fakeBox) closes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}
