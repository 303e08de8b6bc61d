package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/claude"
	"github.com/agcluster/agcluster/core/event"
)

// turn is the turn that runs, or the last one that did.
type turn struct {
	number  int64
	message string
	// ctx ends with the server.
	ctx         context.Context //nolint:containedctx // a turn outlives the request that began it
	stream      *stream
	asks        *asks
	interrupted chan struct{}
	once        sync.Once
	done        chan struct{}
	quota       *quota
	// remembered is closed when the workspace was remembered as the turn found it.
	remembered chan struct{}
}

var _ claude.Sink = (*turn)(nil)

func (t *turn) ended() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// Event implements claude.Sink.
func (t *turn) Event(d event.Data) error {
	t.quota.event(d)
	err := t.stream.add(t.ctx, t.frame(d))
	if errors.Is(err, errFrame) {
		return t.stream.add(t.ctx, t.frame(event.Error{
			Code: "frame_too_large", Message: fmt.Sprintf("a %s event was left out: it is larger than %d bytes", d.Type(), agent.MaxFrame),
		}))
	}
	return err
}

func (t *turn) frame(d event.Data) agent.Frame {
	return agent.Frame{Event: &event.Event{Turn: t.number, Time: time.Now().UTC(), Data: d}}
}

// Ask implements claude.Sink.
func (t *turn) Ask(ctx context.Context, ask agent.Ask) (agent.Answer, error) {
	// What the model says comes meanwhile; a tool must not change anything before.
	select {
	case <-t.remembered:
	case <-ctx.Done():
		return agent.Answer{}, context.Cause(ctx)
	}
	ask.Disk = t.quota.ask(ctx, ask.Stage)
	return t.asks.put(ctx, t.number, ask, func(ctx context.Context, ask agent.Ask) error {
		err := t.stream.add(ctx, agent.Frame{Ask: &ask})
		if errors.Is(err, errFrame) {
			return errTooLarge
		}
		return err
	})
}

// follow starts a turn, or finds it, and streams its frames until the last. A client that goes away does not end the turn.
func (s *Server) follow(w http.ResponseWriter, r *http.Request) error {
	var req agent.TurnRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	after := int64(0)
	if text := r.URL.Query().Get("after"); text != "" {
		var err error
		if after, err = strconv.ParseInt(text, 10, 64); err != nil || after < 0 {
			return fmt.Errorf("%w: after=%q must be a number from 0", agent.ErrInvalid, text)
		}
	}
	if req.Turn < 1 {
		return fmt.Errorf("%w: turn %d, the first is 1", agent.ErrInvalid, req.Turn)
	}
	if err := s.configured(r.Context()); err != nil {
		return err
	}
	t, err := s.begin(req, after)
	if err != nil {
		return err
	}
	from, err := t.stream.attach(after)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	s.send(r.Context(), w, from)
	return nil
}

// begin returns the turn that a request is about, which it starts when it is a new one.
func (s *Server) begin(req agent.TurnRequest, after int64) (*turn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.turn
	switch {
	case t != nil && t.number == req.Turn && t.message != req.Message:
		return nil, fmt.Errorf("%w: turn %d has another message", agent.ErrConflict, req.Turn)
	case t != nil && t.number == req.Turn:
		return t, nil
	case t != nil && !t.ended():
		return nil, fmt.Errorf("%w: turn %d", agent.ErrTurnRunning, t.number)
	case t != nil && req.Turn < t.number:
		return nil, fmt.Errorf("%w: turn %d is not kept any more, the last was %d", agent.ErrNotFound, req.Turn, t.number)
	case after > 0:
		// Somebody has seen frames of it already: it must not run twice.
		return nil, fmt.Errorf("%w: no turn %d", agent.ErrNotFound, req.Turn)
	case s.closing:
		return nil, fmt.Errorf("%w: the agent server is closing", errUnavailable)
	}
	t = &turn{
		number: req.Turn, message: req.Message, ctx: s.ctx, stream: newStream(s.cfg.BufferBytes),
		asks: newAsks(s.cfg.AskTimeout), interrupted: make(chan struct{}), done: make(chan struct{}), remembered: make(chan struct{}),
	}
	t.quota = newQuota(s.storage, t.interrupt)
	s.turn = t
	s.work.Go(func() { s.run(t) })
	return t, nil
}

// run takes a turn to its end: exactly one Complete, and nothing after it.
func (s *Server) run(t *turn) {
	stop := context.AfterFunc(t.ctx, t.stream.flow)
	defer stop()
	s.work.Go(func() { s.remember(t) })
	unwatch := t.quota.watch(t.ctx)
	complete := s.driver.Turn(t.ctx, t.message, t.interrupted, t)
	unwatch()
	last := []agent.Frame{t.frame(complete)}
	if passed, ok := t.quota.exceeded(); ok {
		complete.Status = event.CompleteFailed
		last = []agent.Frame{t.frame(passed), t.frame(complete)}
	}
	if t.stream.overflowed() {
		last = append([]agent.Frame{t.frame(event.Error{
			Code: "stream_overflow", Message: "the end of the turn is incomplete: nobody read it while it was interrupted",
		})}, last...)
	}
	// Whoever reads the Complete may begin the next turn at once.
	close(t.done)
	if err := t.stream.end(last...); err != nil {
		s.log.Error("ending a turn", zap.Error(err))
	}
}

// remember keeps how the turn finds the workspace.
func (s *Server) remember(t *turn) {
	defer close(t.remembered)
	if s.baseline == nil {
		return
	}
	if err := s.baseline.Turn(t.ctx, t.number); err != nil && t.ctx.Err() == nil {
		s.log.Warn("remembering the workspace as a turn begins", zap.Int64("turn", t.number), zap.Error(err))
	}
}

// send writes frames as server-sent events until the reader has had the last one or is gone.
func (s *Server) send(ctx context.Context, w http.ResponseWriter, from *reader) {
	out := http.NewResponseController(w)
	write := func(parts ...[]byte) error {
		if err := out.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		for _, p := range parts {
			if _, err := w.Write(p); err != nil {
				return err
			}
		}
		return out.Flush()
	}
	// The connection may be used again.
	defer out.SetWriteDeadline(time.Time{}) //nolint:errcheck // it is broken then
	// The header goes out at once: it says that the turn was accepted.
	err := write()
	for err == nil {
		var frames []frame
		if frames, err = from.take(ctx, s.cfg.Heartbeat); err != nil {
			break
		}
		parts := [][]byte{[]byte(": alive\n\n")}
		if len(frames) > 0 {
			parts = parts[:0]
			for _, f := range frames {
				parts = append(parts, []byte("data: "), f.data, []byte("\n\n"))
			}
		}
		if err = write(parts...); err == nil && len(frames) > 0 {
			from.wrote(frames[len(frames)-1].seq)
		}
	}
	if !errors.Is(err, io.EOF) && ctx.Err() == nil {
		s.log.Info("a reader of a turn is gone", zap.Error(err))
	}
}

// interrupt asks the running turn to end; its stream says when it has. Its open asks are denied.
func (s *Server) interrupt(w http.ResponseWriter, _ *http.Request) error {
	s.mu.Lock()
	t := s.turn
	s.mu.Unlock()
	if t == nil || t.ended() {
		return agent.ErrNoTurn
	}
	t.interrupt()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (t *turn) interrupt() {
	t.once.Do(func() {
		t.stream.flow()
		close(t.interrupted)
	})
}
