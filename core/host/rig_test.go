package host_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent/offline"
)

// patience is the outer limit of every wait: this machine may be slow, a hang must still end the test.
const patience = 2 * time.Minute

// key is made up; the tests look for it where it must not be.
const key = "sk-ant-api03-e2e-made-up-key-5e1f0c9b7a"

// policyCache has the compiled policies of all hosts of a run: each host would compile the same ones anew, which takes seconds.
var policyCache string

// root is the checkout, build what `make build` made in it.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func built(t testing.TB, path string) string {
	t.Helper()
	full := filepath.Join(root(t), "build", path)
	if _, err := os.Stat(full); err != nil {
		t.Fatalf("%v: run `make build` first; `make test` does", err)
	}
	return full
}

// rig is a real host process with a scripted model for its upstream.
type rig struct {
	t     testing.TB
	on    string
	url   string
	data  string
	run   string
	env   []string
	model *offline.Server
	cmd   *exec.Cmd
	log   *logBuffer
	ended chan struct{}
}

type options struct {
	// on is the provider; empty is local.
	on     string
	script string
	env    []string
}

// newRig starts a host whose folders go with the test.
func newRig(t testing.TB, o options) *rig {
	t.Helper()
	if o.on == "" {
		o.on = onLocal
	}
	if o.script == "" {
		o.script = script
	}
	parsed, err := offline.Parse(strings.NewReader(o.script))
	if err != nil {
		t.Fatal(err)
	}
	model := offline.New(parsed, nil, zap.NewNop())
	upstream := httptest.NewServer(model)
	t.Cleanup(upstream.Close)
	run, err := os.MkdirTemp("/tmp", "agc-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	r := &rig{t: t, on: o.on, data: filepath.Join(t.TempDir(), "data"), run: filepath.Join(run, "r"), model: model, log: &logBuffer{}}
	if err := os.MkdirAll(r.data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(policyCache, filepath.Join(r.data, "policy-cache")); err != nil {
		t.Fatal(err)
	}
	r.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "API_HOST=127.0.0.1", "API_PORT=0", "AGCLUSTER_DATA_DIR=" + r.data, "AGCLUSTER_RUN_DIR=" + r.run,
		"AGCLUSTER_GATEWAY_UPSTREAM=" + upstream.URL, "AGCLUSTER_LOG_LEVEL=debug", "AGCLUSTER_LOG_FORMAT=json",
		// Spares cost processor time; those tests that are about them ask for some.
		"AGCLUSTER_POOL_SIZE=0", "CONTAINER_PROVIDER=" + o.on, "AGENT_IMAGE=" + dockerImage,
	}, o.env...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the host's log:\n%s", r.log.tail(60))
		}
	})
	r.start()
	return r
}

// start runs `agcluster serve` and returns when it listens.
func (r *rig) start() {
	r.t.Helper()
	r.cmd = exec.Command(built(r.t, "bin/agcluster"), "serve")
	r.cmd.Env = r.env
	r.cmd.Dir = r.t.TempDir()
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	// A test process that is killed must not leave a host behind.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	listening := make(chan string, 1)
	ended := make(chan struct{})
	r.ended = ended
	cmd := r.cmd
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			r.log.add(lines.Text())
			var entry struct{ URL string }
			if strings.Contains(lines.Text(), `"listening"`) && json.Unmarshal(lines.Bytes(), &entry) == nil {
				listening <- entry.URL
			}
		}
		_ = cmd.Wait() // a killed host has no better exit
	}()
	r.t.Cleanup(func() { r.stop(syscall.SIGTERM) })
	select {
	case r.url = <-listening:
	case <-ended:
		r.t.Fatalf("the host ended at its start:\n%s", r.log.tail(40))
	case <-time.After(patience):
		r.t.Fatal("the host does not listen")
	}
}

// stop ends the host with a signal and waits for it.
func (r *rig) stop(sig syscall.Signal) {
	_ = r.cmd.Process.Signal(sig) // it may have ended already
	select {
	case <-r.ended:
	case <-time.After(patience):
		_ = r.cmd.Process.Kill()
		r.t.Errorf("the host did not end after %v", sig)
	}
}

// logBuffer keeps a host's log.
type logBuffer struct {
	mu    sync.Mutex
	lines []string
}

func (l *logBuffer) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *logBuffer) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines[max(0, len(l.lines)-n):], "\n")
}

func (l *logBuffer) all() string { return l.tail(1 << 30) }

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %.2000s", a.status, a.body) }

// problem is the answer's problem+json as one line.
func (a answer) problem() string {
	var p struct {
		Detail string
		Errors []struct{ Location, Message string }
	}
	if json.Unmarshal(a.body, &p) != nil || !strings.HasPrefix(a.header.Get("Content-Type"), "application/problem+json") {
		return "no problem+json: " + a.String()
	}
	for _, e := range p.Errors {
		p.Detail += " [" + e.Location + ": " + e.Message + "]"
	}
	return p.Detail
}

// request makes a request with the rig's key; body may be nil, an io.Reader, or anything that JSON can hold.
func (r *rig) request(method, path string, body any, header ...string) answer {
	r.t.Helper()
	return r.requestAs(key, method, path, body, header...)
}

func (r *rig) requestAs(as, method, path string, body any, header ...string) answer {
	r.t.Helper()
	return r.requestWithin(patience, as, method, path, body, header...)
}

func (r *rig) requestWithin(limit time.Duration, as, method, path string, body any, header ...string) answer {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	res := r.open(ctx, as, method, path, body, header...)
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		b = append(b, []byte(" BROKEN OFF: "+err.Error())...)
	}
	return answer{res.StatusCode, res.Header, b}
}

// open makes a request and leaves its answer to be read.
func (r *rig) open(ctx context.Context, as, method, path string, body any, header ...string) *http.Response {
	r.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case io.Reader:
		reader = b
	default:
		text, err := json.Marshal(b)
		if err != nil {
			r.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, reader)
	if err != nil {
		r.t.Fatal(err)
	}
	if as != "" {
		req.Header.Set("Authorization", "Bearer "+as)
	}
	if reader != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res
}

// into decodes an answer that must have this status.
func (a answer) into(t testing.TB, status int, v any) {
	t.Helper()
	if a.status != status {
		t.Fatalf("want %d, got %v", status, a)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("%v: %v", err, a)
	}
}

func parseAnswer(t testing.TB, raw []byte) answer {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		t.Fatalf("%v: %q", err, raw)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, b}
}
