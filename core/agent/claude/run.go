package claude

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/event"
)

// askAgain is how long an interrupted CLI may take before it is asked once more: a request that comes before the CLI has taken up
// the message would be lost.
const askAgain = time.Second

// Turn sends message and passes what happens to sink until the turn has ended; the returned Complete says how. It never fails
// otherwise: what goes wrong is an Error event and a Complete of status failed. Closing interrupt asks the CLI to end the turn; when
// ctx ends, the CLI is killed. A second turn waits for the first.
func (d *Driver) Turn(ctx context.Context, message string, interrupt <-chan struct{}, sink Sink) event.Complete {
	t := newTurn(ctx, sink, d.log)
	defer t.end()
	t.work.Go(func() {
		select {
		case <-interrupt:
			t.interrupt()
		case <-t.ctx.Done():
		}
	})
	if err := d.acquire(t.open); err != nil {
		return t.failed("agent_unavailable", err)
	}
	defer d.release()
	p, err := d.ready(t.open)
	if err != nil {
		return t.failed("agent_unavailable", err)
	}
	return d.run(t, p, message)
}

// run is one turn on a running CLI.
func (d *Driver) run(t *turn, p *process, message string) event.Complete {
	if t.wasInterrupted() {
		return event.Complete{Status: event.CompleteInterrupted}
	}
	t.proc = p
	defer p.detach()
	p.attach(t)
	sending, cancel := context.WithTimeout(t.ctx, d.cfg.StartTimeout)
	defer cancel()
	err := p.send(sending, map[string]any{
		"type": "user", "uuid": t.id, "parent_tool_use_id": nil, "session_id": "",
		"message": map[string]any{"role": "user", "content": message},
	})
	if err != nil {
		// Half a line may have been written: this CLI understands nothing any more.
		p.kill()
		<-p.done
		return t.exited(p, err)
	}
	var force, again <-chan time.Time
	interrupted := t.interrupted
	for {
		select {
		case c := <-t.complete:
			return c
		case <-interrupted:
			interrupted = nil
			timer := time.NewTimer(d.cfg.InterruptTimeout)
			defer timer.Stop()
			force = timer.C
			d.interruption(t, p)
			ticker := time.NewTicker(askAgain)
			defer ticker.Stop()
			again = ticker.C
		case <-again:
			d.interruption(t, p)
		case <-force:
			d.log.Warn("killing Claude Code: it did not end an interrupted turn")
			p.kill()
			force, again = nil, nil
		case <-t.ctx.Done():
			p.kill()
			<-p.done
			return t.exited(p, errClosed)
		case <-p.done:
			// What it said last may still be a result.
			select {
			case c := <-t.complete:
				return c
			default:
				return t.exited(p, p.err())
			}
		}
	}
}

// interruption asks the CLI to end the turn. The answer is the turn's result; when none comes, a timer decides.
func (d *Driver) interruption(t *turn, p *process) {
	t.work.Go(func() {
		if _, err := p.request(t.ctx, map[string]any{"subtype": "interrupt"}); err != nil && t.ctx.Err() == nil {
			d.log.Info("interrupting Claude Code", zap.Error(err))
		}
	})
}

// receive handles a message of the CLI. It runs on the process's reading goroutine.
func (d *Driver) receive(p *process, t *turn, m message) {
	if t != nil && t.over {
		t = nil
	}
	switch {
	case m.Type == "control_request":
		p.hooks(t, m)
	case m.Type == "control_cancel_request":
		p.withdraw(m.RequestID)
	case t != nil:
		t.translate(m)
	case m.Type == "system" && m.Subtype == "init":
		d.stray(p)
	}
	if m.Type == "result" {
		p.becameIdle()
	}
}

// stray ends what the CLI begins by itself: when a background task has ended between two turns, it wakes the model to tell it. Nobody
// would see what the model does then, and its tool calls are denied anyway; so it is interrupted, and the news, which stays in the
// transcript, reaches the model with the next turn. A turn that is just starting takes the stray run in instead.
func (d *Driver) stray(p *process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	idle, news := p.expectIdle()
	if d.closed || !news {
		return
	}
	d.work.Go(func() {
		select {
		case d.one <- struct{}{}:
		case <-idle:
			return
		case <-p.done:
			return
		}
		defer d.release()
		ctx, cancel := context.WithTimeout(context.Background(), d.cfg.InterruptTimeout)
		defer cancel()
		select {
		case <-idle:
			return
		default:
		}
		if _, err := p.request(ctx, map[string]any{"subtype": "interrupt"}); err != nil && !p.exited() {
			d.log.Info("interrupting what Claude Code began by itself", zap.Error(err))
		}
		select {
		case <-idle:
		case <-p.done:
		case <-ctx.Done():
			d.log.Warn("killing Claude Code: it did not end what it began by itself")
			p.kill()
		}
	})
}
