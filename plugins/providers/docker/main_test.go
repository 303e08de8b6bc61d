package main

import (
	"archive/tar"
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

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/volume"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/plugins/sdk"
)

const (
	testToken = "token-that-nobody-else-may-see"
	// patience is an outer limit: what takes longer hangs.
	patience = 2 * time.Minute
)

// rig is what the tests of this package share: an engine, and an image made for them.
var rig struct {
	// skip says why nothing runs that needs an engine.
	skip   string
	engine *engine
	host   string
	// image has the test's agent server, realImage the real one; prefix begins the names of this run's containers and volumes.
	image, realImage, prefix string
}

func TestMain(m *testing.M) {
	if socket := os.Getenv(dialVar); socket != "" {
		if err := dialStdio(socket); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(255)
		}
		os.Exit(0)
	}
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	if os.Getenv("AGCLUSTER_TEST_DOCKER") == "off" {
		rig.skip = "AGCLUSTER_TEST_DOCKER=off"
		return m.Run(), nil
	}
	rig.host = os.Getenv("DOCKER_HOST")
	if rig.host == "" {
		rig.host = defaultOptions().Host
	}
	rig.prefix = fmt.Sprintf("dktest%d", os.Getpid())
	rig.image, rig.realImage = rig.prefix+"-image:latest", rig.prefix+"-real:latest"
	opts := defaultOptions()
	opts.Host = rig.host
	if rig.engine, err = newEngine(opts); err != nil {
		return 1, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := rig.engine.about(ctx); err != nil {
		return 1, fmt.Errorf("these tests need a Docker engine (run .ci/dockerd, or set AGCLUSTER_TEST_DOCKER=off): %w", err)
	}
	if err := makeImages(ctx); err != nil {
		return 1, fmt.Errorf("making the image of these tests: %w", err)
	}
	code = m.Run()
	err = errors.Join(sweep(), rig.engine.close())
	if code == 0 && err == nil {
		err = goleak.Find()
	}
	return code, err
}

// sweep removes the images and fails when a test has left anything else.
func sweep() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	api := rig.engine.api
	var errs []error
	list, err := api.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("name", rig.prefix))})
	errs = append(errs, err)
	for _, one := range list {
		errs = append(errs, fmt.Errorf("left behind: container %v", one.Names), api.ContainerRemove(ctx, one.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	}
	volumes, err := api.VolumeList(ctx, volume.ListOptions{Filters: filters.NewArgs(filters.Arg("name", rig.prefix))})
	errs = append(errs, err)
	for _, one := range volumes.Volumes {
		errs = append(errs, fmt.Errorf("left behind: volume %s", one.Name), api.VolumeRemove(ctx, one.Name, true))
	}
	for _, name := range []string{rig.image, rig.realImage} {
		if _, err := api.ImageRemove(ctx, name, image.RemoveOptions{Force: true}); !errdefs.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// makeImages imports two tiny images: busybox as the shell, and an agent server. `connect` is always the real one's.
func makeImages(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "agc-image-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for name, pkg := range map[string]string{"test-agent": "../../sdk/plugintest/testdata/agent", "real-agent": "../../../cmd/agcluster-agent"} {
		build := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", filepath.Join(dir, name), pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
		}
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return fmt.Errorf("%w (on Debian: apt-get install busybox-static)", err)
	}
	for tag, server := range map[string]string{rig.image: "test-agent", rig.realImage: "real-agent"} {
		files := map[string][]byte{
			"bin/busybox": busybox, "bin/bash": []byte("#!/bin/busybox sh\nexec /bin/busybox sh \"$@\"\n"),
			"opt/agent/claude":          []byte("#!/bin/busybox sh\n"),
			"opt/agent/agcluster-agent": []byte("#!/bin/busybox sh\n[ \"$1\" = connect ] && exec /opt/agent/real-agent connect\nexec /opt/agent/" + server + " \"$@\"\n"),
		}
		for _, name := range []string{"test-agent", "real-agent"} {
			if files["opt/agent/"+name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		if err := importImage(ctx, tag, files); err != nil {
			return err
		}
	}
	return nil
}

func importImage(ctx context.Context, tag string, files map[string][]byte) error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range []string{"bin/", "opt/", "opt/agent/", "run/", "tmp/", "proc/", "sys/", "dev/", "etc/", "home/", "home/agent/", "home/agent/.claude/", "workspace/"} {
		h := &tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}
		switch name { // runc keeps them, whatever the mounts on top say
		case "tmp/":
			h.Mode = 0o1777
		case "home/agent/":
			h.Mode = 0o700
		}
		if strings.HasPrefix(name, "home/agent") || name == "workspace/" {
			h.Uid, h.Gid = 10001, 10001
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
	}
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content))}); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	for _, name := range strings.Fields("sh ls cat id test mkdir echo sleep touch stat dd kill ps head grep env ip true rm seq wc tr ln cp chmod readlink") {
		if err := w.WriteHeader(&tar.Header{Name: "bin/" + name, Typeflag: tar.TypeSymlink, Linkname: "busybox"}); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	name, version, _ := strings.Cut(tag, ":")
	body, err := rig.engine.api.ImageImport(ctx, image.ImportSource{Source: &b, SourceName: "-"}, name, image.ImportOptions{Tag: version})
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil {
		return err
	}
	if bytes.Contains(answer, []byte(`"error"`)) {
		return errors.New(string(answer))
	}
	return nil
}

// needEngine skips or lets a test run.
func needEngine(t testing.TB) {
	t.Helper()
	if rig.skip != "" {
		t.Skip("no Docker engine: " + rig.skip)
	}
}

// place is where a provider under test lives.
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
	pl := place{host: fmt.Sprintf("test-%d-%d", os.Getpid(), time.Now().UnixNano()), data: filepath.Join(base, "data"), run: filepath.Join(base, "run")}
	for _, dir := range []string{pl.data, pl.run} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return pl
}

// testOptions are the options of a test, merged into those that all have.
func testOptions(t testing.TB, options map[string]any) json.RawMessage {
	t.Helper()
	merged := map[string]any{"host": rig.host, "prefix": rig.prefix, "memory_bytes": 256 << 20, "milli_cpu": 1000, "pids": 100}
	for key, value := range options {
		merged[key] = value
	}
	raw, err := json.Marshal(merged)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (pl place) configure(t testing.TB, options map[string]any) sdk.ConfigureRequest {
	t.Helper()
	return sdk.ConfigureRequest{HostID: pl.host, DataDir: pl.data, RunDir: pl.run, Options: testOptions(t, options)}
}

// newProvider returns a configured provider that is closed, and checked to have left nothing, at the test's end.
func newProvider(t testing.TB, pl place, options map[string]any) *Provider {
	t.Helper()
	needEngine(t)
	provider := New(zaptest.NewLogger(t))
	if err := provider.Configure(t.Context(), pl.configure(t, options)); err != nil {
		t.Fatalf("Configure: %v", err)
	}
	t.Cleanup(func() {
		if err := provider.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		pl.checkEmpty(t)
	})
	return provider
}

// checkEmpty fails when a container, volume, folder or mount of this place's host is left.
func (pl place) checkEmpty(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	mine := filters.NewArgs(filters.Arg("label", labelHost+"="+pl.host))
	list, err := rig.engine.api.ContainerList(ctx, container.ListOptions{All: true, Filters: mine})
	if err != nil || len(list) > 0 {
		t.Errorf("left containers: %v, %v", list, err)
	}
	volumes, err := rig.engine.api.VolumeList(ctx, volume.ListOptions{Filters: mine})
	if err != nil || len(volumes.Volumes) > 0 {
		t.Errorf("left volumes: %v, %v", volumes.Volumes, err)
	}
	for _, pattern := range []string{filepath.Join(pl.data, sandboxesDir, "*"), filepath.Join(pl.run, "*.sock")} {
		if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
			t.Errorf("left files: %v, %v", left, err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), pl.data) {
		t.Errorf("left mounts (%v)", err)
	}
}

// request is a launch as the host makes it.
func request(id string) sdk.CreateRequest {
	return sdk.CreateRequest{
		ID: id, Volume: "vol-" + id, Token: testToken, Image: rig.image,
		Labels: map[string]string{"host": "h", "session": id, "generation": "1"},
		Env:    map[string]string{"FROM_HOST": "yes it is"},
	}
}

// create makes a sandbox that goes, with its volume, at the test's end.
func create(t testing.TB, provider sdk.Provider, req sdk.CreateRequest) sdk.Sandbox {
	t.Helper()
	t.Cleanup(func() { destroy(t, provider, sdk.DestroyRequest{ID: req.ID, Volume: req.Volume}) })
	box, err := provider.Create(t.Context(), req)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	return box
}

func destroy(t testing.TB, provider sdk.Provider, req sdk.DestroyRequest) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := provider.Destroy(ctx, req); err != nil {
		t.Errorf("Destroy: %v", err)
	}
}

// call sends one request to the agent server of a sandbox.
func callAgent(ctx context.Context, endpoint sdk.Endpoint, path, token string, body io.Reader) (status int, answer []byte, err error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", strings.TrimPrefix(endpoint.URL, "unix:"))
	}}
	method := http.MethodPost
	if body == nil {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://sandbox"+path, body)
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

func runScript(ctx context.Context, ep sdk.Endpoint, script string) (string, error) {
	status, raw, err := callAgent(ctx, ep, "/exec", testToken, strings.NewReader(script))
	if err != nil || status != http.StatusOK {
		return "", fmt.Errorf("status %d %s: %w", status, raw, errors.Join(err, errors.New("no answer")))
	}
	var answer struct {
		Output string `json:"output"`
	}
	err = json.Unmarshal(raw, &answer)
	return strings.TrimSpace(answer.Output), err
}

// inside runs a shell script in the sandbox and returns its output.
func inside(t testing.TB, box sdk.Sandbox, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := runScript(ctx, box.Endpoint, script)
	if err != nil {
		t.Fatalf("running %q in the sandbox: %v", script, err)
	}
	return out
}
