package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	userKey = "sk-ant-made-up"
	// outer bounds what a test waits for; nothing here takes a tenth of it.
	outer = 30 * time.Second
)

var (
	errDone = errors.New("enough")
	errFake = errors.New("made to fail")
)

// memory is a Store and an event.Store that keeps to what the database's schema enforces: numbers are unique, and events belong to a
// session that is there.
type memory struct {
	mu      sync.Mutex
	records map[string][]byte
	events  map[string][]event.Event
	// ever holds also the events of sessions that are gone.
	ever map[string][]event.Event
	fail func(op string, events []event.Event) error
	// lie makes an append that happened look as if it had failed.
	lie func(events []event.Event) error
}

var (
	_ Store       = (*memory)(nil)
	_ event.Store = (*memory)(nil)
)

func newMemory() *memory {
	return &memory{records: map[string][]byte{}, events: map[string][]event.Event{}, ever: map[string][]event.Event{}}
}

func (m *memory) begin(ctx context.Context, op string, events []event.Event) error {
	m.mu.Lock()
	fail := m.fail
	m.mu.Unlock()
	if fail != nil {
		if err := fail(op, events); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (m *memory) failing(fail func(op string, events []event.Event) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

func (m *memory) Put(ctx context.Context, s Session) error {
	if err := m.begin(ctx, "put", nil); err != nil {
		return err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records[s.ID] = b
	return nil
}

func (m *memory) Get(ctx context.Context, id string) (rec Session, err error) {
	if err := m.begin(ctx, "get", nil); err != nil {
		return rec, err
	}
	m.mu.Lock()
	b, ok := m.records[id]
	m.mu.Unlock()
	if !ok {
		return rec, ErrNotFound
	}
	return rec, json.Unmarshal(b, &rec)
}

func (m *memory) List(ctx context.Context, owner []byte) ([]Session, error) {
	if err := m.begin(ctx, "list", nil); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []Session
	for _, b := range m.records {
		var rec Session
		if err := json.Unmarshal(b, &rec); err != nil {
			return nil, err
		}
		if owner == nil || string(owner) == string(rec.Owner) {
			list = append(list, rec)
		}
	}
	slices.SortFunc(list, func(a, b Session) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return list, nil
}

func (m *memory) Delete(ctx context.Context, id string) error {
	if err := m.begin(ctx, "delete", nil); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.records, id)
	delete(m.events, id)
	return nil
}

func (m *memory) AppendEvents(ctx context.Context, id string, events []event.Event) error {
	if err := m.begin(ctx, "append", events); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.records[id]; !ok {
		return errors.New("foreign key constraint: no session " + id)
	}
	for i, e := range events {
		if e.ID != int64(len(m.events[id])+i+1) {
			return fmt.Errorf("unique constraint: event %d", e.ID)
		}
	}
	m.events[id] = append(m.events[id], events...)
	m.ever[id] = append(m.ever[id], events...)
	if m.lie != nil {
		return m.lie(events)
	}
	return nil
}

func (m *memory) ReadEvents(ctx context.Context, id string, after int64, limit int) ([]event.Event, error) {
	if err := m.begin(ctx, "read", nil); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.events[id]
	from := min(int(after), len(all))
	return slices.Clone(all[from:min(from+limit, len(all))]), nil
}

func (m *memory) LastEventID(ctx context.Context, id string) (int64, error) {
	if err := m.begin(ctx, "last", nil); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.events[id])), nil
}

func (m *memory) record(tb testing.TB, id string) (Session, bool) {
	tb.Helper()
	rec, err := m.Get(context.Background(), id)
	if err != nil && !errors.Is(err, ErrNotFound) {
		tb.Fatal(err)
	}
	return rec, err == nil
}

// boxes is a Sandboxes that keeps the books: what was started and closed, and which volumes there are. As a provider would, it
// refuses a second sandbox on a volume and the removal of one in use.
type boxes struct {
	mu      sync.Mutex
	all     []*fakeBox
	volumes map[string]bool
	// start and remove are called first, without the lock.
	start  func(ctx context.Context, spec SandboxSpec) error
	remove func(ctx context.Context) error
	// prepare is called for every new box before anybody else has it.
	prepare func(b *fakeBox)
}

var _ Sandboxes = (*boxes)(nil)

func (f *boxes) Start(ctx context.Context, spec SandboxSpec) (Sandbox, error) {
	f.mu.Lock()
	start := f.start
	f.mu.Unlock()
	if start != nil {
		if err := start(ctx, spec); err != nil {
			return nil, err
		}
	}
	fresh := spec.Volume == ""
	if fresh {
		spec.Volume = "vol-" + spec.SessionID
	}
	b, err := f.add(spec)
	if err != nil || spec.Agent == nil {
		return b, err
	}
	if err := b.agent.Configure(ctx, *spec.Agent); err != nil {
		// What a start that failed has made is gone.
		if fresh {
			defer f.forget(spec.Volume)
		}
		return nil, errors.Join(fmt.Errorf("starting Claude Code: %w", err), b.Close(context.Background()))
	}
	return b, nil
}

func (f *boxes) add(spec SandboxSpec) (*fakeBox, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.all {
		if b.spec.Volume == spec.Volume && b.closes() == 0 {
			return nil, errors.New("the volume is in use by another sandbox")
		}
	}
	b := &fakeBox{spec: spec, agent: newFakeAgent(), gone: make(chan struct{})}
	if f.prepare != nil {
		f.prepare(b)
	}
	f.all = append(f.all, b)
	f.volumes[spec.Volume] = true
	return b, nil
}

func (f *boxes) forget(volume string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.volumes, volume)
}

func (f *boxes) RemoveVolume(ctx context.Context, _, volume string) error {
	f.mu.Lock()
	remove := f.remove
	f.mu.Unlock()
	if remove != nil {
		if err := remove(ctx); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.all {
		if b.spec.Volume == volume && b.closes() == 0 {
			return errors.New("the volume is in use")
		}
	}
	delete(f.volumes, volume)
	return nil
}

func (f *boxes) on(start func(context.Context, SandboxSpec) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.start = start
}

func (f *boxes) preparing(prepare func(b *fakeBox)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.prepare = prepare
}

func (f *boxes) onRemove(remove func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.remove = remove
}

// count is how many boxes were ever started, last the newest.
func (f *boxes) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all)
}

func (f *boxes) last() *fakeBox {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[len(f.all)-1]
}

// open is how many boxes run.
func (f *boxes) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, b := range f.all {
		if b.closes() == 0 {
			n++
		}
	}
	return n
}

type fakeBox struct {
	spec  SandboxSpec
	agent *fakeAgent
	gone  chan struct{}
	// close is called by Close before the box counts as closed.
	close func(ctx context.Context) error

	mu     sync.Mutex
	reason string
	closed int
}

func (b *fakeBox) Agent() Agent          { return b.agent }
func (b *fakeBox) Gone() <-chan struct{} { return b.gone }

func (b *fakeBox) Configure(ctx context.Context, spec agent.SessionSpec, progress func(Progress)) error {
	progress(Progress{})
	return b.agent.Configure(ctx, spec)
}

func (b *fakeBox) Info() SandboxInfo {
	b.mu.Lock()
	defer b.mu.Unlock()
	info := SandboxInfo{
		Volume: b.spec.Volume, Limits: map[string]string{"memory": "not enforced"}, Lost: b.reason,
		Start: Start{Kind: StartCold, Reason: "there are no spares here"},
	}
	if b.spec.Agent != nil {
		info.TranscriptID = b.spec.Agent.TranscriptID
	}
	return info
}

func (b *fakeBox) lose(reason string) {
	b.mu.Lock()
	b.reason = reason
	b.mu.Unlock()
	close(b.gone)
}

func (b *fakeBox) Close(ctx context.Context) error {
	var err error
	if b.close != nil {
		err = b.close(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed++
	return err
}

func (b *fakeBox) closes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// script is what an agent does in a turn.
type script func(ctx context.Context, a *fakeAgent, req agent.TurnRequest, fn func(agent.Frame) error) error

type fakeAgent struct {
	mu         sync.Mutex
	specs      []agent.SessionSpec
	turns      []agent.TurnRequest
	running    bool
	interrupts chan struct{}
	waiting    map[string]chan agent.Answer
	answers    map[string]agent.Answer

	script    script
	configure func(ctx context.Context) error
	interrupt func(ctx context.Context) error
	answer    func(ctx context.Context) error
}

func newFakeAgent() *fakeAgent {
	return &fakeAgent{
		script: polite, interrupts: make(chan struct{}, 16), waiting: map[string]chan agent.Answer{}, answers: map[string]agent.Answer{},
	}
}

func (a *fakeAgent) Configure(ctx context.Context, spec agent.SessionSpec) error {
	a.mu.Lock()
	a.specs = append(a.specs, spec)
	a.mu.Unlock()
	if a.configure != nil {
		return a.configure(ctx)
	}
	return ctx.Err()
}

func (a *fakeAgent) Turn(ctx context.Context, req agent.TurnRequest, _ int64, fn func(agent.Frame, bool) error) error {
	a.mu.Lock()
	if a.running {
		a.mu.Unlock()
		return agent.ErrTurnRunning
	}
	a.running = true
	a.turns = append(a.turns, req)
	run := a.script
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		a.running = false
		a.mu.Unlock()
	}()
	return run(ctx, a, req, func(f agent.Frame) error { return fn(f, false) })
}

func (a *fakeAgent) Interrupt(ctx context.Context) error {
	if a.interrupt != nil {
		return a.interrupt(ctx)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.running {
		return agent.ErrNoTurn
	}
	a.interrupts <- struct{}{}
	return nil
}

func (a *fakeAgent) Answer(ctx context.Context, ask string, answer agent.Answer) error {
	if a.answer != nil {
		if err := a.answer(ctx); err != nil {
			return err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, twice := a.answers[ask]; twice {
		return agent.ErrConflict
	}
	a.answers[ask] = answer
	if w, ok := a.waiting[ask]; ok {
		w <- answer
	}
	return nil
}

// ask puts an ask to the host and waits for its answer.
func (a *fakeAgent) ask(ctx context.Context, fn func(agent.Frame) error, ask agent.Ask) (agent.Answer, error) {
	w := make(chan agent.Answer, 1)
	a.mu.Lock()
	a.waiting[ask.ID] = w
	a.mu.Unlock()
	if err := fn(agent.Frame{Ask: &ask}); err != nil {
		return agent.Answer{}, err
	}
	select {
	case answer := <-w:
		return answer, nil
	case <-ctx.Done():
		return agent.Answer{}, ctx.Err()
	}
}

func emit(fn func(agent.Frame) error, data ...event.Data) error {
	for _, d := range data {
		if err := fn(agent.Frame{Event: &event.Event{Data: d}}); err != nil {
			return err
		}
	}
	return nil
}

func completed() event.Complete {
	return event.Complete{Status: event.CompleteOK, CostUSD: 0.25, Turns: 1, Usage: event.Usage{InputTokens: 1}}
}

// polite answers at once.
func polite(_ context.Context, _ *fakeAgent, req agent.TurnRequest, fn func(agent.Frame) error) error {
	return emit(fn, event.Text{Content: "you said " + req.Message}, completed())
}

// busy works until it is interrupted, and ends its turn then.
func busy(ctx context.Context, a *fakeAgent, _ agent.TurnRequest, fn func(agent.Frame) error) error {
	if err := emit(fn, event.Text{Content: "working"}); err != nil {
		return err
	}
	select {
	case <-a.interrupts:
		return emit(fn, event.Complete{Status: event.CompleteInterrupted})
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deaf works until its connection is cut.
func deaf(ctx context.Context, _ *fakeAgent, _ agent.TurnRequest, fn func(agent.Frame) error) error {
	if err := emit(fn, event.Text{Content: "working"}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// fakeGuard allows all unless told otherwise.
type fakeGuard struct {
	mu           sync.Mutex
	call, result func(ctx context.Context, ask agent.Ask) Judgement
}

func (g *fakeGuard) Call(ctx context.Context, _ Scope, ask agent.Ask) Judgement {
	g.mu.Lock()
	call := g.call
	g.mu.Unlock()
	if call == nil {
		return Judgement{Ruling: RulingAllow}
	}
	return call(ctx, ask)
}

func (g *fakeGuard) Result(ctx context.Context, _ Scope, ask agent.Ask) Judgement {
	g.mu.Lock()
	result := g.result
	g.mu.Unlock()
	if result == nil {
		return Judgement{Ruling: RulingAllow}
	}
	return result(ctx, ask)
}
