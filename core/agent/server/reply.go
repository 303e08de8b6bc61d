package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
)

// maxBody bounds a request's JSON body, in bytes: a frame's worth of a rewritten tool output, with some room.
const maxBody = agent.MaxFrame + 1<<20

// Errors that the client does not tell apart, but a person who reads the status does.
var (
	errDiskFull    = errors.New("no space left in the workspace")
	errRange       = errors.New("range not satisfiable")
	errUnavailable = errors.New("unavailable")
)

// decode reads a JSON body into v. Unknown fields are errors: host and agent server come from one release.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return fmt.Errorf("%w: a body over %d bytes", agent.ErrTooLarge, tooLarge.Limit)
		}
		return fmt.Errorf("%w: reading the body: %w", agent.ErrInvalid, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: reading the body: more than one JSON value", agent.ErrInvalid)
	}
	return nil
}

func reply(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding an answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(b) // the client has gone; there is nobody to tell
	return nil
}

// status is the one table from errors to HTTP.
func status(err error) (code int, name string) {
	switch {
	case errors.Is(err, agent.ErrTurnRunning):
		return http.StatusConflict, "turn_running"
	case errors.Is(err, agent.ErrNoTurn):
		return http.StatusConflict, "no_turn"
	case errors.Is(err, agent.ErrUnauthorized):
		return http.StatusUnauthorized, ""
	case errors.Is(err, agent.ErrForbidden):
		return http.StatusForbidden, ""
	case errors.Is(err, agent.ErrNotFound):
		return http.StatusNotFound, ""
	case errors.Is(err, agent.ErrConflict):
		return http.StatusConflict, ""
	case errors.Is(err, agent.ErrPrecondition):
		return http.StatusPreconditionFailed, ""
	case errors.Is(err, agent.ErrTooLarge):
		return http.StatusRequestEntityTooLarge, ""
	case errors.Is(err, agent.ErrInvalid):
		return http.StatusBadRequest, ""
	case errors.Is(err, errRange):
		return http.StatusRequestedRangeNotSatisfiable, ""
	case errors.Is(err, errDiskFull):
		return http.StatusInsufficientStorage, ""
	case errors.Is(err, errUnavailable):
		return http.StatusServiceUnavailable, ""
	default:
		return http.StatusInternalServerError, ""
	}
}

// fail answers with an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the client has gone
	}
	code, name := status(err)
	if code == http.StatusInternalServerError {
		s.log.Error("answering a request", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(err))
	}
	var b bytes.Buffer
	if json.NewEncoder(&b).Encode(agent.Failure{Code: name, Message: err.Error()}) != nil {
		b.WriteString(`{"message":"internal error"}`)
	}
	w.Header().Del("Content-Length")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(b.Bytes()) // the client has gone; there is nobody to tell
}

// breakOff ends an answer that has begun so that the client sees an error and never a clean end.
func breakOff(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		conn.Close() //nolint:errcheck // broken off on purpose
	}
}
