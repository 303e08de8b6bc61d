package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

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

// driver is an agent without a CLI. "emit N deltas" is N previews and their text, "emit N texts" N events that are kept; anything
// else is said back.
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
	var n int
	var what string
	say := func(d event.Data) bool {
		select {
		case <-interrupt:
			return false
		case <-ctx.Done():
			return false
		default:
			return sink.Event(d) == nil
		}
	}
	if _, err := fmt.Sscanf(message, "emit %d %s", &n, &what); err != nil {
		n, what = 1, "texts"
	}
	for range n {
		var d event.Data = event.TextDelta{Content: word}
		if what == "texts" {
			d = event.Text{Content: word}
		}
		if !say(d) {
			return event.Complete{Status: event.CompleteInterrupted}
		}
	}
	if what == "deltas" && !say(event.Text{Content: strings.Repeat(word, min(n, 1000))}) {
		return event.Complete{Status: event.CompleteInterrupted}
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
