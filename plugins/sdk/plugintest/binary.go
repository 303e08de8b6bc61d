package plugintest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-plugin"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// TestBinary checks what every plugin binary must do, whatever its kind: refuse whoever does not speak the host's protocol, say
// what it is, take its configuration once, refuse options it does not know, and answer nothing before it is configured. The
// binary's file name in a plugin folder is KIND-NAME; kind and name are what Describe must say. options are some that are valid.
func TestBinary(t *testing.T, path string, kind sdk.Kind, name string, options json.RawMessage) {
	t.Helper()
	t.Run("started by hand it says that it is a plugin", func(t *testing.T) { testByHand(t, path) })
	t.Run("another protocol version is refused", func(t *testing.T) {
		handshake := sdk.Handshake()
		handshake.ProtocolVersion++
		client := newClient(path, shortDir(t), handshake)
		defer client.Kill()
		if _, err := client.Client(); err == nil || !strings.Contains(strings.ToLower(err.Error()), "version") {
			t.Errorf("got %v, want an error about the version", err)
		}
	})
	t.Run("who has no certificate is refused", func(t *testing.T) { testCertificates(t, path) })
	t.Run("it describes itself", func(t *testing.T) {
		checkDescription(t, start(t, path).description(t), kind, name, options)
	})
	t.Run("it answers nothing before it is configured", func(t *testing.T) {
		p := start(t, path)
		if err := p.call(t, kind); err == nil || errors.Is(err, sdk.ErrPluginExited) {
			t.Errorf("got %v, want an error of a plugin that lives", err)
		}
		if err := p.configure(t, options); err != nil {
			t.Errorf("Configure afterwards: %v", err)
		}
	})
	t.Run("it is configured once", func(t *testing.T) {
		p := start(t, path)
		if err := p.configure(t, options); err != nil {
			t.Fatalf("Configure: %v", err)
		}
		if err := p.configure(t, options); err == nil {
			t.Error("a second Configure must be refused")
		}
	})
	t.Run("it refuses options it does not know", func(t *testing.T) {
		with := map[string]json.RawMessage{}
		if len(options) > 0 {
			if err := json.Unmarshal(options, &with); err != nil {
				t.Fatal(err)
			}
		}
		with["no-such-option"] = json.RawMessage("1")
		raw, err := json.Marshal(with)
		if err != nil {
			t.Fatal(err)
		}
		if err := start(t, path).configure(t, raw); err == nil || !sdk.IsPermanent(err) {
			t.Errorf("got %v, want a Permanent error (sdk.DecodeOptions makes one)", err)
		}
	})
	t.Run("killed it is an exited plugin", func(t *testing.T) {
		p := start(t, path)
		if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if _, err := p.client.Base.Describe(ctx); !errors.Is(err, sdk.ErrPluginExited) {
			t.Errorf("got %v, want ErrPluginExited", err)
		}
	})
}

func testByHand(t *testing.T, path string) {
	handshake := sdk.Handshake()
	for name, env := range map[string][]string{
		"no cookie": {}, "another cookie": {handshake.MagicCookieKey + "=x"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		cmd := exec.CommandContext(ctx, path)
		cmd.Env = env
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() <= 0 || stderr.Len() == 0 {
			t.Errorf("%s: got %v and %q; want a failure that says why on standard error", name, err, stderr.String())
		}
	}
}

// testCertificates dials a plugin's socket as somebody who did not start it.
func testCertificates(t *testing.T, path string) {
	p := start(t, path)
	for name, c := range map[string]credentials.TransportCredentials{
		"without TLS":           insecure.NewCredentials(),
		"without a certificate": credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}), //nolint:gosec // an attacker does not verify
	} {
		conn, err := grpc.NewClient("passthrough:///plugin", grpc.WithTransportCredentials(c),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, p.addr.Network(), p.addr.String())
			}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		if d, err := sdk.NewClient(conn).Base.Describe(ctx); err == nil {
			t.Errorf("%s: it answered %+v", name, d)
		}
		cancel()
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	p.description(t) // the host still gets through
}

func checkDescription(t *testing.T, d sdk.Description, kind sdk.Kind, name string, options json.RawMessage) {
	if d.Kind != kind || d.Name != name {
		t.Errorf("it says that it is %s-%s, not %s-%s", d.Kind, d.Name, kind, name)
	}
	if !regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`).MatchString(d.Name) {
		t.Errorf("the name %q is not of the form [a-z][a-z0-9-]{0,31}", d.Name)
	}
	if d.Version == "" {
		t.Error("the version is missing")
	}
	if len(d.OptionsSchema) == 0 {
		return
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(d.OptionsSchema))
	if err != nil {
		t.Fatalf("the options schema is no JSON: %v", err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("options.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("options.json")
	if err != nil {
		t.Fatalf("the options schema is no JSON Schema: %v", err)
	}
	if len(options) == 0 {
		options = json.RawMessage("{}")
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(options))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("the schema refuses the options of this test: %v", err)
	}
	if err := schema.Validate(map[string]any{"no-such-option": 1}); err == nil {
		t.Error(`the schema takes unknown options; it needs "additionalProperties": false`)
	}
}

// raw is a plugin binary that runs, not configured.
type raw struct {
	client       *sdk.Client
	pid          int
	addr         net.Addr
	dataDir, run string
}

func start(t *testing.T, path string) *raw {
	t.Helper()
	sockets, run := shortDir(t), shortDir(t)
	client := newClient(path, sockets, sdk.Handshake())
	t.Cleanup(client.Kill)
	c := dispense(t, client, path)
	attach := client.ReattachConfig()
	if attach.Protocol != plugin.ProtocolGRPC {
		t.Fatalf("it speaks %s", attach.Protocol)
	}
	return &raw{client: c, pid: attach.Pid, addr: attach.Addr, dataDir: t.TempDir(), run: run}
}

func (r *raw) description(t *testing.T) sdk.Description {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	d, err := r.client.Base.Describe(ctx)
	if err != nil {
		t.Fatalf("Describe: %v", err)
	}
	return d
}

func (r *raw) configure(t *testing.T, options json.RawMessage) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return r.client.Base.Configure(ctx, sdk.ConfigureRequest{HostID: "test", DataDir: r.dataDir, RunDir: r.run, Options: options})
}

// call asks the plugin for something of its kind.
func (r *raw) call(t *testing.T, kind sdk.Kind) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var err error
	switch kind {
	case sdk.KindProvider:
		_, err = r.client.Provider.List(ctx, sdk.ListRequest{})
	case sdk.KindFilter:
		_, err = r.client.Filter.FilterCall(ctx, sdk.Call{Tool: "Bash", Input: json.RawMessage(`{}`)})
	case sdk.KindExporter:
		err = r.client.Exporter.Export(ctx, sdk.ExportRequest{Name: "x"}, bytes.NewReader(Tar(t)),
			func(sdk.ExportHeader) error { return nil }, &bytes.Buffer{})
	default:
		t.Fatalf("unknown kind %q", kind)
	}
	return err
}

// memory is how much memory the process has used at most, in bytes.
func memory(t testing.TB, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if !ok || len(fields) == 0 {
		t.Fatal("the kernel does not tell VmHWM")
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
