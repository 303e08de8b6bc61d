package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/session"
)

const (
	// demandWindow is how far back launches count as demand: as many as came in it may come at once again.
	demandWindow = time.Minute
	// checkInterval is how often spares are asked whether they are well, and looked at for their age.
	checkInterval = 10 * time.Second
	// probeTimeout is how long a spare may take to say that it is well, also when a session waits for it.
	probeTimeout = 2 * time.Second
	// spareGuess is what a spare is taken to need in memory, in bytes, until one has been measured.
	spareGuess = 200 << 20
	// A configuration whose spare could not be made is left alone for retryMin, twice as long each time, up to retryMax.
	retryMin = 2 * time.Second
	retryMax = 2 * time.Minute
	// calmAfter is how long no spare is begun after one was claimed: whoever claims one says something next, and a CLI that starts
	// beside it takes the processor that its answer needs.
	calmAfter = 2 * time.Second
	// prepareTimeout bounds making one spare.
	prepareTimeout = 2 * time.Minute
)

// SpareConfig says which spares to keep.
type SpareConfig struct {
	// Size is how many spares of one configuration there are at most; 0 keeps none at all. Max is how many of all configurations.
	Size int
	Max  int
	// MemoryBytes bounds what all spares use together, as measured when each is ready; 0 is no bound.
	MemoryBytes int64
	// MaxAge is when a spare is replaced, and how long a configuration that nobody launches keeps its spares.
	MaxAge time.Duration
}

// spares keeps sandboxes with a CLI that waits for a session. They carry no identity and no key: a spare's tunnel is dialled when it is
// claimed, and what leads to a person comes with the claim.
type spares struct {
	pool *Pool
	cfg  SpareConfig
	// kicked has something to read when there may be something to do.
	kicked chan struct{}
	tend   sync.Once

	mu      sync.Mutex
	shelves map[string]*shelf
	memory  int64 // of those on shelves
	// heaviest is the most that one used.
	heaviest int64
	// calm is until when no spare is begun.
	calm       time.Time
	starting   int
	warm, cold int64
}

// shelf holds the spares of one configuration: same provider, limits and command line of the CLI.
type shelf struct {
	key   string
	spec  session.SandboxSpec
	ready []*Sandbox
	// pinned keeps one spare also without demand.
	pinned   bool
	starting int
	launches []time.Time
	failures int
	retry    time.Time
}

func newSpares(p *Pool, cfg SpareConfig) *spares {
	return &spares{pool: p, cfg: cfg, kicked: make(chan struct{}, 1), shelves: map[string]*shelf{}, heaviest: spareGuess}
}

// kick has the pool look whether spares are to be made.
func (s *spares) kick() {
	select {
	case s.kicked <- struct{}{}:
	default:
	}
}

// poolable says what a sandbox of spec has in common with its spares, or why it can't be one.
func (s *spares) poolable(spec session.SandboxSpec) (key, why string) {
	switch {
	case spec.Agent == nil:
		return "", "only files were asked for"
	case spec.Volume != "":
		return "", "the session has a workspace and a transcript to go on with"
	case s.cfg.Size <= 0:
		return "", "the warm pool is switched off"
	case len(spec.Agent.Env) > 0:
		// They may be somebody's secrets.
		return "", "the configuration sets environment variables"
	}
	early := spec.Agent.Early()
	early.TranscriptID = ""
	b, err := json.Marshal(struct {
		Provider string
		Limits   any
		Agent    agent.SessionSpec
	}{spec.Provider, spec.Limits, early})
	if err != nil {
		return "", "the configuration has no key: " + err.Error()
	}
	return string(b), ""
}

// want has spares made for sandboxes like spec from now on, whether or not one is launched.
func (s *spares) want(spec session.SandboxSpec) (why string) {
	key, why := s.poolable(spec)
	if why == "" {
		s.mu.Lock()
		s.shelf(key, spec).pinned = true
		s.mu.Unlock()
		s.begin()
		s.kick()
	}
	return why
}

// shelf needs mu.
func (s *spares) shelf(key string, spec session.SandboxSpec) *shelf {
	sh := s.shelves[key]
	if sh == nil {
		early := spec.Agent.Early()
		sh = &shelf{key: key, spec: session.SandboxSpec{Provider: spec.Provider, Limits: spec.Limits, Agent: &early}}
		s.shelves[key] = sh
	}
	return sh
}

// begin starts to tend the shelves, once.
func (s *spares) begin() {
	s.tend.Do(func() {
		if leave, err := s.pool.enter(); err == nil {
			go func() {
				defer leave()
				s.run()
			}()
		}
	})
}

// claim gives a session the spare that was made for sessions like it, or says why it can't. Each spare is given once. One that turns
// out to be unwell is removed, and the next is tried.
func (s *spares) claim(ctx context.Context, spec session.SandboxSpec) (*Sandbox, string) {
	key, why := s.poolable(spec)
	if why != "" {
		s.count(false)
		return nil, why
	}
	s.begin()
	for first := true; ; first = false {
		spare := s.take(key, spec, first)
		if spare == nil {
			s.count(false)
			return nil, "no spare of this configuration was ready"
		}
		err := s.introduce(ctx, spare, spec)
		if err == nil {
			s.count(true)
			s.calmDown()
			spare.start = session.Start{Kind: session.StartWarm}
			return spare, ""
		}
		s.pool.log.Warn("a spare was unwell", zap.String("sandbox", spare.id), zap.Error(err))
		s.remove(spare)
		if ctx.Err() != nil {
			return nil, "the launch was given up"
		}
	}
}

// calmDown has the next spare wait a little. Claims that come one after the other do not put it off further: it would never come.
func (s *spares) calmDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.After(s.calm) {
		s.calm = now.Add(calmAfter)
	}
	time.AfterFunc(time.Until(s.calm), s.kick)
}

func (s *spares) count(warm bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if warm {
		s.warm++
	} else {
		s.cold++
	}
}

// take takes a spare off its shelf, if there is one, and notes the demand for it.
func (s *spares) take(key string, spec session.SandboxSpec, demand bool) *Sandbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shelf(key, spec)
	if demand {
		sh.launches = append(sh.recent(time.Now()), time.Now())
	}
	if len(sh.ready) == 0 {
		return nil
	}
	// The oldest first: the others last longer.
	spare := sh.ready[0]
	s.drop(sh, 0)
	return spare
}

// drop needs mu.
func (s *spares) drop(sh *shelf, i int) {
	s.memory -= sh.ready[i].memory
	sh.ready = append(sh.ready[:i:i], sh.ready[i+1:]...)
}

// recent are the launches that count as demand.
func (sh *shelf) recent(now time.Time) []time.Time {
	for i, t := range sh.launches {
		// The last one tells how long ago anybody wanted this.
		if i == len(sh.launches)-1 || now.Sub(t) < demandWindow {
			return sh.launches[i:]
		}
	}
	return nil
}

// introduce makes a spare the session's.
func (s *spares) introduce(ctx context.Context, spare *Sandbox, spec session.SandboxSpec) error {
	probing, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := spare.well(probing); err != nil {
		return err
	}
	if err := s.pool.serve(spare, spec.SessionID); err != nil {
		return err
	}
	told := *spec.Agent
	told.TranscriptID = spare.transcript
	return spare.client.Configure(ctx, told)
}

// well asks a spare whether it is one.
func (s *Sandbox) well(ctx context.Context) error {
	h, err := s.client.Health(ctx)
	if err != nil {
		return fmt.Errorf("asking a spare: %w", err)
	}
	if h.CLI != agent.CLISpare {
		return fmt.Errorf("asking a spare: its CLI is %q", h.CLI)
	}
	return nil
}

// remove removes a spare in the background.
func (s *spares) remove(spare *Sandbox) {
	discard := func() {
		if err := s.pool.discard(context.Background(), spare, true); err != nil {
			s.pool.log.Warn("removing a spare", zap.String("sandbox", spare.id), zap.Error(err))
		}
	}
	leave, err := s.pool.enter()
	if err != nil {
		discard() // nobody else would
		return
	}
	go func() {
		defer leave()
		discard()
	}()
}

// make starts a spare for a shelf and puts it there. leave gives back its slot.
func (s *spares) make(sh *shelf, leave func()) {
	ctx, cancel := context.WithTimeout(s.pool.ctx, prepareTimeout)
	defer cancel()
	spare, err := s.prepare(ctx, sh.spec)
	leave()
	s.mu.Lock()
	s.starting--
	sh.starting--
	closed := s.pool.ctx.Err() != nil
	switch {
	case err != nil && !closed:
		wait := min(retryMin<<min(sh.failures, 10), retryMax)
		sh.failures++
		sh.retry = time.Now().Add(wait)
		s.pool.log.Warn("making a spare; will try again", zap.Duration("in", wait), zap.Error(err))
	case err == nil && !closed:
		sh.failures = 0
		sh.ready = append(sh.ready, spare)
		s.memory += spare.memory
		s.heaviest = max(s.heaviest, spare.memory)
	}
	s.mu.Unlock()
	if err == nil && closed {
		s.remove(spare)
	}
	s.kick()
}

// prepare makes a sandbox whose CLI waits. When it fails, nothing is left.
func (s *spares) prepare(ctx context.Context, spec session.SandboxSpec) (*Sandbox, error) {
	spare, err := s.pool.create(ctx, spec)
	if err != nil {
		return nil, err
	}
	early := *spec.Agent
	early.TranscriptID = uuid.NewString()
	if err := spare.client.Prepare(ctx, early); err != nil {
		s.remove(spare)
		return nil, fmt.Errorf("starting Claude Code: %w", err)
	}
	usage, err := spare.client.Usage(ctx)
	if err != nil {
		s.remove(spare)
		return nil, err
	}
	spare.transcript, spare.born, spare.memory = early.TranscriptID, time.Now(), usage.MemoryBytes
	return spare, nil
}
