package main

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
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	defaultURL = "http://127.0.0.1:8000"
	// answerTimeout bounds a request that is no stream: a launch may have to fetch an image first.
	answerTimeout = 5 * time.Minute
	// maxAnswer bounds an answer that is kept in memory, in bytes.
	maxAnswer = 256 << 20
)

// globals is what the client commands share: the streams, the environment and the persistent flags.
type globals struct {
	in  io.Reader
	out io.Writer
	err io.Writer
	env func(string) (string, bool)
	now func() time.Time
	// interrupts delivers Ctrl-C until stop is called.
	interrupts func() (c <-chan os.Signal, stop func())
	// timing of lost streams; see stream.
	timing timing

	url  string
	json bool

	key   string
	lines *lineReader
}

func newGlobals(in io.Reader, out, err io.Writer) *globals {
	return &globals{
		in: in, out: out, err: err, env: os.LookupEnv, now: time.Now, interrupts: interrupts,
		timing: timing{pause: 250 * time.Millisecond, patience: 2 * time.Minute, stall: 45 * time.Second},
	}
}

func interrupts() (<-chan os.Signal, func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	return c, func() { signal.Stop(c) }
}

// register adds the flags that every client command has. There is none for the key: others can read command lines.
func (g *globals) register(flags *pflag.FlagSet) {
	flags.StringVar(&g.url, "url", "", "where the host answers (AGCLUSTER_URL; default "+defaultURL+")")
	flags.BoolVar(&g.json, "json", false, "print what the API says, as JSON, for scripts")
}

// clientCommands are the commands that talk to a host.
func clientCommands(g *globals) []*cobra.Command {
	commands := []*cobra.Command{
		launchCommand(g), chatCommand(g), sessionsCommand(g), interruptCommand(g), approveCommand(g), eventsCommand(g), stopCommand(g),
		filesCommand(g), exportCommand(g), configsCommand(g),
	}
	for _, cmd := range commands {
		cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return g.refused(cmd, err) })
		for _, c := range append([]*cobra.Command{cmd}, cmd.Commands()...) {
			if check := c.Args; check != nil {
				c.Args = func(cmd *cobra.Command, args []string) error { return g.refused(cmd, check(cmd, args)) }
			}
		}
	}
	return commands
}

// usageError says that the command line is wrong, and not what it asks for.
type usageError struct{ error }

// Unwrap returns the error itself.
func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errInterrupted is the cause of a context that Ctrl-C has ended.
var errInterrupted = errors.New("interrupted")

// refused shows what is wrong with a command line: exit code 2.
func (g *globals) refused(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	g.note("agcluster: %s\nusage: %s", err, cmd.UseLine())
	return exitError{2}
}

// shownError is an error whose text is fit for a terminal, whoever wrote it, and has no key in it.
type shownError struct {
	error
	key string
}

// Unwrap returns the error itself.
func (e shownError) Unwrap() error { return e.error }

// Error implements error.
func (e shownError) Error() string {
	text := clean(e.error.Error())
	if e.key != "" {
		text = strings.ReplaceAll(text, e.key, "***")
	}
	return text
}

// connected makes a command's RunE of fn: it gives it a client and turns its error into an exit code.
func (g *globals) connected(fn func(context.Context, *client, []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := g.client()
		if err == nil {
			defer c.close()
			err = fn(cmd.Context(), c, args)
		}
		var usage usageError
		var code exitError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &code):
			return code
		case errors.As(err, &usage):
			return g.refused(cmd, shownError{err, g.key})
		case errors.Is(err, errInterrupted):
			return exitError{130}
		case cmd.Context().Err() != nil:
			g.note("agcluster: terminated")
			return exitError{143}
		default:
			return shownError{err, g.key}
		}
	}
}

// action is connected for a command that Ctrl-C simply ends.
func (g *globals) action(fn func(context.Context, *client, []string) error) func(*cobra.Command, []string) error {
	return g.connected(func(ctx context.Context, c *client, args []string) error {
		return g.cancellable(ctx, func(ctx context.Context) error { return fn(ctx, c, args) })
	})
}

// cancellable runs fn with a context that Ctrl-C ends; the error is then errInterrupted.
func (g *globals) cancellable(ctx context.Context, fn func(context.Context) error) error {
	pressed, stop := g.interrupts()
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-pressed:
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	err := fn(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errInterrupted) {
		err = errInterrupted
	}
	cancel(nil)
	<-ended
	return err
}

// note tells people something that is not the command's output.
func (g *globals) note(format string, args ...any) {
	fmt.Fprintln(g.err, clean(fmt.Sprintf(format, args...)))
}

// printJSON prints an answer of the API on one line.
func (g *globals) printJSON(raw []byte) error {
	var line bytes.Buffer
	if err := json.Compact(&line, raw); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	line.WriteByte('\n')
	b := line.Bytes()
	if isTerminal(g.out) {
		b = escapeJSON(b)
	}
	_, err := g.out.Write(b)
	return err
}

// client talks to the API of one host.
type client struct {
	base string
	http *http.Client
	key  func() (string, error)
}

func (g *globals) client() (*client, error) {
	base, from := g.url, "--url"
	if base == "" {
		base, from = defaultURL, "the default URL"
		if v, _ := g.env("AGCLUSTER_URL"); v != "" {
			base, from = v, "AGCLUSTER_URL"
		}
	}
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, usagef("%s must be like %s", from, defaultURL)
	}
	if u.User != nil {
		return nil, usagef("%s must not hold a name or password", from)
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("net/http has another default transport")
	}
	transport = transport.Clone()
	// Whether a transfer is whole is told by its length, which a transparent decompression would hide.
	transport.DisableCompression = true
	return &client{
		base: strings.TrimRight(u.String(), "/"), key: func() (string, error) { return g.apiKey(u) },
		http: &http.Client{
			Transport: transport,
			// A redirect would carry the key to wherever the answer says.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// request is one request; path is escaped already.
type request struct {
	method string
	path   string
	query  url.Values
	header http.Header
	// body is sent as it is; in, if body is nil, as JSON.
	body io.Reader
	in   any
	// open says that no key is needed.
	open bool
}

// do makes a request; an answer other than 200 and 206 is an error. The caller closes the body.
func (c *client) do(ctx context.Context, r request) (*http.Response, error) {
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	body := r.body
	if body == nil && r.in != nil {
		b, err := json.Marshal(r.in)
		if err != nil {
			return nil, fmt.Errorf("encoding the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	if r.in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if !r.open {
		key, err := c.key()
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusPartialContent {
		defer res.Body.Close() //nolint:errcheck // an error is reported anyway
		return nil, c.failure(res)
	}
	return res, nil
}

// call makes a request that is answered with JSON, decodes the answer into out (nil leaves it) and returns it as it came.
func (c *client) call(ctx context.Context, r request, out any) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, fmt.Errorf("no answer of %s in %s", c.base, answerTimeout))
	defer cancel()
	res, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end or given up
	return c.decode(res, out)
}

func (c *client) decode(res *http.Response, out any) (json.RawMessage, error) {
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer of %s: %w", c.base, err)
	case len(raw) > maxAnswer:
		return nil, fmt.Errorf("reading the answer of %s: it is larger than %s", c.base, size(maxAnswer))
	case !json.Valid(raw):
		return nil, c.stranger(res)
	case out == nil:
		return raw, nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", c.base, err)
	}
	return raw, nil
}

// unreachable says why there is no answer.
func (c *client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no host answers at %s; start one with: agcluster serve%w", c.base, silent{err})
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fmt.Errorf("reaching %s: %w", c.base, err)
	}
	return lostError{fmt.Errorf("asking %s: %w", c.base, err)}
}

// lostError says that a connection was lost when the request may have been taken already.
type lostError struct{ error }

// Unwrap returns the error itself.
func (e lostError) Unwrap() error { return e.error }

// silent keeps an error in the chain without its words.
type silent struct{ error }

// Error implements error.
func (silent) Error() string { return "" }

// Unwrap returns the error itself.
func (s silent) Unwrap() error { return s.error }
