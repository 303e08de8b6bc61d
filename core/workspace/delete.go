package workspace

import (
	"context"
	"fmt"

	"github.com/agcluster/agcluster/core/agent"
)

// Delete removes a file, a link (never what it points to), or a folder (see CleanPath); one that is not empty only with recursive,
// else it is ErrConflict. The workspace itself can't be removed. Every path below a folder is put to the gate before anything goes.
func (s *Service) Delete(ctx context.Context, sessionID, path string, recursive bool) error {
	if _, err := notRoot(path); err != nil {
		return err
	}
	v, err := s.enter(ctx, sessionID, "delete", path, false)
	if err != nil {
		return err
	}
	defer v.release()
	if !v.exists() {
		return fmt.Errorf("%w: %q", ErrNotFound, path)
	}
	if recursive && v.entry.Type == agent.EntryDirectory {
		if err := v.gateBelow(ctx, wish{"delete", v.path}); err != nil {
			return err
		}
	}
	if err := v.files.Delete(ctx, v.path, recursive); err != nil {
		return translate(err)
	}
	return nil
}

// wish is what is to be done with everything below a folder, as it is called below under.
type wish struct{ op, under string }

// gateBelow puts every path below v to the gates, for each of the wishes. It asks about many at once: a folder may have 10,000.
func (v *visit) gateBelow(ctx context.Context, wishes ...wish) error {
	n, limit := 0, v.service.cfg.MaxExportEntries
	var paths []string
	bytes, longest := 0, 0
	for _, w := range wishes {
		longest = max(longest, len(w.under))
	}
	ask := func() error {
		for _, w := range wishes {
			under := make([]string, len(paths))
			for i, p := range paths {
				under[i] = w.under + p
			}
			if err := v.service.gates.Paths(ctx, v.sessionID, w.op, under); err != nil {
				return err
			}
		}
		paths, bytes = paths[:0], 0
		return nil
	}
	err := v.files.Tree(ctx, v.path, func(e agent.Entry) error {
		if n++; n > limit {
			return &TooLargeError{What: "entries", Limit: int64(limit), Got: int64(n)}
		}
		if err := checkListed(e.Raw(), v.path); err != nil {
			return err
		}
		rest := e.Raw()[len(v.path):]
		paths = append(paths, rest)
		if bytes += longest + len(rest); len(paths) < batchEntries && bytes < batchBytes {
			return nil
		}
		return ask()
	})
	if err == nil && len(paths) > 0 {
		err = ask()
	}
	return translate(err)
}
