package sandbox

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"
)

// run tends the shelves until the pool is closed.
func (s *spares) run() {
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	for {
		select {
		case <-s.kicked:
		case <-tick.C:
			s.check()
		case <-s.pool.closed:
			return
		}
		s.refill()
	}
}

// refill starts spares as long as some are wanted, there is room, and no launch needs the processor.
func (s *spares) refill() {
	for {
		sh := s.neediest()
		if sh == nil {
			return
		}
		leave, ok := s.pool.admission.refill()
		if !ok {
			return // its end kicks
		}
		left, err := s.pool.enter()
		if err != nil {
			leave()
			return
		}
		s.mu.Lock()
		s.starting++
		sh.starting++
		s.mu.Unlock()
		go func() {
			defer left()
			s.make(sh, leave)
		}()
	}
}

// neediest is the shelf, of those that lack spares and may get one now, which was wanted last. Where there is no room, spares of
// shelves that were wanted longer ago make it.
func (s *spares) neediest() *shelf {
	s.mu.Lock()
	var out []*Sandbox
	defer func() {
		s.mu.Unlock()
		for _, spare := range out {
			s.remove(spare)
		}
	}()
	now := time.Now()
	if now.Before(s.calm) {
		return nil // its end kicks
	}
	byUse := make([]*shelf, 0, len(s.shelves))
	for _, sh := range s.shelves {
		byUse = append(byUse, sh)
	}
	slices.SortFunc(byUse, func(a, b *shelf) int { return b.used().Compare(a.used()) })
	for i, sh := range byUse {
		if len(sh.ready)+sh.starting >= s.target(sh, now) || now.Before(sh.retry) {
			continue
		}
		for j := len(byUse) - 1; j > i && byUse[j].used().Before(sh.used()) && !s.room(); j-- {
			for len(byUse[j].ready) > 0 && !s.room() {
				out = append(out, byUse[j].ready[0])
				s.drop(byUse[j], 0)
			}
		}
		if s.room() {
			return sh
		}
		return nil
	}
	return nil
}

func (sh *shelf) used() time.Time {
	if len(sh.launches) == 0 {
		return time.Time{}
	}
	return sh.launches[len(sh.launches)-1]
}

// target is how many spares a shelf should have. It needs mu.
func (s *spares) target(sh *shelf, now time.Time) int {
	n := 0
	if sh.pinned {
		n = 1
	}
	if now.Sub(sh.used()) < s.cfg.MaxAge {
		n = max(n, len(sh.recent(now)))
	}
	return min(n, s.cfg.Size)
}

// room says whether one more spare is allowed. It needs mu.
func (s *spares) room() bool {
	n := s.starting
	for _, sh := range s.shelves {
		n += len(sh.ready)
	}
	if n >= s.cfg.Max {
		return false
	}
	return s.cfg.MemoryBytes <= 0 || s.memory+int64(s.starting+1)*s.heaviest <= s.cfg.MemoryBytes
}

// check removes spares that are unwell, too old, or not wanted any more.
func (s *spares) check() {
	now := time.Now()
	s.mu.Lock()
	var out, kept []*Sandbox
	for key, sh := range s.shelves {
		unwanted := !sh.pinned && now.Sub(sh.used()) >= s.cfg.MaxAge
		for i := len(sh.ready) - 1; i >= 0; i-- {
			spare := sh.ready[i]
			if unwanted || now.Sub(spare.born) >= s.cfg.MaxAge {
				out = append(out, spare)
				s.drop(sh, i)
				continue
			}
			kept = append(kept, spare)
		}
		if unwanted && sh.starting == 0 {
			delete(s.shelves, key)
		}
	}
	s.mu.Unlock()
	for _, spare := range kept {
		ctx, cancel := context.WithTimeout(s.pool.ctx, probeTimeout)
		err := spare.well(ctx)
		cancel()
		// Whoever claimed it meanwhile found out as well.
		if err != nil && s.pool.ctx.Err() == nil && s.forget(spare) {
			s.pool.log.Warn("a spare is unwell", zap.String("sandbox", spare.id), zap.Error(err))
			out = append(out, spare)
		}
	}
	for _, spare := range out {
		s.remove(spare)
	}
}

// forget takes a spare off its shelf, and says whether it was there.
func (s *spares) forget(spare *Sandbox) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shelves {
		if i := slices.Index(sh.ready, spare); i >= 0 {
			s.drop(sh, i)
			return true
		}
	}
	return false
}

// takeAll empties the shelves.
func (s *spares) takeAll() []*Sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Sandbox
	for _, sh := range s.shelves {
		all = append(all, sh.ready...)
		sh.ready = nil
	}
	s.memory = 0
	return all
}
