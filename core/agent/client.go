package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	dialTimeout = 10 * time.Second
	// maxAnswer bounds a JSON answer that is no stream, in bytes.
	maxAnswer = 1 << 20
)

// Endpoint says where an agent server answers.
type Endpoint struct {
	// URL is unix:/path/of/socket, https://host, or http://host for a loopback address only.
	URL string
	// Headers are sent with every request: what a provider's own proxy wants.
	Headers map[string]string
}

// Client talks to the agent server of one sandbox. It is safe for concurrent use. It trusts nothing that comes out of the sandbox:
// what breaks a limit or the protocol is an ErrProtocol.
type Client struct {
	base      string
	headers   map[string]string
	token     string
	transport *http.Transport
	http      *http.Client
	log       *zap.Logger
}

// NewClient returns a Client for the agent server at ep. It does not dial yet.
func NewClient(ep Endpoint, token string, log *zap.Logger) (*Client, error) {
	if token == "" {
		return nil, errors.New("creating an agent client: no token")
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	c := &Client{headers: ep.Headers, token: token, log: log, transport: &http.Transport{
		DialContext:     dialer.DialContext,
		MaxIdleConns:    8,
		IdleConnTimeout: 90 * time.Second,
		// Large answers are files; compressing them costs more than a local socket.
		DisableCompression: true,
		MaxConnsPerHost:    0,
	}}
	if path, ok := strings.CutPrefix(ep.URL, "unix:"); ok {
		if path == "" {
			return nil, errors.New("creating an agent client: endpoint URL names no socket")
		}
		c.base = "http://sandbox"
		c.transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
	} else {
		u, err := url.Parse(ep.URL)
		if err != nil {
			return nil, fmt.Errorf("creating an agent client: %w", err)
		}
		if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
			return nil, errors.New("creating an agent client: endpoint URL must be unix:, https:, or http: on loopback")
		}
		if u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return nil, errors.New("creating an agent client: endpoint URL must be a scheme, a host and perhaps a path")
		}
		c.base = strings.TrimRight(u.String(), "/")
	}
	c.http = &http.Client{
		Transport: c.transport,
		// A redirect would carry the token to wherever the sandbox says.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Close drops idle connections. Calls that run are ended by their context. It is safe to call twice.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Health asks how the agent server is. It retries until ctx ends while the server can't be reached.
func (c *Client) Health(ctx context.Context) (Health, error) {
	for wait := 5 * time.Millisecond; ; wait = min(wait*2, 250*time.Millisecond) {
		var h Health
		err := c.json(ctx, http.MethodGet, "/v1/health", nil, nil, &h)
		if err == nil || !errors.Is(err, ErrGone) {
			return h, err
		}
		select {
		case <-ctx.Done():
			return h, err
		case <-time.After(wait):
		}
	}
}

// Configure claims the sandbox for a session and returns when its CLI is ready. The same spec again is no change; another one is
// ErrConflict.
func (c *Client) Configure(ctx context.Context, spec SessionSpec) error {
	return c.json(ctx, http.MethodPost, "/v1/session", nil, spec, nil)
}

// Set changes the session's settings, of a CLI that runs and for its next start. It fails with ErrInvalid when the CLI refuses.
func (c *Client) Set(ctx context.Context, settings Settings) error {
	return c.json(ctx, http.MethodPatch, "/v1/session", nil, settings, nil)
}

// Commands asks which slash commands the CLI offers.
func (c *Client) Commands(ctx context.Context) ([]Command, error) {
	var list Commands
	if err := c.json(ctx, http.MethodGet, "/v1/commands", nil, nil, &list); err != nil {
		return nil, err
	}
	if len(list.Commands) > MaxCommands {
		return nil, fmt.Errorf("reading commands: %w: %d of them", ErrProtocol, len(list.Commands))
	}
	for _, cmd := range list.Commands {
		if len(cmd.Name) > MaxCommandText || len(cmd.Description) > MaxCommandText || len(cmd.ArgumentHint) > MaxCommandText {
			return nil, fmt.Errorf("reading commands: %w: a text of over %d bytes", ErrProtocol, MaxCommandText)
		}
	}
	return list.Commands, nil
}

// Prepare starts a CLI that waits for a session and returns when it is ready; Configure takes it. Only spec.Early is looked at. It
// fails with ErrConflict once a session is configured.
func (c *Client) Prepare(ctx context.Context, spec SessionSpec) error {
	return c.json(ctx, http.MethodPost, "/v1/spare", nil, spec.Early(), nil)
}

// Interrupt asks the running turn to end; its stream says when it has. It fails with ErrNoTurn when none runs.
func (c *Client) Interrupt(ctx context.Context) error {
	return c.json(ctx, http.MethodPost, "/v1/turns/interrupt", nil, nil, nil)
}

// Answer decides an ask. It fails with ErrNotFound when there is no such ask and with ErrConflict when it is decided already.
func (c *Client) Answer(ctx context.Context, ask string, a Answer) error {
	return c.json(ctx, http.MethodPost, "/v1/asks/"+url.PathEscape(ask), nil, a, nil)
}

// Usage asks what the sandbox uses now.
func (c *Client) Usage(ctx context.Context) (Usage, error) {
	var u Usage
	if err := c.json(ctx, http.MethodGet, "/v1/usage", nil, nil, &u); err != nil {
		return u, err
	}
	for _, n := range []int64{
		u.MemoryBytes, u.MemoryLimit, u.CPUMicros, u.MilliCPU, u.Processes, u.ProcessLimit, u.DiskBytes, u.DiskLimit, u.OOMKills,
	} {
		if n < 0 {
			return Usage{}, fmt.Errorf("reading usage: %w: a negative number", ErrProtocol)
		}
	}
	return u, nil
}

// json makes a request with a JSON body (nil is none) and reads a JSON answer (nil is none).
func (c *Client) json(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encoding a request to the agent server: %w", err)
		}
		body = bytes.NewReader(b)
	}
	res, err := c.do(ctx, method, path, query, body, -1)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end or given up
	if out == nil {
		return nil
	}
	return decode(res, maxAnswer, out)
}

// decode reads a JSON answer of at most limit bytes.
func decode(res *http.Response, limit int64, out any) error {
	b, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return fmt.Errorf("reading the agent server's answer: %w", gone(err))
	}
	if int64(len(b)) > limit {
		return fmt.Errorf("reading the agent server's answer: %w: over %d bytes", ErrProtocol, limit)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("reading the agent server's answer: %w: %w", ErrProtocol, err)
	}
	return nil
}

// do makes a request; an answer other than 2xx is an error. The caller closes the body.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body io.Reader, size int64) (*http.Response, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("making a request to the agent server: %w", err)
	}
	if size >= 0 {
		req.ContentLength = size
	}
	c.sign(req.Header)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the agent server: %w", gone(err))
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		defer res.Body.Close() //nolint:errcheck // an error is reported anyway
		return nil, failure(res)
	}
	return res, nil
}

func (c *Client) sign(h http.Header) {
	for k, v := range c.headers {
		h.Set(k, v)
	}
	h.Set("Authorization", "Bearer "+c.token)
}

// gone marks err as ErrGone when it is the connection's and not the caller's fault.
func gone(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrGone, err)
}
