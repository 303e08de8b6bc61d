// Package api is the HTTP API: Huma operations, a file per resource. It translates HTTP to calls and decides nothing. routes.go
// lists every route with what it takes to use it; problem.go maps errors to problem+json; openapi.yaml is generated (`make gen`)
// and verified to be current. README.md beside this file has the decisions.
package api

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/swaggest/swgui/v5emb"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/plugin"
	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/sandbox"
	"github.com/agcluster/agcluster/core/session"
)

// Sessions begins and ends sessions.
type Sessions interface {
	Launch(ctx context.Context, req session.LaunchRequest) (session.Session, error)
	List(ctx context.Context, key string) ([]session.Session, error)
	Authorize(ctx context.Context, id, key string) (session.Session, error)
	Stop(ctx context.Context, id string) error
}

// Turns talks to sessions.
type Turns interface {
	Send(ctx context.Context, id, message string) (session.Turn, error)
	Interrupt(ctx context.Context, id string) error
	Approve(ctx context.Context, id, ask string, d session.Decision) error
	Follow(ctx context.Context, id string, after int64, deltas bool, fn func(e event.Event, more bool) error) error
	History(ctx context.Context, id string, after int64, limit int) ([]event.Event, error)
}

// Events tells how far a session's events go; *event.Log is one.
type Events interface {
	// Last is the number of the newest event that is kept, 0 when there is none.
	Last(ctx context.Context, sessionID string) (int64, error)
}

// Controls changes what sessions work with.
type Controls interface {
	Change(ctx context.Context, id string, c session.Change) (session.Session, error)
	Commands(ctx context.Context, id string) ([]agent.Command, error)
}

// Catalog has the configurations that can be launched.
type Catalog interface {
	List() []preset.Config
	Get(id string) (preset.Config, bool)
	Complete(c preset.Config) (preset.Config, error)
	Check(text []byte, format preset.Format) preset.Checked
	Origin(id string) preset.Origin
}

// Status tells of the host for GET /health.
type Status interface {
	Plugins() []plugin.Status
	Policies() []policy.ModuleInfo
	Pool() sandbox.Status
}

// Config is what the API needs of its host.
type Config struct {
	Version string
	// AgentImage is reported by /health, as AgCluster Container does.
	AgentImage string
	// Provider is the name of the default provider.
	Provider string
	// Heartbeat is how often a silent stream says that it is alive; 0 is 10 s.
	Heartbeat time.Duration
	// Offline says that the host answers with its own scripted model.
	Offline bool
	// Terminal says that people may open terminals.
	Terminal bool
}

// Deps are what the API translates to.
type Deps struct {
	Sessions  Sessions
	Turns     Turns
	Events    Events
	Controls  Controls
	Gates     Gates
	Terminals Terminals
	Catalog   Catalog
	Custom    Custom
	Trials    Trials
	Platform  Platform
	Files     Files
	Observer  Observer
	Status    Status
	// Metrics answers GET /metrics.
	Metrics http.Handler
	// Dashboard is the production build of web/; nil serves none.
	Dashboard fs.FS
}

// API is the HTTP API. It is safe for concurrent use.
type API struct {
	Deps
	cfg  Config
	log  *zap.Logger
	huma huma.API
}

// maxBody bounds a JSON body, in bytes.
const maxBody = 10 << 20

// bodyTimeout bounds how long a client may take to send one.
const bodyTimeout = time.Minute

const description = `Self-hosted agent host: launches Claude Code agents, each in a sandbox of its own.

Every route on a session needs ` + "`Authorization: Bearer <the key it was launched with>`" + `. Errors are problem+json (RFC 9457).
Streams are server-sent events: an ` + "`id:`" + ` line with the event's number and a ` + "`data:`" + ` line with its JSON; a stream that is done ends
with ` + "`data: [DONE]`" + `. To go on with a lost stream, ask GET /api/agents/{session_id}/events with Last-Event-ID. When that has sent what had
happened before, it says so with the comment ` + "`: caught up`" + `.`

// New returns the API and its handler.
func New(cfg Config, deps Deps, log *zap.Logger) (*API, http.Handler) {
	if cfg.Heartbeat <= 0 {
		cfg.Heartbeat = 10 * time.Second
	}
	a := &API{Deps: deps, cfg: cfg, log: log}
	mux := chi.NewMux()
	conf := huma.DefaultConfig("AgCluster", cfg.Version)
	conf.Info.Description = description
	conf.Info.License = &huma.License{Name: "MIT", Identifier: "MIT"}
	// Answers carry what the documentation says and no $schema besides; the documentation page needs no other host.
	conf.CreateHooks, conf.DocsPath, conf.SchemasPath = nil, "", ""
	conf.Transformers = []huma.Transformer{hideValues}
	conf.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"key": {Type: "http", Scheme: "bearer", Description: "The Anthropic key that the session was launched with."},
	}
	conf.Components.Schemas.Map()["Event"] = eventSchema(conf.Components.Schemas)
	a.huma = humachi.New(mux, conf)
	for _, r := range a.routes() {
		a.register(r)
	}
	page := v5emb.New("AgCluster", "/openapi.json", "/docs/")
	mux.Handle("/docs/*", page)
	mux.Handle("/docs", http.RedirectHandler("/docs/", http.StatusMovedPermanently))
	pages := newDashboard(deps.Dashboard)
	mux.NotFound(func(w http.ResponseWriter, r *http.Request) {
		if pages.serve(w, r) {
			return
		}
		writeProblem(w, http.StatusNotFound, "there is no such page: "+r.Method+" "+clip(r.URL.Path))
	})
	mux.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, http.StatusMethodNotAllowed, r.Method+" is not for "+clip(r.URL.Path))
	})
	return a, a.recovered(guarded(sameOrigin(foldFilePath(mux))))
}

// OpenAPI is the API's description as YAML.
func (a *API) OpenAPI() ([]byte, error) {
	b, err := a.huma.OpenAPI().YAML()
	if err != nil {
		return nil, errors.Join(errors.New("encoding openapi.yaml"), err)
	}
	return b, nil
}

// recovered turns a panic into an answer, with the panic in the log only.
func (a *API) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as net/http does
				a.log.Error("a request panicked", zap.Any("panic", v), zap.String("path", r.URL.Path), zap.Stack("stack"))
				writeProblem(w, http.StatusInternalServerError, "internal error; the host's log says more")
			} else if v != nil {
				panic(v) //nolint:forbidigo // it is how net/http is told to cut the connection
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// guarded sets the headers that every answer has.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
