package plugin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/plugins/sdk"
)

const startTimeout = 30 * time.Second

var errClosed = errors.New("the host is shutting down")

// process is one plugin over all the processes it lives in.
type process struct {
	key, name, path         string
	kind                    sdk.Kind
	hostID, dataDir, runDir string
	pin                     string
	given                   map[string]any
	options                 []byte
	endTimeout              time.Duration
	launch                  *launcher
	log                     *zap.Logger
	kept                    *ring

	// gate is held while a process is being started.
	gate chan struct{}
	// stop is closed by close.
	stop chan struct{}

	mu sync.Mutex
	// alive is the process that runs, starting the one that is about to.
	alive       *generation
	starting    *child
	description sdk.Description
	backoff     backoff
	starts      int
	lastError   string
	// failed says that the newest start did not succeed.
	failed bool
	closed bool
}

// generation is one process of a plugin with the host's connection to it.
type generation struct {
	rpc     *sdk.Client
	client  *plugin.Client
	child   *child
	started time.Time
}

// use calls fn with a client of a live process. When the process dies in the call, the caller gets sdk.ErrPluginExited at once and
// the next use starts another process.
func (p *process) use(ctx context.Context, fn func(*sdk.Client) error) error {
	g, err := p.live(ctx)
	if err != nil {
		return fmt.Errorf("plugin %s: %w", p.key, err)
	}
	err = fn(g.rpc)
	if errors.Is(err, sdk.ErrPluginExited) {
		p.bury(g)
	}
	if err != nil {
		return fmt.Errorf("plugin %s: %w", p.key, err)
	}
	return nil
}

// live returns the process that runs, after starting one if need be.
func (p *process) live(ctx context.Context) (*generation, error) {
	if g := p.running(); g != nil {
		return g, nil
	}
	select {
	case p.gate <- struct{}{}:
		defer func() { <-p.gate }()
	case <-p.stop:
		return nil, errClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if g := p.running(); g != nil {
		return g, nil
	}
	if err := p.hold(ctx); err != nil {
		return nil, err
	}
	g, err := p.start(ctx)
	if err != nil {
		p.mu.Lock()
		p.lastError, p.failed = err.Error(), true
		p.backoff.failed(time.Now(), 0)
		p.mu.Unlock()
		// Whoever asked for it gets the error; who looks at the plugin later shall find it, too.
		p.kept.write(time.Now(), "error", "the plugin could not be started: "+err.Error())
		return nil, err
	}
	return g, nil
}

// hold waits until a process may be started.
func (p *process) hold(ctx context.Context) error {
	p.mu.Lock()
	wait, failures, last, closed := p.backoff.wait(time.Now()), p.backoff.failures, p.lastError, p.closed
	p.mu.Unlock()
	if closed {
		return errClosed
	}
	if wait > patience {
		return fmt.Errorf("it failed %d times and is tried again in %s: %s", failures, wait.Round(100*time.Millisecond), last)
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-p.stop:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *process) running() *generation {
	p.mu.Lock()
	g := p.alive
	p.mu.Unlock()
	if g != nil && g.client.Exited() {
		p.bury(g)
		return nil
	}
	return g
}

// bury ends what is left of a process that has died, such as one that only lost its connection, and forgets it.
func (p *process) bury(g *generation) {
	// go-plugin closes its connection in Kill, also when there is nothing left to kill.
	g.child.kill()
	g.client.Kill()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.alive != g {
		return
	}
	p.alive = nil
	p.lastError = fmt.Sprintf("%v: %s", sdk.ErrPluginExited, g.child.state())
	p.backoff.failed(time.Now(), time.Since(g.started))
	p.log.Warn("plugin has exited", zap.String("state", g.child.state()), zap.Int("failures", p.backoff.failures))
}

func (p *process) start(ctx context.Context) (*generation, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancel()
	sockets, run, err := p.folders()
	if err != nil {
		return nil, err
	}
	binary, err := p.verify()
	if err != nil {
		return nil, err
	}
	defer func() { _ = binary.Close() }() // only read
	g := &generation{started: time.Now()}
	g.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: sdk.Handshake(), Plugins: sdk.Plugins(), SkipHostEnv: true, AutoMTLS: true,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, GRPCDialOptions: sdk.ClientOptions(),
		Logger: hclogger(p.log), Stderr: io.Discard, SyncStdout: printed{p.log}, SyncStderr: printed{p.log}, StartTimeout: startTimeout,
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: sockets},
		RunnerFunc: func(_ hclog.Logger, like *exec.Cmd, _ string) (runner.Runner, error) {
			c, err := newChild(p.command(binary, like.Env, run), p.launch, p.endTimeout)
			if err != nil {
				return nil, err
			}
			g.child = c
			return c, p.begin(c)
		},
	})
	defer p.begun()
	if err := p.connect(ctx, g, run); err != nil {
		if g.child != nil {
			g.child.kill()
		}
		g.client.Kill()
		return nil, err
	}
	return g, nil
}

// folders empties and makes the folders of a process: for its sockets, and for what it keeps for this run.
func (p *process) folders() (sockets, run string, err error) {
	sockets, run = filepath.Join(p.runDir, "s"), filepath.Join(p.runDir, "r")
	// A process that was killed leaves its sockets; nobody else uses these folders.
	if err := os.RemoveAll(p.runDir); err != nil {
		return "", "", fmt.Errorf("emptying its run folder: %w", err)
	}
	for _, dir := range []string{p.runDir, sockets, run, p.dataDir} {
		if err := os.MkdirAll(dir, 0o711); err != nil { //nolint:gosec // sandboxes run as another user and pass through
			return "", "", fmt.Errorf("making its folders: %w", err)
		}
	}
	return sockets, run, nil
}

// command is the plugin's binary with an environment of its own: what go-plugin needs, and nothing of the host's.
func (p *process) command(binary *os.File, handshake []string, run string) *exec.Cmd {
	cmd := exec.Command(p.path) //nolint:noctx // it outlives the call that starts it
	// The file that was verified is executed, whatever stands at its path by now.
	cmd.Path = fmt.Sprintf("/proc/self/fd/%d", binary.Fd())
	cmd.Env = append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=" + p.dataDir, "TMPDIR=" + run,
	}, handshake...)
	// A process group of its own keeps a terminal's Ctrl-C from it: the host ends it, in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// begin and begun let close see the process that is being started.
func (p *process) begin(c *child) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errClosed
	}
	p.starting = c
	return nil
}

func (p *process) begun() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting = nil
}

// connect starts the process, checks and configures it, and makes it the one that lives.
func (p *process) connect(ctx context.Context, g *generation, run string) error {
	protocol, err := g.client.Client()
	if err != nil {
		return fmt.Errorf("starting it: %w", err)
	}
	raw, err := protocol.Dispense("plugin")
	if err != nil {
		return fmt.Errorf("starting it: %w", err)
	}
	rpc, ok := raw.(*sdk.Client)
	if !ok {
		return errors.New("starting it: an unexpected client")
	}
	description, err := p.introduce(ctx, rpc, run)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errClosed
	}
	g.rpc = rpc
	p.alive, p.description = g, description
	p.starts++
	p.lastError, p.failed = "", false
	return nil
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

// verify opens the binary and compares it with its pin.
func (p *process) verify() (*os.File, error) {
	f, err := os.Open(p.path)
	if err != nil {
		return nil, fmt.Errorf("opening it: %w", err)
	}
	if p.pin == "" {
		return f, nil
	}
	want, err := hex.DecodeString(p.pin)
	if err != nil || len(want) != sha256.Size {
		return nil, errors.Join(fmt.Errorf("plugins.pins.%s: a sha256 digest of 64 hex digits is needed", p.key), f.Close())
	}
	got := sha256.New()
	if _, err := io.Copy(got, f); err != nil {
		return nil, errors.Join(fmt.Errorf("reading it: %w", err), f.Close())
	}
	if !bytes.Equal(got.Sum(nil), want) {
		return nil, errors.Join(fmt.Errorf("its digest is %x, the pinned one is %x", got.Sum(nil), want), f.Close())
	}
	return f, nil
}

func (p *process) status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{
		Name: p.name, Kind: p.kind, Version: p.description.Version, Capabilities: p.description.Capabilities, Path: p.path,
		OptionsSchema: p.description.OptionsSchema, Options: p.given, State: StateStopped, Restarts: max(0, p.starts-1), LastError: p.kept.redact(p.lastError),
	}
	switch {
	case p.alive != nil && !p.alive.client.Exited():
		s.State, s.PID, s.StartedAt = StateRunning, p.alive.child.pid, p.alive.started.UTC()
	case p.failed && !p.closed:
		s.State = StateFailed
	case p.starts > 0 && !p.closed:
		s.State = StateRestarting
	}
	return s
}

// close ends the process and whoever waits for one. It is called once.
func (p *process) close() {
	p.mu.Lock()
	p.closed = true
	g, starting := p.alive, p.starting
	p.alive = nil
	p.mu.Unlock()
	close(p.stop)
	if starting != nil {
		starting.kill()
	}
	if g != nil {
		g.child.end(g.client.Kill)
	}
	// Who holds the gate is starting a process and will see that this one is closed.
	p.gate <- struct{}{}
	defer func() { <-p.gate }()
	if err := os.RemoveAll(p.runDir); err != nil {
		p.log.Warn("removing a plugin's run folder", zap.Error(err))
	}
}
