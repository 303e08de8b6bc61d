package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agcluster/agcluster/core/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	userKey = "sk-ant-made-up"
	// outer bounds what a test waits for; nothing here takes a tenth of it.
	outer = 30 * time.Second
)

var (
	errDone = errors.New("enough")
	errFake = errors.New("made to fail")
)

// memory is a Store and an event.Store that keeps to what the database's schema enforces: numbers are unique, and events belong to a
// session that is there.
type memory struct {
	mu      sync.Mutex
	records map[string][]byte
	events  map[string][]event.Event
	// ever holds also the events of sessions that are gone.
	ever map[string][]event.Event
	fail func(op string, events []event.Event) error
	// lie makes an append that happened look as if it had failed.
	lie func(events []event.Event) error
}

var (
	_ Store       = (*memory)(nil)
	_ event.Store = (*memory)(nil)
)

func newMemory() *memory {
	return &memory{records: map[string][]byte{}, events: map[string][]event.Event{}, ever: map[string][]event.Event{}}
}

func (m *memory) begin(ctx context.Context, op string, events []event.Event) error {
	m.mu.Lock()
	fail := m.fail
	m.mu.Unlock()
	if fail != nil {
		if err := fail(op, events); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (m *memory) failing(fail func(op string, events []event.Event) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

func (m *memory) Put(ctx context.Context, s Session) error {
	if err := m.begin(ctx, "put", nil); err != nil {
		return err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[s.ID] = b
	return nil
}

func (m *memory) Get(ctx context.Context, id string) (rec Session, err error) {
	if err := m.begin(ctx, "get", nil); err != nil {
		return rec, err
	}
	m.mu.Lock()
	b, ok := m.records[id]
	m.mu.Unlock()
	if !ok {
		return rec, ErrNotFound
	}
	return rec, json.Unmarshal(b, &rec)
}

func (m *memory) List(ctx context.Context, owner []byte) ([]Session, error) {
	if err := m.begin(ctx, "list", nil); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []Session
	for _, b := range m.records {
		var rec Session
		if err := json.Unmarshal(b, &rec); err != nil {
			return nil, err
		}
		if owner == nil || string(owner) == string(rec.Owner) {
			list = append(list, rec)
		}
	}
	slices.SortFunc(list, func(a, b Session) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return list, nil
}

func (m *memory) Delete(ctx context.Context, id string) error {
	if err := m.begin(ctx, "delete", nil); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.records, id)
	delete(m.events, id)
	return nil
}

func (m *memory) AppendEvents(ctx context.Context, id string, events []event.Event) error {
	if err := m.begin(ctx, "append", events); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.records[id]; !ok {
		return errors.New("foreign key constraint: no session " + id)
	}
	for i, e := range events {
		if e.ID != int64(len(m.events[id])+i+1) {
			return fmt.Errorf("unique constraint: event %d", e.ID)
		}
	}
	m.events[id] = append(m.events[id], events...)
	m.ever[id] = append(m.ever[id], events...)
	if m.lie != nil {
		return m.lie(events)
	}
	return nil
}

func (m *memory) ReadEvents(ctx context.Context, id string, after int64, limit int) ([]event.Event, error) {
	if err := m.begin(ctx, "read", nil); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.events[id]
	from := min(int(after), len(all))
	return slices.Clone(all[from:min(from+limit, len(all))]), nil
}

func (m *memory) LastEventID(ctx context.Context, id string) (int64, error) {
	if err := m.begin(ctx, "last", nil); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.events[id])), nil
}

func (m *memory) record(tb testing.TB, id string) (Session, bool) {
	tb.Helper()
	rec, err := m.Get(context.Background(), id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		tb.Fatal(err)
	}
	return rec, err == nil
}
