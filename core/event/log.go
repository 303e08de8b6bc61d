package event

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrClosed ends Follow when the session's log was removed; ErrShutdown when the host shuts down, and there is more to come.
var (
	ErrClosed   = errors.New("event log closed")
	ErrShutdown = errors.New("event log shut down")
)

const (
	// ringSize bounds the recent entries kept in memory for a session that somebody follows. A reader that falls further behind
	// reads numbered events from the store, and misses previews only.
	ringSize = 1024
	// ringBytes bounds the same in bytes: a sandbox decides how large its events are.
	ringBytes = 8 << 20
	// pageMin and pageMax bound how many events one read of the store fetches; it is more while they are small together.
	pageMin   = 8
	pageMax   = 256
	pageBytes = 256 << 10
)

// Store keeps events for good. Methods are safe for concurrent use.
type Store interface {
	// AppendEvents keeps all of events or none, before it returns.
	AppendEvents(ctx context.Context, sessionID string, events []Event) error
	// ReadEvents returns up to limit events with an ID above after, in order.
	ReadEvents(ctx context.Context, sessionID string, after int64, limit int) ([]Event, error)
	// LastEventID is 0 for a session without events.
	LastEventID(ctx context.Context, sessionID string) (int64, error)
}

// Log numbers, keeps, replays and fans out the events of all sessions. It is safe for concurrent use; Append calls of one session
// are serialised, and an event reaches followers only after it is kept.
type Log struct {
	store Store
	mu    sync.Mutex
	feeds map[string]*feed
	shut  bool
}

// NewLog returns a Log over store.
func NewLog(store Store) *Log {
	return &Log{store: store, feeds: map[string]*feed{}}
}

// feed is the live end of one session's log.
type feed struct {
	// appending is a one-slot semaphore held across the store's I/O; mu guards the fields and is never held across I/O.
	appending chan struct{}

	mu      sync.Mutex
	loaded  bool
	last    int64
	readers int
	ring    []Event
	bytes   int
	// begin is the position of ring[0]; positions only grow.
	begin int64
	wake  chan struct{}
	// ended says why there is no more to come; nil while there is.
	ended error
}

func (l *Log) feed(id string) (*feed, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shut {
		return nil, ErrShutdown
	}
	f := l.feeds[id]
	if f == nil {
		f = &feed{appending: make(chan struct{}, 1), wake: make(chan struct{})}
		l.feeds[id] = f
	}
	return f, nil
}

// Append numbers and keeps data as events of the given turn (0 is outside any), then fans them out. Either all are kept or none.
func (l *Log) Append(ctx context.Context, sessionID string, turn int64, data ...Data) ([]Event, error) {
	if len(data) == 0 {
		return nil, nil
	}
	f, err := l.feed(sessionID)
	if err != nil {
		return nil, err
	}
	select {
	case f.appending <- struct{}{}:
		defer func() { <-f.appending }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting to append: %w", ctx.Err())
	}
	last, err := f.load(ctx, l.store, sessionID)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	events := make([]Event, len(data))
	for i, d := range data {
		events[i] = Event{ID: last + int64(i) + 1, Turn: turn, Time: now, Data: d}
	}
	if err := l.store.AppendEvents(ctx, sessionID, events); err != nil {
		// Whether the store kept them is unknown (a cancelled commit): ask it again before the next number is given out.
		f.mu.Lock()
		f.loaded = false
		f.mu.Unlock()
		return nil, fmt.Errorf("keeping events of %s: %w", sessionID, err)
	}
	f.publish(events)
	return events, nil
}

// Preview fans out data that is not kept, to those who follow with previews. It never blocks on a reader.
func (l *Log) Preview(sessionID string, turn int64, data ...Data) {
	if len(data) == 0 {
		return
	}
	f, err := l.feed(sessionID)
	if err != nil {
		return
	}
	now := time.Now().UTC()
	events := make([]Event, len(data))
	for i, d := range data {
		events[i] = Event{Turn: turn, Time: now, Data: d}
	}
	f.publish(events)
}

// Read returns up to limit kept events above after, in order.
func (l *Log) Read(ctx context.Context, sessionID string, after int64, limit int) ([]Event, error) {
	events, err := l.store.ReadEvents(ctx, sessionID, after, limit)
	if err != nil {
		return nil, fmt.Errorf("reading events of %s: %w", sessionID, err)
	}
	return events, nil
}

// Last is the number of the newest kept event, 0 when there is none.
func (l *Log) Last(ctx context.Context, sessionID string) (int64, error) {
	last, err := l.store.LastEventID(ctx, sessionID)
	if err != nil {
		return 0, fmt.Errorf("reading the last event number of %s: %w", sessionID, err)
	}
	return last, nil
}

// Follow calls fn for every event above after, first the kept ones, then those to come, each once and in order, until ctx ends,
// fn fails, or the log ends (ErrClosed, ErrShutdown); what memory holds at that moment is still passed on. With previews, it also
// passes those published meanwhile, as far as fn keeps up. fn runs on the caller's goroutine; a slow one delays nobody else. more says
// that fn is called again at once, whatever happens, unless it fails: who writes can put off the flush.
func (l *Log) Follow(ctx context.Context, sessionID string, after int64, previews bool, fn func(e Event, more bool) error) error {
	f, err := l.feed(sessionID)
	if err != nil {
		return err
	}
	if _, err := f.load(ctx, l.store, sessionID); err != nil {
		return err
	}
	r := f.join(after)
	defer f.leave()
	page := pageMin
	for {
		batch, wake, state := f.since(r, previews)
		switch {
		case state == feedEnded:
			return f.why()
		case state == feedBehind:
			if batch, err = l.missed(ctx, sessionID, r.after, &page); err != nil {
				return err
			}
		case len(batch) == 0:
			select {
			case <-wake:
			case <-ctx.Done():
				return fmt.Errorf("following %s: %w", sessionID, ctx.Err())
			}
		}
		for i, e := range batch {
			if err := fn(e, i < len(batch)-1); err != nil {
				return err
			}
			if e.ID > 0 {
				r.after = e.ID
			}
		}
	}
}

// missed reads what a reader gets from the store, because memory has it no more, and adapts the size of the next page.
func (l *Log) missed(ctx context.Context, sessionID string, after int64, page *int) ([]Event, error) {
	batch, err := l.Read(ctx, sessionID, after, *page)
	if err != nil {
		return nil, err
	}
	if len(batch) == 0 {
		last, err := l.Last(ctx, sessionID)
		switch {
		case err != nil:
			return nil, err
		case last == 0:
			return nil, ErrClosed // removed, and about to be forgotten
		}
		return nil, fmt.Errorf("following %s: events after %d are missing from the store", sessionID, after)
	}
	bytes := 0
	for _, e := range batch {
		bytes += size(e.Data)
	}
	if bytes < pageBytes {
		*page = min(*page*2, pageMax)
	} else {
		*page = pageMin
	}
	return batch, nil
}

// Forget drops a session's live end and ends its followers. The kept events are the store's business.
func (l *Log) Forget(sessionID string) {
	l.mu.Lock()
	f := l.feeds[sessionID]
	delete(l.feeds, sessionID)
	l.mu.Unlock()
	if f != nil {
		f.end(ErrClosed)
	}
}

// Close ends all followers; they and later calls get ErrShutdown. It is safe to call twice.
func (l *Log) Close() {
	l.mu.Lock()
	feeds := l.feeds
	l.feeds, l.shut = map[string]*feed{}, true
	l.mu.Unlock()
	for _, f := range feeds {
		f.end(ErrShutdown)
	}
}
