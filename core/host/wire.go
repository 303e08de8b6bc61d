package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/offline"
	"github.com/agcluster/agcluster/core/egress"
	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/gateway"
	"github.com/agcluster/agcluster/core/guard"
	"github.com/agcluster/agcluster/core/sandbox"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/core/workspace"
)

// results lets the gateway judge the results of one session.
type results struct {
	sessions *session.Service
	id       string
}

var _ gateway.Results = results{}

// Passed implements gateway.Results.
func (r results) Passed(toolUseID string) bool { return r.sessions.ResultPassed(r.id, toolUseID) }

// Judge implements gateway.Results.
func (r results) Judge(ctx context.Context, t gateway.ToolResult) (json.RawMessage, error) {
	return r.sessions.JudgeResult(ctx, r.id, agent.Ask{
		Tool: t.Tool, ToolUseID: t.ToolUseID, Input: t.Input, Output: t.Content, IsError: t.IsError,
	})
}

// exit is what the forward proxy needs to know of one session.
func (h *Host) exit(sessionID string) egress.Session {
	return egress.Session{
		ID: sessionID,
		Network: func(ctx context.Context) (string, []string, error) {
			scope, err := h.sessions.Scope(ctx, sessionID)
			return scope.Config.Network.Egress, scope.Config.Network.Allow, err
		},
		Judge: func(ctx context.Context, c egress.Connection) error {
			return h.network.Connect(ctx, sessionID, guard.Connection(c))
		},
		Record: func(ctx context.Context, v event.Verdict) error { return h.sessions.Record(ctx, sessionID, v) },
		Turn: func(ctx context.Context) int64 {
			// A session that can't be read has no turn; its denial can't be recorded either, which is logged.
			s, _ := h.sessions.Get(ctx, sessionID)
			return s.Turn
		},
	}
}

// opener wakes sandboxes for those who want a session's files.
type opener struct{ h *Host }

// sweeper removes the sandboxes that an earlier run left, and then the volumes that belong to no session. A provider that can't be asked now is asked again until it answers.
type sweeper struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
}

func startSweeper(pool *sandbox.Pool, providers map[string]bool, volumes []sandbox.Volume, log *zap.Logger) *sweeper {
	ctx, cancel := context.WithCancel(context.Background())
	s := &sweeper{cancel: cancel}
	for name := range providers {
		s.work.Go(func() {
			for wait := time.Second; ; wait = min(2*wait, time.Minute) {
				n, err := pool.Sweep(ctx, name)
				if n > 0 {
					log.Info("removed left-over sandboxes", zap.String("provider", name), zap.Int("count", n))
				}
				if err == nil {
					// What used them is gone now.
					err = pool.Reclaim(ctx, name, volumes)
				}
				if err == nil || ctx.Err() != nil {
					return
				}
				log.Warn("looking for left-over sandboxes; will try again", zap.String("provider", name), zap.Error(err))
				select {
				case <-ctx.Done():
					return
				case <-time.After(wait):
				}
			}
		})
	}
	return s
}

func (s *sweeper) close() {
	s.cancel()
	s.work.Wait()
}

// offlineModel is the scripted model on a loopback port.
type offlineModel struct {
	url    string
	server *http.Server
	done   chan struct{}
}

func startOfflineModel(ctx context.Context, path string, log *zap.Logger) (*offlineModel, error) {
	script, err := offline.Default()
	if path != "" {
		script, err = offline.Load(path)
	}
	if err != nil {
		return nil, fmt.Errorf("offline.script: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the offline model: %w", err)
	}
	m := &offlineModel{
		url: "http://" + l.Addr().String(), done: make(chan struct{}),
		server: &http.Server{Handler: offline.New(script, nil, log), ReadHeaderTimeout: 10 * time.Second},
	}
	go func() {
		defer close(m.done)
		if err := m.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("serving the offline model", zap.Error(err))
		}
	}()
	return m, nil
}

func (m *offlineModel) close() error {
	err := m.server.Close()
	<-m.done
	if err != nil {
		return fmt.Errorf("closing the offline model: %w", err)
	}
	return nil
}

// Open implements workspace.Sandboxes.
func (o opener) Open(ctx context.Context, sessionID string) (workspace.Files, func(), error) {
	release, err := o.h.sessions.Acquire(ctx, sessionID)
	if err != nil {
		return nil, nil, err
	}
	client, ok := o.h.pool.Client(sessionID)
	if !ok {
		release()
		return nil, nil, fmt.Errorf("%w: the sandbox was lost", session.ErrUnavailable)
	}
	return client, release, nil
}
