package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
	"go.uber.org/zap"
)

const (
	// startFunction is what a WASI library calls its own.
	startFunction = "_initialize"
	// epoch is what every module takes for now, in Unix seconds: 1 January 2000.
	epoch = 946684800
)

// constant is the randomness of a module.
type constant struct{}

// Read implements io.Reader.
func (constant) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i)
	}
	return len(p), nil
}

// fuelPerCall is the fuel of one evaluation in a metered engine. What the shipped policies do takes a few thousand units for a tool call and
// some million for a batch of archive entries; a loop that does nothing burns all of it within some tens of milliseconds, for which
// nothing can stop it. fuelPerStart is that of an instance's start.
const (
	fuelPerCall  = 16 << 20
	fuelPerStart = 64 << 20
)

// errFuel means that an evaluation took more than its fuel.
var errFuel = errors.New("it takes too long")

// engine is a module in one of the two ways to bound it. It is safe for concurrent use.
type engine struct {
	m    *Module
	wasm wazero.Runtime
	// metered says that the module was rewritten by meter.
	metered bool
	rest    *rest
	// idle holds the instances that are ready.
	idle chan *instance
}

// instance is a module that has run its start function and, unless each evaluation gets a fresh one, one evaluation, with what it
// looked like then.
type instance struct {
	mod      api.Module
	alloc    api.Function
	evaluate api.Function
	memory   []byte
	globals  []api.MutableGlobal
	values   []uint64
	stderr   *tail
	// fuel is nil where a deadline bounds the instance.
	fuel api.MutableGlobal
}

func newEngine(m *Module, wasm wazero.Runtime, code []byte) *engine {
	e := &engine{m: m, wasm: wasm, metered: wasm == m.runtime.metered, idle: make(chan *instance, cap(m.slots))}
	e.rest = newRest(wasm, m.runtime.log, code, e.clear)
	return e
}

// check looks whether the module is one, with one instance at once: a module that can't start or judge should be known at the host's
// start, not at the first tool call.
func (e *engine) check(ctx context.Context) error {
	compiled, err := e.rest.wake(ctx)
	if err != nil {
		return err
	}
	// Nobody asks yet: what it takes is given back at once.
	defer e.rest.settle(0)
	for _, f := range compiled.ImportedFunctions() {
		if from, name, _ := f.Import(); from != "wasi_snapshot_preview1" {
			return fmt.Errorf("it imports %s.%s; a policy gets nothing but wasi_snapshot_preview1", from, name)
		}
	}
	if _, ok := compiled.ExportedMemories()["memory"]; !ok {
		return errExports
	}
	inst, err := e.instantiate(ctx, compiled)
	if err != nil {
		return err
	}
	if !e.m.fresh {
		e.idle <- inst
		return nil
	}
	err = e.try(ctx, inst)
	e.discard(ctx, inst)
	return err
}

// ask has an instance answer. Its errors are in words for the verdict.
func (e *engine) ask(ctx context.Context, question []byte) ([]byte, error) {
	log := e.m.runtime.log
	compiled, err := e.rest.wake(ctx)
	var inst *instance
	if err == nil {
		defer e.rest.settle(restAfter)
		inst, err = e.take(ctx, compiled)
	}
	if err != nil {
		log.Error("starting a policy", zap.String("policy", e.m.info.Name), zap.Error(err))
		return nil, errors.New("it could not be started")
	}
	answer, err := e.call(ctx, inst, question)
	if err != nil || e.m.fresh || !inst.restore() {
		// After an error or a growth of its memory, nobody knows what is left in there.
		e.discard(ctx, inst)
	} else {
		e.idle <- inst
	}
	if err != nil && !errors.Is(err, errFuel) {
		log.Warn("a policy failed", zap.String("policy", e.m.info.Name), zap.Error(err), zap.String("stderr", inst.stderr.String()))
	}
	return answer, err
}

func (e *engine) take(ctx context.Context, compiled wazero.CompiledModule) (*instance, error) {
	select {
	case inst := <-e.idle:
		return inst, nil
	default:
		return e.instantiate(ctx, compiled)
	}
}

// clear closes the instances that are ready.
func (e *engine) clear(ctx context.Context) {
	for {
		select {
		case inst := <-e.idle:
			e.discard(ctx, inst)
		default:
			return
		}
	}
}

func (e *engine) discard(ctx context.Context, inst *instance) {
	if err := inst.mod.Close(context.WithoutCancel(ctx)); err != nil {
		e.m.runtime.log.Warn("closing a policy", zap.String("policy", e.m.info.Name), zap.Error(err))
	}
}

// instantiate starts the module. One that is used again is let judge once, so that its runtime is warm, and a snapshot is taken.
func (e *engine) instantiate(ctx context.Context, compiled wazero.CompiledModule) (*instance, error) {
	// Starting takes longer than judging, and is bounded all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*e.m.runtime.cfg.Timeout)
	defer cancel()
	stderr := &tail{}
	// A verdict depends on nothing but its input, so time stands still and randomness is always the same: wazero's own stand-ins
	// count their calls, which would carry something from one evaluation to the next. (Go's runtime takes a 0 for a broken clock.)
	mod, err := e.wasm.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().
		WithName("").WithStartFunctions(startFunction).WithStderr(stderr).WithRandSource(constant{}).
		WithWalltime(func() (int64, int32) { return epoch, 0 }, sys.ClockResolution(time.Microsecond)).
		WithNanotime(func() int64 { return 1 }, sys.ClockResolution(time.Microsecond)))
	if err != nil {
		return nil, fmt.Errorf("starting it: %w (%s)", err, stderr)
	}
	inst := &instance{mod: mod, stderr: stderr, alloc: mod.ExportedFunction("alloc"), evaluate: mod.ExportedFunction("evaluate")}
	if e.metered {
		inst.fuel, _ = mod.ExportedGlobal(fuelGlobal).(api.MutableGlobal) // meter put it there
	}
	if err := e.prepare(ctx, inst); err != nil {
		return nil, errors.Join(err, mod.Close(ctx))
	}
	return inst, nil
}

func (e *engine) prepare(ctx context.Context, inst *instance) error {
	version := inst.mod.ExportedFunction("agcluster_abi_version")
	if inst.alloc == nil || inst.evaluate == nil || version == nil {
		return errExports
	}
	for _, f := range []struct {
		fn     api.Function
		name   string
		params int
		result api.ValueType
	}{
		{version, "agcluster_abi_version", 0, api.ValueTypeI32},
		{inst.alloc, "alloc", 1, api.ValueTypeI32},
		{inst.evaluate, "evaluate", 2, api.ValueTypeI64},
	} {
		d := f.fn.Definition()
		if len(d.ParamTypes()) != f.params || len(d.ResultTypes()) != 1 || d.ResultTypes()[0] != f.result {
			return fmt.Errorf("its export %s has the wrong signature", f.name)
		}
	}
	got, err := version.Call(ctx)
	if err != nil {
		return fmt.Errorf("asking for its ABI version: %w", err)
	}
	if got[0] != 1 {
		return fmt.Errorf("its ABI version is %d, this host speaks 1", got[0])
	}
	if e.m.fresh {
		return nil
	}
	if err := e.try(ctx, inst); err != nil {
		return err
	}
	for _, name := range e.m.globals {
		if g, ok := inst.mod.ExportedGlobal(name).(api.MutableGlobal); ok {
			inst.globals = append(inst.globals, g)
			inst.values = append(inst.values, g.Get())
		}
	}
	memory, ok := inst.mod.Memory().Read(0, inst.mod.Memory().Size())
	if !ok {
		return errors.New("its memory can't be read")
	}
	inst.memory = append([]byte(nil), memory...)
	return nil
}

// try asks a question without content: what counts is that there is an answer.
func (e *engine) try(ctx context.Context, inst *instance) error {
	question, err := json.Marshal(Input{
		Gate: e.m.info.Gates[0], Params: json.RawMessage("{}"), State: json.RawMessage("null"), Input: json.RawMessage("{}"),
	})
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	if _, err := e.call(ctx, inst, question); err != nil {
		return fmt.Errorf("trying it: %w", err)
	}
	return nil
}

// restore puts the instance back to its snapshot; false means that it can't.
func (i *instance) restore() bool {
	size := i.mod.Memory().Size()
	if int(size) != len(i.memory) {
		return false
	}
	now, ok := i.mod.Memory().Read(0, size)
	if !ok {
		return false
	}
	copy(now, i.memory)
	for n, g := range i.globals {
		g.Set(i.values[n])
	}
	return true
}

// call hands a question to the instance and copies its answer out.
func (e *engine) call(ctx context.Context, inst *instance, question []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, e.m.runtime.cfg.Timeout)
	defer cancel()
	inst.stderr.b = nil
	if inst.fuel != nil {
		inst.fuel.Set(fuelPerCall)
	}
	began := time.Now()
	n := uint64(len(question))
	at, err := inst.alloc.Call(ctx, n)
	if err != nil {
		return nil, e.failure(ctx, inst, began, err)
	}
	if !inst.mod.Memory().Write(uint32(at[0]), question) { //nolint:gosec // an i32 by its signature
		return nil, errors.New("it gave a buffer outside of its memory")
	}
	packed, err := inst.evaluate.Call(ctx, at[0], n)
	if err != nil {
		return nil, e.failure(ctx, inst, began, err)
	}
	address, length := uint32(packed[0]>>32), uint32(packed[0]) //nolint:gosec // the ABI packs two i32
	if length > maxOutput {
		return nil, fmt.Errorf("its answer has %d bytes, the limit is %d", length, maxOutput)
	}
	answer, ok := inst.mod.Memory().Read(address, length)
	if !ok {
		return nil, errors.New("its answer lies outside of its memory")
	}
	return append([]byte(nil), answer...), nil
}

// failure says in the host's words how a call failed; a module's own words are for the log.
func (e *engine) failure(ctx context.Context, inst *instance, began time.Time, err error) error {
	if inst.fuel != nil && int64(inst.fuel.Get()) < 0 { //nolint:gosec // it is an i64
		return errFuel
	}
	e.m.runtime.log.Debug("a policy's call failed", zap.String("policy", e.m.info.Name), zap.Duration("after", time.Since(began)), zap.Error(err))
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no answer within %s", e.m.runtime.cfg.Timeout)
	case ctx.Err() != nil:
		return errors.New("the caller gave up")
	default:
		return errors.New("it trapped")
	}
}

// tail keeps the end of what a module prints.
type tail struct{ b []byte }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - 4096; over > 0 {
		t.b = append([]byte(nil), t.b[over:]...)
	}
	return len(p), nil
}

// String returns it as one line.
func (t *tail) String() string { return sanitise(string(t.b)) }
