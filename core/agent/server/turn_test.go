package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/claude"
	"github.com/agcluster/agcluster/core/event"
)

// TestNoFrameIsLostOrDoubledHoweverTheConnectionBreaks cuts every connection after some bytes of what the server sends, wherever that
// is: in the header, in a frame, between two.
func TestNoFrameIsLostOrDoubledHoweverTheConnectionBreaks(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 1))
			sizes := make([]int, 20+rnd.IntN(60))
			for i := range sizes {
				sizes[i] = 1 + rnd.IntN(1<<rnd.IntN(10))
			}
			turn := func(ctx context.Context, _ string, _ <-chan struct{}, sink claude.Sink) event.Complete {
				var asks sync.WaitGroup
				defer asks.Wait()
				for i, n := range sizes {
					if i%7 == 3 {
						asks.Go(func() {
							if a, err := sink.Ask(ctx, agent.Ask{Stage: agent.StageCall, Tool: "Bash", Input: []byte(`{}`)}); err != nil || !a.Allow {
								t.Errorf("ask: %+v %v", a, err)
							}
						})
					}
					if err := sink.Event(event.Text{Content: fmt.Sprint(i, " ", strings.Repeat("<", n))}); err != nil {
						t.Error(err)
					}
				}
				return event.Complete{Status: event.CompleteOK}
			}
			// A small buffer, so that the turn also waits for its reader.
			r := newRig(t, turn, func(c *Config) { c.BufferBytes = 1 << 20 }).configure(t)
			connections := 0
			cut := newCutter(t, r.socket, func() int {
				connections++
				if connections%3 == 0 {
					// The client gives up when it gets nowhere, so some must be long enough for any frame.
					return 8000 + rnd.IntN(8000)
				}
				return 100 + rnd.IntN(3000)
			})
			client := r.dial(t, cut.addr)
			var seqs []int64
			texts, complete := 0, 0
			err := client.Turn(within(t), agent.TurnRequest{Turn: 1, Message: "go"}, 0, func(f agent.Frame, _ bool) error {
				seqs = append(seqs, f.Seq)
				switch {
				case f.Ask != nil:
					return r.client.Answer(within(t), f.Ask.ID, agent.Answer{Allow: true})
				case f.Event.Data.Type() == event.TypeComplete:
					complete++
				default:
					if got := f.Event.Data.(event.Text).Content; !strings.HasPrefix(got, fmt.Sprint(texts, " ")) || len(got) <= sizes[texts] {
						t.Errorf("text %d is %.40q", texts, got)
					}
					texts++
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, seq := range seqs {
				if seq != int64(i+1) {
					t.Fatalf("frame %d has the number %d", i+1, seq)
				}
			}
			if texts != len(sizes) || complete != 1 || r.driver.turns != 1 {
				t.Errorf("%d of %d texts, %d ends, %d turns", texts, len(sizes), complete, r.driver.turns)
			}
			if cut.count() == 0 {
				t.Error("no connection was cut")
			}
		})
	}
}

// cutter is a proxy whose connections break.
type cutter struct {
	addr string
	mu   sync.Mutex
	cuts int
}

func newCutter(t *testing.T, socket string, after func() int) *cutter {
	t.Helper()
	c := &cutter{addr: socket + "c"}
	l, err := net.Listen("unix", c.addr)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	t.Cleanup(func() {
		shut(t, l)
		work.Wait()
	})
	work.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			limit := after()
			work.Go(func() { c.proxy(t, in, socket, limit) })
		}
	})
	return c
}

func (c *cutter) proxy(t *testing.T, in net.Conn, socket string, limit int) {
	defer shut(t, in)
	out, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer shut(t, out)
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(out, in) //nolint:errcheck // it breaks, that is the point
		shut(t, out)
	}()
	if n, _ := io.CopyN(in, out, int64(limit)); n == int64(limit) {
		c.mu.Lock()
		c.cuts++
		c.mu.Unlock()
	}
	shut(t, in)
	<-done
}

func (c *cutter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts
}

func TestTurnsAreRefusedPrecisely(t *testing.T) {
	r := newRig(t, untilInterrupted, nil)
	turn := func(number, after int64, message string) error {
		ctx, cancel := context.WithCancel(within(t))
		defer cancel()
		return r.client.Turn(ctx, agent.TurnRequest{Turn: number, Message: message}, after, func(agent.Frame, bool) error { return nil })
	}
	check := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	check("without a session", turn(1, 0, "a"), agent.ErrConflict)
	check("interrupt before any", r.client.Interrupt(within(t)), agent.ErrNoTurn)
	check("ask before any turn", r.client.Answer(within(t), "x", agent.Answer{}), agent.ErrNotFound)
	r.configure(t)
	check("after without a turn: it must not start", turn(5, 3, "a"), agent.ErrNotFound)

	ended := make(chan error, 1)
	go func() { ended <- turn(5, 0, "a") }()
	awaitTurn(t, r, 5)
	check("another while one runs", turn(6, 0, "b"), agent.ErrTurnRunning)
	check("an older one while one runs", turn(4, 0, "b"), agent.ErrTurnRunning)
	check("the same with another message", turn(5, 0, "b"), agent.ErrConflict)
	check("after what was never sent", turn(5, 9, "a"), agent.ErrInvalid)
	check("interrupt", r.client.Interrupt(within(t)), nil)
	check("the turn", receive(t, "end", ended), nil)
	check("interrupt of what has ended", r.client.Interrupt(within(t)), agent.ErrNoTurn)
	check("an older one", turn(4, 0, "a"), agent.ErrNotFound)

	// What has just ended can still be read.
	frames := follow(t, r.client, 5, "a", 0)
	if len(frames) != 1 || frames[0].Event.Data.(event.Complete).Status != event.CompleteInterrupted || frames[0].Event.Turn != 5 {
		t.Errorf("%+v", frames)
	}
}

func awaitTurn(t *testing.T, r *rig, number int64) {
	t.Helper()
	for {
		h, err := r.client.Health(within(t))
		if err != nil {
			t.Fatal(err)
		}
		if h.Turn == number {
			return
		}
	}
}

func TestInterruptIsNotLostHoweverEarly(t *testing.T) {
	r := newRig(t, untilInterrupted, nil).configure(t)
	for n := int64(1); n <= 50; n++ {
		ended := make(chan error, 1)
		go func() {
			ended <- r.client.Turn(within(t), agent.TurnRequest{Turn: n}, 0, func(agent.Frame, bool) error { return nil })
		}()
		for {
			err := r.client.Interrupt(within(t))
			if err == nil {
				break
			}
			if !errors.Is(err, agent.ErrNoTurn) {
				t.Fatal(err)
			}
		}
		if err := receive(t, "end", ended); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAClientThatGoesAwayDoesNotEndTheTurn(t *testing.T) {
	goOn := make(chan struct{})
	r := newRig(t, func(ctx context.Context, m string, i <-chan struct{}, sink claude.Sink) event.Complete {
		if err := sink.Event(event.Text{Content: "first"}); err != nil {
			t.Error(err)
		}
		<-goOn
		return echo(ctx, m, i, sink)
	}, nil).configure(t)
	gone := errors.New("gone")
	err := r.client.Turn(within(t), agent.TurnRequest{Turn: 1, Message: "second"}, 0, func(agent.Frame, bool) error { return gone })
	if !errors.Is(err, gone) {
		t.Fatal(err)
	}
	if h, err := r.client.Health(within(t)); err != nil || h.Turn != 1 {
		t.Errorf("%+v %v", h, err)
	}
	close(goOn)
	frames := follow(t, r.client, 1, "second", 1)
	if len(frames) != 2 || frames[0].Seq != 2 || frames[0].Event.Data != (event.Text{Content: "second"}) {
		t.Errorf("%+v", frames)
	}
	if h, err := r.client.Health(within(t)); err != nil || h.Turn != 0 {
		t.Errorf("%+v %v", h, err)
	}
	follow(t, r.client, 2, "next", 0)
}

func TestAStreamSaysThatItIsAlive(t *testing.T) {
	r := newRig(t, untilInterrupted, func(c *Config) { c.Heartbeat = 5 * time.Millisecond }).configure(t)
	res := r.raw(t, http.MethodPost, "/v1/turns", "Bearer "+token, `{"turn":1}`)
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Error(got)
	}
	lines := bufio.NewReader(res.Body)
	for range 3 {
		if line, err := lines.ReadString('\n'); err != nil || line != ": alive\n" {
			t.Fatalf("%q %v", line, err)
		}
		if line, err := lines.ReadString('\n'); err != nil || line != "\n" {
			t.Fatalf("%q %v", line, err)
		}
	}
	if err := r.client.Interrupt(within(t)); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(lines)
	if err != nil || !strings.Contains(string(rest), `data: {"seq":1,"event":{"type":"complete"`) {
		t.Errorf("%s %v", rest, err)
	}
}

func TestAFullBufferHoldsTheAgentUpAndLosesNothing(t *testing.T) {
	const count, size = 50, 100_000
	sent := make(chan int, count)
	r := newRig(t, func(_ context.Context, _ string, _ <-chan struct{}, sink claude.Sink) event.Complete {
		for i := range count {
			if err := sink.Event(event.Text{Content: strings.Repeat("x", size)}); err != nil {
				t.Error(err)
			}
			sent <- i
		}
		return event.Complete{Status: event.CompleteOK}
	}, func(c *Config) { c.BufferBytes = 10 * size }).configure(t)
	gone := errors.New("gone")
	// A reader that takes one frame and goes; what it did not take waits.
	err := r.client.Turn(within(t), agent.TurnRequest{Turn: 1}, 0, func(agent.Frame, bool) error { return gone })
	if !errors.Is(err, gone) {
		t.Fatal(err)
	}
	frames := follow(t, r.client, 1, "", 0)
	if len(frames) != count+1 {
		t.Errorf("%d frames", len(frames))
	}
}

func TestAnInterruptedTurnEndsThoughNobodyReads(t *testing.T) {
	full := make(chan struct{})
	r := newRig(t, func(_ context.Context, _ string, interrupt <-chan struct{}, sink claude.Sink) event.Complete {
		for i := 0; ; i++ {
			if i == 2 {
				close(full)
			}
			if err := sink.Event(event.Text{Content: strings.Repeat("x", 1000)}); err != nil {
				select {
				case <-interrupt:
				default:
					t.Error("an event was lost before the interrupt")
				}
				return event.Complete{Status: event.CompleteInterrupted}
			}
		}
	}, func(c *Config) { c.BufferBytes = 3000 }).configure(t)
	ctx, cancel := context.WithCancel(within(t))
	begun := make(chan struct{})
	go func() {
		defer close(begun)
		err := r.client.Turn(ctx, agent.TurnRequest{Turn: 1}, 0, func(agent.Frame, bool) error { <-ctx.Done(); return ctx.Err() })
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	receive(t, "events", full)
	cancel()
	receive(t, "end of the reader", begun)
	if err := r.client.Interrupt(within(t)); err != nil {
		t.Fatal(err)
	}
	for {
		if h, err := r.client.Health(within(t)); err != nil || h.Turn == 0 {
			break
		}
	}
	// The first of them were sent to the reader that went away, and may be gone for good; the end is there.
	r.server.mu.Lock()
	st := r.server.turn.stream
	r.server.mu.Unlock()
	st.mu.Lock()
	first, last := st.first(), st.last
	st.mu.Unlock()
	frames := follow(t, r.client, 1, "", first-1)
	if int64(len(frames)) != last-first+1 {
		t.Fatalf("%d frames of %d", len(frames), last-first+1)
	}
	if e, ok := frames[len(frames)-2].Event.Data.(event.Error); !ok || e.Code != "stream_overflow" {
		t.Errorf("%+v", frames[len(frames)-2].Event.Data)
	}
}

func TestWhatIsNotKeptAnyMoreIsAnErrorAndNoGap(t *testing.T) {
	r := newRig(t, func(_ context.Context, _ string, _ <-chan struct{}, sink claude.Sink) event.Complete {
		for range 30 {
			if err := sink.Event(event.Text{Content: strings.Repeat("x", 1000)}); err != nil {
				t.Error(err)
			}
		}
		return event.Complete{Status: event.CompleteOK}
	}, func(c *Config) { c.BufferBytes = 5000 }).configure(t)
	follow(t, r.client, 1, "", 0)
	err := r.client.Turn(within(t), agent.TurnRequest{Turn: 1}, 0, func(agent.Frame, bool) error { return nil })
	if !errors.Is(err, agent.ErrNotFound) || !strings.Contains(err.Error(), "not kept any more") {
		t.Errorf("%v", err)
	}
}

func TestTooLargeEventIsReportedInItsPlace(t *testing.T) {
	r := newRig(t, func(_ context.Context, _ string, _ <-chan struct{}, sink claude.Sink) event.Complete {
		if err := sink.Event(event.Text{Content: strings.Repeat("x", agent.MaxFrame)}); err != nil {
			t.Error(err)
		}
		if _, err := sink.Ask(context.Background(), agent.Ask{Stage: agent.StageCall, Tool: "x", Input: []byte(`{"a":"` + strings.Repeat("x", agent.MaxFrame) + `"}`)}); !errors.Is(err, errTooLarge) {
			t.Errorf("ask: %v", err)
		}
		return event.Complete{Status: event.CompleteOK}
	}, nil).configure(t)
	frames := follow(t, r.client, 1, "", 0)
	if len(frames) != 2 {
		t.Fatalf("%d frames", len(frames))
	}
	if e, ok := frames[0].Event.Data.(event.Error); !ok || e.Code != "frame_too_large" {
		t.Errorf("%+v", frames[0].Event)
	}
}

func TestCloseEndsTheTurnBeforeItsReader(t *testing.T) {
	r := newRig(t, untilInterrupted, nil).configure(t)
	frames := make(chan agent.Frame, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- r.client.Turn(within(t), agent.TurnRequest{Turn: 1}, 0, func(f agent.Frame, _ bool) error { frames <- f; return nil })
	}()
	awaitTurn(t, r, 1)
	r.server.Close()
	if err := receive(t, "end", ended); err != nil {
		t.Error(err)
	}
	if f := receive(t, "frame", frames); f.Event.Data.(event.Complete).Status != event.CompleteFailed {
		t.Errorf("%+v", f.Event)
	}
	if !r.driver.closed {
		t.Error("the driver was not closed")
	}
	r.server.Close()
}
