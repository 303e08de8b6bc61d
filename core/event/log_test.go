package event

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestConcurrentAppendsAreNumberedWithoutGaps(t *testing.T) {
	store := newMemory()
	l := NewLog(store)
	defer l.Close()
	var wg sync.WaitGroup
	const writers, appends = 16, 50
	for w := range writers {
		wg.Go(func() {
			for i := range appends {
				batch := make([]Data, 1+(w+i)%3)
				for j := range batch {
					batch[j] = text(w)
				}
				events, err := l.Append(context.Background(), session, 1, batch...)
				if err != nil {
					t.Error(err)
					return
				}
				for j := 1; j < len(events); j++ {
					if events[j].ID != events[j-1].ID+1 {
						t.Errorf("a batch was torn apart: %d after %d", events[j].ID, events[j-1].ID)
					}
				}
			}
		})
	}
	wg.Wait()
	// The fake store refuses any number but the next one, so what is there has no gap and no double.
	if last, err := store.LastEventID(context.Background(), session); err != nil || last < writers*appends {
		t.Errorf("got %d, %v", last, err)
	}
}

func TestAppendOfNothingIsNothing(t *testing.T) {
	l := NewLog(newMemory())
	defer l.Close()
	if events, err := l.Append(context.Background(), session, 1); err != nil || len(events) != 0 {
		t.Errorf("got %v, %v", events, err)
	}
}

func TestFailedAppendNeitherReusesNorSkipsNumbers(t *testing.T) {
	for _, tc := range []struct {
		name string
		// kept says whether the store has the event although it failed.
		kept          bool
		before, after func(context.Context, []Event) error
	}{
		{name: "the store refuses", before: func(context.Context, []Event) error { return errStore }},
		{name: "the commit is cancelled before it happened", before: func(context.Context, []Event) error { return context.Canceled }},
		{name: "the commit happened and its answer was lost", kept: true, after: func(context.Context, []Event) error { return context.Canceled }},
	} {
		for _, followed := range []bool{false, true} {
			name := tc.name
			if followed {
				name += ", somebody follows"
			}
			t.Run(name, func(t *testing.T) {
				store := newMemory()
				l := NewLog(store)
				defer l.Close()
				add(t, l, text(1), text(2))
				var f *follower
				if followed {
					f = follow(t, l, 0, false)
				}
				store.before, store.after = tc.before, tc.after
				if _, err := l.Append(context.Background(), session, 1, text(3)); err == nil {
					t.Fatal("the append must fail")
				}
				store.before, store.after = nil, nil
				want := int64(3)
				if tc.kept {
					want = 4
				}
				if got := add(t, l, text(4)); got[0].ID != want {
					t.Errorf("the next event is %d, want %d", got[0].ID, want)
				}
				if !followed {
					return
				}
				for n := range want {
					if e := f.next(t); e.ID != n+1 {
						t.Fatalf("the follower got %d, want %d", e.ID, n+1)
					}
				}
				f.stop()
				if err := f.end(t); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
	}
}

func TestAppendGivesUpWaitingWhenItsContextEnds(t *testing.T) {
	store := newMemory()
	entered, release := make(chan struct{}), make(chan struct{})
	store.before = func(context.Context, []Event) error {
		close(entered)
		<-release
		return nil
	}
	l := NewLog(store)
	defer l.Close()
	var wg sync.WaitGroup
	wg.Go(func() { add(t, l, text(1)) })
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.Append(ctx, session, 1, text(2)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	store.before = nil
	close(release)
	wg.Wait()
	if got := add(t, l, text(2)); got[0].ID != 2 {
		t.Errorf("got %d, want 2", got[0].ID)
	}
}

func TestFollowReplaysThenGoesOn(t *testing.T) {
	l := NewLog(newMemory())
	defer l.Close()
	for n := 1; n <= 300; n++ {
		add(t, l, text(n))
	}
	f := follow(t, l, 200, false)
	for n := int64(201); n <= 300; n++ {
		if e := f.next(t); e.ID != n {
			t.Fatalf("got %d, want %d", e.ID, n)
		}
	}
	add(t, l, text(301))
	if e := f.next(t); e.ID != 301 || e.Data != text(301) || e.Turn != 1 {
		t.Errorf("got %+v", e)
	}
	f.stop()
	if err := f.end(t); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestFollowEndsWithTheErrorOfItsFunction(t *testing.T) {
	l := NewLog(newMemory())
	defer l.Close()
	add(t, l, text(1))
	err := l.Follow(context.Background(), session, 0, false, func(Event, bool) error { return errDone })
	if !errors.Is(err, errDone) {
		t.Errorf("got %v", err)
	}
}

func TestPreviewsAreForThoseWhoAsk(t *testing.T) {
	l := NewLog(newMemory())
	defer l.Close()
	with, without := follow(t, l, 0, true), follow(t, l, 0, false)
	joined(t, l, 2)
	l.Preview(session, 1, TextDelta{Content: "a"})
	add(t, l, text(1))
	if e := with.next(t); e.ID != 0 || e.Turn != 1 || e.Data != (TextDelta{Content: "a"}) {
		t.Errorf("got %+v", e)
	}
	if e := with.next(t); e.ID != 1 {
		t.Errorf("got %+v", e)
	}
	if e := without.next(t); e.ID != 1 {
		t.Errorf("got %+v", e)
	}
	later := follow(t, l, 0, true)
	if e := later.next(t); e.ID != 1 {
		t.Errorf("a preview from before it came: %+v", e)
	}
	for _, f := range []*follower{with, without, later} {
		f.stop()
		if err := f.end(t); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// TestNoPreviewAfterTheEventItPreceded is the case of a reader that has got an event from the store which is not published yet.
func TestNoPreviewAfterTheEventItPreceded(t *testing.T) {
	store := newMemory()
	l := NewLog(store)
	defer l.Close()
	add(t, l, text(1))
	f, err := l.feed(session)
	if err != nil {
		t.Fatal(err)
	}
	r := f.join(0)
	defer f.leave()
	l.Preview(session, 1, TextDelta{Content: "before 2"})
	store.after = func(context.Context, []Event) error {
		// Kept and not published: at this moment a slow reader sees 1 and 2 in the store.
		r.after = 2
		batch, _, state := f.since(r, true)
		if state != feedCurrent || len(batch) != 0 {
			t.Errorf("got %+v, state %d", batch, state)
		}
		return nil
	}
	add(t, l, text(2))
	l.Preview(session, 1, TextDelta{Content: "after 2"})
	batch, _, state := f.since(r, true)
	if state != feedCurrent || len(batch) != 1 || batch[0].Data != (TextDelta{Content: "after 2"}) {
		t.Errorf("got %+v, state %d", batch, state)
	}
}

func TestForgetAndCloseEndFollowers(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(*Log)
		want error
	}{
		{"forget", func(l *Log) { l.Forget(session) }, ErrClosed},
		{"close", func(l *Log) { l.Close() }, ErrShutdown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := NewLog(newMemory())
			defer l.Close()
			add(t, l, text(1))
			idle := follow(t, l, 0, true)
			if e := idle.next(t); e.ID != 1 {
				t.Fatalf("got %+v", e)
			}
			tc.end(l)
			if err := idle.end(t); !errors.Is(err, tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhatWasPublishedBeforeTheEndIsStillPassedOn(t *testing.T) {
	l := NewLog(newMemory())
	entered, release := make(chan struct{}, 1), make(chan struct{})
	var got []int64
	done := make(chan error, 1)
	go func() {
		done <- l.Follow(context.Background(), session, 0, false, func(e Event, _ bool) error {
			if e.ID == 1 {
				entered <- struct{}{}
				<-release
			}
			got = append(got, e.ID)
			return nil
		})
	}()
	joined(t, l, 1)
	add(t, l, text(1))
	<-entered
	add(t, l, text(2))
	add(t, l, Complete{Status: CompleteFailed})
	l.Forget(session)
	close(release)
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if len(got) != 3 {
		t.Errorf("the reader missed the end: got %v", got)
	}
	l.Close()
}

func TestAfterCloseNothingGoes(t *testing.T) {
	l := NewLog(newMemory())
	add(t, l, text(1))
	l.Close()
	l.Close()
	if _, err := l.Append(context.Background(), session, 1, text(2)); !errors.Is(err, ErrShutdown) {
		t.Errorf("append: got %v", err)
	}
	if err := l.Follow(context.Background(), session, 0, false, nil); !errors.Is(err, ErrShutdown) {
		t.Errorf("follow: got %v", err)
	}
	l.Preview(session, 1, TextDelta{})
	l.Forget(session)
}

func TestAFollowerOfARemovedLogEnds(t *testing.T) {
	store := newMemory()
	l := NewLog(store)
	defer l.Close()
	for n := range 10 {
		add(t, l, text(n))
	}
	err := l.Follow(context.Background(), session, 0, false, func(e Event, _ bool) error {
		store.remove(session)
		return nil
	})
	if !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestAHoleInTheStoreIsAnError(t *testing.T) {
	store := newMemory()
	l := NewLog(store)
	defer l.Close()
	add(t, l, text(1), text(2))
	f, err := l.feed(session)
	if err != nil {
		t.Fatal(err)
	}
	f.last = 5 // as if the store had lost what it acknowledged
	err = l.Follow(context.Background(), session, 2, false, func(Event, bool) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "missing from the store") {
		t.Errorf("got %v", err)
	}
}

func TestMemoryHoldsNothingWithoutReaders(t *testing.T) {
	l := NewLog(newMemory())
	defer l.Close()
	f := follow(t, l, 0, true)
	for n := range 500 {
		add(t, l, text(n))
		l.Preview(session, 1, TextDelta{Content: "x"})
	}
	f.stop()
	if err := f.end(t); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	add(t, l, text(500))
	l.Preview(session, 1, TextDelta{Content: "x"})
	fd, err := l.feed(session)
	if err != nil {
		t.Fatal(err)
	}
	fd.mu.Lock()
	defer fd.mu.Unlock()
	if fd.ring != nil || fd.bytes != 0 || fd.readers != 0 {
		t.Errorf("%d entries, %d bytes, %d readers", len(fd.ring), fd.bytes, fd.readers)
	}
}

func TestTheRingIsBounded(t *testing.T) {
	for _, tc := range []struct {
		name string
		data Data
		n    int
	}{
		{"by entries", text(1), 3 * ringSize},
		{"by bytes", Text{Content: strings.Repeat("x", ringBytes/3)}, 10},
		{"also for one that is larger than all", Text{Content: strings.Repeat("x", ringBytes+1)}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := NewLog(newMemory())
			defer l.Close()
			f, err := l.feed(session)
			if err != nil {
				t.Fatal(err)
			}
			f.join(0)
			for range tc.n {
				add(t, l, tc.data)
				sum := 0
				for _, e := range f.ring {
					sum += size(e.Data)
				}
				if len(f.ring) > ringSize || f.bytes > ringBytes || sum != f.bytes {
					t.Fatalf("%d entries, %d bytes counted, %d there", len(f.ring), f.bytes, sum)
				}
			}
			f.leave()
			got := 0
			err = l.Follow(context.Background(), session, 0, false, func(Event, bool) error {
				if got++; got == tc.n {
					return errDone
				}
				return nil
			})
			if !errors.Is(err, errDone) || got != tc.n {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}

func TestLargeEventsAreReadInSmallPages(t *testing.T) {
	for _, tc := range []struct {
		name string
		data Data
		want int
	}{
		{"large", Text{Content: strings.Repeat("x", 1<<20)}, pageMin},
		{"small", text(1), pageMax},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store := newMemory()
			l := NewLog(store)
			defer l.Close()
			const n = 1200
			for range n {
				add(t, l, tc.data)
			}
			err := l.Follow(context.Background(), session, 0, false, func(e Event, _ bool) error {
				if e.ID == n {
					return errDone
				}
				return nil
			})
			if !errors.Is(err, errDone) || store.largest != tc.want {
				t.Errorf("largest page %d, want %d; %v", store.largest, tc.want, err)
			}
		})
	}
}

func TestIdleFollowersCostNothing(t *testing.T) {
	// In a bubble, a follower that polled would keep the clock from standing still or the test from ending.
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		l := NewLog(store)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Follow(ctx, session, 0, true, func(Event, bool) error { return nil }) }()
		time.Sleep(24 * time.Hour) // on the bubble's clock
		synctest.Wait()
		if store.reads != 0 {
			t.Errorf("%d reads of the store for nothing", store.reads)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		l.Close()
	})
}

// TestMoreIsKept: whoever puts something off because more comes is called again.
func TestMoreIsKept(t *testing.T) {
	l := NewLog(newMemory())
	defer l.Close()
	for n := range 700 {
		add(t, l, text(n))
	}
	last, held := int64(0), 0
	err := l.Follow(context.Background(), session, 0, false, func(e Event, more bool) error {
		last = e.ID
		if held++; !more {
			held = 0
		}
		if e.ID == 700 {
			return errDone
		}
		return nil
	})
	if !errors.Is(err, errDone) || last != 700 || held != 0 {
		t.Errorf("%v at %d with %d put off", err, last, held)
	}
}
