package event

import (
	"context"
	"fmt"
)

type feedState int

const (
	feedCurrent feedState = iota
	// feedBehind: the ring no longer holds the event after the one asked for.
	feedBehind
	feedClosed
)

// load fetches the last number once. It may run twice at the same time; the higher answer stands.
func (f *feed) load(ctx context.Context, store Store, sessionID string) (int64, error) {
	f.mu.Lock()
	loaded, last := f.loaded, f.last
	f.mu.Unlock()
	if loaded {
		return last, nil
	}
	last, err := store.LastEventID(ctx, sessionID)
	if err != nil {
		return 0, fmt.Errorf("reading the last event number of %s: %w", sessionID, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loaded, f.last = true, max(f.last, last)
	return f.last, nil
}

func (f *feed) publish(events []Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	if n := len(events); events[n-1].ID > 0 {
		f.last = events[n-1].ID
	}
	if f.readers == 0 {
		// Nobody listens: the store has it all, memory needs none of it.
		f.begin += int64(len(f.ring) + len(events))
		f.ring = nil
		return
	}
	f.ring = append(f.ring, events...)
	if over := len(f.ring) - ringSize; over > 0 {
		// Drop half at once so that the copying is paid rarely.
		over = max(over, ringSize/2)
		f.ring = append([]Event(nil), f.ring[over:]...)
		f.begin += int64(over)
	}
	close(f.wake)
	f.wake = make(chan struct{})
}

// join counts a reader in and returns the position from which it sees previews.
func (f *feed) join() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers++
	return f.begin + int64(len(f.ring))
}

func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers--
	if f.readers == 0 {
		f.begin += int64(len(f.ring))
		f.ring = nil
	}
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		close(f.wake)
	}
}

// since returns what a reader that has seen events up to after and ring positions up to pos gets next, the position after it, and
// a channel that closes when there is more.
func (f *feed) since(after, pos int64, previews bool) ([]Event, int64, <-chan struct{}, feedState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, pos, nil, feedClosed
	}
	end := f.begin + int64(len(f.ring))
	start := max(pos, f.begin)
	var batch []Event
	next := after
	for i := f.firstAbove(after); i < len(f.ring); i++ {
		e := f.ring[i]
		switch {
		case e.ID > 0:
			if e.ID != next+1 {
				return nil, pos, nil, feedBehind
			}
			next = e.ID
			batch = append(batch, e)
		case previews && f.begin+int64(i) >= start:
			batch = append(batch, e)
		}
	}
	if next < f.last {
		return nil, pos, nil, feedBehind
	}
	return batch, end, f.wake, feedCurrent
}

// firstAbove is the index after the newest ring entry whose number is at most after: what stands before it, previews included,
// is older than what the reader has seen.
func (f *feed) firstAbove(after int64) int {
	for i := len(f.ring) - 1; i >= 0; i-- {
		if id := f.ring[i].ID; id > 0 && id <= after {
			return i + 1
		}
	}
	return 0
}
