package plugin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/plugins/sdk"
)

const (
	startTimeout = 30 * time.Second
	backoffMin   = 100 * time.Millisecond
	backoffMax   = 30 * time.Second
	// healthyAfter is how long a process must have lived for its successor to start without delay.
	healthyAfter = time.Minute
)

var errClosed = errors.New("the host is shutting down") //nolint:gochecknoglobals // a sentinel

// process is one plugin over all the processes it lives in.
type process struct {
	key, name, path         string
	kind                    sdk.Kind
	hostID, dataDir, runDir string
	pin                     string
	options                 []byte
	launch                  *launcher
	log                     *zap.Logger

	// gate is held while a process is being started.
	gate chan struct{}

	mu          sync.Mutex
	client      *plugin.Client
	rpc         *sdk.Client
	description sdk.Description
	started     time.Time
	failures    int
	notBefore   time.Time
	starts      int
	lastError   string
	closed      bool
}

// use calls fn with a client of a live process. When the process dies in the call, the caller gets sdk.ErrPluginExited at once and
// the next use starts another process.
func (p *process) use(ctx context.Context, fn func(*sdk.Client) error) error {
	rpc, err := p.live(ctx)
	if err != nil {
		return fmt.Errorf("plugin %s: %w", p.key, err)
	}
	err = fn(rpc)
	if errors.Is(err, sdk.ErrPluginExited) {
		p.bury(rpc)
	}
	if err != nil {
		return fmt.Errorf("plugin %s: %w", p.key, err)
	}
	return nil
}

// live returns the client of the process that runs, after starting one if need be.
func (p *process) live(ctx context.Context) (*sdk.Client, error) {
	if rpc := p.running(); rpc != nil {
		return rpc, nil
	}
	select {
	case p.gate <- struct{}{}:
		defer func() { <-p.gate }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if rpc := p.running(); rpc != nil {
		return rpc, nil
	}
	p.mu.Lock()
	wait, closed := time.Until(p.notBefore), p.closed
	p.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if wait > 0 {
		// Back-off: a plugin that dies again and again must not eat the machine.
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	rpc, err := p.start(ctx)
	if err != nil {
		p.mu.Lock()
		p.lastError = err.Error()
		p.delay()
		p.mu.Unlock()
		return nil, err
	}
	return rpc, nil
}

func (p *process) running() *sdk.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rpc == nil {
		return nil
	}
	if p.client.Exited() {
		p.buried()
		return nil
	}
	return p.rpc
}

// bury forgets a process that has died.
func (p *process) bury(rpc *sdk.Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rpc == rpc {
		// What is left of it, such as a process that only lost its connection, must not run on unwatched.
		p.client.Kill()
		p.buried()
	}
}

// buried needs mu.
func (p *process) buried() {
	p.log.Warn("plugin has exited")
	p.rpc, p.client = nil, nil
	p.lastError = sdk.ErrPluginExited.Error()
	if time.Since(p.started) > healthyAfter {
		p.failures = 0
	}
	p.delay()
}

// delay needs mu.
func (p *process) delay() {
	wait := min(backoffMin<<min(p.failures, 20), backoffMax)
	// The first restart is at once: most crashes are single ones, and somebody is waiting.
	if p.failures == 0 {
		wait = 0
	}
	p.failures++
	p.notBefore = time.Now().Add(wait + time.Duration(rand.Int64N(int64(wait)/4+1))) //nolint:gosec // jitter is no secret
}

func (p *process) start(ctx context.Context) (*sdk.Client, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancel()
	sockets, run := p.runDir+"/s", p.runDir+"/r"
	// A process that was killed leaves its sockets; nobody else uses these folders.
	if err := os.RemoveAll(p.runDir); err != nil {
		return nil, fmt.Errorf("emptying its run folder: %w", err)
	}
	for _, dir := range []string{p.runDir, sockets, run, p.dataDir} {
		if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // sandboxes run as another user and pass through
			return nil, fmt.Errorf("making its folders: %w", err)
		}
	}
	secure, err := p.secure()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(p.path) //nolint:gosec // the operator's plugin folder says what runs
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=" + p.dataDir, "TMPDIR=" + run, "PLUGIN_UNIX_SOCKET_DIR=" + sockets}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: sdk.Handshake(), Plugins: sdk.Plugins(nil), Cmd: cmd, SkipHostEnv: true, AutoMTLS: true,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, GRPCDialOptions: sdk.ClientOptions(), SecureConfig: secure,
		Logger: hclogger(p.log), Stderr: io.Discard, SyncStdout: io.Discard, SyncStderr: io.Discard, StartTimeout: startTimeout,
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: sockets},
	})
	var protocol plugin.ClientProtocol
	p.launch.run(func() { protocol, err = client.Client() })
	if err != nil {
		client.Kill()
		return nil, fmt.Errorf("starting it: %w", err)
	}
	raw, err := protocol.Dispense("plugin")
	if err != nil {
		client.Kill()
		return nil, fmt.Errorf("starting it: %w", err)
	}
	rpc, ok := raw.(*sdk.Client)
	if !ok {
		client.Kill()
		return nil, errors.New("starting it: an unexpected client")
	}
	description, err := p.introduce(ctx, rpc, run)
	if err != nil {
		client.Kill()
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		client.Kill()
		return nil, errClosed
	}
	p.client, p.rpc, p.description, p.started = client, rpc, description, time.Now()
	p.starts++
	p.lastError = ""
	return rpc, nil
}

// introduce checks what the plugin says of itself and configures it.
func (p *process) introduce(ctx context.Context, rpc *sdk.Client, runDir string) (sdk.Description, error) {
	d, err := rpc.Base.Describe(ctx)
	if err != nil {
		return d, fmt.Errorf("asking what it is: %w", err)
	}
	if d.Kind != p.kind || d.Name != p.name {
		return d, fmt.Errorf("it says that it is %s-%s", d.Kind, d.Name)
	}
	if err := checkOptions(d.OptionsSchema, p.options); err != nil {
		return d, fmt.Errorf("plugins.options.%s: %w", p.key, err)
	}
	if err := rpc.Base.Configure(ctx, sdk.ConfigureRequest{
		HostID: p.hostID, DataDir: p.dataDir, RunDir: runDir, Options: p.options,
	}); err != nil {
		return d, fmt.Errorf("configuring it: %w", err)
	}
	return d, nil
}

func checkOptions(schema, options []byte) error {
	if len(schema) == 0 {
		if string(options) != "{}" {
			return errors.New("it takes no options")
		}
		return nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return fmt.Errorf("reading its schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("options.json", doc); err != nil {
		return fmt.Errorf("reading its schema: %w", err)
	}
	s, err := c.Compile("options.json")
	if err != nil {
		return fmt.Errorf("reading its schema: %w", err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(options))
	if err != nil {
		return fmt.Errorf("reading the options: %w", err)
	}
	return s.Validate(value)
}

func (p *process) secure() (*plugin.SecureConfig, error) {
	if p.pin == "" {
		return nil, nil
	}
	sum, err := hex.DecodeString(p.pin)
	if err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("plugins.pins.%s: a sha256 digest of 64 hex digits is needed", p.key)
	}
	return &plugin.SecureConfig{Checksum: sum, Hash: sha256.New()}, nil
}

func (p *process) status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{
		Name: p.name, Kind: p.kind, Version: p.description.Version, Capabilities: p.description.Capabilities, Path: p.path,
		State: StateStopped, Restarts: max(0, p.starts-1), LastError: p.lastError,
	}
	switch {
	case p.rpc != nil && !p.client.Exited():
		s.State = StateRunning
		if r := p.client.ReattachConfig(); r != nil {
			s.PID = r.Pid
		}
	case p.starts > 0:
		s.State = StateRestarting
	}
	return s
}

func (p *process) close() {
	p.mu.Lock()
	p.closed = true
	client := p.client
	p.client, p.rpc = nil, nil
	p.mu.Unlock()
	if client != nil {
		client.Kill()
	}
	// Who holds the gate is starting a process and will see that this one is closed.
	p.gate <- struct{}{}
	defer func() { <-p.gate }()
	if err := os.RemoveAll(p.runDir); err != nil {
		p.log.Warn("removing a plugin's run folder", zap.Error(err))
	}
}
