package event

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
)

// TestFollowersGetAllOnceAndInOrder is the promise of the log under every interleaving we can make: writers, previews, readers that
// come at any time from any number, read at any speed, and fall behind the ring.
func TestFollowersGetAllOnceAndInOrder(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for seed := range rounds {
		interleave(t, rand.New(rand.NewPCG(uint64(seed), 1)), seed%2 == 0)
	}
}

// interleave runs one round. With one writer each preview says after which event it was published, and readers hold it to that.
func interleave(t *testing.T, rng *rand.Rand, oneWriter bool) {
	t.Helper()
	store := newMemory()
	l := NewLog(store)
	defer l.Close()
	writers := 1
	if !oneWriter {
		writers = 1 + rng.IntN(4)
	}
	each := 200 + rng.IntN(2500)
	total := int64(writers * each)
	var wg sync.WaitGroup
	for range writers {
		seed := rng.Uint64()
		wg.Go(func() { write(t, l, rand.New(rand.NewPCG(seed, 2)), each) })
	}
	for range 1 + rng.IntN(6) {
		seed, after, previews := rng.Uint64(), int64(0), rng.IntN(2) == 0
		if rng.IntN(2) == 0 {
			after = rng.Int64N(total)
		}
		wg.Go(func() {
			read(t, l, store, rand.New(rand.NewPCG(seed, 3)), after, total, previews, oneWriter)
		})
	}
	wg.Wait()
}

// write appends n events in batches and previews between them.
func write(t *testing.T, l *Log, rng *rand.Rand, n int) {
	seq := 0
	var last int64
	for n > 0 {
		if rng.IntN(3) == 0 {
			for range rng.IntN(40) {
				seq++
				l.Preview(session, last, place{Seq: seq})
			}
			continue
		}
		batch := make([]Data, min(n, 1+rng.IntN(60)))
		for i := range batch {
			batch[i] = text(i)
		}
		events, err := l.Append(context.Background(), session, 0, batch...)
		if err != nil {
			t.Error(err)
			return
		}
		last = events[len(events)-1].ID
		n -= len(batch)
	}
}

func read(t *testing.T, l *Log, store *memory, rng *rand.Rand, after, total int64, previews, placed bool) {
	ctx, cancel := context.WithTimeout(context.Background(), outer)
	defer cancel()
	last, seq := after, 0
	for last < total {
		// Now and then the connection breaks and the reader comes back with the number it has.
		patience := 1 + rng.IntN(2000)
		err := l.Follow(ctx, session, last, previews, func(e Event, _ bool) error {
			if p, ok := e.Data.(place); ok {
				if !previews {
					t.Error("a preview for one who did not ask")
				}
				if placed && (p.Seq <= seq || e.Turn > last || e.Turn < last && last > after) {
					t.Errorf("preview %d of event %d came after preview %d and event %d", p.Seq, e.Turn, seq, last)
				}
				seq = p.Seq
				return nil
			}
			if e.ID != last+1 {
				t.Errorf("got %d after %d", e.ID, last)
				return errStore
			}
			last = e.ID
			if last == total {
				return errDone
			}
			if rng.IntN(200) == 0 {
				// So slow that the ring goes on without it.
				store.await(min(total, last+int64(rng.IntN(3000))))
			}
			if patience--; patience == 0 {
				return errDone
			}
			return nil
		})
		if !errors.Is(err, errDone) {
			t.Errorf("after %d: %v", last, err)
			return
		}
	}
}

// place is a preview that knows its place among the previews; its event's Turn holds the number of the event before it.
type place struct{ Seq int }

// Type implements Data.
func (place) Type() Type { return TypeTextDelta }
