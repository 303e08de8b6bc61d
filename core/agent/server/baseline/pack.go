package baseline

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
)

const (
	// headSize is what precedes a content in the pack: its sum and its size.
	headSize = sha256.Size + 4
	// packBuffer is how much is gathered before it is written, in bytes.
	packBuffer = 256 << 10
	packTemp   = packFile + ".new"
)

// pack is a file of contents, one after the other: thousands of small ones cost one write. The shelf's lock guards it.
type pack struct {
	root   *os.Root
	file   *os.File
	budget int64
	// written is the length of the file, pending what follows.
	written int64
	pending []byte
	index   map[sum]span
}

type span struct {
	at   int64
	size int64
}

// openPack reads where the contents are, up to the first that can't be one: an agent server that died may have left half of it.
func openPack(root *os.Root, budget int64) (*pack, error) {
	f, info, err := openRegular(root, packFile, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	p := &pack{root: root, file: f, budget: budget, index: map[sum]span{}}
	end := min(info.Size(), budget)
	for head := make([]byte, headSize); p.written+headSize <= end; {
		n, _ := f.ReadAt(head, p.written) // what can't be read ends it, as half a content does
		size := int64(binary.BigEndian.Uint32(head[sha256.Size:]))
		if n < headSize || size > MaxText || p.written+headSize+size > end {
			break
		}
		p.index[sum(head)] = span{p.written + headSize, size}
		p.written += headSize + size
	}
	return p, nil
}

// add takes in a content; one that has no room is left out.
func (p *pack) add(id sum, content []byte) error {
	if _, there := p.index[id]; there {
		return nil
	}
	at := p.written + int64(len(p.pending)) + headSize
	if at+int64(len(content)) > p.budget {
		return nil
	}
	p.pending = append(p.pending, id[:]...)
	p.pending = binary.BigEndian.AppendUint32(p.pending, uint32(len(content))) //nolint:gosec // at most MaxText
	p.pending = append(p.pending, content...)
	p.index[id] = span{at, int64(len(content))}
	if len(p.pending) < packBuffer {
		return nil
	}
	return p.flush()
}

// flush writes what was gathered. What can't be written is forgotten.
func (p *pack) flush() error {
	if len(p.pending) == 0 {
		return nil
	}
	_, err := p.file.WriteAt(p.pending, p.written)
	if err != nil {
		for id, s := range p.index {
			if s.at >= p.written {
				delete(p.index, id)
			}
		}
		p.pending = p.pending[:0]
		return fmt.Errorf("writing contents: %w", err)
	}
	p.written += int64(len(p.pending))
	p.pending = p.pending[:0]
	return nil
}

// get reads a content; one that is not what its sum says is none.
func (p *pack) get(id sum) ([]byte, bool) {
	s, ok := p.index[id]
	if !ok {
		return nil, false
	}
	content := make([]byte, s.size)
	if s.at >= p.written {
		copy(content, p.pending[s.at-p.written:])
	} else if _, err := p.file.ReadAt(content, s.at); err != nil {
		return nil, false
	}
	return content, sha256.Sum256(content) == id
}

// weight is what contents take in the pack.
func (p *pack) weight(ids map[sum]struct{}) int64 {
	var n int64
	for id := range ids {
		if s, ok := p.index[id]; ok {
			n += headSize + s.size
		}
	}
	return n
}

// keepOnly writes the pack anew without all other contents.
func (p *pack) keepOnly(live map[sum]struct{}) error {
	if err := p.flush(); err != nil {
		return err
	}
	f, _, err := openRegular(p.root, packTemp, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	next := &pack{root: p.root, file: f, budget: p.budget, index: map[sum]span{}}
	ids := make([]sum, 0, len(live))
	for id := range live {
		if _, ok := p.index[id]; ok {
			ids = append(ids, id)
		}
	}
	// In the order of the file, which reads faster.
	slices.SortFunc(ids, func(a, b sum) int { return int(p.index[a].at - p.index[b].at) })
	for _, id := range ids {
		content, ok := p.get(id)
		if !ok {
			continue
		}
		if err := next.add(id, content); err != nil {
			f.Close() //nolint:errcheck // given up
			return err
		}
	}
	if err := next.flush(); err != nil {
		f.Close() //nolint:errcheck // given up
		return err
	}
	if err := p.root.Rename(packTemp, packFile); err != nil {
		f.Close() //nolint:errcheck // given up
		return fmt.Errorf("replacing the contents: %w", err)
	}
	p.file.Close() //nolint:errcheck // nothing of it is needed any more
	*p = *next
	return nil
}
