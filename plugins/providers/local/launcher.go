package main

import (
	"errors"
	"os/exec"
	"runtime"
	"sync"
)

// errClosed says that the provider is shutting down.
var errClosed = errors.New("provider local is shutting down")

// launcher forks every process of the provider from one OS thread that lives as long as the provider. The kernel ties Pdeathsig,
// and with it bwrap's --die-with-parent, to the forking *thread*: a fork from a thread that the Go runtime retires later would
// kill its sandboxes, one from a thread that stays on is exactly the leash we want.
type launcher struct {
	requests chan launchRequest
	stop     chan struct{}
	once     sync.Once
	done     chan struct{}
}

type launchRequest struct {
	cmd    *exec.Cmd
	answer chan error
}

// newLauncher starts the thread. The caller must call close.
func newLauncher() *launcher {
	l := &launcher{requests: make(chan launchRequest), stop: make(chan struct{}), done: make(chan struct{})}
	go l.run()
	return l
}

func (l *launcher) run() {
	defer close(l.done)
	// Never unlocked: when run returns the runtime ends the thread, and whatever should still run dies with it.
	runtime.LockOSThread()
	for {
		select {
		case <-l.stop:
			return
		case req := <-l.requests:
			req.answer <- req.cmd.Start()
		}
	}
}

// start is cmd.Start on the launcher's thread.
func (l *launcher) start(cmd *exec.Cmd) error {
	req := launchRequest{cmd: cmd, answer: make(chan error, 1)}
	select {
	case l.requests <- req:
		return <-req.answer
	case <-l.stop:
		return errClosed
	}
}

// close ends the thread and waits for it. It is safe to call twice.
func (l *launcher) close() {
	l.once.Do(func() { close(l.stop) })
	<-l.done
}
