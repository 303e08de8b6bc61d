package workspace

import (
	"context"
	"strconv"
	"strings"

	"github.com/agcluster/agcluster/core/agent"
)

// Changes tells which files differ from what they were at a moment.
type Changes struct {
	// Since is the moment: launch, or turn:N for when turn N began.
	Since   string   `json:"since"`
	Changes []Change `json:"changes"`
	Total   int      `json:"total"`
	// Truncated says that there may be more changes than are told.
	Truncated bool `json:"truncated"`
}

// Change says that a file, a link or another thing that is no folder differs. A moved file is one deleted and one added.
type Change struct {
	// Path and PathBytes are as in Node.
	Path      string             `json:"path"`
	PathBytes []byte             `json:"path_bytes,omitempty"`
	Status    agent.ChangeStatus `json:"status" enum:"added,modified,deleted,unchanged"`
	// SizeBytes is the file's now; a deleted one's is what it was.
	SizeBytes int64 `json:"size_bytes"`
	// Additions and Deletions count lines, where both sides are known and texts.
	Additions *int `json:"additions,omitempty"`
	Deletions *int `json:"deletions,omitempty"`
	// Binary says that a side is no text.
	Binary bool `json:"binary"`
}

// FileChange shows how a file differs. The content of a link is what it points to.
type FileChange struct {
	Change

	// Before and After are texts in UTF-8; null when there was no file, and when Binary or Truncated says why it is not shown.
	Before *string `json:"before" nullable:"true"`
	After  *string `json:"after" nullable:"true"`
	// Truncated says that a side is not shown because it is larger than 1 MiB or was not kept.
	Truncated bool `json:"truncated"`
}

// Changes tells which files differ from what they were at a moment: "launch", "turn" (when the last turn began; the launch before the
// first) or "turn:N". Folders by themselves are not told. It fails with ErrNotFound when a turn has not begun, or how it found the
// workspace is not kept any more.
func (s *Service) Changes(ctx context.Context, sessionID, since string) (Changes, error) {
	if err := checkSince(since); err != nil {
		return Changes{}, err
	}
	v, err := s.enter(ctx, sessionID, "list", "", true)
	if err != nil {
		return Changes{}, err
	}
	defer v.release()
	list, err := v.files.Changes(ctx, since)
	if err != nil {
		return Changes{}, translate(err)
	}
	if checkSince(list.Since) != nil {
		return Changes{}, broken("changes since %q", list.Since)
	}
	out := Changes{Since: list.Since, Changes: make([]Change, 0, len(list.Changes)), Total: list.Total, Truncated: list.Truncated}
	for _, c := range list.Changes {
		if err := checkListed(c.Raw(), ""); err != nil {
			return Changes{}, err
		}
		out.Changes = append(out.Changes, newChange(c))
	}
	return out, nil
}

// Change shows how a file (see CleanPath) differs from what it was at a moment, see Changes; what has not changed is shown, too. No link is
// followed, neither on the way nor at the end. It fails with ErrNotFound when there is and was no such file.
func (s *Service) Change(ctx context.Context, sessionID, path, since string) (FileChange, error) {
	rel, err := notRoot(path)
	if err != nil {
		return FileChange{}, err
	}
	if err := checkSince(since); err != nil {
		return FileChange{}, err
	}
	// No link is followed, so the path that is judged is the one that is shown.
	if err := s.gates.Path(ctx, sessionID, "read", rel); err != nil {
		return FileChange{}, err
	}
	files, release, err := s.boxes.Open(ctx, sessionID)
	if err != nil {
		return FileChange{}, err
	}
	defer release()
	c, err := files.Change(ctx, rel, since)
	if err != nil {
		return FileChange{}, translate(err)
	}
	out := FileChange{Change: newChange(c.Change), Truncated: c.Truncated}
	before, isText := shown(c.Before)
	after, isTextToo := shown(c.After)
	if out.Binary = out.Binary || !isText || !isTextToo; !out.Binary {
		out.Before, out.After = before, after
	} else {
		out.Additions, out.Deletions = nil, nil
	}
	return out, nil
}

// shown is a content as a text; nil is none.
func shown(b []byte) (*string, bool) {
	if b == nil {
		return nil, true
	}
	t, ok := decode(b, false)
	if !ok || isPDF(b) {
		return nil, false
	}
	return &t.content, true
}

func newChange(c agent.Change) Change {
	return Change{
		Path: c.Path, PathBytes: c.PathBytes, Status: c.Status, SizeBytes: c.Size, Additions: c.Additions, Deletions: c.Deletions, Binary: c.Binary,
	}
}

func checkSince(since string) error {
	if since == "launch" || since == "turn" {
		return nil
	}
	text, ok := strings.CutPrefix(since, "turn:")
	if n, err := strconv.ParseInt(text, 10, 64); ok && err == nil && n > 0 && text[0] != '+' {
		return nil
	}
	return &InvalidError{"since", "must be launch, turn, or turn: and a number from 1"}
}
