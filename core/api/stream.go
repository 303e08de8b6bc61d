package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/event"
)

// writeTimeout is how long a client may take to take what was sent. A slower one is cut off and can come back for the rest.
const writeTimeout = 30 * time.Second

// streamRequest says what to stream: the events after one, all of them or one turn's.
type streamRequest struct {
	session string
	after   int64
	turn    int64
	deltas  bool
	// over says that the turn has ended already: what is left of it is in the history, perhaps nothing.
	over bool
	// tellCaughtUp says when the events that were there at the beginning have been sent.
	tellCaughtUp bool
	// only says which events to stream; nil is all. first, if any, is written before them.
	only  func(event.Data) bool
	first any
}

// openStream is an answer of server-sent events that has begun. Its context ends when the client does not take what is sent.
type openStream struct {
	*sseWriter
	ctx context.Context //nolint:containedctx // it ends with the answer
}

// beginStream begins an answer of server-sent events, which beats until end is called.
func (a *API) beginStream(hc huma.Context) (s *openStream, end func()) {
	r, w := humachi.Unwrap(hc)
	ctx, cancel := context.WithCancel(r.Context())
	s = &openStream{sseWriter: &sseWriter{w: w, control: http.NewResponseController(w)}, ctx: ctx}
	h := w.Header()
	h.Set("Content-Type", mediaStream)
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	var beating sync.WaitGroup
	beating.Go(func() {
		// A heartbeat that can't be written means that nobody reads any more.
		defer cancel()
		s.beat(ctx, a.cfg.Heartbeat)
	})
	return s, func() {
		cancel()
		beating.Wait()
	}
}

// whileSession is a context that also ends when the session is stopped or the host shuts down. over must be called at the end; it says
// whether the session was stopped.
func (a *API) whileSession(ctx context.Context, id string) (within context.Context, over func() bool) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		// No event is above this number: the log tells its end and nothing else.
		ended <- a.Turns.Follow(ctx, id, math.MaxInt64, false, func(event.Event, bool) error { return nil })
	}()
	return ctx, func() bool {
		cancel()
		return <-ended == nil
	}
}

// stream writes events until the turn or the session ends, or the client goes away.
func (a *API) stream(hc huma.Context, req streamRequest) {
	if req.turn > 0 {
		hc.SetHeader("Agcluster-Turn", strconv.FormatInt(req.turn, 10))
	}
	s, end := a.beginStream(hc)
	defer end()
	ctx := s.ctx
	// An id without data: a client that loses the stream before its first event knows where to go on.
	if err := s.write(fmt.Appendf(nil, "id: %d\n\n", req.after)); err != nil {
		return
	}
	if req.first != nil {
		if err := s.data(req.first); err != nil {
			return
		}
	}
	follow := a.Turns.Follow
	if req.over {
		follow = a.replay
	}
	behind, err := a.behind(ctx, s, req)
	if err != nil {
		a.log.Warn("a stream did not begin", zap.String("session", req.session), zap.Error(err))
		return
	}
	err = follow(ctx, req.session, req.after, req.deltas, func(e event.Event, more bool) error {
		if req.turn > 0 && e.Turn > 0 && e.Turn != req.turn || req.only != nil && !req.only(e.Data) {
			return s.settle(more)
		}
		if err := s.event(e, more); err != nil {
			return err
		}
		if behind > 0 && e.ID >= behind {
			behind = 0
			if err := s.write([]byte(caughtUp)); err != nil {
				return err
			}
		}
		if _, over := e.Data.(event.Complete); over && e.Turn == req.turn {
			return errTurnOver
		}
		return nil
	})
	switch {
	case err == nil, errors.Is(err, errTurnOver):
		_ = s.write([]byte("data: [DONE]\n\n")) // the client has gone; there is nobody to tell
	case ctx.Err() != nil, errors.Is(err, errClient), errors.Is(err, event.ErrShutdown):
		// No [DONE]: there is more to come, for a client that asks again.
	default:
		a.log.Warn("a stream broke off", zap.String("session", req.session), zap.Error(err))
	}
}

// caughtUp is a comment: a client that waits for nothing passes over it.
const caughtUp = ": caught up\n\n"

// behind is the event after which the stream has sent what had happened before it began. It is 0 when nothing is to be told about that, or
// nothing more: a client that is behind no event has been told.
func (a *API) behind(ctx context.Context, s *openStream, req streamRequest) (int64, error) {
	if !req.tellCaughtUp {
		return 0, nil
	}
	last, err := a.Events.Last(ctx, req.session)
	if err != nil {
		return 0, err
	}
	if last > req.after {
		return last, nil
	}
	return 0, s.write([]byte(caughtUp))
}

// replay is Follow for what is over: it ends where the history does.
func (a *API) replay(ctx context.Context, id string, after int64, _ bool, fn func(e event.Event, more bool) error) error {
	for {
		page, err := a.Turns.History(ctx, id, after, 256)
		if err != nil || len(page) == 0 {
			return err
		}
		for i, e := range page {
			if err := fn(e, i < len(page)-1); err != nil {
				return err
			}
			after = e.ID
		}
	}
}

// errClient says that the client does not take what is sent.
var errClient = errors.New("writing to the client failed")

// sseWriter writes server-sent events, whole ones, from two goroutines.
type sseWriter struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	control *http.ResponseController
	last    time.Time
	// held are whole events that are not sent yet, because more come at once.
	held []byte
}

// maxHeld is how many bytes of events are held back at most; a larger event goes out by itself.
const maxHeld = 64 << 10

// event writes an event. With more, which says that another call follows at once, it may wait for that: one write for events that are
// there together costs a fraction of one for each.
func (s *sseWriter) event(e event.Event, more bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	whole := len(s.held)
	if e.ID > 0 {
		s.held = append(s.held, "id: "...)
		s.held = strconv.AppendInt(s.held, e.ID, 10)
		s.held = append(s.held, '\n')
	}
	s.held = append(s.held, "data: "...)
	var err error
	if s.held, err = e.AppendJSON(s.held); err != nil {
		s.held = s.held[:whole]
		return fmt.Errorf("encoding an event: %w", err)
	}
	s.held = append(s.held, "\n\n"...)
	if more && len(s.held) < maxHeld {
		return nil
	}
	return s.send(nil)
}

// settle sends what is held unless more comes.
func (s *sseWriter) settle(more bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if more || len(s.held) == 0 {
		return nil
	}
	return s.send(nil)
}

// data sends a value without a number.
func (s *sseWriter) data(v any) error {
	b, err := encode(v)
	if err != nil {
		return err
	}
	return s.write(fmt.Appendf(nil, "data: %s\n", b)) // encode ends with the first newline
}

func (s *sseWriter) write(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.send(b)
}

// send writes what is held and b, and has the connection take it. It needs mu.
func (s *sseWriter) send(b []byte) error {
	if len(s.held) > 0 {
		b = append(s.held, b...)
		if s.held = b[:0]; cap(b) > 2*maxHeld {
			s.held = nil // a large event must not cost its size for as long as the stream lives
		}
	}
	s.last = time.Now()
	if err := s.control.SetWriteDeadline(s.last.Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errClient, err)
	}
	if _, err := s.w.Write(b); err != nil {
		return fmt.Errorf("%w: %w", errClient, err)
	}
	if err := s.control.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errClient, err)
	}
	return nil
}

// beat sends a comment whenever nothing else was sent for a while, until ctx ends or the client does not take it.
func (s *sseWriter) beat(ctx context.Context, every time.Duration) {
	t := time.NewTimer(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		s.mu.Lock()
		quiet := time.Since(s.last)
		var err error
		if quiet >= every {
			err = s.send([]byte(": heartbeat\n\n"))
			quiet = 0
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
		t.Reset(every - quiet)
	}
}

type followInput struct {
	SessionID   string `path:"session_id" maxLength:"64"`
	LastEventID string `header:"Last-Event-ID" doc:"Number of the last event that the client has."`
	After       int64  `query:"after" minimum:"0" doc:"The same as Last-Event-ID, which wins."`
	Turn        int64  `query:"turn" minimum:"0" doc:"Only this turn; the stream ends with it."`
	Deltas      bool   `query:"deltas" doc:"Also stream previews (text_delta)."`
	Accept      string `header:"Accept"`
}

func (a *API) follow(ctx context.Context, in *followInput) (*huma.StreamResponse, error) {
	if _, err := negotiate(in.Accept, mediaStream); err != nil {
		return nil, err
	}
	after, err := afterOf(in.LastEventID, in.After)
	if err != nil {
		return nil, err
	}
	req := streamRequest{session: in.SessionID, after: after, turn: in.Turn, deltas: in.Deltas, tellCaughtUp: in.Turn == 0}
	if rec := current(ctx); in.Turn > 0 {
		if in.Turn > rec.Turn {
			return nil, huma.Error404NotFound(fmt.Sprintf("there is no turn %d; the newest is %d", in.Turn, rec.Turn))
		}
		req.over = in.Turn < rec.Turn || !rec.TurnOpen
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) { a.stream(hc, req) }}, nil
}

// afterOf is the number of the last event that a client has; Last-Event-ID wins.
func afterOf(lastEventID string, after int64) (int64, error) {
	if lastEventID == "" {
		return after, nil
	}
	n, err := strconv.ParseInt(lastEventID, 10, 64)
	if err != nil || n < 0 {
		return 0, invalid("header.Last-Event-ID", "must be the number of an event")
	}
	return n, nil
}

type messagesInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	After     int64  `query:"after" minimum:"0" doc:"Number of the event to begin after."`
	Limit     int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
}

// History answers GET /api/agents/{session_id}/messages.
type History struct {
	SessionID string  `json:"session_id"`
	Messages  []Event `json:"messages"`
	HasMore   bool    `json:"has_more" doc:"True when there are events after the last of these."`
}

type historyOutput struct{ Body History }

// maxPage bounds the events of one page of history, in bytes of JSON: single ones may have megabytes.
const maxPage = 8 << 20

func (a *API) messages(ctx context.Context, in *messagesInput) (*historyOutput, error) {
	out := &historyOutput{Body: History{SessionID: in.SessionID, Messages: []Event{}}}
	size := 0
	for after := in.After; ; {
		// One more than is wanted tells whether there is more.
		page, err := a.Turns.History(ctx, in.SessionID, after, min(in.Limit+1-len(out.Body.Messages), 32))
		if err != nil {
			return nil, a.problem(err)
		}
		if len(page) == 0 {
			return out, nil
		}
		for _, e := range page {
			if len(out.Body.Messages) == in.Limit || size > maxPage {
				out.Body.HasMore = true
				return out, nil
			}
			b, err := json.Marshal(e)
			if err != nil {
				return nil, a.problem(fmt.Errorf("encoding an event: %w", err))
			}
			size += len(b)
			after = e.ID
			out.Body.Messages = append(out.Body.Messages, Event{b})
		}
	}
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding an answer: %w", err)
	}
	return b.Bytes(), nil
}
