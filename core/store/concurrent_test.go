package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/event"
)

// BenchmarkAppendEvents is one event of 1 KB, kept.
func BenchmarkAppendEvents(b *testing.B) {
	s := fresh(b)
	put(b, s, "conv-1")
	content := strings.Repeat("x", 1000)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		appendAll(b, s, "conv-1", texts(int64(i), content))
	}
}

func TestConcurrentWritersAndReaders(t *testing.T) {
	s := fresh(t)
	const sessions, writes = 4, 40
	for n := range sessions {
		put(t, s, fmt.Sprintf("conv-%d", n))
	}
	var wg sync.WaitGroup
	for n := range sessions {
		id := fmt.Sprintf("conv-%d", n)
		wg.Go(func() {
			for i := range writes {
				if err := s.AppendEvents(context.Background(), id, texts(int64(i), "x")); err != nil {
					t.Error(err)
					return
				}
				if err := s.Put(context.Background(), record(id, "owner", epoch)); err != nil {
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() {
			// What was once read is read again, in order, and there is never less of it.
			for last := int64(0); last < writes; {
				events, err := s.ReadEvents(context.Background(), id, last, 7)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range events {
					if e.ID != last+1 {
						t.Errorf("got %d after %d", e.ID, last)
						return
					}
					last = e.ID
				}
				if _, err := s.List(context.Background(), nil); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestCancelledContexts(t *testing.T) {
	s := fresh(t)
	put(t, s, "conv-1")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, call := range map[string]func() error{
		"put":    func() error { return s.Put(ctx, record("conv-2", "owner", epoch)) },
		"get":    func() error { _, err := s.Get(ctx, "conv-1"); return err },
		"list":   func() error { _, err := s.List(ctx, nil); return err },
		"delete": func() error { return s.Delete(ctx, "conv-1") },
		"append": func() error { return s.AppendEvents(ctx, "conv-1", texts(0, "one")) },
		"read":   func() error { _, err := s.ReadEvents(ctx, "conv-1", 0, 1); return err },
		"last":   func() error { _, err := s.LastEventID(ctx, "conv-1"); return err },
		"state":  func() error { return s.PutPolicyState(ctx, "conv-1", "p", json.RawMessage(`1`)) },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := s.Get(context.Background(), "conv-1"); err != nil {
		t.Error(err)
	}
	appendAll(t, s, "conv-1", texts(0, "one"))
}

// TestCancelsInTheMiddle cancels appends at any moment. What the log relies on: each is kept whole or not at all, the store can tell
// which, and it goes on working.
func TestCancelsInTheMiddle(t *testing.T) {
	s := fresh(t)
	put(t, s, "conv-1")
	l := event.NewLog(s)
	defer l.Close()
	const batch = 5
	data := make([]event.Data, batch)
	for i := range data {
		data[i] = event.Text{Content: strings.Repeat("x", 10_000)}
	}
	failed := 0
	for i := range 200 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*20*time.Microsecond)
		if _, err := l.Append(ctx, "conv-1", 1, data...); err != nil {
			if failed++; strings.Contains(err.Error(), "transaction has already") {
				t.Errorf("an error that says nothing: %v", err)
			}
		}
		cancel()
	}
	if _, err := l.Append(context.Background(), "conv-1", 1, data...); err != nil {
		t.Fatal(err)
	}
	events := read(t, s, "conv-1", 0, 10_000)
	if len(events)%batch != 0 || failed == 0 {
		t.Errorf("%d events, %d appends failed", len(events), failed)
	}
	for i, e := range events {
		if e.ID != int64(i+1) {
			t.Fatalf("event %d has number %d", i+1, e.ID)
		}
	}
}
