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
		err := v.gateBelow(ctx, func(p string) error { return s.gates.Path(ctx, sessionID, "delete", p) })
		if err != nil {
			return err
		}
	}
	if err := v.files.Delete(ctx, v.path, recursive); err != nil {
		return translate(err)
	}
	return nil
}

// gateBelow calls gate for every path below v.
func (v *visit) gateBelow(ctx context.Context, gate func(path string) error) error {
	n, limit := 0, v.service.cfg.MaxExportEntries
	return translate(v.files.Tree(ctx, v.path, func(e agent.Entry) error {
		if n++; n > limit {
			return &TooLargeError{What: "entries", Limit: int64(limit), Got: int64(n)}
		}
		if err := checkListed(e.Raw(), v.path); err != nil {
			return err
		}
		return gate(e.Raw())
	}))
}
