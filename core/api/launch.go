package api

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// InlineConfig is a configuration in a request, read as strictly as a preset file.
type InlineConfig struct{ raw json.RawMessage }

// UnmarshalJSON implements json.Unmarshaler.
func (c *InlineConfig) UnmarshalJSON(b []byte) error {
	c.raw = append(json.RawMessage(nil), b...)
	return nil
}

// Schema implements huma.SchemaProvider.
func (InlineConfig) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[preset.Config](), true, "Config")
}

// LaunchRequest is the body of POST /api/agents/launch.
type LaunchRequest struct {
	APIKey   string                       `json:"api_key" doc:"The Anthropic key the agent works with. It is never stored." writeOnly:"true" maxLength:"512"`
	ConfigID string                       `json:"config_id,omitempty" doc:"Id of a configuration of GET /api/configs/." maxLength:"64"`
	Config   *InlineConfig                `json:"config,omitempty" doc:"An inline configuration, instead of config_id."`
	Provider string                       `json:"provider,omitempty" doc:"Name of a provider plugin; the host's default otherwise." maxLength:"64"`
	MCPEnv   map[string]map[string]string `json:"mcp_env,omitempty" doc:"Credentials for MCP servers: {server: {VARIABLE: value}}." writeOnly:"true"`
}

type launchInput struct {
	Accept string `header:"Accept" doc:"application/json (the default), or text/event-stream to see where in the queue it is meanwhile."`
	Body   LaunchRequest
}

// Launched answers a launch.
type Launched struct {
	SessionID string `json:"session_id" example:"conv-0f1e2d3c4b5a69788796a5b4c3d2e1f0"`
	AgentID   string `json:"agent_id" example:"agent-0f1e2d3c4b5a"`
	ConfigID  string `json:"config_id"`
	Status    string `json:"status" example:"running"`
	Start     string `json:"start" enum:"warm,cold" doc:"Warm: a spare whose Claude Code was running already."`
	Reason    string `json:"reason,omitempty" doc:"Why the start was cold."`
}

// LaunchProgress is one event of a launch that is streamed: status while it waits and starts, then launched or problem.
type LaunchProgress struct {
	Type    string           `json:"type" enum:"status,launched,problem"`
	Status  *event.Status    `json:"status,omitempty" doc:"Where in the queue it is, or that it starts."`
	Session *Launched        `json:"session,omitempty" doc:"Only with launched, which is the last."`
	Problem *huma.ErrorModel `json:"problem,omitempty" doc:"Only with problem, which is the last."`
}

func (a *API) launch(ctx context.Context, in *launchInput) (*huma.StreamResponse, error) {
	form, err := negotiate(in.Accept, mediaJSON, mediaStream)
	if err != nil {
		return nil, err
	}
	req, err := a.launchRequest(in.Body)
	if err != nil {
		return nil, err
	}
	if form == mediaStream {
		return &huma.StreamResponse{Body: func(hc huma.Context) { a.streamLaunch(hc, req) }}, nil
	}
	rec, err := a.Sessions.Launch(ctx, req)
	if err != nil {
		return nil, a.refusal(err)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) { writeJSON(hc, launched(rec)) }}, nil
}

// launchRequest checks what is to be launched.
func (a *API) launchRequest(body LaunchRequest) (session.LaunchRequest, error) {
	if why := checkKey(body.APIKey); why != "" {
		return session.LaunchRequest{}, invalid("body.api_key", why)
	}
	config, id, err := a.configOf(body)
	if err != nil {
		return session.LaunchRequest{}, err
	}
	if err := a.checkProvider(body.Provider); err != nil {
		return session.LaunchRequest{}, err
	}
	if err := preset.ValidateMCPEnv(config, body.MCPEnv); err != nil {
		return session.LaunchRequest{}, a.fieldProblem("body", err)
	}
	return session.LaunchRequest{
		Key: body.APIKey, Config: config, ConfigID: id, Source: a.source(id), Provider: body.Provider, MCPEnv: body.MCPEnv,
	}, nil
}

// source says where the configuration with this id is from; an inline one has none.
func (a *API) source(id string) session.Source {
	switch {
	case id == "":
		return session.SourceInline
	case a.Catalog.Origin(id) == preset.OriginCustom:
		return session.SourceCustom
	default:
		return session.SourcePreset
	}
}

// refusal is the problem of a launch that failed, with the time after which it may succeed when the host is only busy.
func (a *API) refusal(err error) error {
	busy, ok := errors.AsType[*session.BusyError](err)
	if !ok {
		return a.problem(err)
	}
	return huma.ErrorWithHeaders(huma.Error503ServiceUnavailable(busy.Error()), http.Header{"Retry-After": {retryAfter(busy)}})
}

func retryAfter(busy *session.BusyError) string {
	return strconv.Itoa(max(1, int(math.Ceil(busy.RetryAfter.Seconds()))))
}

// writeRefusal is refusal where the answer is written by hand.
func (a *API) writeRefusal(hc huma.Context, err error) {
	p := a.problem(err)
	if busy, ok := errors.AsType[*session.BusyError](err); ok {
		hc.SetHeader("Retry-After", retryAfter(busy))
		p = huma.Error503ServiceUnavailable(busy.Error())
	}
	_ = huma.WriteErr(a.huma, hc, p.GetStatus(), p.Error()) // the client has gone; there is nobody to tell
}

// launching is a launch that goes on while its client is told how.
type launching struct {
	// news has where it is now, if that is news.
	news chan event.Status
	done chan struct{}
	rec  session.Session
	err  error
}

func (a *API) beginLaunch(ctx context.Context, req session.LaunchRequest) *launching {
	l := &launching{news: make(chan event.Status, 1), done: make(chan struct{})}
	req.Progress = func(status event.Status) {
		select {
		case <-l.news:
		default:
		}
		l.news <- status
	}
	go func() {
		defer close(l.done)
		l.rec, l.err = a.Sessions.Launch(ctx, req)
	}()
	return l
}

// streamLaunch tells where a launch is that takes its time, and then how it went. What fails before there is anything to tell
// is answered as if nobody had asked for a stream.
func (a *API) streamLaunch(hc huma.Context, req session.LaunchRequest) {
	ctx, cancel := context.WithCancel(hc.Context())
	defer cancel()
	l := a.beginLaunch(ctx, req)
	var status *event.Status
	select {
	case news := <-l.news:
		status = &news
	case <-l.done:
		if l.err != nil {
			a.writeRefusal(hc, l.err)
			return
		}
	}
	s, end := a.beginStream(hc)
	defer end()
	// A client that is gone wants nothing launched.
	defer context.AfterFunc(s.ctx, cancel)()
	for waiting := true; waiting; {
		if status != nil {
			_ = s.data(LaunchProgress{Type: "status", Status: status}) // the heartbeat finds out that nobody reads
		}
		select {
		case news := <-l.news:
			status = &news
		case <-l.done:
			waiting = false
		}
	}
	if s.data(a.outcome(l)) == nil {
		_ = s.write([]byte("data: [DONE]\n\n")) // as above
	}
}

// outcome is how a launch went.
func (a *API) outcome(l *launching) LaunchProgress {
	if l.err != nil {
		p := a.problem(l.err)
		return LaunchProgress{Type: "problem", Problem: &huma.ErrorModel{
			Status: p.GetStatus(), Title: http.StatusText(p.GetStatus()), Detail: p.Error(),
		}}
	}
	answer := launched(l.rec)
	return LaunchProgress{Type: "launched", Session: &answer}
}

func launched(rec session.Session) Launched {
	return Launched{
		SessionID: rec.ID, AgentID: rec.AgentID, ConfigID: rec.ConfigID, Status: string(rec.Status),
		Start: string(rec.Start.Kind), Reason: rec.Start.Reason,
	}
}

func (a *API) checkProvider(name string) error {
	var known []string
	for _, p := range a.Status.Plugins() {
		if p.Kind == sdk.KindProvider {
			known = append(known, p.Name)
		}
	}
	if name == "" || slices.Contains(known, name) {
		return nil
	}
	return invalid("body.provider", "there is no provider "+clip(name)+"; there are: "+strings.Join(known, ", "))
}

// configOf finds or reads the configuration to launch. An inline one has no id yet.
func (a *API) configOf(req LaunchRequest) (preset.Config, string, error) {
	switch {
	case req.ConfigID != "" && req.Config != nil:
		return preset.Config{}, "", invalid("body", "config_id and config are both given; give one of them")
	case req.ConfigID == "" && req.Config == nil:
		return preset.Config{}, "", invalid("body", "config_id or config is needed")
	case req.Config == nil:
		config, ok := a.Catalog.Get(req.ConfigID)
		if !ok {
			return config, "", huma.Error404NotFound("there is no configuration " + clip(req.ConfigID))
		}
		return config, config.ID, nil
	}
	config, err := preset.ParseJSON(req.Config.raw)
	if err == nil {
		config, err = a.Catalog.Complete(config)
	}
	if err != nil {
		return config, "", a.fieldProblem("body.config", err)
	}
	return config, "", nil
}
