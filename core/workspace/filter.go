package workspace

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/agcluster/agcluster/core/agent"
)

const (
	// copyBytes is how much goes through the filter at once.
	copyBytes = 256 << 10
	// ratioEvery is after how many bytes the gate is asked about the ratio.
	ratioEvery = 8 << 20
	// inFlight is how many bytes of a product may still be on their way while its input is counted already.
	inFlight = 1 << 20
)

// mark says what an entry that has left is, by hash of path.
type mark uint8

const (
	// markImplied is a folder that something below it implies.
	markImplied mark = iota + 1
	markFolder
	// markLeaf is a file or a link: nothing can be below it.
	markLeaf
)

// filter copies the archive that comes from the sandbox to w and lets through what the gate allows, made anew from its name, type,
// permissions, time and content. What an honest agent server never sends ends it with ErrBroken. What it may send and must not
// leave (links out of the workspace, sockets, devices) is dropped and counted. What differs from its announcement (it is new, or
// larger, or another type by now) is put to the gate by itself: the agent works on meanwhile, and nothing leaves unjudged.
func (c *cargo) filter(ctx context.Context, in io.Reader, w io.Writer, out *product) error {
	buffered := bufio.NewWriterSize(w, copyBytes)
	to := tar.NewWriter(buffered)
	from := tar.NewReader(in)
	buf := make([]byte, copyBytes)
	for {
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return archiveError(err)
		}
		clean, err := c.admit(ctx, h)
		if err != nil {
			return err
		}
		if clean == nil {
			continue
		}
		if err := to.WriteHeader(clean); err != nil {
			return fmt.Errorf("passing on %q: %w", clean.Name, err)
		}
		c.sentEntries++
		c.sentBytes += int64(len(clean.Linkname))
		if err := c.copy(ctx, to, from, buf, out); err != nil {
			return err
		}
	}
	return errors.Join(to.Close(), buffered.Flush())
}

// archiveError tells a stream that broke off from one that is no tar.
func archiveError(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) || errors.Is(err, tar.ErrInsecurePath) {
		return broken("its archive can't be read: %v", err)
	}
	return fmt.Errorf("reading the workspace: %w", cutOff(err))
}

func (c *cargo) copy(ctx context.Context, to io.Writer, from io.Reader, buf []byte, out *product) error {
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
			c.sentBytes += int64(n)
			if c.sentBytes-c.checked >= ratioEvery {
				c.checked = c.sentBytes
				if err := c.checkRatio(ctx, out, inFlight); err != nil {
					return err
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return archiveError(err)
		}
	}
}

// checkRatio asks the gate whether the product is packed too far, in the product's favour by slack.
func (c *cargo) checkRatio(ctx context.Context, out *product, slack int64) error {
	n, archive := out.packed()
	if !archive {
		return nil
	}
	return limitOf(c.visit.service.gates.Batch(ctx, c.visit.sessionID, Batch{
		Op: "export", Entries: []BatchEntry{}, EntriesBefore: c.sentEntries, BytesBefore: c.sentBytes, BytesOut: n + slack,
	}))
}

// admit returns the header that leaves instead of h, or nil for what is left out.
func (c *cargo) admit(ctx context.Context, h *tar.Header) (*tar.Header, error) {
	if c.seen++; c.seen > int64(c.visit.service.cfg.MaxExportEntries) {
		limit := int64(c.visit.service.cfg.MaxExportEntries)
		return nil, &TooLargeError{What: "entries", Limit: limit, Got: c.seen}
	}
	kind := kindOf(h.Typeflag)
	name := strings.TrimPrefix(h.Name, "./")
	if kind == agent.EntryDirectory {
		name = strings.TrimSuffix(name, "/")
		if name == "" || name == "." {
			return nil, nil //nolint:nilnil // the workspace itself is no entry
		}
	}
	if clean, err := CleanPath(name); err != nil || clean != name || name == "" || !c.asked(name, kind) {
		return nil, broken("its archive has an entry called %q", h.Name)
	}
	if err := c.mark(name, kind); err != nil {
		return nil, err
	}
	size := weight(kind, h.Size, h.Linkname)
	if kind == agent.EntryOther {
		// It won't leave, but its bytes are read.
		size = h.Size
	}
	if a, ok := c.allowed[c.hash(name)]; !ok || a.kind != kind || a.size < size {
		if err := c.ask(ctx, []string{name}, []BatchEntry{{agent.NewEntry(name).Path, kind, size}}); err != nil {
			return nil, err
		}
	}
	if kind == agent.EntryOther || slips(name) || (kind == agent.EntrySymlink && leads(name, h.Linkname)) {
		c.dropped++
		return nil, nil //nolint:nilnil // left out
	}
	clean := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: h.Size, Mode: h.Mode & 0o777, ModTime: sane(h.ModTime), Format: tar.FormatPAX}
	switch kind {
	case agent.EntryDirectory:
		clean.Typeflag, clean.Name, clean.Size = tar.TypeDir, name+"/", 0
	case agent.EntrySymlink:
		clean.Typeflag, clean.Linkname, clean.Size = tar.TypeSymlink, h.Linkname, 0
	}
	return clean, nil
}

func kindOf(flag byte) agent.EntryType {
	switch flag {
	case tar.TypeReg, tar.TypeGNUSparse:
		return agent.EntryFile
	case tar.TypeDir:
		return agent.EntryDirectory
	case tar.TypeSymlink:
		return agent.EntrySymlink
	default:
		return agent.EntryOther
	}
}

// asked says whether an entry belongs to what was asked for: it is below it, or a folder above it.
func (c *cargo) asked(name string, kind agent.EntryType) bool {
	for _, r := range c.roots {
		if below(name, r.path) || (kind == agent.EntryDirectory && below(r.path, name)) {
			return true
		}
	}
	return false
}

// mark notes an entry and refuses one that is there already, or that lies below what is no folder: unpacked through a link, it
// could end up anywhere.
func (c *cargo) mark(name string, kind agent.EntryType) error {
	key, as := c.hash(name), markLeaf
	if kind == agent.EntryDirectory {
		as = markFolder
	}
	if old := c.sent[key]; old != 0 && (old != markImplied || as != markFolder) {
		return broken("its archive has %q twice", name)
	}
	c.sent[key] = as
	for up := parent(name); up != ""; up = parent(up) {
		switch key := c.hash(up); c.sent[key] {
		case markLeaf:
			return broken("its archive has %q below something that is no folder", name)
		case markFolder, markImplied:
			// What is above that is marked already.
			return nil
		default:
			c.sent[key] = markImplied
		}
	}
	return nil
}

// leads says whether a link leads, or could lead, out of the workspace once it is unpacked. Only a target that goes up first and
// then down, no higher than the workspace, is safe in any company: "dir/.." is not what it seems when dir is a link itself.
func leads(name, target string) bool {
	if target == "" || len(target) > maxPath || path.IsAbs(target) || strings.ContainsRune(target, 0) || slips(target) {
		return true
	}
	depth, down := strings.Count(name, "/"), false
	for _, part := range parts(target) {
		if part != ".." {
			down = true
			continue
		}
		if depth--; down || depth < 0 {
			return true
		}
	}
	return false
}

// slips says whether a name climbs, or is absolute, where a backslash parts names too. There it is a character; on Windows it
// would be a way out.
func slips(name string) bool {
	if !strings.ContainsRune(name, '\\') {
		return false
	}
	there := strings.ReplaceAll(name, `\`, "/")
	if strings.HasPrefix(there, "/") || (len(there) > 2 && there[1:3] == ":/") {
		return true
	}
	// Leading ".." of a link's target with slashes is leads' business; mixed with backslashes it is not worth a thought.
	for part := range strings.SplitSeq(there, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// sane keeps a time that archives can hold: FAT's from 1980, four digits of a year.
func sane(t time.Time) time.Time {
	if t.Year() < 1980 || t.Year() > 2107 {
		return time.Unix(315532800, 0).UTC()
	}
	return t.UTC().Truncate(time.Second)
}
