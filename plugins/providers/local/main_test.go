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
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// helperArg makes the test's binary act as a host process that holds a provider, see runHelper.
const helperArg = "provider-helper"

const testToken = "token-of-the-test"

// agentDir holds the stand-in for the agent server; TestMain builds it once.
var agentDir string

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 2 && os.Args[1] == shimArg:
		fmt.Fprintln(os.Stderr, "sandbox-shim:", runShim())
		os.Exit(1)
	case len(os.Args) == 2 && os.Args[1] == helperArg:
		if err := runHelper(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

func runTests(m *testing.M) (int, error) {
	if agentDir = os.Getenv("TEST_AGENT_DIR"); agentDir != "" {
		return m.Run(), nil // The run as another user, see TestAsOrdinaryUser.
	}
	dir, err := os.MkdirTemp("", "agc-agent-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1, err
	}
	agentDir = dir
	build := exec.Command("go", "build", "-o", filepath.Join(dir, agentServerFile), "../../sdk/plugintest/testdata/agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building the test agent: %w\n%s", err, out)
	}
	// As installed: claude is a link into a cache elsewhere.
	if err := os.Mkdir(filepath.Join(dir, "cache"), 0o700); err != nil {
		return 1, err
	}
	if err := os.WriteFile(filepath.Join(dir, "cache", "claude-1"), []byte("#!/bin/sh\necho claude stand-in\n"), 0o755); err != nil {
		return 1, err
	}
	if err := os.Symlink("cache/claude-1", filepath.Join(dir, claudeFile)); err != nil {
		return 1, err
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			return 1, err
		}
	}
	return code, nil
}

// hostID keeps concurrent tests' cgroups apart.
func hostID(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("test-%d-%d", os.Getpid(), time.Now().UnixNano())
}

// place is where a provider under test lives: both folders below one that only its owner may enter, as under /root.
type place struct{ host, data, run string }

func newPlace(t testing.TB) place {
	t.Helper()
	base, err := os.MkdirTemp("", "agc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	pl := place{host: hostID(t), data: filepath.Join(base, "data"), run: filepath.Join(base, "run")}
	for _, dir := range []string{pl.data, pl.run} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return pl
}

func (pl place) configure(options map[string]any) sdk.ConfigureRequest {
	merged := map[string]any{"agent_dir": agentDir}
	for key, value := range options {
		merged[key] = value
	}
	raw, err := json.Marshal(merged)
	if err != nil {
		panic(err)
	}
	return sdk.ConfigureRequest{HostID: pl.host, DataDir: pl.data, RunDir: pl.run, Options: raw}
}

// newProvider returns a configured provider that is closed, and checked to have left nothing, at the test's end.
func newProvider(t testing.TB, pl place, options map[string]any) *Provider {
	t.Helper()
	provider := New(zaptest.NewLogger(t))
	t.Cleanup(func() {
		if err := provider.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		pl.checkEmpty(t)
	})
	if err := provider.Configure(t.Context(), pl.configure(options)); err != nil {
		t.Fatalf("Configure: %v", err)
	}
	return provider
}

// checkEmpty fails when a process, mount, cgroup or socket is left.
func (pl place) checkEmpty(t testing.TB) {
	t.Helper()
	if left := pl.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func (pl place) leftovers(t testing.TB) []string {
	t.Helper()
	var left []string
	for _, pattern := range []string{"/sys/fs/cgroup/" + cgroupPrefix + pl.host, "/sys/fs/cgroup/*/" + cgroupPrefix + pl.host, filepath.Join(pl.run, "*")} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), filepath.Dir(pl.data)) {
		left = append(left, "a mount")
	}
	// A process of a sandbox has the volume mounted.
	tables, err := filepath.Glob("/proc/[0-9]*/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		// A process that ended meanwhile is what we hope for.
		if raw, err := os.ReadFile(table); err == nil && strings.Contains(string(raw), filepath.Dir(pl.data)+"/") {
			left = append(left, table)
		}
	}
	return left
}

// request is a launch as the host makes it.
func request(id string) sdk.CreateRequest {
	return sdk.CreateRequest{
		ID: id, Volume: "vol-" + id, Token: testToken,
		Labels: map[string]string{"host": "h", "session": id, "generation": "1"},
		Env:    map[string]string{"FROM_HOST": "yes it is"},
	}
}

func create(t testing.TB, provider sdk.Provider, req sdk.CreateRequest) sdk.Sandbox {
	t.Helper()
	box, err := provider.Create(t.Context(), req)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	return box
}

// call sends one request to the agent server of a sandbox.
func call(ctx context.Context, endpoint sdk.Endpoint, path, token, body string) (status int, answer []byte, err error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", strings.TrimPrefix(endpoint.URL, "unix:"))
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sandbox"+path, bytes.NewBufferString(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, errors.Join(err, resp.Body.Close())
}

// inside runs a shell script in the sandbox and returns its output and exit status.
func inside(t testing.TB, box sdk.Sandbox, script string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	status, raw, err := call(ctx, box.Endpoint, "/exec", testToken, script)
	if err != nil || status != http.StatusOK {
		t.Fatalf("calling the sandbox: status %d, %v", status, err)
	}
	var answer struct {
		Output string `json:"output"`
		Code   int    `json:"code"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(answer.Output), answer.Code
}
