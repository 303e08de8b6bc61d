package session

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/event"
)

// keep writes the record as it is now. Writers take turns, so that no older state overwrites a newer one, and none brings back what
// was removed (ErrNotFound).
func (s *Service) keep(ctx context.Context, l *live) error {
	leave, err := l.save(ctx)
	if err != nil {
		return err
	}
	defer leave()
	l.mu.Lock()
	rec, removed := l.rec, l.removed
	l.mu.Unlock()
	if removed {
		return ErrNotFound
	}
	return s.store.Put(ctx, rec)
}

// noteRecord keeps the record where nobody can be told that it failed: the next write mends it.
func (s *Service) noteRecord(ctx context.Context, l *live) {
	if err := s.keep(ctx, l); err != nil && !errors.Is(err, ErrNotFound) {
		s.zap.Error("keeping a session's state", zap.String("session", l.id), zap.Error(err))
	}
}

// erase deletes the record with everything kept for it.
func (s *Service) erase(ctx context.Context, l *live) error {
	leave, err := l.save(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := s.store.Delete(ctx, l.id); err != nil {
		return err
	}
	l.mu.Lock()
	l.removed = true
	l.mu.Unlock()
	s.drop(l)
	return nil
}

func (l *live) save(ctx context.Context) (leave func(), err error) {
	select {
	case l.saving <- struct{}{}:
		return func() { <-l.saving }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting to write the record of %s: %w", l.id, ctx.Err())
	}
}

// mend ends a session's newest turn in the log, unless it has its Complete already: the record may be older than the log, and an
// append that failed may have happened. It returns up to where the log is known to be whole.
func (s *Service) mend(ctx context.Context, rec Session, last ...event.Data) (int64, error) {
	after, begun := rec.LastComplete, false
	for {
		page, err := s.log.Read(ctx, rec.ID, after, 64)
		if err != nil {
			return 0, err
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			after = e.ID
			if e.Turn != rec.Turn {
				continue
			}
			begun = true
			if e.Data.Type() == event.TypeComplete {
				return after, nil
			}
		}
	}
	if !begun {
		return after, nil
	}
	if last[len(last)-1].Type() != event.TypeComplete {
		last = append(last, event.Complete{Status: event.CompleteFailed})
	}
	kept, err := s.log.Append(ctx, rec.ID, rec.Turn, last...)
	if err != nil {
		return 0, err
	}
	return kept[len(kept)-1].ID, nil
}
