package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"reflect"
	"runtime"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// Observer looks at the sandboxes of sessions, and wakes none: ErrNoSandbox is for those that have none, or lose it meanwhile. Methods
// are safe for concurrent use.
type Observer interface {
	// Measure calls fn at once and then at every interval, until ctx ends or fn fails. An interval of 0 calls it once.
	Measure(ctx context.Context, sessionID string, interval time.Duration, fn func(Measurement) error) error
	// Logs passes on lines of the agent server; a sandbox that goes while it is followed is no error. It fails with
	// sdk.ErrUnimplemented when the provider has none. The request's ID is ignored.
	Logs(ctx context.Context, sessionID string, req sdk.LogsRequest, fn func(sdk.LogLine) error) error
}

// ErrNoSandbox says that a session has no sandbox now.
var ErrNoSandbox = errors.New("the session has no sandbox now")

// The sources of a Measurement.
const (
	SourceProvider    = "provider"
	SourceAgentServer = "agent server"
)

// Measurement is what a sandbox uses at one moment, and who says so.
type Measurement struct {
	sdk.Stats
	Source string
}

const (
	// shortly is how far apart two measurements are that tell the use of processors now.
	shortly         = 250 * time.Millisecond
	defaultInterval = 2 * time.Second
	minInterval     = time.Second
	maxInterval     = time.Minute
)

// Resources answers GET /api/agents/{session_id}/resources. What is not known is 0, or null where 0 would say something.
type Resources struct {
	SessionID string       `json:"session_id"`
	Running   bool         `json:"running" doc:"False when the session has no sandbox now: nothing is used then, and looking wakes none."`
	Time      time.Time    `json:"time"`
	Source    string       `json:"source,omitempty" enum:"provider,agent server" doc:"Who measured: the platform from outside, or the sandbox itself."`
	CPU       CPUGauge     `json:"cpu"`
	Memory    BytesGauge   `json:"memory" doc:"Without what the kernel can drop at once."`
	Disk      BytesGauge   `json:"disk" doc:"What the workspace and Claude Code's folder hold."`
	PIDs      PIDGauge     `json:"pids"`
	Network   NetworkGauge `json:"network"`
	OOMKills  *int64       `json:"oom_kills" doc:"Processes that the kernel killed because the sandbox was out of memory; null when unknown."`
}

// CPUGauge is the use of processors.
type CPUGauge struct {
	Percent float64 `json:"percent" minimum:"0" maximum:"100" doc:"Of what the sandbox may use, now."`
	Count   int     `json:"count" doc:"Processors it may use, rounded up."`
	Limit   float64 `json:"limit" doc:"Processors it may use; 0 is no limit."`
}

// BytesGauge is the use of something that is measured in bytes.
type BytesGauge struct {
	UsedBytes  int64   `json:"used_bytes"`
	LimitBytes int64   `json:"limit_bytes" doc:"0 is no limit."`
	Percent    float64 `json:"percent" doc:"Of the limit; 0 without one."`
}

// PIDGauge counts processes and threads.
type PIDGauge struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit" doc:"0 is no limit."`
}

// NetworkGauge counts what went through the host's proxy, the only way out, since the session has this sandbox; model calls are not among it.
type NetworkGauge struct {
	RxBytes *int64 `json:"rx_bytes" doc:"Into the sandbox; null when unknown."`
	TxBytes *int64 `json:"tx_bytes" doc:"Out of it; null when unknown."`
}

// gauges turns a measurement into an answer; before is an earlier one, by which the use of processors is reckoned.
func gauges(id string, m, before Measurement) Resources {
	r := Resources{
		SessionID: id, Running: true, Time: m.Time, Source: m.Source,
		CPU:    CPUGauge{Count: runtime.NumCPU(), Limit: float64(max(0, m.MilliCPU)) / 1000},
		Memory: bytesGauge(m.MemoryBytes, m.MemoryLimitBytes), Disk: bytesGauge(m.DiskBytes, m.DiskLimitBytes),
		PIDs:     PIDGauge{max(0, m.PIDs), max(0, m.PIDsLimit)},
		Network:  NetworkGauge{known(m.NetworkRxBytes), known(m.NetworkTxBytes)},
		OOMKills: known(m.OOMKills),
	}
	may := float64(r.CPU.Count)
	if r.CPU.Limit > 0 {
		may = r.CPU.Limit
		r.CPU.Count = int(math.Ceil(may))
	}
	// Another sandbox of the session begins at 0 again.
	if passed := m.Time.Sub(before.Time); passed > 0 && before.CPUMicros >= 0 && m.CPUMicros >= before.CPUMicros {
		r.CPU.Percent = percent(float64(m.CPUMicros-before.CPUMicros), may*float64(passed.Microseconds()))
	}
	return r
}

func bytesGauge(used, limit int64) BytesGauge {
	g := BytesGauge{UsedBytes: max(0, used), LimitBytes: max(0, limit)}
	g.Percent = percent(float64(g.UsedBytes), float64(g.LimitBytes))
	return g
}

// percent has one digit after the point and ends at 100: a quota may be passed for a moment.
func percent(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(100, math.Round(1000*part/whole)/10)
}

func known(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

type resourcesInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	Accept    string `header:"Accept" doc:"application/json (the default), or text/event-stream for measurements as they are made."`
	Interval  string `query:"interval" doc:"How often a stream measures: 1s to 60s, 2s without it." example:"2s"`
}

func (a *API) resources(ctx context.Context, in *resourcesInput) (*huma.StreamResponse, error) {
	form, err := negotiate(in.Accept, mediaJSON, mediaStream)
	if err != nil {
		return nil, err
	}
	interval, err := intervalOf(in.Interval)
	if err != nil {
		return nil, err
	}
	if form == mediaStream {
		return &huma.StreamResponse{Body: func(hc huma.Context) { a.streamResources(hc, in.SessionID, interval) }}, nil
	}
	now, _, err := a.measure(ctx, in.SessionID)
	if err != nil {
		return nil, a.problem(err)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) { writeJSON(hc, now) }}, nil
}

// intervalOf reads "5s", or "5" for the same.
func intervalOf(text string) (time.Duration, error) {
	if text == "" {
		return defaultInterval, nil
	}
	d, err := time.ParseDuration(text)
	if n, notNumber := strconv.Atoi(text); notNumber == nil {
		// No limit is above maxInterval, so that the product can't overflow.
		d, err = time.Duration(min(max(n, 0), int(maxInterval/time.Second)+1))*time.Second, nil
	}
	if err != nil || d < minInterval || d > maxInterval {
		return 0, invalid("query.interval", "must be 1s to 60s")
	}
	return d, nil
}

// measure is what a session uses now, and the measurement that says so; zero for one without a sandbox.
func (a *API) measure(ctx context.Context, id string) (Resources, Measurement, error) {
	var first, second Measurement
	err := a.Observer.Measure(ctx, id, 0, func(m Measurement) error { first = m; return nil })
	if err == nil {
		select {
		case <-time.After(shortly):
		case <-ctx.Done():
			return Resources{}, first, ctx.Err()
		}
		err = a.Observer.Measure(ctx, id, 0, func(m Measurement) error { second = m; return nil })
	}
	switch {
	case errors.Is(err, ErrNoSandbox):
		return asleep(id), Measurement{}, nil
	case err != nil:
		return Resources{}, first, err
	}
	return gauges(id, second, first), second, nil
}

func asleep(id string) Resources {
	var none int64
	return Resources{
		SessionID: id, Time: time.Now().UTC(), Network: NetworkGauge{&none, &none}, OOMKills: &none,
	}
}

// streamResources writes measurements until the session is stopped or the client goes away. A session that sleeps is told as such, and
// measured again once it is awake.
func (a *API) streamResources(hc huma.Context, id string, interval time.Duration) {
	s, end := a.beginStream(hc)
	defer end()
	ctx, over := a.whileSession(s.ctx, id)
	send := func(r Resources) error { return s.data(r) }
	now, before, err := a.measure(ctx, id)
	if err == nil {
		err = send(now)
	}
	for err == nil {
		if err = pause(ctx, interval); err != nil {
			break
		}
		err = a.Observer.Measure(ctx, id, interval, func(m Measurement) error {
			r := gauges(id, m, before)
			before = m
			return send(r)
		})
		if errors.Is(err, ErrNoSandbox) || errors.Is(err, sdk.ErrPluginExited) || errors.Is(err, sdk.ErrPlatformDown) {
			before = Measurement{}
			err = send(asleep(id))
		}
	}
	a.endStream(s, over(), err, id)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// endStream says that a stream is done when its session is; else that something broke, when it did.
func (a *API) endStream(s *openStream, done bool, err error, id string) {
	switch {
	case done:
		_ = s.write([]byte("data: [DONE]\n\n")) // the client has gone; there is nobody to tell
	case err == nil, s.ctx.Err() != nil, errors.Is(err, errClient), errors.Is(err, context.Canceled):
	default:
		a.log.Warn("a stream broke off", zap.String("session", id), zap.Error(err))
	}
}

func resourcesAnswers(r huma.Registry, op *huma.Operation) {
	schema := media(r.Schema(reflect.TypeFor[Resources](), true, "Resources"))
	answers(op, "What the session uses now, or as it is measured.", map[string]*huma.MediaType{mediaJSON: schema, mediaStream: schema})
}

// Logs answers GET /api/agents/{session_id}/logs.
type Logs struct {
	SessionID string    `json:"session_id"`
	Running   bool      `json:"running" doc:"False when the session has no sandbox now: its lines are gone with it."`
	Lines     []LogLine `json:"lines"`
}

// LogLine is one line of an agent server.
type LogLine struct {
	Time   *time.Time `json:"time" doc:"null when unknown."`
	Stream string     `json:"stream" enum:"stdout,stderr"`
	Text   string     `json:"text"`
}

type logsInput struct {
	SessionID string `path:"session_id" maxLength:"64"`
	Accept    string `header:"Accept" doc:"application/json (the default), or text/event-stream to follow."`
	Tail      int    `query:"tail" minimum:"1" maximum:"10000" default:"200" doc:"How many of the last lines."`
}

func (a *API) logs(ctx context.Context, in *logsInput) (*huma.StreamResponse, error) {
	form, err := negotiate(in.Accept, mediaJSON, mediaStream)
	if err != nil {
		return nil, err
	}
	req := sdk.LogsRequest{Tail: in.Tail}
	out := Logs{SessionID: in.SessionID, Running: true, Lines: []LogLine{}}
	if form == mediaStream {
		// Asked before the answer begins: a provider that has no lines is an error, not a stream.
		req.Tail = 1
	}
	err = a.Observer.Logs(ctx, in.SessionID, req, func(l sdk.LogLine) error {
		out.Lines = append(out.Lines, logLine(l))
		return nil
	})
	switch {
	case errors.Is(err, ErrNoSandbox):
		out.Running = false
	case errors.Is(err, sdk.ErrUnimplemented):
		return nil, huma.NewError(http.StatusNotImplemented, "the session's provider can't tell what its sandboxes write")
	case err != nil:
		return nil, a.problem(err)
	}
	if form == mediaStream {
		return &huma.StreamResponse{Body: func(hc huma.Context) { a.streamLogs(hc, in) }}, nil
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) { writeJSON(hc, out) }}, nil
}

func logLine(l sdk.LogLine) LogLine {
	out := LogLine{Stream: l.Stream, Text: l.Text}
	if !l.Time.IsZero() {
		out.Time = &l.Time
	}
	return out
}

// streamLogs writes lines until the sandbox is gone or the client is.
func (a *API) streamLogs(hc huma.Context, in *logsInput) {
	s, end := a.beginStream(hc)
	defer end()
	ctx, over := a.whileSession(s.ctx, in.SessionID)
	err := a.Observer.Logs(ctx, in.SessionID, sdk.LogsRequest{Tail: in.Tail, Follow: true}, func(l sdk.LogLine) error {
		return s.data(logLine(l))
	})
	a.endStream(s, over() || err == nil || errors.Is(err, ErrNoSandbox), err, in.SessionID)
}

func logsAnswers(r huma.Registry, op *huma.Operation) {
	answers(op, "The lines, or each as it is written.", map[string]*huma.MediaType{
		mediaJSON:   media(r.Schema(reflect.TypeFor[Logs](), true, "Logs")),
		mediaStream: media(r.Schema(reflect.TypeFor[LogLine](), true, "LogLine")),
	})
}
