package terminal

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/session"
)

func TestATicketIsGoodOnceForItsOwnTerminal(t *testing.T) {
	r := newRig(t)
	first, second := r.ticket(), r.ticket()
	redeem := func(what, sessionID, id, secret string, want error) *Terminal {
		t.Helper()
		term, err := r.Redeem(sessionID, id, secret)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
		return term
	}
	redeem("another session's", "conv-2", first.Terminal, first.Secret, ErrTicket)
	redeem("another terminal's", "conv-1", first.Terminal, second.Secret, ErrTicket)
	redeem("no secret", "conv-1", first.Terminal, "", ErrTicket)
	redeem("no terminal", "conv-1", "term-0", first.Secret, ErrTicket)
	redeem("nothing", "", "", "", ErrTicket)
	term := redeem("the right one", "conv-1", first.Terminal, first.Secret, nil)
	redeem("the right one again", "conv-1", first.Terminal, first.Secret, ErrTicket)
	r.Drop(term)
	if _, woken, _ := r.sessions.counts(); woken != 2 {
		t.Errorf("two tickets woke the session %d times", woken)
	}
}

func TestTicketsExpireAndMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(&fakeSessions{}, nil, zaptest.NewLogger(t))
		defer s.Close()
		open := func() (Ticket, error) { return s.Open(t.Context(), "conv-1", screen) }
		first, err := open()
		if err != nil || !first.Expires.Equal(time.Now().Add(30*time.Second)) {
			t.Fatalf("%+v %v", first, err)
		}
		time.Sleep(29 * time.Second) // on the bubble's clock
		term, err := s.Redeem("conv-1", first.Terminal, first.Secret)
		if err != nil {
			t.Fatal(err)
		}
		var last Ticket
		for range agent.MaxTerminals - 1 {
			if last, err = open(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := open(); !errors.Is(err, ErrTooMany) {
			t.Errorf("one open and three tickets: %v", err)
		}
		if _, err := s.Open(t.Context(), "conv-2", screen); err != nil {
			t.Errorf("another session: %v", err)
		}
		time.Sleep(31 * time.Second) // on the bubble's clock
		if _, err := s.Redeem("conv-1", last.Terminal, last.Secret); !errors.Is(err, ErrTicket) {
			t.Errorf("an old ticket: %v", err)
		}
		if _, err := open(); err != nil {
			t.Errorf("old tickets take room: %v", err)
		}
		s.Drop(term)
	})
}

func TestWhatFailsTakesNoRoom(t *testing.T) {
	sessions := &fakeSessions{err: session.ErrUnavailable}
	s := New(sessions, nil, zaptest.NewLogger(t))
	for range agent.MaxTerminals + 1 {
		if _, err := s.Open(t.Context(), "conv-1", screen); !errors.Is(err, session.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := s.Open(t.Context(), "conv-1", agent.TerminalSize{}); !errors.Is(err, agent.ErrInvalid) {
		t.Errorf("no size: %v", err)
	}
	sessions.fail(nil)
	ticket, err := s.Open(t.Context(), "conv-1", screen)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close()
	if _, err := s.Redeem("conv-1", ticket.Terminal, ticket.Secret); !errors.Is(err, ErrDraining) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := s.Open(t.Context(), "conv-1", screen); !errors.Is(err, ErrDraining) {
		t.Errorf("after the end: %v", err)
	}
}
