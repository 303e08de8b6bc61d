package sandbox

import "github.com/agcluster/agcluster/core/session"

// Status is how the pool is.
type Status struct {
	// Sandboxes run for sessions; Ready and Starting are spares, which use MemoryBytes.
	Sandboxes   int
	Ready       int
	Starting    int
	MemoryBytes int64
	// Waiting starts are in the queue of at most Queue; Slots go on at a time.
	Waiting int
	Queue   int
	Slots   int
	// Warm and Cold count the starts since the host began that took a spare, and that did not.
	Warm int64
	Cold int64
}

// Status returns how the pool is now.
func (p *Pool) Status() Status {
	st := Status{Sandboxes: p.Count(), Waiting: p.admission.waiting(), Queue: p.cfg.Queue, Slots: p.cfg.Slots}
	s := p.spares
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shelves {
		st.Ready += len(sh.ready)
	}
	st.Starting, st.MemoryBytes, st.Warm, st.Cold = s.starting, s.memory, s.warm, s.cold
	return st
}

// Want has a spare kept for sessions whose sandboxes are like spec, launched or not. It says why that can't be, if so.
func (p *Pool) Want(spec session.SandboxSpec) (why string) { return p.spares.want(spec) }
