package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/guard"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
)

// launchAs launches a preset, accepting what is named, and returns the answer with its body. began is called once the body has begun.
func launchAs(t *testing.T, f *fake, accept string, began ...func()) (*http.Response, string) {
	t.Helper()
	url := serve(t, f, preset.Config{ID: "one"}).URL + "/api/agents/launch"
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(`{"api_key":"sk-ant-x","config_id":"one"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", accept)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body := bufio.NewReader(res.Body)
	if _, err := body.Peek(1); err != nil {
		t.Fatal(err)
	}
	for _, do := range began {
		do()
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestALaunchSaysHowItStarted(t *testing.T) {
	f := &fake{rec: session.Session{ID: "conv-1", Status: session.StatusRunning, Start: session.Start{Kind: session.StartCold, Reason: "no spare"}}}
	res, body := launchAs(t, f, "application/json")
	want := `{"session_id":"conv-1","agent_id":"","config_id":"","status":"running","start":"cold","reason":"no spare"}`
	if res.StatusCode != http.StatusOK || strings.TrimSpace(body) != want {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body := launchAs(t, f, "text/html"); res.StatusCode != http.StatusNotAcceptable {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestABusyHostSaysWhenToComeBack(t *testing.T) {
	for _, accept := range []string{"application/json", "text/event-stream"} {
		f := &fake{err: errors.Join(errors.New("launching"), &session.BusyError{Waiting: 64, RetryAfter: 2100 * time.Millisecond})}
		res, body := launchAs(t, f, accept)
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "3" || !strings.Contains(body, "64 starts are waiting") {
			t.Errorf("%s: %d %v %s", accept, res.StatusCode, res.Header, body)
		}
	}
}

func TestAStreamedLaunchTellsWhereItIs(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		last string
	}{
		"launched": {nil, `{"type":"launched","session":{"session_id":"conv-1","agent_id":"","config_id":"","status":"running","start":"warm"}}`},
		"failed":   {session.ErrUnavailable, `{"type":"problem","problem":{"title":"Service Unavailable","status":503,"detail":"sandbox unavailable"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			told := make(chan struct{})
			f := &fake{launch: func(_ context.Context, req session.LaunchRequest) (session.Session, error) {
				req.Progress(event.Status{Status: event.StatusQueued, Position: 2})
				<-told
				req.Progress(event.Status{Status: event.StatusQueued, Position: 1})
				req.Progress(event.Status{Status: "starting"}) // only the newest counts
				return session.Session{ID: "conv-1", Status: session.StatusRunning, Start: session.Start{Kind: session.StartWarm}}, c.err
			}}
			res, body := launchAs(t, f, "text/event-stream", func() { close(told) })
			if res.StatusCode != http.StatusOK || !strings.HasPrefix(body, `data: {"type":"status","status":{"status":"queued","position":2}}`+"\n\n") ||
				!strings.HasSuffix(body, "data: "+c.last+"\n\ndata: [DONE]\n\n") {
				t.Errorf("%d %s", res.StatusCode, body)
			}
		})
	}
}

func TestARefusedLaunchNamesThePolicyAndTheReason(t *testing.T) {
	for _, accept := range []string{"application/json", "text/event-stream"} {
		f := &fake{err: fmt.Errorf("launching: %w", &guard.DeniedError{Gate: "agent.launch", By: "policy:tools", Reason: "that mode is not allowed here"})}
		res, body := launchAs(t, f, accept)
		if res.StatusCode != http.StatusForbidden || res.Header.Get("Content-Type") != "application/problem+json" ||
			!strings.Contains(body, `"detail":"denied by policy:tools: that mode is not allowed here"`) {
			t.Errorf("%s: %d %s", accept, res.StatusCode, body)
		}
	}
}

func TestALaunchKnowsWhereItsConfigurationIsFrom(t *testing.T) {
	for body, want := range map[string]session.Source{
		`{"api_key":"sk-ant-x","config_id":"one"}`:      session.SourcePreset,
		`{"api_key":"sk-ant-x","config_id":"mine"}`:     session.SourceCustom,
		`{"api_key":"sk-ant-x","config":{"id":"mine"}}`: session.SourceInline,
	} {
		var got session.LaunchRequest
		f := &fake{launch: func(_ context.Context, req session.LaunchRequest) (session.Session, error) {
			got = req
			return session.Session{}, nil
		}}
		status, answer := send(t, http.MethodPost, serve(t, f, preset.Config{ID: "one"}, preset.Config{ID: "mine"}).URL+"/api/agents/launch", body)
		if status != http.StatusOK || got.Source != want {
			t.Errorf("%s: %d %s, from %q", body, status, answer, got.Source)
		}
	}
}
