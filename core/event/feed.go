package event

import (
	"context"
	"fmt"
	"slices"
)

type feedState int

const (
	feedCurrent feedState = iota
	// feedBehind: the ring no longer holds the event after the one asked for.
	feedBehind
	// feedEnded: nothing comes any more, and the ring holds nothing that the reader has not seen.
	feedEnded
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
	if f.ended != nil {
		return
	}
	if n := len(events); events[n-1].ID > 0 {
		f.last = events[n-1].ID
	}
	if f.readers == 0 {
		// Nobody listens: the store has it all, memory needs none of it.
		f.begin += int64(len(events))
		f.empty()
		return
	}
	f.ring = append(f.ring, events...)
	for _, e := range events {
		f.bytes += size(e.Data)
	}
	f.trim()
	close(f.wake)
	f.wake = make(chan struct{})
}

// trim drops the oldest entries of a ring that is over one of its limits, half of them at once so that the copying is paid rarely.
func (f *feed) trim() {
	if len(f.ring) <= ringSize && f.bytes <= ringBytes {
		return
	}
	n := 0
	for ; n < len(f.ring) && (len(f.ring)-n > ringSize/2 || f.bytes > ringBytes/2); n++ {
		f.bytes -= size(f.ring[n].Data)
	}
	f.ring = slices.Clone(f.ring[n:])
	f.begin += int64(n)
}

func (f *feed) empty() {
	f.begin += int64(len(f.ring))
	f.ring, f.bytes = nil, 0
}

// size is about how many bytes an event takes in memory.
func size(d Data) int {
	const fixed = 256
	switch d := d.(type) {
	case User:
		return fixed + len(d.Content)
	case Text:
		return fixed + len(d.Content)
	case TextDelta:
		return fixed + len(d.Content)
	case Thinking:
		return fixed + len(d.Content)
	case ToolUse:
		return fixed + len(d.Input) + len(d.Arguments)
	case ToolResult:
		return fixed + len(d.Output)
	case ApprovalRequired:
		return fixed + len(d.Input) + len(d.Arguments)
	case TodoUpdate:
		n := fixed
		for _, t := range d.Todos {
			n += len(t.Content) + len(t.ActiveForm)
		}
		return n
	case Init:
		n := fixed
		for _, t := range d.Tools {
			n += len(t)
		}
		return n
	default:
		return fixed
	}
}

// join counts in a reader that has seen the events up to after. It sees the previews from now on.
func (f *feed) join(after int64) *reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers++
	return &reader{after: after, previews: f.begin + int64(len(f.ring))}
}

func (f *feed) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers--
	if f.readers == 0 {
		f.empty()
	}
}

func (f *feed) end(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended == nil {
		f.ended = why
		close(f.wake)
	}
}

func (f *feed) why() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended
}

// reader is where one follower stands.
type reader struct {
	// after is the number of the newest event it has seen.
	after int64
	// seen is the ring position up to which there is nothing left for it; previews is the one from which it gets previews.
	seen, previews int64
}

// since returns what r gets next and a channel that closes when there is more. It moves r's positions; its number moves with what
// is passed on.
func (f *feed) since(r *reader, previews bool) ([]Event, <-chan struct{}, feedState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var batch []Event
	next := r.after
	for i := f.firstAbove(r); i < len(f.ring); i++ {
		e := f.ring[i]
		switch {
		case e.ID > 0:
			if e.ID != next+1 {
				return nil, nil, f.behind()
			}
			next = e.ID
			batch = append(batch, e)
		case previews && f.begin+int64(i) >= r.previews:
			batch = append(batch, e)
		}
	}
	if next < f.last {
		return nil, nil, f.behind()
	}
	r.seen = f.begin + int64(len(f.ring))
	r.previews = r.seen
	if f.ended != nil && len(batch) == 0 {
		return nil, nil, feedEnded
	}
	return batch, f.wake, feedCurrent
}

// behind says where a reader finds what the ring does not hold. It needs mu.
func (f *feed) behind() feedState {
	if f.ended != nil {
		return feedEnded
	}
	return feedBehind
}

// firstAbove is the index of the first ring entry that is news to r. What stands before an event that it has seen, previews
// included, is older than that event; so is the whole ring when r has read from the store what is not published yet. It needs mu.
func (f *feed) firstAbove(r *reader) int {
	if r.after > f.last {
		return len(f.ring)
	}
	first := int(max(r.seen-f.begin, 0))
	for i := len(f.ring) - 1; i >= first; i-- {
		if id := f.ring[i].ID; id > 0 && id <= r.after {
			return i + 1
		}
	}
	return first
}
