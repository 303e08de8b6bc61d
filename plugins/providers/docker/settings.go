package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
)

// settings are fixed by Configure, but for what the forwarders and locks hold.
type settings struct {
	opts                    options
	hostID, dataDir, runDir string
	engine                  *engine
	log                     *zap.Logger
	locks                   locks
	// apart says that this machine's folders turned out not to be the engine's: no more sockets are tried.
	apart atomic.Bool

	mu         sync.Mutex
	forwarders map[string]*forwarder
	// makes are the sandboxes that are not ready yet.
	makes map[string]bool
}

// make notes that a sandbox is not ready until done is called.
func (st *settings) make(id string) (done func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.makes[id] = true
	return func() {
		st.mu.Lock()
		defer st.mu.Unlock()
		delete(st.makes, id)
	}
}

func (st *settings) making(id string) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.makes[id]
}

func (st *settings) underWay() map[string]bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return maps.Clone(st.makes)
}

// endpoint decides how the next sandbox is reached. A socket is quicker and outlives this process. It needs a folder that both sides
// see, root (the socket is the sandbox's user's), and a runtime whose sockets are the kernel's own.
func (st *settings) endpoint(info facts) string {
	if st.opts.Endpoint != endpointAuto {
		return st.opts.Endpoint
	}
	runtime := st.opts.Runtime
	if runtime == "" {
		runtime = info.DefaultRuntime
	}
	shares := runtime == "" || slices.Contains([]string{"runc", "crun", "io.containerd.runc.v2"}, runtime)
	// Labels of SELinux keep a sandbox from a folder that is shared without relabelling.
	labelled := slices.ContainsFunc(info.SecurityOptions, func(option string) bool { return strings.Contains(option, "selinux") })
	if !st.engine.local || os.Geteuid() != 0 || !shares || labelled || st.apart.Load() {
		return endpointExec
	}
	return endpointSocket
}

// adopt gives every sandbox of a predecessor its endpoint back and removes the folders of those that are gone.
func (st *settings) adopt(ctx context.Context) error {
	list, err := st.containers(ctx)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, one := range list {
		id := one.Labels[labelSandbox]
		known[st.folder(id).dir] = true
		if isRunning(one.State) && one.Labels[labelEndpoint] == endpointExec {
			if _, err := st.forward(id, one.ID); err != nil {
				return err
			}
		}
	}
	entries, err := os.ReadDir(filepath.Join(st.dataDir, sandboxesDir))
	if err != nil {
		return fmt.Errorf("reading the folder of sandboxes: %w", err)
	}
	for _, entry := range entries {
		left := folder{dir: filepath.Join(st.dataDir, sandboxesDir, entry.Name())}
		if known[left.dir] {
			continue
		}
		if err := left.remove(); err != nil {
			return err
		}
	}
	return nil
}

// forward returns the forwarder of a sandbox, after making one if need be. One for an earlier container of the same name goes.
func (st *settings) forward(id, container string) (*forwarder, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if f, ok := st.forwarders[id]; ok {
		if f.container == container {
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
		delete(st.forwarders, id)
	}
	f, err := newForwarder(st.engine, container, st.folder(id).forward, st.log)
	if err != nil {
		return nil, err
	}
	st.forwarders[id] = f
	return f, nil
}

// unforward ends the forwarder of a sandbox.
func (st *settings) unforward(id string) error {
	st.mu.Lock()
	f, ok := st.forwarders[id]
	delete(st.forwarders, id)
	st.mu.Unlock()
	if !ok {
		return nil
	}
	return f.Close()
}

func (st *settings) close() error {
	st.mu.Lock()
	left := st.forwarders
	st.forwarders = map[string]*forwarder{}
	st.mu.Unlock()
	var errs []error
	for _, f := range left {
		errs = append(errs, f.Close())
	}
	return errors.Join(append(errs, st.engine.close())...)
}
