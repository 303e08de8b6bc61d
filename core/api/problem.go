package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/plugin"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// kind says which status an error has. Own words replace the error's when they would say too much or too little.
type kind struct {
	is     error
	status int
	words  string
}

// kinds is the table of errors; the first that matches counts.
func kinds() []kind {
	return []kind{
		{session.ErrKeyMissing, http.StatusUnauthorized, "Authorization: Bearer <the Anthropic key the session was launched with> is needed"},
		{session.ErrForbidden, http.StatusForbidden, "the session was launched with another key"},
		{session.ErrNotFound, http.StatusNotFound, "there is no such session"},
		{session.ErrTurnRunning, http.StatusConflict, "a turn is running: wait for its end, or interrupt it"},
		{session.ErrNoTurn, http.StatusConflict, "no turn is running"},
		{session.ErrNoAsk, http.StatusConflict, "there is no such open approval"},
		{session.ErrStopping, http.StatusConflict, "the session is being stopped"},
		{session.ErrDraining, http.StatusServiceUnavailable, "the host is shutting down"},
		{session.ErrUnavailable, http.StatusServiceUnavailable, ""},
		{plugin.ErrNotFound, http.StatusNotFound, ""},
		{preset.ErrExists, http.StatusConflict, ""},
		{preset.ErrFull, http.StatusConflict, ""},
		{preset.ErrNotFound, http.StatusNotFound, ""},
		{agent.ErrGone, http.StatusServiceUnavailable, "the sandbox can't be reached; try again"},
		{sdk.ErrPlatformDown, http.StatusServiceUnavailable, ""},
		{sdk.ErrPluginExited, http.StatusServiceUnavailable, "the session's provider ended; it is started again, try again"},
		{context.DeadlineExceeded, http.StatusGatewayTimeout, "it took too long"},
		{context.Canceled, 499, "the client went away"},
	}
}

// problem is what a client gets for err.
func (a *API) problem(err error) huma.StatusError {
	if p, ok := errors.AsType[huma.StatusError](err); ok {
		return p
	}
	if p := fileProblem(err); p != nil {
		return p
	}
	for _, k := range kinds() {
		if !errors.Is(err, k.is) {
			continue
		}
		words := k.words
		if words == "" {
			words = clip(err.Error())
		}
		return huma.NewError(k.status, words)
	}
	a.log.Error("an unexpected error", zap.Error(err))
	return huma.Error500InternalServerError("internal error; the host's log says more")
}

// invalid is a 422 that names the field.
func invalid(field, why string) huma.StatusError {
	return huma.Error422UnprocessableEntity("validation failed", &huma.ErrorDetail{Location: field, Message: why})
}

// fieldProblem is a 422 with every field that a configuration has wrong.
func (a *API) fieldProblem(under string, err error) huma.StatusError {
	found, ok := errors.AsType[preset.Errors](err)
	if !ok {
		return a.problem(err)
	}
	details := make([]error, len(found))
	for i, f := range found {
		at := under
		if f.Field != "" {
			at += "." + f.Field
		}
		details[i] = &huma.ErrorDetail{Location: at, Message: f.Message}
	}
	return huma.Error422UnprocessableEntity("validation failed", details...)
}

// hideValues takes the values out of validation errors: one of them may be a key.
func hideValues(_ huma.Context, _ string, v any) (any, error) {
	if m, ok := v.(*huma.ErrorModel); ok {
		for _, d := range m.Errors {
			d.Value = nil
		}
	}
	return v, nil
}

// clip makes a text that came from outside fit for an error: valid, one line, bounded.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	const limit = 500
	if len(s) <= limit {
		return s
	}
	cut := limit
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// writeProblem answers where no operation is there to do it.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	b, err := json.Marshal(&huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail})
	if err != nil {
		b = []byte(`{"status":500,"title":"Internal Server Error"}`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client has gone; there is nobody to tell
}
