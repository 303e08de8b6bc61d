package sandbox

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestASpareWaitsUntilAClaimHasHadItsSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &spares{cfg: SpareConfig{Size: 1, Max: 1, MaxAge: time.Hour}, kicked: make(chan struct{}, 1), shelves: map[string]*shelf{}}
		wanted := &shelf{pinned: true}
		s.shelves["k"] = wanted
		if s.neediest() != wanted {
			t.Fatal("nobody has claimed anything, and no spare is begun")
		}
		began := time.Now()
		s.calmDown()
		time.Sleep(calmAfter / 2) // on the bubble's clock
		s.calmDown()
		if s.neediest() != nil {
			t.Error("a spare is begun while somebody waits for an answer")
		}
		<-s.kicked
		if took := time.Since(began); took != calmAfter || s.neediest() != wanted {
			t.Errorf("after %s: %v", took, s.neediest())
		}
		time.Sleep(calmAfter) // on the bubble's clock
		synctest.Wait()
	})
}
