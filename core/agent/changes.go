package agent

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

const (
	// MaxChangeText bounds each side of a FileChange, in bytes.
	MaxChangeText = 1 << 20
	// MaxChanges bounds a ChangeList.
	MaxChanges = 2000
	// maxChangeAnswer bounds both as JSON, in bytes: the longest paths of a full list, escaped, or two sides as base64.
	maxChangeAnswer = 32 << 20
)

// ChangeStatus says how a file differs.
type ChangeStatus string

// The ways in which a file differs. Unchanged is only told of a file that was asked for.
const (
	Added     ChangeStatus = "added"
	Modified  ChangeStatus = "modified"
	Deleted   ChangeStatus = "deleted"
	Unchanged ChangeStatus = "unchanged"
)

// Change says that a file differs from what it was. The content of a link is what it points to.
type Change struct {
	// Path and PathBytes are as in Entry.
	Path      string       `json:"path"`
	PathBytes []byte       `json:"path_bytes,omitempty"`
	Status    ChangeStatus `json:"status"`
	// Size in bytes is the file's now; a deleted one's is what it was.
	Size int64 `json:"size"`
	// Additions and Deletions count lines; nil when a side is not known, or is no text.
	Additions *int `json:"additions,omitempty"`
	Deletions *int `json:"deletions,omitempty"`
	// Binary says that a side is known to be no text.
	Binary bool `json:"binary,omitempty"`
}

// ChangeList is the answer of GET /v1/changes.
type ChangeList struct {
	// Since is what the workspace was compared with: launch or turn:N.
	Since string `json:"since"`
	// Changes are sorted by path, those of package and version stores (node_modules, .git) last.
	Changes []Change `json:"changes"`
	Total   int      `json:"total"`
	// Truncated says that there may be more than is told: over MaxChanges, or in a workspace that is too large to be compared whole.
	Truncated bool `json:"truncated,omitempty"`
}

// FileChange is the answer of GET /v1/change.
type FileChange struct {
	Change

	// Before and After are the file's content; nil when there was no file, and where it is not shown.
	Before []byte `json:"before"`
	After  []byte `json:"after"`
	// Truncated says that a side is not shown because it is too large or was not kept.
	Truncated bool `json:"truncated,omitempty"`
}

// NewChange returns a Change for a path whose bytes may be no UTF-8.
func NewChange(path string) Change {
	e := NewEntry(path)
	return Change{Path: e.Path, PathBytes: e.PathBytes}
}

// Raw is the change's path with the bytes it has on disk.
func (c Change) Raw() string { return Entry{Path: c.Path, PathBytes: c.PathBytes}.Raw() }

// check refuses a change that no honest agent server sends.
func (c Change) check() error {
	if err := (Entry{Path: c.Path, PathBytes: c.PathBytes, Type: EntryFile, Size: c.Size}).check(); err != nil {
		return err
	}
	for _, n := range []*int{c.Additions, c.Deletions} {
		if n != nil && (*n < 0 || *n > MaxChangeText) {
			return fmt.Errorf("%w: an impossible number of lines", ErrProtocol)
		}
	}
	switch c.Status {
	case Added, Modified, Deleted, Unchanged:
		return nil
	default:
		return fmt.Errorf("%w: unknown status of a change", ErrProtocol)
	}
}

// Changes tells which files differ from what they were at the launch, when the last turn began (turn), or when turn N did (turn:N). It fails
// with ErrNotFound when that is not kept any more.
func (c *Client) Changes(ctx context.Context, since string) (ChangeList, error) {
	var list ChangeList
	if err := c.changes(ctx, "/v1/changes", url.Values{"since": {since}}, &list); err != nil {
		return ChangeList{}, fmt.Errorf("looking for changes: %w", err)
	}
	if len(list.Changes) > MaxChanges || list.Total < len(list.Changes) || len(list.Since) > 64 {
		return ChangeList{}, fmt.Errorf("looking for changes: %w: an impossible list", ErrProtocol)
	}
	for _, ch := range list.Changes {
		if err := ch.check(); err != nil {
			return ChangeList{}, fmt.Errorf("looking for changes: %w", err)
		}
	}
	return list, nil
}

// Change tells how a file differs from what it was; path goes through no link. It fails with ErrNotFound when there is none on either side.
func (c *Client) Change(ctx context.Context, path, since string) (FileChange, error) {
	q := pathQuery(path)
	q.Set("since", since)
	var change FileChange
	err := c.changes(ctx, "/v1/change", q, &change)
	if err == nil {
		err = change.check()
	}
	if err == nil && (change.Raw() != path || len(change.Before) > MaxChangeText || len(change.After) > MaxChangeText) {
		err = fmt.Errorf("%w: not what was asked for", ErrProtocol)
	}
	if err != nil {
		return FileChange{}, fmt.Errorf("looking at the change of %q: %w", path, err)
	}
	return change, nil
}

func (c *Client) changes(ctx context.Context, path string, query url.Values, out any) error {
	res, err := c.do(ctx, http.MethodGet, path, query, nil, -1)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end or given up
	return decode(res, maxChangeAnswer, out)
}
