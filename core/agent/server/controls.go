package server

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/agcluster/agcluster/core/agent"
)

// set changes what of a session may change while it runs.
func (s *Server) set(w http.ResponseWriter, r *http.Request) error {
	var settings agent.Settings
	if err := decode(w, r, &settings); err != nil {
		return err
	}
	if mode := settings.PermissionMode; mode != nil && !permissionMode(*mode) {
		return fmt.Errorf("%w: permission_mode %q", agent.ErrInvalid, *mode)
	}
	if err := s.configured(r.Context()); err != nil {
		return err
	}
	if err := s.driver.Set(r.Context(), settings); err != nil {
		return err
	}
	if err := s.amend(settings); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// amend makes the spec that the sandbox was claimed with say what holds now.
func (s *Server) amend(settings agent.Settings) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var spec agent.SessionSpec
	if err := json.Unmarshal(s.session.spec, &spec); err != nil {
		return fmt.Errorf("reading a session: %w", err)
	}
	canonical, err := json.Marshal(spec.With(settings))
	if err != nil {
		return fmt.Errorf("encoding a session: %w", err)
	}
	s.session.spec = canonical
	return nil
}

func permissionMode(mode string) bool {
	switch mode {
	case "default", "acceptEdits", "plan", "bypassPermissions":
		return true
	default:
		return false
	}
}

// commands tells which slash commands the agent offers.
func (s *Server) commands(w http.ResponseWriter, _ *http.Request) error {
	list := s.driver.Commands()
	if list == nil {
		list = []agent.Command{}
	}
	return reply(w, agent.Commands{Commands: list})
}
