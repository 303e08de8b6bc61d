// Package plugintest holds the conformance kits: what every provider, filter and exporter must do. Run a kit twice, on the Go
// value and on the built binary (Build, Start), because the second adds gRPC and a process.
package plugintest

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// Build compiles the main package in dir and returns the binary's path.
func Build(t *testing.T, dir string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "plugin")
	if b, err := exec.Command("go", "build", "-o", out, dir).CombinedOutput(); err != nil { //nolint:gosec // a test's own folder
		t.Fatalf("building %s: %v\n%s", dir, err, b)
	}
	return out
}

// Start runs a plugin binary and configures it with options. The process ends with the test.
func Start(t *testing.T, path string, options json.RawMessage) *sdk.Client {
	t.Helper()
	// Unix sockets have short names; a test's own folder does not.
	run, err := os.MkdirTemp("", "agc")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(run, 0o711); err != nil { //nolint:gosec // sandboxes run as another user and pass through
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(run); err != nil {
			t.Error(err)
		}
	})
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: sdk.Handshake(), Plugins: sdk.Plugins(nil), Cmd: exec.Command(path), SkipHostEnv: true, AutoMTLS: true,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, GRPCDialOptions: sdk.ClientOptions(),
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: os.Stderr}),
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: run},
	})
	t.Cleanup(client.Kill)
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
	d, err := c.Base.Describe(context.Background())
	if err != nil || d.Name == "" || d.Version == "" || d.Kind == "" {
		t.Fatalf("Describe: got %+v, %v; name, version and kind are needed", d, err)
	}
	if len(d.OptionsSchema) > 0 && !json.Valid(d.OptionsSchema) {
		t.Errorf("the options schema is no JSON")
	}
	data := t.TempDir()
	if err := c.Base.Configure(context.Background(), sdk.ConfigureRequest{
		HostID: "test", DataDir: data, RunDir: filepath.Join(run), Options: options,
	}); err != nil {
		t.Fatalf("Configure: %v", err)
	}
	return c
}
