package workspace

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/agcluster/agcluster/core/agent"
)

const (
	// maxPath and maxName bound a path and one name in it, in bytes, as Linux does.
	maxPath = 4096
	maxName = 255
	// maxLinks bounds how many links one path may lead through, as Linux does.
	maxLinks = 40
)

// CleanPath turns a path from a client into one relative to /workspace; "" is the workspace itself. It takes bytes: a name that is
// no UTF-8 is addressed by percent-encoding its bytes in a URL (see PathBytes of Node). It must be decoded exactly once before:
// what still looks encoded is a literal name. "/workspace/x" is x, one slash at the end is allowed, and "." alone is the workspace.
// Anything else that is not plainly one path of the workspace is an *InvalidPathError: another absolute path, "..", ".", empty
// parts, NUL, more than 4096 bytes or 255 in a part. A backslash is a character like any other.
func CleanPath(raw string) (string, error) {
	bad := func(reason string) (string, error) { return "", &InvalidPathError{raw, reason} }
	if len(raw) > maxPath {
		return "", &InvalidPathError{raw[:64] + "…", fmt.Sprintf("has %d bytes, the limit is %d", len(raw), maxPath)}
	}
	if strings.ContainsRune(raw, 0) {
		return bad("has a NUL in it")
	}
	rel := raw
	if strings.HasPrefix(raw, "/") {
		after, ok := strings.CutPrefix(raw, Root)
		if !ok || (after != "" && after[0] != '/') {
			return bad("is outside of " + Root)
		}
		rel = strings.TrimPrefix(after, "/")
	}
	if rel == "" || rel == "." {
		return "", nil
	}
	rel = strings.TrimSuffix(rel, "/")
	for part := range strings.SplitSeq(rel, "/") {
		switch {
		case part == "":
			return bad("has an empty part")
		case part == "." || part == "..":
			return bad("has a part that is " + part)
		case len(part) > maxName:
			return bad(fmt.Sprintf("has a part of %d bytes, the limit is %d", len(part), maxName))
		}
	}
	return rel, nil
}

// checkName says whether an uploaded file may be called so.
func checkName(name string) error {
	bad := func(reason string) error { return &InvalidPathError{name, reason} }
	switch {
	case name == "":
		return bad("is empty")
	case name == "." || name == "..":
		return bad("is " + name)
	case strings.Contains(name, "/"):
		return bad("has a slash in it; a bare file name is needed")
	case strings.ContainsRune(name, 0):
		return bad("has a NUL in it")
	case len(name) > maxName:
		return &InvalidPathError{name[:64] + "…", fmt.Sprintf("has %d bytes, the limit is %d", len(name), maxName)}
	default:
		return nil
	}
}

// place is what a path leads to. The agent can move things at any time, so it is a guardrail for the gates, which judge names;
// that nothing leaves the workspace is the agent server's and the sandbox's business.
type place struct {
	// path goes through no link, save perhaps itself.
	path string
	// entry describes it; its Type is empty when there is nothing.
	entry agent.Entry
}

func (p place) exists() bool { return p.entry.Type != "" }

// resolve walks path part by part through links that stay in the workspace; the last part is followed with follow only. What is
// not there is no error, so that it can be written.
func resolve(ctx context.Context, files Reader, asked string, follow bool) (place, error) {
	folder := agent.Entry{Type: agent.EntryDirectory}
	at := place{entry: folder}
	rest := parts(asked)
	for links, steps := 0, 0; len(rest) > 0; steps++ {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			if at.path == "" {
				return place{}, fmt.Errorf("%w: %q leaves the workspace", ErrForbidden, asked)
			}
			// What is above something is a folder.
			at = place{parent(at.path), folder}
			continue
		}
		next := path.Join(at.path, name)
		if len(next) > maxPath || steps > maxPath {
			return place{}, fmt.Errorf("%w: %q leads too far", ErrForbidden, asked)
		}
		e, err := files.Stat(ctx, next)
		if errors.Is(err, agent.ErrNotFound) {
			if slices.Contains(rest, "..") {
				return place{}, fmt.Errorf("%w: %q", ErrNotFound, asked)
			}
			return place{path: path.Join(append([]string{next}, rest...)...)}, nil
		}
		if err != nil {
			return place{}, translate(err)
		}
		switch {
		case e.Type == agent.EntrySymlink && (follow || len(rest) > 0):
			if links++; links > maxLinks {
				return place{}, fmt.Errorf("%w: %q leads through more than %d links", ErrForbidden, asked, maxLinks)
			}
			target := e.Target
			if path.IsAbs(target) {
				if !below(target, Root) {
					return place{}, fmt.Errorf("%w: %q leaves the workspace", ErrForbidden, asked)
				}
				at, target = place{entry: folder}, target[len(Root):]
			}
			rest = append(parts(target), rest...)
		case e.Type != agent.EntryDirectory && len(rest) > 0:
			return place{}, fmt.Errorf("%w: %q of %q", ErrNotDirectory, next, asked)
		default:
			at = place{next, e}
		}
	}
	return at, nil
}

// parts splits a path, without empty and "." parts.
func parts(p string) []string {
	return slices.DeleteFunc(strings.Split(p, "/"), func(s string) bool { return s == "" || s == "." })
}

func parent(p string) string {
	if i := strings.LastIndexByte(p, '/'); i >= 0 {
		return p[:i]
	}
	return ""
}

// below says whether p is root or below it; everything is below "".
func below(p, root string) bool {
	return root == "" || p == root || (strings.HasPrefix(p, root) && p[len(root)] == '/')
}

// visit is one file operation under way.
type visit struct {
	service   *Service
	sessionID string
	files     Files
	release   func()
	place
}

// enter asks the gate, opens the sandbox, finds where path leads and, when that is elsewhere, asks the gate again: a link must not
// lead around a policy. The caller calls release.
func (s *Service) enter(ctx context.Context, sessionID, op, raw string, follow bool) (*visit, error) {
	rel, err := CleanPath(raw)
	if err != nil {
		return nil, err
	}
	if err := s.gates.Path(ctx, sessionID, op, rel); err != nil {
		return nil, err
	}
	files, release, err := s.boxes.Open(ctx, sessionID)
	if err != nil {
		return nil, err
	}
	v := &visit{service: s, sessionID: sessionID, files: files, release: release}
	if v.place, err = v.find(ctx, op, rel, follow); err != nil {
		release()
		return nil, err
	}
	return v, nil
}

// find resolves a path that the gate allows already.
func (v *visit) find(ctx context.Context, op, rel string, follow bool) (place, error) {
	p, err := resolve(ctx, v.files, rel, follow)
	if err != nil {
		return place{}, err
	}
	if p.path != rel {
		if err := v.service.gates.Path(ctx, v.sessionID, op, p.path); err != nil {
			return place{}, err
		}
	}
	return p, nil
}

// needFile fails unless there is a regular file.
func (p place) needFile(asked string) error {
	switch p.entry.Type {
	case agent.EntryFile:
		return nil
	case "":
		return fmt.Errorf("%w: %q", ErrNotFound, asked)
	case agent.EntryDirectory:
		return fmt.Errorf("%w: %q", ErrIsDirectory, asked)
	default:
		return fmt.Errorf("%w: %q", ErrNotRegular, asked)
	}
}
