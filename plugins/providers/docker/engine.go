package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/tlsconfig"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// dialTimeout bounds one connection to a remote engine, without the handshake of ssh.
const dialTimeout = 10 * time.Second

// engine is a Docker engine, or what speaks its API. It is safe for concurrent use and heals by itself when the engine comes back.
type engine struct {
	api *client.Client
	// where is the engine's address, fit for people.
	where string
	// local says that the engine is reached by a unix socket.
	local bool

	mu   sync.Mutex
	info *facts
}

// facts are what an engine says of itself.
type facts struct {
	system.Info
	// podman says that it is Podman's imitation, which mounts differently.
	podman bool
}

// newEngine prepares a client; the engine need not answer yet.
func newEngine(opts options) (*engine, error) {
	u, err := url.Parse(opts.Host)
	if err != nil {
		return nil, errors.New("reading host: no URL")
	}
	e := &engine{where: u.Redacted(), local: u.Scheme == "unix"}
	with := []client.Opt{client.WithAPIVersionNegotiation()}
	transport := &http.Transport{}
	switch {
	case u.Scheme == "ssh":
		dial := sshDialer(u)
		// The name is never resolved: the dialer knows where to go.
		with = append(with, client.WithHost("http://engine.invalid"), client.WithDialContext(dial))
	case opts.CertPath != "":
		transport.TLSClientConfig, err = tlsconfig.Client(tlsconfig.Options{
			CAFile: filepath.Join(opts.CertPath, "ca.pem"), CertFile: filepath.Join(opts.CertPath, "cert.pem"), KeyFile: filepath.Join(opts.CertPath, "key.pem"),
			ExclusiveRootPools: true, InsecureSkipVerify: !opts.TLSVerify,
		})
		if err != nil {
			return nil, fmt.Errorf("reading the certificates of cert_path: %w", err)
		}
		fallthrough
	default:
		with = append([]client.Opt{client.WithHTTPClient(&http.Client{Transport: transport, CheckRedirect: client.CheckRedirect})}, append(with, client.WithHost(opts.Host))...)
	}
	if e.api, err = client.NewClientWithOpts(with...); err != nil {
		return nil, fmt.Errorf("preparing the client of the engine at %s: %w", e.where, err)
	}
	return e, nil
}

// about is what the engine says of itself. It is asked once, and again after it was down.
func (e *engine) about(ctx context.Context) (facts, error) {
	e.mu.Lock()
	known := e.info
	e.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	info, err := e.api.Info(ctx)
	if err != nil {
		return facts{}, e.explain(err)
	}
	version, err := e.api.ServerVersion(ctx)
	if err != nil {
		return facts{}, e.explain(err)
	}
	found := facts{Info: info}
	for _, component := range version.Components {
		found.podman = found.podman || strings.Contains(component.Name, "Podman")
	}
	e.mu.Lock()
	e.info = &found
	e.mu.Unlock()
	return found, nil
}

// explain makes an engine that can't be reached sdk.ErrPlatformDown and says what to do; other errors it returns as they are. A
// caller that gave up is told that.
func (e *engine) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || !unreachable(err) {
		return err
	}
	e.mu.Lock()
	e.info = nil
	e.mu.Unlock()
	fix := "fix: start it (systemctl start docker), or set the option host"
	switch {
	case errors.Is(err, os.ErrPermission) || strings.Contains(err.Error(), "permission denied"):
		fix = "fix: add the user that runs the host to the docker group (usermod -aG docker USER) and log in again; that group is as good as root"
	case !e.local:
		fix = "fix: see whether the engine runs there and answers from here"
	}
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err // The URL would fill a screen.
	}
	return fmt.Errorf("%w: the Docker engine at %s: %w; %s", sdk.ErrPlatformDown, e.where, err, fix)
}

// unreachable says whether err is of the way to the engine or of its own foundations, and not an answer.
func unreachable(err error) bool {
	var op *net.OpError
	return client.IsErrConnectionFailed(err) || errdefs.IsUnavailable(err) || errors.As(err, &op) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		strings.Contains(err.Error(), "containerd.sock")
}

// close lets go of idle connections.
func (e *engine) close() error {
	if err := e.api.Close(); err != nil {
		return fmt.Errorf("closing the client of the engine: %w", err)
	}
	return nil
}
