package session

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// intake takes the frames of a turn. Those that are there at the same time are kept in one transaction, because one for each costs more
// than everything else about an event; the order stays. It is for one goroutine.
type intake struct {
	s     *Service
	l     *live
	t     *turn
	ctx   context.Context //nolint:containedctx // the turn's own
	agent Agent
	// memory explains failures for want of it; nil where nobody counts.
	memory *memoryWatch

	// kept are events to keep, previews such that are only shown. One of the two is empty.
	kept, previews []event.Data
	complete       *event.Complete
}

// take takes one frame. With more, the next follows at once.
func (in *intake) take(f agent.Frame, more bool) error {
	var d event.Data
	switch {
	case f.Event != nil:
		d = f.Event.Data
	case f.Ask == nil:
		return errors.New("the agent server sent an empty frame")
	}
	switch d := d.(type) {
	case nil:
		// What was said before the question comes before its verdict.
		if err := in.flush(); err != nil {
			return err
		}
		in.s.dispatch(in.ctx, in.l, in.t, in.agent, *f.Ask)
	case event.TextDelta:
		if len(in.kept) > 0 {
			if err := in.flush(); err != nil {
				return err
			}
		}
		in.previews = append(in.previews, d)
	case event.Complete:
		in.complete = &d
	case event.Init, event.Text, event.Thinking, event.ToolUse, event.ToolResult, event.TodoUpdate, event.Error:
		in.show()
		in.kept = append(in.kept, d)
		in.remember(d)
		if why, ok := in.memory.explain(in.ctx, d); ok {
			in.kept = append(in.kept, why)
		}
	default:
		// Only the host says who spoke, what was decided and how a session is: a sandbox that does is lying.
		in.s.zap.Warn("dropping an event no sandbox may send", zap.String("session", in.l.id), zap.String("type", string(d.Type())))
	}
	if more {
		return nil
	}
	return in.flush()
}

// remember notes for those who list sessions what the agent said last. The record is written with the end of the turn.
func (in *intake) remember(d event.Data) {
	if text, ok := d.(event.Text); ok && text.Parent == "" {
		if line := lastLine(text.Content, maxLastLine); line != "" {
			in.l.update(func(rec *Session) { rec.LastLine = line })
		}
	}
}

// flush keeps and shows what has been put off.
func (in *intake) flush() error {
	in.show()
	if len(in.kept) == 0 {
		return nil
	}
	kept := in.kept
	in.kept = nil
	if _, err := in.s.log.Append(in.ctx, in.l.id, in.t.number, kept...); err != nil {
		return fmt.Errorf("%w: %w", errNotKept, err)
	}
	return nil
}

func (in *intake) show() {
	if len(in.previews) > 0 {
		in.s.log.Preview(in.l.id, in.t.number, in.previews...)
		in.previews = nil
	}
}
