package main

import (
	"context"
	"fmt"
	"sync"
)

// locks is a lock for each name. It is safe for concurrent use; the zero value is ready.
type locks struct {
	mu   sync.Mutex
	held map[string]*lock
}

type lock struct {
	// free holds one token while nobody has the lock.
	free chan struct{}
	// users counts who has it or waits for it.
	users int
}

// take waits for the lock of a name. The caller must call release once.
func (l *locks) take(ctx context.Context, name string) (release func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = map[string]*lock{}
	}
	one, ok := l.held[name]
	if !ok {
		one = &lock{free: make(chan struct{}, 1)}
		one.free <- struct{}{}
		l.held[name] = one
	}
	one.users++
	l.mu.Unlock()
	select {
	case <-one.free:
		return func() {
			one.free <- struct{}{}
			l.leave(name, one)
		}, nil
	case <-ctx.Done():
		l.leave(name, one)
		return nil, fmt.Errorf("waiting for another request: %w", context.Cause(ctx))
	}
}

func (l *locks) leave(name string, one *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one.users--; one.users == 0 {
		delete(l.held, name)
	}
}
