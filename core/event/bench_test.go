package event

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
)

// nowhere is a Store that keeps nothing, so that the benchmarks measure the log itself.
type nowhere struct{}

func (nowhere) AppendEvents(context.Context, string, []Event) error { return nil }

func (nowhere) ReadEvents(_ context.Context, _ string, after int64, limit int) ([]Event, error) {
	events := make([]Event, limit)
	for i := range events {
		events[i] = Event{ID: after + int64(i) + 1, Data: Text{Content: "x"}}
	}
	return events, nil
}

func (nowhere) LastEventID(context.Context, string) (int64, error) { return 0, nil }

// BenchmarkAppend is an append with its fan-out: an operation is over when every subscriber has the event.
func BenchmarkAppend(b *testing.B) {
	for _, subscribers := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			l := NewLog(nowhere{})
			defer l.Close()
			var wg sync.WaitGroup
			last := int64(b.N)
			for range subscribers {
				wg.Go(func() {
					err := l.Follow(context.Background(), session, 0, false, func(e Event, _ bool) error {
						if e.ID >= last {
							return errDone
						}
						return nil
					})
					if !errors.Is(err, errDone) {
						b.Error(err)
					}
				})
			}
			if subscribers > 0 {
				joined(b, l, subscribers)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				add(b, l, Text{Content: "x"})
			}
			wg.Wait()
		})
	}
}

// BenchmarkPreview is a delta with its fan-out.
func BenchmarkPreview(b *testing.B) {
	for _, subscribers := range []int{1, 100} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			l := NewLog(nowhere{})
			defer l.Close()
			var wg sync.WaitGroup
			for range subscribers {
				wg.Go(func() {
					err := l.Follow(context.Background(), session, 0, true, func(e Event, _ bool) error {
						if e.ID > 0 {
							return errDone
						}
						return nil
					})
					if !errors.Is(err, errDone) {
						b.Error(err)
					}
				})
			}
			joined(b, l, subscribers)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				l.Preview(session, 1, TextDelta{Content: "x"})
			}
			add(b, l, Complete{})
			wg.Wait()
		})
	}
}
