package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/agcluster/agcluster/core/api"
	"github.com/agcluster/agcluster/core/event"
)

const (
	// defaultLines is how many lines of a tool's result are shown.
	defaultLines = 8
	// maxMessage bounds a message that is piped in, in bytes. The host counts characters, and 1,048,576 of them have no more than this.
	maxMessage = 4 << 20
)

func chatCommand(g *globals) *cobra.Command {
	var lines int
	var deltas bool
	cmd := &cobra.Command{
		Use: "chat SESSION [MESSAGE…]", Short: "Talk to an agent", Args: cobra.MinimumNArgs(1),
		Long: `Send a message and watch the turn. Without a message it is read from the standard input; on a terminal, a conversation
begins: Ctrl-C interrupts the turn that runs, Ctrl-D leaves, a \ at the end of a line goes on with the next.

A SESSION may be shortened as long as only one of your sessions begins so ("conv-" can be left out).

Exit code: 0 the turn completed, 1 it failed, 2 wrong usage, 130 it was interrupted.`,
		Example: "  agcluster chat conv-0f1e2d write a haiku about sandboxes\n  git diff | agcluster chat 0f1e --json",
		RunE: g.connected(func(ctx context.Context, c *client, args []string) error {
			id, err := g.session(ctx, c, args[0])
			if err != nil {
				return err
			}
			cv, stop := g.conversation(c, id, lines, deltas)
			defer stop()
			switch {
			case len(args) > 1:
				return cv.once(ctx, strings.Join(args[1:], " "))
			case isTerminal(g.in) && g.json:
				return usagef("--json needs a message, as an argument or piped in")
			case isTerminal(g.in):
				return cv.loop(ctx)
			default:
				message, err := readMessage(g.in)
				if err != nil {
					return err
				}
				return cv.once(ctx, message)
			}
		}),
	}
	cmd.Flags().IntVar(&lines, "lines", defaultLines, "lines of a tool's result to show; 0 is all")
	cmd.Flags().BoolVar(&deltas, "deltas", false, "with --json: also previews (text_delta) of text that is still being written")
	return cmd
}

func readMessage(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxMessage+1))
	if err != nil {
		return "", fmt.Errorf("reading the message: %w", err)
	}
	if len(b) > maxMessage {
		return "", usagef("the message is larger than %s", size(maxMessage))
	}
	return string(b), nil
}

// conversation is one person's talk with one session.
type conversation struct {
	g       *globals
	c       *client
	session string
	sink    sink
	// view is the sink when it is for people.
	view   *view
	deltas bool
	// asks says that somebody is there to answer approvals.
	asks    bool
	pressed <-chan interruption
	// typed are lines that were typed while a turn ran: messages for later.
	typed []string
}

// conversation needs stop to be called at its end.
func (g *globals) conversation(c *client, id string, lines int, deltas bool) (cv *conversation, stop func()) {
	cv = &conversation{g: g, c: c, session: id, deltas: deltas, sink: jsonSink{g}}
	if !g.json {
		cv.asks = isTerminal(g.in) && isTerminal(g.out)
		cv.view = g.newView(lines)
		if cv.asks {
			// From now on each line has a time: what is typed before a question is no answer to it.
			g.typedLines()
		}
		cv.deltas = isTerminal(g.out)
		if !cv.asks {
			cv.view.approve = "agcluster approve " + id
		}
		cv.sink = cv.view
	}
	cv.pressed, stop = g.interrupts()
	return cv, stop
}

// once is one turn; how it ended is the exit code.
func (cv *conversation) once(ctx context.Context, message string) error {
	status, err := cv.send(ctx, message)
	if err != nil {
		return err
	}
	return exitCode(status)
}

// send starts a turn and shows it to its end, which it returns.
func (cv *conversation) send(ctx context.Context, message string) (string, error) {
	switch {
	case strings.TrimSpace(message) == "":
		return "", usagef("the message is empty")
	case !utf8.ValidString(message):
		return "", usagef("the message is no valid UTF-8")
	}
	q := url.Values{}
	if cv.deltas {
		q.Set("deltas", "true")
	}
	res, err := cv.c.do(ctx, request{
		method: http.MethodPost, path: cv.path("chat"), query: q, header: http.Header{"Accept": {"text/event-stream"}},
		in: api.ChatRequest{Message: message},
	})
	if err != nil {
		if _, ok := errors.AsType[lostError](err); !ok {
			return "", err
		}
		// The host went away without a word: nobody knows whether it took the message, and sending it again might do things twice.
		return "", fmt.Errorf("%w%w; see whether the message arrived: agcluster events %s", errBroken, silent{err}, cv.session)
	}
	s := cv.stream()
	if s.turn, err = strconv.ParseInt(res.Header.Get("Agcluster-Turn"), 10, 64); err != nil || s.turn < 1 {
		return "", errors.Join(cv.c.stranger(res), res.Body.Close())
	}
	return cv.watch(ctx, s, res)
}

func (cv *conversation) stream() *stream {
	return &stream{c: cv.c, timing: cv.g.timing, session: cv.session, deltas: cv.deltas}
}

func (cv *conversation) path(rest string) string {
	return "/api/agents/" + url.PathEscape(cv.session) + "/" + rest
}

// watch shows a turn to its end, answers its approvals and interrupts it when a person wants that. What comes from the host, from the
// keyboard and from Ctrl-C meets here, on one goroutine.
func (cv *conversation) watch(ctx context.Context, s *stream, res *http.Response) (status string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	frames, followed, interrupted := make(chan frame), make(chan error, 1), make(chan error, 1)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	work.Go(func() {
		followed <- s.follow(ctx, res, func(f frame) error {
			select {
			case frames <- f:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	})
	interrupting := false
	var asks approvals
	for {
		var typed <-chan typedLine
		if len(asks.open) > 0 && cv.asks {
			typed = cv.g.typedLines().c
		}
		select {
		case f := <-frames:
			switch {
			case f.lost != nil:
				cv.aside(lostNote)
				continue
			case f.kind == event.TypeUser:
				continue // the person knows what they said
			}
			if err := cv.sink.show(f); err != nil {
				return "", err
			}
			if d, ok := f.event.Data.(event.Complete); ok && f.turn == s.turn {
				return d.Status, nil
			}
			if cv.asks {
				asks.note(f.event.Data)
				cv.ask(&asks)
			}
		case l := <-typed:
			if err := cv.answer(ctx, &asks, l); err != nil {
				return "", err
			}
		case <-cv.pressed:
			if interrupting {
				cv.aside("the turn goes on; watch it with: agcluster events %s --follow", cv.session)
				return "", errInterrupted
			}
			cv.aside("interrupting; once more to leave the turn to itself")
			interrupting = true
			work.Go(func() { interrupted <- cv.interrupt(ctx) })
		case err := <-interrupted:
			if err != nil && ctx.Err() == nil {
				cv.aside("interrupting failed: %s", shownError{err, cv.g.key})
			}
		case err := <-followed:
			if err == nil {
				err = errors.New("the session was stopped")
			}
			return "", err
		}
	}
}

// interrupt asks the host to end the turn. That there is none any more is no error: its end is on its way.
func (cv *conversation) interrupt(ctx context.Context) error {
	_, err := cv.c.call(ctx, request{method: http.MethodPost, path: interruptPath(cv.session)}, nil)
	var p *problem
	if errors.As(err, &p) && p.Status == http.StatusConflict {
		return nil
	}
	return err
}

// aside is a note that does not break into a line of the output.
func (cv *conversation) aside(format string, args ...any) {
	if cv.view != nil && cv.view.midline && isTerminal(cv.g.out) {
		_ = cv.view.write("\n") // the output has gone; the next event will say so
		cv.view.prompted = false
	}
	cv.g.note(format, args...)
}
