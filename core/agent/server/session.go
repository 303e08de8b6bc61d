package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
)

// session is what the sandbox was claimed for.
type session struct {
	spec []byte
	// ready is closed when the agent has started or has not; err says which.
	ready chan struct{}
	err   error
}

// configure starts the agent. It goes on when the host's request breaks off: the host asks again with the same spec.
func (s *Server) configure(w http.ResponseWriter, r *http.Request) error {
	spec, err := s.readSpec(w, r)
	if err != nil {
		return err
	}
	canonical, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("encoding a session: %w", err)
	}
	se, err := s.claim(spec, canonical)
	if err != nil {
		return err
	}
	select {
	case <-se.ready:
	case <-r.Context().Done():
		return r.Context().Err()
	}
	if se.err != nil {
		return se.err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// claim returns the session for spec, which it starts when there is none.
func (s *Server) claim(spec agent.SessionSpec, canonical []byte) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return nil, fmt.Errorf("%w: the agent server is closing", errUnavailable)
	case s.session != nil && !bytes.Equal(s.session.spec, canonical):
		return nil, fmt.Errorf("%w: the sandbox is configured for another session or in another way", agent.ErrConflict)
	case s.session != nil:
		return s.session, nil
	}
	se := &session{spec: canonical, ready: make(chan struct{})}
	s.session = se
	s.work.Go(func() {
		defer close(se.ready)
		if se.err = s.start(spec); se.err == nil {
			return
		}
		s.log.Error("starting the agent", zap.Error(se.err))
		// The next request may try again.
		s.mu.Lock()
		s.session = nil
		s.mu.Unlock()
	})
	return se, nil
}

// start starts the agent; meanwhile the workspace is remembered as it is at the launch.
func (s *Server) start(spec agent.SessionSpec) error {
	var remembering sync.WaitGroup
	defer remembering.Wait()
	if s.baseline != nil {
		remembering.Go(func() {
			if err := s.baseline.Launch(s.ctx); err != nil && s.ctx.Err() == nil {
				s.log.Warn("remembering the workspace at the launch", zap.Error(err))
			}
		})
	}
	return s.driver.Start(s.ctx, spec)
}

// checkSpec refuses what the driver can't start, and makes the folder the agent works in.
func (s *Server) checkSpec(spec *agent.SessionSpec) error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", agent.ErrInvalid, fmt.Errorf(format, args...))
	}
	if !permissionMode(spec.PermissionMode) {
		return invalid("permission_mode %q: must be default, acceptEdits, plan or bypassPermissions", spec.PermissionMode)
	}
	if spec.MaxTurns < 0 {
		return invalid("max_turns must not be negative")
	}
	if spec.SystemPrompt.Replace != "" && spec.SystemPrompt.Append != "" {
		return invalid("system_prompt: append is only allowed without replace")
	}
	for name := range spec.Env {
		if !envName(name) {
			return invalid("env: %q is no name of an environment variable", name)
		}
	}
	rel, err := s.files.relative(spec.Cwd)
	if err != nil {
		return invalid("cwd: %w", err)
	}
	if err := s.files.makeFolder(rel); err != nil {
		return fmt.Errorf("cwd: %w", err)
	}
	return nil
}

func envName(name string) bool {
	if name == "" {
		return false
	}
	for i, c := range []byte(name) {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// readSpec takes what the agent is to be started with.
func (s *Server) readSpec(w http.ResponseWriter, r *http.Request) (agent.SessionSpec, error) {
	var spec agent.SessionSpec
	if err := decode(w, r, &spec); err != nil {
		return spec, err
	}
	return spec, s.checkSpec(&spec)
}

// prepare starts an agent that waits for a session.
func (s *Server) prepare(w http.ResponseWriter, r *http.Request) error {
	spec, err := s.readSpec(w, r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	taken := s.session != nil
	s.mu.Unlock()
	if taken {
		return fmt.Errorf("%w: the sandbox is configured for a session already", agent.ErrConflict)
	}
	// When the host gives up, so does this: it destroys the sandbox.
	if err := s.driver.Prepare(r.Context(), spec); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// configured waits until the agent has started.
func (s *Server) configured(ctx context.Context) error {
	s.mu.Lock()
	se := s.session
	s.mu.Unlock()
	if se == nil {
		return fmt.Errorf("%w: no session is configured", agent.ErrConflict)
	}
	select {
	case <-se.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	if se.err != nil {
		return errors.Join(agent.ErrConflict, se.err)
	}
	return nil
}
