package event

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	session = "conv-1"
	// outer bounds what a test waits for; nothing here takes a tenth of it.
	outer = 30 * time.Second
)

var (
	errStore = errors.New("the disk is full")
	errDone  = errors.New("enough")
)

// memory is a Store that refuses what a database would refuse: numbers that are taken.
type memory struct {
	mu     sync.Mutex
	grown  *sync.Cond
	events map[string][]Event
	// before and after are called when events are about to be kept and when they are; what they return is the outcome.
	before, after func(ctx context.Context, events []Event) error
	reads         int
	largest       int
}

func newMemory() *memory {
	m := &memory{events: map[string][]Event{}}
	m.grown = sync.NewCond(&m.mu)
	return m
}

// await waits until the store has n events of the session.
func (m *memory) await(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for int64(len(m.events[session])) < n {
		m.grown.Wait()
	}
}

func (m *memory) AppendEvents(ctx context.Context, id string, events []Event) error {
	if m.before != nil {
		if err := m.before(ctx, events); err != nil {
			return err
		}
	}
	m.mu.Lock()
	for i, e := range events {
		if want := int64(len(m.events[id]) + i + 1); e.ID != want {
			m.mu.Unlock()
			return errors.New("event " + strconv.FormatInt(e.ID, 10) + " where " + strconv.FormatInt(want, 10) + " belongs")
		}
	}
	m.events[id] = append(m.events[id], events...)
	m.grown.Broadcast()
	m.mu.Unlock()
	if m.after != nil {
		return m.after(ctx, events)
	}
	return nil
}

func (m *memory) ReadEvents(_ context.Context, id string, after int64, limit int) ([]Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	m.largest = max(m.largest, limit)
	all := m.events[id]
	from := min(int(after), len(all))
	return slices.Clone(all[from:min(from+limit, len(all))]), nil
}

func (m *memory) LastEventID(_ context.Context, id string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.events[id])), nil
}

func (m *memory) remove(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.events, id)
}

func text(n int) Data { return Text{Content: strconv.Itoa(n)} }

func add(tb testing.TB, l *Log, data ...Data) []Event {
	tb.Helper()
	events, err := l.Append(context.Background(), session, 1, data...)
	if err != nil {
		tb.Fatal(err)
	}
	return events
}

// follower runs Follow on a goroutine of its own.
type follower struct {
	got  chan Event
	done chan error
	stop context.CancelFunc
}

func follow(tb testing.TB, l *Log, after int64, previews bool) *follower {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{got: make(chan Event, 10000), done: make(chan error, 1), stop: cancel}
	go func() {
		f.done <- l.Follow(ctx, session, after, previews, func(e Event, _ bool) error {
			f.got <- e
			return nil
		})
	}()
	tb.Cleanup(cancel)
	joined(tb, l, 1)
	return f
}

// joined waits until n followers are counted in, so that what is published from now on is for them too.
func joined(tb testing.TB, l *Log, n int) {
	tb.Helper()
	f, err := l.feed(session)
	if err != nil {
		tb.Fatal(err)
	}
	for deadline := time.Now().Add(outer); ; runtime.Gosched() {
		f.mu.Lock()
		have := f.readers
		f.mu.Unlock()
		if have >= n {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%d readers, want %d", have, n)
		}
	}
}

func (f *follower) next(tb testing.TB) Event {
	tb.Helper()
	select {
	case e := <-f.got:
		return e
	case <-time.After(outer):
		tb.Fatal("no event")
		return Event{}
	}
}

func (f *follower) end(tb testing.TB) error {
	tb.Helper()
	select {
	case err := <-f.done:
		return err
	case <-time.After(outer):
		tb.Fatal("Follow does not end")
		return nil
	}
}
