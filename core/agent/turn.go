package agent

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

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/event"
)

const (
	// MaxFrame bounds one frame of a turn's stream, in bytes of JSON.
	MaxFrame = 9 << 20
	// HeartbeatInterval is how often a stream without frames says that it is alive.
	HeartbeatInterval = 10 * time.Second

	silence      = 3 * HeartbeatInterval
	attachTries  = 10
	attachMin    = 20 * time.Millisecond
	attachMax    = time.Second
	maxToolName  = 256
	maxID        = 256
	maxTodos     = 1000
	maxShortText = 64 << 10
)

// Turn starts a turn, or attaches to it when it runs already or has just ended, and calls fn for every frame above after, each once
// and in order, until the frame with the turn's Complete has been passed (nil). A broken connection is mended a few times. An error
// of fn ends it and is returned; the turn goes on without its reader. more says that fn is called again at once, whatever happens,
// unless it fails: what is better done for several frames than for each can wait for the last.
func (c *Client) Turn(ctx context.Context, req TurnRequest, after int64, fn func(f Frame, more bool) error) error {
	body, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("encoding a turn: %w", err)
	}
	a := &attachment{c: c, body: body, last: after, fn: fn}
	for try, wait := 0, attachMin; ; try, wait = try+1, min(wait*2, attachMax) {
		before := a.last
		err := a.read(ctx)
		switch {
		case err == nil || !errors.Is(err, ErrGone):
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("following turn %d: %w", req.Turn, ctx.Err())
		}
		if a.last > before {
			try, wait = 0, attachMin
		}
		if try >= attachTries {
			return fmt.Errorf("following turn %d: %w", req.Turn, err)
		}
		c.log.Info("re-attaching to a turn", zap.Int64("turn", req.Turn), zap.Int64("after", a.last), zap.Error(err))
		select {
		case <-ctx.Done():
			return fmt.Errorf("following turn %d: %w", req.Turn, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// attachment is one reader of a turn across its connections.
type attachment struct {
	c    *Client
	body []byte
	last int64
	fn   func(f Frame, more bool) error
}

// read reads one connection to its end.
func (a *attachment) read(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watch.Stop()
	q := url.Values{"after": {strconv.FormatInt(a.last, 10)}}
	res, err := a.c.do(ctx, http.MethodPost, "/v1/turns", q, bytes.NewReader(a.body), -1)
	if err != nil {
		return a.cause(ctx, err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end or given up
	lines := bufio.NewReaderSize(res.Body, 64<<10)
	for {
		batch, err := a.gather(lines)
		// fn may be slow: that is not the sandbox's silence.
		watch.Stop()
		if done, err := a.pass(batch); done || err != nil {
			return err
		}
		if err != nil {
			return a.cause(ctx, err)
		}
		watch.Reset(silence)
	}
}

// gather waits for a line and returns the frames in it and in those that have come with it: no more than a buffer holds, or one. With
// an error it returns those before it.
func (a *attachment) gather(lines *bufio.Reader) ([]Frame, error) {
	var batch []Frame
	for last := a.last; ; {
		b, err := readLine(lines, MaxFrame)
		if err != nil {
			return batch, fmt.Errorf("reading a turn's stream: %w", err)
		}
		if data, ok := bytes.CutPrefix(b, []byte("data: ")); ok {
			f, err := decodeFrame(data, last)
			switch {
			case err != nil:
				return batch, err
			case f.Seq > last:
				batch, last = append(batch, f), f.Seq
			}
			if f.complete() {
				return batch, nil
			}
		}
		there, err := lines.Peek(lines.Buffered())
		if err != nil {
			return batch, fmt.Errorf("reading a turn's stream: %w", err)
		}
		if bytes.IndexByte(there, '\n') < 0 {
			return batch, nil
		}
	}
}

// pass passes frames on and says whether the last of all was among them.
func (a *attachment) pass(batch []Frame) (done bool, err error) {
	for i, f := range batch {
		if err := a.fn(f, i < len(batch)-1); err != nil {
			return false, err
		}
		a.last = f.Seq
		done = f.complete()
	}
	return done, nil
}

var errSilent = errors.New("the stream fell silent")

// cause replaces the cancellation that a silent stream caused by what it means.
func (a *attachment) cause(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errSilent) {
		return fmt.Errorf("%w: %w", ErrGone, errSilent)
	}
	return err
}

// decodeFrame reads a frame and checks it, unless it is one that was passed already, up to last.
func decodeFrame(data []byte, last int64) (Frame, error) {
	var f Frame
	if err := json.Unmarshal(data, &f); err != nil {
		return f, fmt.Errorf("reading a frame: %w: %w", ErrProtocol, err)
	}
	if f.Seq <= last {
		return f, nil
	}
	if f.Seq != last+1 {
		return f, fmt.Errorf("reading a frame: %w: number %d after %d", ErrProtocol, f.Seq, last)
	}
	if err := f.check(); err != nil {
		return f, fmt.Errorf("reading frame %d: %w", f.Seq, err)
	}
	return f, nil
}

// complete says whether it is the last frame of its turn.
func (f Frame) complete() bool {
	if f.Event == nil {
		return false
	}
	_, is := f.Event.Data.(event.Complete)
	return is
}

// readLine reads a line of at most limit bytes, without its end.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var long []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(long)+len(part) > limit+len("data: \n") {
			return nil, fmt.Errorf("%w: a line over %d bytes", ErrProtocol, limit)
		}
		switch {
		case err == nil && long == nil:
			return bytes.TrimRight(part, "\r\n"), nil
		case err == nil:
			return bytes.TrimRight(append(long, part...), "\r\n"), nil
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, part...)
		case errors.Is(err, io.EOF):
			return nil, gone(io.ErrUnexpectedEOF)
		default:
			return nil, gone(err)
		}
	}
}

// check refuses a frame that no honest agent server sends.
func (f Frame) check() error {
	if (f.Event == nil) == (f.Ask == nil) {
		return fmt.Errorf("%w: neither one event nor one ask", ErrProtocol)
	}
	if f.Ask != nil {
		return f.Ask.check()
	}
	return checkData(f.Event.Data)
}

func (a *Ask) check() error {
	switch a.Stage {
	case StageCall, StageResult, StagePermission:
	default:
		return fmt.Errorf("%w: unknown stage of an ask", ErrProtocol)
	}
	if a.ID == "" {
		return fmt.Errorf("%w: an ask without id", ErrProtocol)
	}
	if err := a.Disk.check(); err != nil {
		return err
	}
	return checkTool(a.Tool, a.Input, a.ID, a.ToolUseID, a.Parent, a.AgentType)
}

func checkTool(tool string, input json.RawMessage, ids ...string) error {
	if tool == "" || len(tool) > maxToolName {
		return fmt.Errorf("%w: a tool name of %d bytes, 1 to %d are allowed", ErrProtocol, len(tool), maxToolName)
	}
	if input != nil && (len(input) == 0 || input[0] != '{') {
		return fmt.Errorf("%w: a tool input that is no object", ErrProtocol)
	}
	return checkIDs(ids...)
}

func checkIDs(ids ...string) error {
	for _, id := range ids {
		if len(id) > maxID {
			return fmt.Errorf("%w: an id over %d bytes", ErrProtocol, maxID)
		}
	}
	return nil
}

func checkData(d event.Data) error {
	switch d := d.(type) {
	case event.ToolUse:
		return checkTool(d.Tool, d.Arguments, d.ID, d.Parent)
	case event.ToolResult:
		if len(d.Tool) > maxToolName {
			return fmt.Errorf("%w: a tool name over %d bytes", ErrProtocol, maxToolName)
		}
		return checkIDs(d.ID, d.Parent)
	case event.Text:
		return checkIDs(d.Parent)
	case event.TextDelta:
		return checkIDs(d.Parent)
	case event.Thinking:
		return checkIDs(d.Parent)
	case event.TodoUpdate:
		if len(d.Todos) > maxTodos {
			return fmt.Errorf("%w: over %d todos", ErrProtocol, maxTodos)
		}
	case event.Error:
		if len(d.Message) > maxShortText || len(d.Code) > maxID {
			return fmt.Errorf("%w: an error text over its limit", ErrProtocol)
		}
	case event.Complete:
		switch d.Status {
		case event.CompleteOK, event.CompleteInterrupted, event.CompleteFailed, event.CompleteMaxTurns:
		default:
			return fmt.Errorf("%w: unknown status of a turn", ErrProtocol)
		}
		u := d.Usage
		if min(u.InputTokens, u.OutputTokens, u.CacheReadTokens, u.CacheWriteTokens, int64(d.Turns)) < 0 || d.CostUSD < 0 {
			return fmt.Errorf("%w: a negative number", ErrProtocol)
		}
	}
	return nil
}
