package plugin

import "runtime"

// launcher runs functions on one OS thread that lives as long as the launcher. A plugin dies with the thread that forked it
// (Pdeathsig follows the thread, not the process), and Go ends threads as it likes.
type launcher struct {
	work chan func()
	done chan struct{}
}

func newLauncher() *launcher {
	l := &launcher{work: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for f := range l.work {
			f()
		}
	}()
	return l
}

// run waits until f has run. It must not be called after close.
func (l *launcher) run(f func()) {
	ran := make(chan struct{})
	l.work <- func() {
		defer close(ran)
		f()
	}
	<-ran
}

// close is called once.
func (l *launcher) close() {
	close(l.work)
	<-l.done
}
