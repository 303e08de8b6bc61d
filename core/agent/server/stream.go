package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/agcluster/agcluster/core/agent"
)

// maxBatch bounds what a reader gets at once, in bytes, so that what counts as sent stays near to what was sent.
const maxBatch = 256 << 10

var (
	// errOver means that a stream takes no more frames.
	errOver = errors.New("the turn is over")
	// errOverflow means that an interrupted turn goes on producing frames that nobody reads.
	errOverflow = errors.New("nobody reads the turn's stream")
	// errFrame means that a frame is too large for the protocol.
	errFrame = fmt.Errorf("a frame over %d bytes", agent.MaxFrame)
)

// stream is the numbered frames of one turn. A frame that nobody has read is never dropped: when there are too many, who adds one
// waits. Of those that were sent, the newest are kept, because a connection that breaks may have swallowed some. One reader at a time:
// a new one displaces the old, whose connection is most likely dead.
type stream struct {
	limit int

	mu     sync.Mutex
	frames []frame
	// last is the number of the newest frame, sent that of the newest that the reader took.
	last, sent int64
	// unsent and kept are the bytes of the frames above sent and up to sent.
	unsent, kept int
	reader       *reader
	// flowing says that nobody waits for room any more, lost that a frame found none, over that the last frame is there.
	flowing, lost, over bool
	// changed is closed and replaced when anything of the above changes.
	changed chan struct{}
}

type frame struct {
	seq  int64
	data []byte
}

func newStream(limit int) *stream { return &stream{limit: limit, changed: make(chan struct{})} }

// encode is a frame without its number.
func encode(f agent.Frame) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(f); err != nil {
		return nil, fmt.Errorf("encoding a frame: %w", err)
	}
	body, ok := bytes.CutPrefix(bytes.TrimRight(b.Bytes(), "\n"), []byte(`{"seq":0`))
	if !ok {
		return nil, errors.New("encoding a frame: it has a number already")
	}
	if len(body) > agent.MaxFrame-32 {
		return nil, errFrame
	}
	return body, nil
}

// add appends a frame and waits for room until ctx ends.
func (s *stream) add(ctx context.Context, f agent.Frame) error {
	body, err := encode(f)
	if err != nil {
		return err
	}
	for {
		s.mu.Lock()
		switch {
		case s.over:
			s.mu.Unlock()
			return errOver
		case s.unsent == 0 || s.unsent+len(body) <= s.limit:
			s.push(body)
			s.mu.Unlock()
			return nil
		case s.flowing:
			s.lost = true
			s.mu.Unlock()
			return errOverflow
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// end appends the last frames, whatever their size.
func (s *stream) end(frames ...agent.Frame) error {
	var errs []error
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range frames {
		body, err := encode(f)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.push(body)
	}
	s.over = true
	s.notify()
	return errors.Join(errs...)
}

// flow makes room for the end: nobody waits any more.
func (s *stream) flow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flowing = true
	s.notify()
}

// push and what follows need mu.
func (s *stream) push(body []byte) {
	s.last++
	data := append(strconv.AppendInt([]byte(`{"seq":`), s.last, 10), body...)
	s.frames = append(s.frames, frame{s.last, data})
	s.unsent += len(data)
	s.notify()
}

func (s *stream) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// first is the number of the oldest frame that is kept.
func (s *stream) first() int64 { return s.last - int64(len(s.frames)) + 1 }

// advance counts the frames up to seq as sent and drops the oldest of them when there are too many.
func (s *stream) advance(seq int64) {
	for _, f := range s.frames[max(s.sent+1-s.first(), 0) : seq+1-s.first()] {
		s.unsent -= len(f.data)
		s.kept += len(f.data)
	}
	s.sent = seq
	drop := 0
	for s.kept > s.limit && drop < len(s.frames) && s.frames[drop].seq <= seq {
		s.kept -= len(s.frames[drop].data)
		s.frames[drop].data = nil
		drop++
	}
	s.frames = s.frames[drop:]
	s.notify()
}

// reader takes the frames of a stream in order.
type reader struct {
	s *stream
	// next is the number of the frame it takes next.
	next int64
}

// attach returns a reader of the frames above after, in the place of any other.
func (s *stream) attach(after int64) (*reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case after < 0 || after > s.last:
		return nil, fmt.Errorf("%w: after=%d, the turn has %d frames", agent.ErrInvalid, after, s.last)
	case after+1 < s.first():
		return nil, fmt.Errorf("%w: after=%d, the frames up to %d are not kept any more", agent.ErrNotFound, after, s.first()-1)
	}
	s.reader = &reader{s: s, next: after + 1}
	// What was sent to the reader before this one may have been lost: it counts as unsent again.
	s.sent, s.unsent, s.kept = s.first()-1, s.unsent+s.kept, 0
	s.advance(after)
	return s.reader, nil
}

// overflowed says whether a frame was dropped.
func (s *stream) overflowed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// take waits for frames and returns some, or none after the given time. It ends with io.EOF after the last frame, and when another
// reader has come, which the reading client takes as a broken connection.
func (r *reader) take(ctx context.Context, patience time.Duration) ([]frame, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		batch, changed, err := r.batch()
		if len(batch) > 0 || err != nil {
			return batch, err
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (r *reader) batch() ([]frame, <-chan struct{}, error) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.reader != r {
		return nil, nil, io.EOF
	}
	if r.next > r.s.last {
		if r.s.over {
			return nil, nil, io.EOF
		}
		return nil, r.s.changed, nil
	}
	first := int(r.next - r.s.first())
	end, size := first, 0
	for end < len(r.s.frames) && (size == 0 || size+len(r.s.frames[end].data) <= maxBatch) {
		size += len(r.s.frames[end].data)
		end++
	}
	return append([]frame(nil), r.s.frames[first:end]...), nil, nil
}

// wrote says that the frames up to seq are on their way.
func (r *reader) wrote(seq int64) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.next = seq + 1
	if r.s.reader == r {
		r.s.advance(seq)
	}
}
