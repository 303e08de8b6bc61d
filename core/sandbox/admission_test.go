package sandbox

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agcluster/agcluster/core/session"
)

func TestAdmissionIsInOrderAndTellsThePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(1, 8, func() {})
		first, err := a.enter(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []int
		places := make([][]int, 3)
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				leave, err := a.enter(t.Context(), func(position int) { places[i] = append(places[i], position) })
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				time.Sleep(time.Second)
				leave()
				leave() // twice is once
			})
			synctest.Wait()
		}
		if a.waiting() != 3 {
			t.Errorf("%d wait", a.waiting())
		}
		first()
		wg.Wait()
		if !slices.Equal(order, []int{0, 1, 2}) || !slices.Equal(places[0], []int{1, 0}) || !slices.Equal(places[2], []int{3, 2, 1, 0}) {
			t.Errorf("order %v, places %v", order, places)
		}
	})
}

func TestAFullQueueIsRefusedWithATimeToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(1, 1, func() {})
		leave, err := a.enter(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := a.enter(ctx, nil)
			gone <- err
		}()
		synctest.Wait()
		var busy *session.BusyError
		if _, err := a.enter(t.Context(), nil); !errors.As(err, &busy) || busy.Waiting != 1 || busy.RetryAfter < startGuess {
			t.Errorf("got %v", err)
		}
		// Who gives up makes room, and takes no slot.
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		leave()
		again, err := a.enter(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		again()
		if a.busy != 0 || a.waiting() != 0 {
			t.Errorf("%d busy, %d wait", a.busy, a.waiting())
		}
	})
}

func TestRefillsLeaveASlotForLaunches(t *testing.T) {
	kicks := 0
	a := newAdmission(3, 8, func() { kicks++ })
	first, ok1 := a.refill()
	second, ok2 := a.refill()
	if _, ok := a.refill(); ok || !ok1 || !ok2 {
		t.Errorf("got %v, %v, %v", ok1, ok2, ok)
	}
	leave, err := a.enter(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	first()
	second()
	if _, ok := a.refill(); !ok || kicks != 2 {
		t.Errorf("got %v after %d kicks", ok, kicks)
	}
	leave()
}

func TestARefillDoesNotOvertakeALaunch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(1, 8, func() {})
		refill, _ := a.refill()
		admitted := make(chan func(), 1)
		go func() {
			leave, err := a.enter(t.Context(), nil)
			if err != nil {
				t.Error(err)
			}
			admitted <- leave
		}()
		synctest.Wait()
		if _, ok := a.refill(); ok {
			t.Error("it overtook")
		}
		refill()
		leave := <-admitted
		if _, ok := a.refill(); ok {
			t.Error("there was no slot")
		}
		leave()
	})
}

// TestManyEnterAndGiveUp storms one admission and checks that no slot is lost or given twice.
func TestManyEnterAndGiveUp(t *testing.T) {
	a := newAdmission(2, 1000, func() {})
	var inside, most int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if i%3 == 0 {
				go cancel()
			}
			leave, err := a.enter(ctx, nil)
			if err != nil {
				return
			}
			mu.Lock()
			inside++
			most = max(most, inside)
			mu.Unlock()
			mu.Lock()
			inside--
			mu.Unlock()
			leave()
		})
	}
	wg.Wait()
	if most > 2 || a.busy != 0 || a.waiting() != 0 {
		t.Errorf("%d inside, %d busy, %d wait", most, a.busy, a.waiting())
	}
}
