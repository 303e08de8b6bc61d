// Package server is the agent server: what runs inside every sandbox, drives the agent there and gives the host a door to it
// (DESIGN.md, "Sandbox ⇄ host"; the wire types and the host's client are core/agent). It trusts nothing it gets but the token, and it
// holds no secret but that. README.md has the decisions.
package server

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/claude"
	"github.com/agcluster/agcluster/core/agent/server/baseline"
	"github.com/agcluster/agcluster/core/event"
)

const (
	headerTimeout = 10 * time.Second
	// writeTimeout bounds one write of a turn's stream: a reader that takes nothing for so long is gone.
	writeTimeout = 30 * time.Second
	// closeTimeout is how long Close waits for the answers under way before it breaks them off.
	closeTimeout = 3 * time.Second
	// baselineBytes bounds the contents that baselines keep; baselineShare is the largest part of the disk limit that they may be.
	baselineBytes = 64 << 20
	baselineShare = 16
)

// Driver runs the agent. claude.Driver is one; its documentation has the contract.
type Driver interface {
	Runner
	Controls
}

// Runner takes the agent through its life.
type Runner interface {
	Prepare(ctx context.Context, spec agent.SessionSpec) error
	Start(ctx context.Context, spec agent.SessionSpec) error
	Turn(ctx context.Context, message string, interrupt <-chan struct{}, sink claude.Sink) event.Complete
	State() string
	Close()
}

// Controls is what can be changed of the agent and asked of it beside its turns.
type Controls interface {
	// Set changes the model and the permission mode of a session that was started. It fails with agent.ErrInvalid when the agent refuses.
	Set(ctx context.Context, settings agent.Settings) error
	// Commands are the slash commands that the agent offers.
	Commands() []agent.Command
	// Environment is that of the agent's tools, with the variables of a session's configuration, for what is started beside it.
	Environment(own map[string]string) []string
}

var _ Driver = (*claude.Driver)(nil)

// Config says how an agent server behaves.
type Config struct {
	// Token must come with every request.
	Token string
	// Version is what health reports.
	Version string
	// AskTimeout is how long an ask waits for the host before it becomes a denial; 0 is 1 h. It must be longer than the host's own
	// approval timeout, and at most MaxAskTimeout.
	AskTimeout time.Duration
	// Heartbeat is how often a turn's stream without frames says that it is alive; 0 is agent.HeartbeatInterval.
	Heartbeat time.Duration
	// BufferBytes bounds the frames of a turn that nobody has read yet, and as much again of those that were sent and may be asked for
	// once more; 0 is 32 MiB. A full buffer holds the agent up.
	BufferBytes int
	// DiskLimit is how many bytes Folders may hold together; 0 is no limit. Folders are absolute paths, none in another; without them
	// it is the workspace.
	DiskLimit int64
	Folders   []string
	// StateDir is where baselines are kept: an absolute path outside of the workspace that survives the sandbox. Without it there are none.
	StateDir string
}

// MaxAskTimeout is the longest AskTimeout: the CLI's own patience with a hook must be greater.
const MaxAskTimeout = 6 * 24 * time.Hour

// Server is the agent server of one sandbox. It is safe for concurrent use.
type Server struct {
	cfg    Config
	token  [sha256.Size]byte
	driver Driver
	files  *Workspace
	tunnel *Tunnel
	// storage is what the agent's files take; contact knows when the host was here last.
	storage *storage
	contact *contact
	// baseline remembers how the workspace was; nil without a folder for it.
	baseline *baseline.Keeper
	log      *zap.Logger
	http     *http.Server

	// ctx ends when the server closes.
	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	closing bool
	session *session
	turn    *turn
	// terminals counts the open ones.
	terminals int
}

// New returns a Server that serves nothing yet. It closes driver and tunnel with itself, and leaves files to its caller.
func New(cfg Config, driver Driver, files *Workspace, tunnel *Tunnel, log *zap.Logger) (*Server, error) {
	switch {
	case cfg.Token == "":
		return nil, errors.New("creating an agent server: no token")
	case cfg.DiskLimit < 0:
		return nil, errors.New("creating an agent server: a negative disk limit")
	case cfg.AskTimeout < 0 || cfg.AskTimeout > MaxAskTimeout:
		return nil, fmt.Errorf("creating an agent server: an ask timeout of %s, at most %s is allowed", cfg.AskTimeout, MaxAskTimeout)
	}
	if cfg.AskTimeout == 0 {
		cfg.AskTimeout = time.Hour
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = agent.HeartbeatInterval
	}
	if cfg.BufferBytes == 0 {
		cfg.BufferBytes = 32 << 20
	}
	if len(cfg.Folders) == 0 {
		cfg.Folders = []string{files.path}
	}
	s := &Server{
		cfg: cfg, storage: newStorage(cfg.DiskLimit, cfg.Folders, log), contact: newContact(), token: sha256.Sum256([]byte(cfg.Token)),
		driver: driver, files: files, tunnel: tunnel, log: log,
	}
	if cfg.StateDir != "" {
		budget := int64(baselineBytes)
		if cfg.DiskLimit > 0 {
			budget = min(budget, cfg.DiskLimit/baselineShare)
		}
		s.baseline = baseline.New(baseline.Config{Dir: cfg.StateDir, Budget: budget}, compared{s.files}, log.Named("baseline"))
		s.storage.ownDir, s.storage.own = cfg.StateDir, s.baseline.Stored
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler: s.authorized(s.routes()), ReadHeaderTimeout: headerTimeout,
		ErrorLog: zap.NewStdLog(log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
	}
	return s, nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /v1/health":           s.health,
		"POST /v1/spare":           s.prepare,
		"POST /v1/session":         s.configure,
		"POST /v1/turns":           s.follow,
		"POST /v1/turns/interrupt": s.interrupt,
		"POST /v1/asks/{ask}":      s.answer,
		"GET /v1/files":            s.readFile,
		"PUT /v1/files":            s.writeFile,
		"DELETE /v1/files":         s.deleteFile,
		"POST /v1/move":            s.moveFile,
		"POST /v1/folders":         s.makeFolder,
		"GET /v1/stat":             s.stat,
		"GET /v1/tree":             s.tree,
		"GET /v1/changes":          s.changes,
		"GET /v1/change":           s.change,
		"POST /v1/archive":         s.archive,
		"GET /v1/usage":            s.usage,
		"GET /v1/tunnel":           s.dialled,
		"GET /v1/terminal":         s.terminal,
		"PATCH /v1/session":        s.set,
		"GET /v1/commands":         s.commands,
		"/": func(_ http.ResponseWriter, r *http.Request) error {
			return fmt.Errorf("%w: no route %s %s", agent.ErrNotFound, r.Method, r.URL.Path)
		},
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := handle(w, r); err != nil {
				s.fail(w, r, err)
			}
		})
	}
	return mux
}

// authorized lets nothing through without the token, whatever the route.
func (s *Server) authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		sum := sha256.Sum256([]byte(token))
		if subtle.ConstantTimeCompare(sum[:], s.token[:]) != 1 || !ok {
			w.Header().Set("WWW-Authenticate", "Bearer")
			s.fail(w, r, agent.ErrUnauthorized)
			return
		}
		defer s.contact.begin()()
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.http.Handler.ServeHTTP(w, r) }

// Serve answers on l until Close; it returns nil then.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// Close ends the turn, the agent and the tunnel, answers what can be answered, and waits for all of it. It is safe to call twice and
// without Serve.
func (s *Server) Close() {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	// The turn ends with its Complete, which its reader still gets.
	s.stop()
	s.driver.Close()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		s.log.Warn("breaking off requests", zap.Error(err))
	}
	s.tunnel.Close()
	s.http.Close() //nolint:errcheck // broken off on purpose
	s.work.Wait()
	if s.baseline != nil {
		s.baseline.Close()
	}
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) error {
	h := agent.Health{Status: "ok", Version: s.cfg.Version, CLI: s.driver.State()}
	s.mu.Lock()
	if s.turn != nil && !s.turn.ended() {
		h.Turn = s.turn.number
	}
	s.mu.Unlock()
	return reply(w, h)
}
