package sandbox

import (
	"context"
	"sync"
	"time"

	"github.com/agcluster/agcluster/core/session"
)

// startGuess is how long a start is taken to need until one has been seen.
const startGuess = 2 * time.Second

// admission lets as many starts go on at a time as there are slots; others wait in the order in which they came. Starting a CLI is
// nothing but processor time: thirty at once on two cores take four times as long as two at a time.
type admission struct {
	slots, limit int
	// idle is called when a slot is free and nobody waits for it.
	idle func()

	mu      sync.Mutex
	busy    int
	refills int
	queue   []*ticket
	// took is a moving average of how long starts took.
	took time.Duration
}

// ticket is one start that waits.
type ticket struct {
	admitted chan struct{}
	// moved has something to read after its position has changed.
	moved chan struct{}
}

func newAdmission(slots, limit int, idle func()) *admission {
	return &admission{slots: slots, limit: limit, idle: idle, took: startGuess}
}

// enter waits for a slot. It tells moved, if not nil, each position it is in, from 1, and then 0. It fails with a *session.BusyError
// at once when the queue is full, and with ctx's error when that ends. leave gives the slot back and is safe to call twice.
func (a *admission) enter(ctx context.Context, moved func(position int)) (leave func(), err error) {
	if moved == nil {
		moved = func(int) {}
	}
	t := &ticket{admitted: make(chan struct{}), moved: make(chan struct{}, 1)}
	if err := a.line(t); err != nil {
		return nil, err
	}
	for told := 0; ; {
		if position := a.position(t); position > 0 && position != told {
			told = position
			moved(position)
		}
		select {
		case <-t.admitted:
			moved(0)
			return a.leaver(), nil
		case <-t.moved:
		case <-ctx.Done():
			if a.withdraw(t) {
				return nil, ctx.Err()
			}
			a.leaver()()
			return nil, ctx.Err()
		}
	}
}

// line gives a ticket a slot or a place in the queue.
func (a *admission) line(t *ticket) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.busy < a.slots && len(a.queue) == 0:
		a.busy++
		close(t.admitted)
	case len(a.queue) >= a.limit:
		wait := a.took * time.Duration(len(a.queue)/a.slots+1)
		return &session.BusyError{Waiting: len(a.queue), RetryAfter: wait}
	default:
		a.queue = append(a.queue, t)
	}
	return nil
}

// position is a ticket's place in the queue, from 1; 0 when it is not in it.
func (a *admission) position(t *ticket) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, other := range a.queue {
		if other == t {
			return i + 1
		}
	}
	return 0
}

// withdraw takes a ticket out of the queue, unless it was admitted meanwhile.
func (a *admission) withdraw(t *ticket) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, other := range a.queue {
		if other == t {
			a.queue = append(a.queue[:i:i], a.queue[i+1:]...)
			a.tell(i)
			return true
		}
	}
	return false
}

// tell lets those from place i know that they have moved. It needs mu.
func (a *admission) tell(i int) {
	for _, t := range a.queue[i:] {
		select {
		case t.moved <- struct{}{}:
		default:
		}
	}
}

func (a *admission) leaver() func() {
	began := time.Now()
	return sync.OnceFunc(func() {
		a.mu.Lock()
		a.took += (time.Since(began) - a.took) / 8
		a.busy--
		a.admit()
		a.mu.Unlock()
		a.idle()
	})
}

// admit hands free slots to those who wait. It needs mu.
func (a *admission) admit() {
	for a.busy < a.slots && len(a.queue) > 0 {
		a.busy++
		close(a.queue[0].admitted)
		a.queue = a.queue[1:]
		a.tell(0)
	}
}

// refill takes a slot for a spare if nobody else wants it and one is left for the launch that comes next. It never waits.
func (a *admission) refill() (leave func(), ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) > 0 || a.busy >= a.slots || a.refills >= max(1, a.slots-1) {
		return nil, false
	}
	a.busy++
	a.refills++
	return sync.OnceFunc(func() {
		a.mu.Lock()
		a.busy--
		a.refills--
		a.admit()
		a.mu.Unlock()
		a.idle()
	}), true
}

// waiting is how many starts are in the queue.
func (a *admission) waiting() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.queue)
}
