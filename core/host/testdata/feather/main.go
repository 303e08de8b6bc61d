// Command provider-feather is a provider of the benchmarks: every sandbox is an agent server in this process, with an agent that runs
// no CLI and says as much as it is told ("emit 50000 deltas"). So the host can be measured alone, with a thousand sessions. Nothing in
// it is a sandbox: it must never see anything but a benchmark.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent/server"
	"github.com/agcluster/agcluster/plugins/sdk"
)

func main() {
	p := &provider{log: zap.NewNop(), boxes: map[string]*box{}}
	err := sdk.Serve(sdk.ServeConfig{
		Description: sdk.Description{Name: "feather", Version: "1.0.0", Kind: sdk.KindProvider}, Configure: p.configure, Provider: p,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// provider implements sdk.Provider. Volumes are volumes/NAME in the data folder.
type provider struct {
	log *zap.Logger

	mu       sync.Mutex
	data     string
	run      string
	sequence int
	boxes    map[string]*box
}

var _ sdk.Provider = (*provider)(nil)

// box is one agent server.
type box struct {
	told   sdk.Sandbox
	files  *server.Workspace
	agent  *server.Server
	http   *http.Server
	served chan error
}

func (p *provider) configure(_ context.Context, req sdk.ConfigureRequest) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.data, p.run = req.DataDir, req.RunDir
	return nil
}

func (p *provider) volume(name string) string { return filepath.Join(p.data, "volumes", name) }

// Create implements sdk.Provider.
func (p *provider) Create(_ context.Context, req sdk.CreateRequest) (sdk.Sandbox, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.boxes[req.ID]; b != nil {
		return b.told, nil
	}
	p.sequence++
	b, err := p.open(req, filepath.Join(p.run, strconv.Itoa(p.sequence)))
	if err != nil {
		return sdk.Sandbox{}, err
	}
	p.boxes[req.ID] = b
	return b.told, nil
}

func (p *provider) open(req sdk.CreateRequest, socket string) (*box, error) {
	dir := p.volume(req.Volume)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a volume: %w", err)
	}
	files, err := server.OpenWorkspace(dir)
	if err != nil {
		return nil, err
	}
	agent, err := server.New(server.Config{Token: req.Token, Version: "feather"}, &driver{}, files, server.NewTunnel(0, p.log), p.log)
	if err != nil {
		return nil, errors.Join(err, files.Close())
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		agent.Close()
		return nil, errors.Join(err, files.Close())
	}
	b := &box{
		told: sdk.Sandbox{
			ID: req.ID, Labels: req.Labels, State: sdk.StateRunning, Endpoint: sdk.Endpoint{URL: "unix:" + socket},
			Limits: map[string]string{"memory": "not enforced: a benchmark"},
		},
		files: files, agent: agent, http: &http.Server{Handler: moved(agent, dir)}, served: make(chan error, 1),
	}
	go func() { b.served <- b.http.Serve(l) }()
	return b, nil
}

// Get implements sdk.Provider.
func (p *provider) Get(_ context.Context, req sdk.GetRequest) (sdk.Sandbox, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.boxes[req.ID]
	if b == nil {
		return sdk.Sandbox{}, sdk.ErrNotFound
	}
	return b.told, nil
}

// List implements sdk.Provider.
func (p *provider) List(_ context.Context, req sdk.ListRequest) (sdk.ListResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all sdk.ListResponse
	for _, b := range p.boxes {
		if req.Selects(b.told.Labels) {
			all.Sandboxes = append(all.Sandboxes, b.told)
		}
	}
	return all, nil
}

// Destroy implements sdk.Provider.
func (p *provider) Destroy(_ context.Context, req sdk.DestroyRequest) error {
	p.mu.Lock()
	b := p.boxes[req.ID]
	delete(p.boxes, req.ID)
	p.mu.Unlock()
	var errs []error
	if b != nil {
		b.agent.Close()
		errs = append(errs, b.http.Close(), b.files.Close())
		if err := <-b.served; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
		}
	}
	if req.Volume != "" {
		errs = append(errs, os.RemoveAll(p.volume(req.Volume)))
	}
	return errors.Join(errs...)
}
