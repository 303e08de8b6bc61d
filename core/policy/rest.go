package policy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/tetratelabs/wazero"
	"go.uber.org/zap"
)

// restAfter is how long a module that nobody asks stays ready.
const restAfter = 10 * time.Minute

// rest is the part of a module that takes memory: what it was compiled to, 25 MB for one in Go. It is there while the module is asked;
// after a while without a question it goes, and comes back from the cache of compiled modules with the next one. It is safe for
// concurrent use.
type rest struct {
	wasm wazero.Runtime
	log  *zap.Logger
	// code is the module, packed.
	code []byte
	// release closes what was made of the compiled module.
	release func(context.Context)

	mu       sync.Mutex
	compiled wazero.CompiledModule
	users    int
	timer    *time.Timer
	closed   bool
}

func newRest(wasm wazero.Runtime, log *zap.Logger, code []byte, release func(context.Context)) *rest {
	return &rest{wasm: wasm, log: log, code: s2.EncodeBetter(nil, code), release: release}
}

// wake returns the compiled module, which stays until settle is called as often. Whoever else wants it meanwhile waits: compiling it
// twice takes longer.
func (r *rest) wake(ctx context.Context) (wazero.CompiledModule, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.compiled == nil {
		code, err := s2.Decode(nil, r.code)
		if err != nil {
			return nil, fmt.Errorf("unpacking it: %w", err)
		}
		// The caller may give up, the next one would have to begin anew.
		if r.compiled, err = r.wasm.CompileModule(context.WithoutCancel(ctx), code); err != nil {
			r.compiled = nil
			return nil, fmt.Errorf("compiling it: %w", err)
		}
	}
	r.users++
	if r.timer != nil {
		r.timer.Stop()
	}
	return r.compiled, nil
}

func (r *rest) resting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.compiled == nil
}

// settle says that a user is done; after the last one has been for so long, the module rests. 0 is at once.
func (r *rest) settle(after time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users--
	switch {
	case r.users > 0 || r.closed:
	case after == 0:
		r.drop()
	case r.timer == nil:
		r.timer = time.AfterFunc(after, r.lapse)
	default:
		r.timer.Reset(after)
	}
}

func (r *rest) lapse() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users == 0 && !r.closed {
		r.drop()
	}
}

// drop gives back what the module takes. It needs mu.
func (r *rest) drop() {
	if r.compiled == nil {
		return
	}
	ctx := context.Background()
	r.release(ctx)
	if err := r.compiled.Close(ctx); err != nil {
		r.log.Warn("putting a policy to rest", zap.Error(err))
	}
	r.compiled = nil
}

// close leaves what is there to the runtime, which closes all of it.
func (r *rest) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
	}
}
