package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/claude"
	"github.com/agcluster/agcluster/core/agent/server"
	"github.com/agcluster/agcluster/core/event"
)

// moved tells the agent server that its workspace is where it is, not at /workspace as the host believes.
func moved(next http.Handler, dir string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/session" || r.URL.Path == "/v1/spare" {
			var spec agent.SessionSpec
			body, err := io.ReadAll(r.Body)
			if err == nil {
				err = json.Unmarshal(body, &spec)
			}
			spec.Cwd = dir
			if err == nil {
				body, err = json.Marshal(spec)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		next.ServeHTTP(w, r)
	})
}

// driver is an agent without a CLI that says what it is told to; see order.
type driver struct{ state atomic.Value }

var _ server.Driver = (*driver)(nil)

// word is about what one delta of a model holds.
const word = "a word or two of it, "

// Prepare implements server.Driver.
func (d *driver) Prepare(context.Context, agent.SessionSpec) error {
	d.state.Store(agent.CLISpare)
	return nil
}

// Start implements server.Driver.
func (d *driver) Start(context.Context, agent.SessionSpec) error {
	d.state.Store(agent.CLIRunning)
	return nil
}

// Turn implements server.Driver.
func (d *driver) Turn(ctx context.Context, message string, interrupt <-chan struct{}, sink claude.Sink) event.Complete {
	o := readOrder(message)
	next, last := speech(o)
	pace := time.NewTicker(tick)
	defer pace.Stop()
	began := time.Now()
	for i := 0; i <= o.n; i++ {
		for o.rate > 0 && i < o.n && i >= int(time.Since(began).Seconds()*float64(o.rate)) {
			select {
			case <-interrupt:
				return event.Complete{Status: event.CompleteInterrupted}
			case <-ctx.Done():
				return event.Complete{Status: event.CompleteInterrupted}
			case <-pace.C:
			}
		}
		said := last
		if i < o.n {
			said = next(i)
		}
		select {
		case <-interrupt:
			return event.Complete{Status: event.CompleteInterrupted}
		case <-ctx.Done():
			return event.Complete{Status: event.CompleteInterrupted}
		default:
		}
		if said != nil && sink.Event(said) != nil {
			return event.Complete{Status: event.CompleteInterrupted}
		}
	}
	return event.Complete{Status: event.CompleteOK, Turns: 1}
}

// State implements server.Driver.
func (d *driver) State() string {
	if s, ok := d.state.Load().(string); ok {
		return s
	}
	return agent.CLINone
}

// Close implements server.Driver.
func (d *driver) Close() {}

// Set implements server.Driver.
func (d *driver) Set(context.Context, agent.Settings) error { return nil }

// Commands implements server.Driver.
func (d *driver) Commands() []agent.Command { return nil }

// Environment implements server.Driver.
func (d *driver) Environment(map[string]string) []string { return nil }
