// Package gateway is the model gateway: what a sandbox's model calls go through. It knows the session by the tunnel the call came
// through, puts in the key that the host holds in memory, streams the answer back at once, and counts tokens. It never writes a key
// anywhere, and it lets nothing through but the Messages API.
package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/agcluster/agcluster/core/event"
)

// maxRequest bounds a request's body, in bytes: the API's own limit is 32 MB.
const maxRequest = 64 << 20

// maxErrorBody bounds how much of an upstream's error is looked through for an echoed key.
const maxErrorBody = 1 << 20

// Session is the session on the other end of a tunnel.
type Session struct {
	ID string
	// Key returns the user's key while the host holds it.
	Key func() (string, bool)
	// Meter is called once for every answer, with what it used.
	Meter func(event.Usage)
	// Results judges tool results that go to the model; nil lets all pass.
	Results Results
}

// Gateway forwards to one upstream. It is safe for concurrent use.
type Gateway struct {
	upstream  *url.URL
	transport *http.Transport
	log       *zap.Logger
}

// New returns a Gateway to upstream, an http or https URL without user information.
func New(upstream string, log *zap.Logger) (*Gateway, error) {
	u, err := url.Parse(upstream)
	switch {
	case err != nil:
		return nil, errors.New("gateway.upstream: not a URL")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("gateway.upstream: an http or https URL is needed")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("gateway.upstream: must have no user, query or fragment")
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second, DisableCompression: true,
	}
	return &Gateway{upstream: u, transport: transport, log: log}, nil
}

// Close drops idle connections.
func (g *Gateway) Close() { g.transport.CloseIdleConnections() }

// Handler serves the model calls of one session.
func (g *Gateway) Handler(s Session) http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport: g.transport, FlushInterval: -1,
		// The standard logger would print errors that we have not looked at.
		ErrorLog: zap.NewStdLog(zap.New(zapcore.NewNopCore())),
		Rewrite:  func(r *httputil.ProxyRequest) { g.rewrite(r, s) },
		ModifyResponse: func(r *http.Response) error {
			return g.respond(r, s)
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			g.fail(w, r, s, err)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/" && (r.Method == http.MethodHead || r.Method == http.MethodGet):
			// The CLI looks whether somebody is there; that somebody is us.
			w.WriteHeader(http.StatusOK)
			return
		case !allowed(r.Method, r.URL.Path):
			refuse(w, http.StatusNotFound, "not_found_error", "the gateway forwards only the Messages API")
			return
		}
		if key, ok := s.Key(); !ok || key == "" {
			refuse(w, http.StatusUnauthorized, "authentication_error", "the host holds no key for this session; send a request with your key first")
			return
		}
		if r.Method == http.MethodPost {
			if err := screen(w, r, s.Results); err != nil {
				g.fail(w, r, s, err)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	})
}

func allowed(method, path string) bool {
	switch path {
	case "/v1/messages", "/v1/messages/count_tokens":
		return method == http.MethodPost
	case "/v1/models":
		return method == http.MethodGet
	}
	name, ok := strings.CutPrefix(path, "/v1/models/")
	return ok && method == http.MethodGet && name != "" && !strings.ContainsAny(name, "/%\\") && name != ".."
}

func (g *Gateway) rewrite(r *httputil.ProxyRequest, s Session) {
	r.SetURL(g.upstream)
	h := r.Out.Header
	for name := range h {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "proxy-") || strings.HasPrefix(lower, "x-forwarded") || lower == "forwarded" ||
			lower == "authorization" || lower == "cookie" || lower == "x-api-key" {
			h.Del(name)
		}
	}
	if key, ok := s.Key(); ok {
		h.Set("X-Api-Key", key)
	}
	// Counted as it passes, so it must pass readable.
	h.Set("Accept-Encoding", "identity")
}

func (g *Gateway) respond(r *http.Response, s Session) error {
	r.Header.Del("Set-Cookie")
	if r.StatusCode >= 300 && r.StatusCode < 400 {
		return errRedirect
	}
	if r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden {
		// Claude Code tries a refused key ten times over three minutes. It will not get better.
		r.Header.Set("X-Should-Retry", "false")
	}
	if r.StatusCode >= 400 {
		return mask(r, s)
	}
	r.Body = newMeter(r.Body, strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream"), s.Meter)
	return nil
}

var errRedirect = errors.New("the upstream answered with a redirect")

// mask takes the key out of an upstream's error, in case it echoes it.
func mask(r *http.Response, s Session) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxErrorBody))
	if closeErr := r.Body.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("reading the upstream's error: %w", err)
	}
	text := string(body)
	if key, ok := s.Key(); ok && key != "" {
		text = strings.ReplaceAll(text, key, "***")
		for name, values := range r.Header {
			for i, v := range values {
				r.Header[name][i] = strings.ReplaceAll(v, key, "***")
			}
		}
	}
	r.Body = io.NopCloser(strings.NewReader(text))
	r.ContentLength = int64(len(text))
	r.Header.Set("Content-Length", fmt.Sprint(len(text)))
	return nil
}

// statusOverloaded is what the CLI takes as "try again later".
const statusOverloaded = 529

// fail answers when there was no answer.
func (g *Gateway) fail(w http.ResponseWriter, r *http.Request, s Session, err error) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, "request_too_large", fmt.Sprintf("the request is larger than %d bytes", tooLarge.Limit))
	case r.Context().Err() != nil:
		// The client has gone; nobody reads an answer.
	case errors.Is(err, errRedirect):
		refuse(w, http.StatusBadGateway, "api_error", err.Error())
	case errors.Is(err, errJudge):
		g.log.Error("judging a tool result", zap.String("session", s.ID), zap.Error(err))
		refuse(w, statusOverloaded, "overloaded_error", errJudge.Error())
	case errors.Is(err, errBody):
		refuse(w, http.StatusBadRequest, "invalid_request_error", err.Error())
	default:
		text := err.Error()
		if key, ok := s.Key(); ok && key != "" {
			text = strings.ReplaceAll(text, key, "***")
		}
		g.log.Warn("reaching the model upstream", zap.String("session", s.ID), zap.String("error", text))
		refuse(w, statusOverloaded, "overloaded_error", "the model upstream can't be reached")
	}
}

func refuse(w http.ResponseWriter, status int, kind, text string) {
	if status == http.StatusUnauthorized {
		w.Header().Set("X-Should-Retry", "false")
	}
	b, err := json.Marshal(map[string]any{"type": "error", "error": map[string]string{"type": kind, "message": text}})
	if err != nil {
		b = []byte(`{"type":"error","error":{"type":"api_error","message":"internal error"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client has gone; there is nobody to tell
}
