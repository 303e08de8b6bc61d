package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/agcluster/agcluster/core/event"
)

// maxEvent bounds one event of a stream, in bytes.
const maxEvent = 64 << 20

// timing says how a stream deals with a connection that is lost.
type timing struct {
	// pause before the second attempt in a row; it doubles up to 5 s.
	pause time.Duration
	// patience is how long there may be no progress before it gives up.
	patience time.Duration
	// stall is how long a connection may be silent (the host sends a heartbeat every 10 s) before it counts as lost.
	stall time.Duration
}

// frame is what a stream passes on: an event as it came.
type frame struct {
	id, turn int64
	kind     event.Type
	raw      []byte
	// event has no Data when its type is unknown: a newer host may send what this client does not know.
	event event.Event
	// resumed is set on the first event after the stream was lost: previews may be missing before it.
	resumed bool
	// lost, in a frame without an event, says that the stream was lost and can't be taken up again yet.
	lost error
}

func parseFrame(raw []byte) (frame, error) {
	var head struct {
		ID   int64      `json:"event_id"`
		Turn int64      `json:"turn"`
		Type event.Type `json:"type"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return frame{}, fmt.Errorf("reading an event: %w", err)
	}
	f := frame{id: head.ID, turn: head.Turn, kind: head.Type, raw: raw, event: event.Event{ID: head.ID, Turn: head.Turn}}
	var e event.Event
	if json.Unmarshal(raw, &e) == nil {
		f.event = e
	}
	return f, nil
}

// stream follows the events of a session, all or one turn's. When the connection is lost it goes on where it was, so that each
// event is passed on once and in order.
type stream struct {
	c       *client
	timing  timing
	session string
	// turn 0 is all of them.
	turn   int64
	deltas bool
	// last is the number of the newest event that was passed on (or is not wanted).
	last int64

	// early says that events before the turn's first are not wanted: they were there before the turn.
	early bool
	// progress says that the connection has brought something, resumed that it is not the first one.
	progress bool
	resumed  bool
}

var (
	errDone     = errors.New("the stream is done")
	errBroken   = errors.New("the connection was lost")
	errTooLarge = fmt.Errorf("the host sent an event of more than %s", size(maxEvent))
)

// follow passes on events until the host says that there are no more (nil), fn fails, ctx ends, or there is no going on. res is
// the answer that the stream begins with; nil begins with asking for what comes after last. It closes res.
func (s *stream) follow(ctx context.Context, res *http.Response, fn func(frame) error) error {
	var outage time.Time
	wait, told := time.Duration(0), false
	s.early = res == nil && s.last == 0 && s.turn > 0
	for {
		var lost error
		if res == nil {
			res, lost = s.attach(ctx) //nolint:bodyclose // read closes it
		}
		if lost == nil {
			var ended bool
			s.progress = false
			if ended, lost = s.read(ctx, res, fn); ended {
				return lost
			}
			if s.progress {
				outage, wait, told = time.Time{}, 0, false
			}
			res, s.resumed = nil, true
			s.early = s.last == 0 && s.turn > 0
		} else if final(lost) {
			return lost
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if outage.IsZero() {
			outage = time.Now()
		}
		if time.Since(outage) > s.timing.patience {
			return fmt.Errorf("%w, and nothing came for %s: %w", errBroken, s.timing.patience, lost)
		}
		// The first attempt is made at once.
		if wait > 0 {
			if !told {
				told = true
				if err := fn(frame{lost: lost}); err != nil {
					return err
				}
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		wait = min(max(wait*2, s.timing.pause), 5*time.Second)
	}
}

// final says that asking again is of no use.
func final(err error) bool {
	var p *problem
	if errors.As(err, &p) {
		return p.permanent()
	}
	var stranger strangerError
	if errors.As(err, &stranger) {
		return stranger.status < 500
	}
	return false
}

// attach asks for what comes after the newest event.
func (s *stream) attach(ctx context.Context) (*http.Response, error) {
	q := url.Values{}
	if s.turn > 0 {
		q.Set("turn", strconv.FormatInt(s.turn, 10))
	}
	if s.deltas {
		q.Set("deltas", "true")
	}
	// A host that takes the connection and says nothing must not hold this up for ever.
	ctx, cancel := context.WithCancelCause(ctx)
	silence := time.AfterFunc(s.timing.stall, func() { cancel(errBroken) })
	defer silence.Stop()
	res, err := s.c.do(ctx, request{
		method: http.MethodGet, path: "/api/agents/" + url.PathEscape(s.session) + "/events", query: q,
		header: http.Header{"Accept": {"text/event-stream"}, "Last-Event-Id": {strconv.FormatInt(s.last, 10)}},
	})
	if err != nil {
		cancel(nil)
		return nil, err
	}
	res.Body = &cancelledBody{res.Body, cancel}
	return res, nil
}

// cancelledBody ends its request's context with the body.
type cancelledBody struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

// Close implements io.Closer.
func (b *cancelledBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// read passes on what one connection brings. ended says that there is nothing to go on with: err is then the stream's end, nil if
// the host has no more; otherwise it says why the connection was lost.
func (s *stream) read(ctx context.Context, res *http.Response, fn func(frame) error) (ended bool, err error) {
	defer res.Body.Close() //nolint:errcheck // read to its end or given up
	silence := time.AfterFunc(s.timing.stall, func() { _ = res.Body.Close() })
	defer silence.Stop()
	defer context.AfterFunc(ctx, func() { _ = res.Body.Close() })()
	lines := bufio.NewReaderSize(res.Body, 64<<10)
	var data []byte
	id := int64(-1)
	for {
		text, err := readLine(lines, maxEvent-len(data))
		if errors.Is(err, errTooLarge) {
			return true, err
		}
		if err != nil {
			// An event is whole with the blank line after it; what has none comes again.
			if ctx.Err() != nil {
				return true, context.Cause(ctx)
			}
			return false, fmt.Errorf("%w%w", errBroken, silent{err})
		}
		silence.Reset(s.timing.stall)
		switch {
		case len(text) == 0 && data == nil:
			s.last = max(s.last, id)
			id = -1
		case len(text) == 0:
			silence.Stop()
			err := s.dispatch(data, id, fn)
			if errors.Is(err, errDone) {
				return true, nil
			}
			if err != nil {
				return true, err
			}
			silence.Reset(s.timing.stall)
			data, id = nil, -1
		case text[0] == ':':
			s.progress = true
		default:
			name, value, _ := bytes.Cut(text, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(name) {
			case "data":
				if data != nil {
					data = append(data, '\n')
				}
				data = append(data, value...)
			case "id":
				if n, err := strconv.ParseInt(string(value), 10, 64); err == nil && n >= 0 {
					id = n
				}
			}
		}
	}
}

func (s *stream) dispatch(data []byte, id int64, fn func(frame) error) error {
	s.progress = true
	if string(data) == "[DONE]" {
		return errDone
	}
	f, err := parseFrame(data)
	if err != nil {
		return err
	}
	if f.id == 0 && id > 0 {
		f.id = id
	}
	if f.id > 0 && f.id <= s.last {
		return nil
	}
	if s.early && f.turn != s.turn {
		return nil
	}
	s.early = false
	f.resumed, s.resumed = s.resumed, false
	if err := fn(f); err != nil {
		return err
	}
	s.last = max(s.last, f.id)
	return nil
}

// readLine reads a line without its end. A last line without an end is none.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var text []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(text)+len(part) > limit {
			return nil, errTooLarge
		}
		text = append(text, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(text[:len(text)-1], []byte("\r")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
