package offline

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	maxBody = 32 << 20
	// maxLogEntries and maxLogBytes bound what Log keeps: the older half goes when one is passed.
	maxLogEntries = 2000
	maxLogBytes   = 128 << 20
)

// Server is the scripted model, an http.Handler that is safe for concurrent use.
type Server struct {
	script Script
	log    *zap.Logger
	record io.Writer
	mux    *http.ServeMux

	mu   sync.Mutex
	used map[int]int
	seen []Entry
	// size is how many bytes of bodies seen holds.
	size int
}

// Entry is one request as the model received it. The key is never kept, only a digest that tells two keys apart.
type Entry struct {
	Time      time.Time       `json:"time"`
	Path      string          `json:"path"`
	KeyDigest string          `json:"key_digest"`
	KeyLength int             `json:"key_length"`
	Rule      string          `json:"rule"`
	Body      json.RawMessage `json:"body"`
}

// New returns a Server for a script that Parse, Load or Default made. Every request is written to record as a JSON line when that is not nil.
func New(script Script, record io.Writer, log *zap.Logger) *Server {
	if script.ChunkSize == 0 {
		script.ChunkSize = 24
	}
	s := &Server{script: script, log: log, record: record, mux: http.NewServeMux(), used: map[int]int{}}
	s.mux.HandleFunc("POST /v1/messages", s.messages)
	s.mux.HandleFunc("POST /v1/messages/count_tokens", s.countTokens)
	s.mux.HandleFunc("GET /v1/models", s.models)
	s.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "", "not found", 0)
	})
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Log returns the newest requests, the oldest first: at most 2,000, and 128 MiB.
func (s *Server) Log() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Entry(nil), s.seen...)
}

func (s *Server) keep(r *http.Request, rule string, body []byte) {
	key := r.Header.Get("X-Api-Key")
	sum := sha256.Sum256([]byte(key))
	e := Entry{Time: time.Now().UTC(), Path: r.URL.Path, KeyDigest: hex.EncodeToString(sum[:8]), KeyLength: len(key), Rule: rule}
	if json.Valid(body) {
		e.Body = body
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen) >= maxLogEntries || s.size+len(e.Body) > maxLogBytes {
		s.seen = slices.Clone(s.seen[(len(s.seen)+1)/2:])
		s.size = 0
		for _, kept := range s.seen {
			s.size += len(kept.Body)
		}
	}
	s.seen = append(s.seen, e)
	s.size += len(e.Body)
	if s.record == nil {
		return
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = s.record.Write(append(line, '\n'))
	}
	if err != nil {
		s.log.Warn("recording a request", zap.Error(err))
	}
}

// accept reads a request's body after its key was checked. When it returns false it has answered.
func (s *Server) accept(w http.ResponseWriter, r *http.Request) ([]byte, request, bool) {
	key := r.Header.Get("X-Api-Key")
	if key == "" || (s.script.RequireKey != "" && key != s.script.RequireKey) {
		fail(w, http.StatusUnauthorized, "", "invalid x-api-key", 0)
		return nil, request{}, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			fail(w, http.StatusRequestEntityTooLarge, "", "Request exceeds the maximum size", 0)
		}
		return nil, request{}, false
	}
	req, err := decode(body)
	if err != nil {
		fail(w, http.StatusBadRequest, "", err.Error(), 0)
		return nil, request{}, false
	}
	return body, req, true
}

func (s *Server) messages(w http.ResponseWriter, r *http.Request) {
	body, req, ok := s.accept(w, r)
	if !ok {
		return
	}
	rule, data := s.choose(req.view())
	s.keep(r, rule.Name, body)
	if e := rule.Reply[0].Error; e != nil {
		fail(w, e.Status, e.Type, e.Message, time.Duration(e.RetryAfter))
		return
	}
	reply, err := prepare(rule, data)
	if err != nil {
		fail(w, http.StatusInternalServerError, "", "script rule "+rule.Name+": "+err.Error(), 0)
		return
	}
	reply.model = req.Model
	reply.usage = map[string]any{
		"input_tokens": tokens(len(body)), "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
		"output_tokens": reply.tokens(), "service_tier": "standard",
	}
	if req.Stream {
		s.stream(w, r, reply)
		return
	}
	if !reply.wait(r.Context()) {
		return
	}
	answer(w, http.StatusOK, identifier("req_"), reply.message(reply.content(), reply.stopReason, reply.usage))
}

// choose finds the first rule that holds and counts its use. Requests without tools that no rule knows are the CLI's own small
// questions (a title, a topic); they get a harmless answer.
func (s *Server) choose(v view) (Rule, Data) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.script.Rules {
		rule := &s.script.Rules[i]
		if !v.hasTools && rule.re.system == nil && rule.re.model == nil {
			continue
		}
		if rule.Times > 0 && s.used[i] >= rule.Times {
			continue
		}
		if data, ok := rule.match(v); ok {
			s.used[i]++
			return *rule, data
		}
	}
	data := Data{User: v.user(), Result: v.result, History: v.history}
	switch {
	case !v.hasTools:
		return Rule{Name: "side request", Reply: []Block{{Text: `{"isNewTopic": false, "title": "Offline session"}`}}}, data
	case v.afterTool:
		return Rule{Name: "echo", Reply: []Block{{Text: "The tool returned: {{.Result}}"}}}, data
	default:
		return Rule{Name: "echo", Reply: []Block{{Text: "You said: {{.User}}"}}}, data
	}
}

func (s *Server) countTokens(w http.ResponseWriter, r *http.Request) {
	body, _, ok := s.accept(w, r)
	if !ok {
		return
	}
	s.keep(r, "count_tokens", body)
	answer(w, http.StatusOK, identifier("req_"), map[string]any{"input_tokens": tokens(len(body))})
}

func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, identifier("req_"), map[string]any{
		"data": []any{map[string]any{
			"type": "model", "id": "offline", "display_name": "Offline model", "created_at": "2026-01-01T00:00:00Z",
		}},
		"has_more": false, "first_id": "offline", "last_id": "offline",
	})
}

// tokens guesses how many tokens n bytes are.
func tokens(n int) int { return n/4 + 1 }

func answer(w http.ResponseWriter, status int, id string, v any) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		http.Error(w, "encoding failed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Request-Id", id)
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client has gone; there is nobody to tell
}

// fail answers with an error as the API documents it; an empty kind is the one that goes with the status.
func fail(w http.ResponseWriter, status int, kind, text string, retry time.Duration) {
	if kind == "" {
		kind = errorType(status)
	}
	if retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((retry+time.Second-1)/time.Second)))
	}
	id := identifier("req_")
	answer(w, status, id, map[string]any{
		"type": "error", "error": map[string]any{"type": kind, "message": text}, "request_id": id,
	})
}

// statusOverloaded is the API's own: it has more to do than it can.
const statusOverloaded = 529

func errorType(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusPaymentRequired:
		return "billing_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusGatewayTimeout:
		return "timeout_error"
	case statusOverloaded:
		return "overloaded_error"
	}
	if status < http.StatusInternalServerError {
		return "invalid_request_error"
	}
	return "api_error"
}

// identifier must be unique: with a constant message id the CLI drops later tool calls.
func identifier(prefix string) string { return prefix + rand.Text() }

var _ http.Handler = (*Server)(nil)

// String tells a script's size, for logs.
func (s Script) String() string { return fmt.Sprintf("%d rules", len(s.Rules)) }
