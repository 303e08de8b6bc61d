// Package plugintest holds the conformance kits: what every provider, filter and exporter must do, and what every plugin binary
// must. Run a kit twice, on the Go value and on the built binary (Build, Start), because the second adds gRPC and a process; run
// TestBinary once. Everything here needs Linux, as the host does.
package plugintest

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// limit is how long one step of a kit may take on a slow machine before it counts as hung.
const limit = 2 * time.Minute

// Build compiles the main package in dir and returns the binary's path.
func Build(t testing.TB, dir string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "plugin")
	if b, err := exec.Command("go", "build", "-o", out, dir).CombinedOutput(); err != nil { //nolint:noctx // a test's own folder
		t.Fatalf("building %s: %v\n%s", dir, err, b)
	}
	return out
}

// Process is a plugin binary that runs, described and configured.
type Process struct {
	*sdk.Client
	Description sdk.Description
	// PID is the process' number, for those who look at its memory or kill it.
	PID int
	// DataDir and RunDir are what Configure named.
	DataDir, RunDir string
}

// Start runs a plugin binary as the host does and configures it with options. The process ends with the test, and must leave no
// socket then.
func Start(t testing.TB, path string, options json.RawMessage) *Process {
	t.Helper()
	run := shortDir(t)
	sockets := filepath.Join(run, "s")
	if err := os.Mkdir(sockets, 0o700); err != nil {
		t.Fatal(err)
	}
	client := newClient(path, sockets, sdk.Handshake())
	t.Cleanup(func() {
		client.Kill()
		if left, err := filepath.Glob(filepath.Join(sockets, "*")); err != nil || len(left) > 0 {
			t.Errorf("the plugin has left %v (%v)", left, err)
		}
	})
	p := &Process{Client: dispense(t, client, path), DataDir: t.TempDir(), RunDir: filepath.Join(run, "r"), PID: client.ReattachConfig().Pid}
	if err := os.Mkdir(p.RunDir, 0o711); err != nil { //nolint:gosec // sandboxes run as another user and pass through
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var err error
	if p.Description, err = p.Base.Describe(ctx); err != nil {
		t.Fatalf("Describe: %v", err)
	}
	if err := p.Base.Configure(ctx, sdk.ConfigureRequest{
		HostID: "test", DataDir: p.DataDir, RunDir: p.RunDir, Options: options,
	}); err != nil {
		t.Fatalf("Configure: %v", err)
	}
	return p
}

// shortDir makes a folder with a short name: unix sockets can't have long ones, and a test's own folder does.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agc")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // sandboxes run as another user and pass through
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func newClient(path, sockets string, handshake plugin.HandshakeConfig) *plugin.Client {
	cmd := exec.Command(path) //nolint:noctx // the binary under test; go-plugin ends it
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + sockets, "PLUGIN_UNIX_SOCKET_DIR=" + sockets}
	return plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: handshake, Plugins: sdk.Plugins(), Cmd: cmd, SkipHostEnv: true, AutoMTLS: true,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, GRPCDialOptions: sdk.ClientOptions(),
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: os.Stderr}),
	})
}

func dispense(t testing.TB, client *plugin.Client, path string) *sdk.Client {
	t.Helper()
	protocol, err := client.Client()
	if err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	raw, err := protocol.Dispense("plugin")
	if err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	c, ok := raw.(*sdk.Client)
	if !ok {
		t.Fatalf("starting %s: got a %T", path, raw)
	}
	return c
}
