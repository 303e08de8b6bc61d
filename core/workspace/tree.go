package workspace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agcluster/agcluster/core/agent"
)

// Tree is a folder with all below it.
type Tree struct {
	// Root is "/workspace": paths are relative to it.
	Root string `json:"root"`
	Tree *Node  `json:"tree"`
	// TotalFiles counts everything in the tree that is no folder.
	TotalFiles int `json:"total_files"`
	// Truncated says that there is more: entries over the limit, or too deep, are left out.
	Truncated bool `json:"truncated,omitempty"`
}

// Node is one file, folder or link.
type Node struct {
	Name string          `json:"name"`
	Type agent.EntryType `json:"type"`
	// Path is relative to /workspace; the workspace itself has "". Bytes that are no UTF-8 show as U+FFFD.
	Path string `json:"path"`
	// PathBytes (base64 in JSON) are the path's bytes, only when they are no UTF-8: what addresses the file.
	PathBytes []byte `json:"path_bytes,omitempty"`
	// Size in bytes, of files only.
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified,omitzero"`
	// Target of a link, as it is written.
	Target string `json:"target,omitempty"`
	// Children are there for every folder, also an empty one: folders first, then by name.
	Children []*Node `json:"children,omitzero"`
}

// maxDepth bounds how deep a tree goes: JSON readers have limits of their own.
const maxDepth = 200

// errEnough ends a listing that has reached its limit.
var errEnough = errors.New("enough")

// Tree lists the folder path ("" is all; see CleanPath). Links are listed, not followed, save those on the way to path. It fails
// with ErrNotFound and ErrNotDirectory.
func (s *Service) Tree(ctx context.Context, sessionID, path string) (Tree, error) {
	v, err := s.enter(ctx, sessionID, "list", path, true)
	if err != nil {
		return Tree{}, err
	}
	defer v.release()
	switch {
	case !v.exists():
		return Tree{}, fmt.Errorf("%w: %q", ErrNotFound, path)
	case v.entry.Type != agent.EntryDirectory:
		return Tree{}, fmt.Errorf("%w: %q", ErrNotDirectory, path)
	}
	g := newGrower(v.place, s.cfg.MaxTreeEntries)
	if err := v.files.Tree(ctx, v.path, g.add); err != nil && !errors.Is(err, errEnough) {
		return Tree{}, translate(err)
	}
	g.tree.Tree.order()
	return g.tree, nil
}

// grower makes a tree of a flat listing, in linear time.
type grower struct {
	tree  Tree
	root  string
	nodes map[string]*Node
	left  int
}

func newGrower(p place, limit int) *grower {
	n := node(p.path, p.entry)
	if p.path == "" {
		n.Name = "workspace"
	}
	return &grower{Tree{Root: Root, Tree: n}, p.path, map[string]*Node{p.path: n}, limit}
}

func (g *grower) add(e agent.Entry) error {
	raw := e.Raw()
	if err := checkListed(raw, g.root); err != nil {
		return err
	}
	if strings.Count(raw, "/") >= maxDepth {
		g.tree.Truncated = true
		return nil
	}
	if g.left--; g.left < 0 {
		g.tree.Truncated = true
		return errEnough
	}
	above := g.nodes[parent(raw)]
	switch _, twice := g.nodes[raw]; {
	case twice:
		return broken("%q is listed twice", raw)
	case above == nil || above.Type != agent.EntryDirectory:
		return broken("%q is listed before its folder", raw)
	}
	n := node(raw, e)
	g.nodes[raw] = n
	above.Children = append(above.Children, n)
	if n.Type != agent.EntryDirectory {
		g.tree.TotalFiles++
	}
	return nil
}

// checkListed refuses a path that no listing of root has.
func checkListed(raw, root string) error {
	if clean, err := CleanPath(raw); err != nil || clean != raw || raw == root || !below(raw, root) {
		return broken("%q is listed below %q", raw, root)
	}
	return nil
}

func node(raw string, e agent.Entry) *Node {
	shown := agent.NewEntry(raw)
	n := &Node{
		Name: shown.Path[strings.LastIndexByte(shown.Path, '/')+1:], Path: shown.Path, PathBytes: shown.PathBytes,
		Type: e.Type, Modified: e.ModTime,
	}
	switch e.Type {
	case agent.EntryDirectory:
		n.Children = []*Node{}
	case agent.EntryFile:
		n.Size = e.Size
	case agent.EntrySymlink:
		n.Target = e.Target
	}
	return n
}

// order sorts folders first, then by name, all the way down.
func (n *Node) order() {
	slices.SortFunc(n.Children, func(a, b *Node) int {
		if aDir, bDir := a.Children != nil, b.Children != nil; aDir != bDir {
			if aDir {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	for _, c := range n.Children {
		c.order()
	}
}
