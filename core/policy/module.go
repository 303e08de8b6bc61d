package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
	"go.uber.org/zap"
)

const (
	// maxFresh is up to how many bytes of code a new instance costs less than putting an old one back would: C, AssemblyScript,
	// Rego. Go modules have megabytes, and a runtime that has to start.
	maxFresh = 256 << 10
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

// Module is a loaded policy. It is safe for concurrent use.
type Module struct {
	info     ModuleInfo
	schema   *jsonschema.Schema
	defaults map[string]any
	runtime  *Runtime
	rest     *rest
	globals  []string
	// fresh says that every evaluation gets an instance of its own.
	fresh bool
	// slots bounds the instances; idle holds those that are ready. A slot is taken before an instance is.
	slots chan struct{}
	idle  chan *instance
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
}

func newModule(ctx context.Context, r *Runtime, info ModuleInfo, schema *jsonschema.Schema, code []byte) (*Module, error) {
	defaults, err := defaultsOf(info.Params)
	if err != nil {
		return nil, err
	}
	patched, globals, err := exportGlobals(code)
	if err != nil {
		return nil, err
	}
	m := &Module{
		info: info, schema: schema, defaults: defaults, runtime: r, globals: globals, fresh: len(code) <= maxFresh,
		slots: make(chan struct{}, r.cfg.Instances), idle: make(chan *instance, r.cfg.Instances),
	}
	m.rest = newRest(r, patched, m.clear)
	compiled, err := m.rest.wake(ctx)
	if err != nil {
		return nil, err
	}
	// Nobody asks yet: what it takes is given back at once.
	defer m.rest.settle(0)
	for _, f := range compiled.ImportedFunctions() {
		if from, name, _ := f.Import(); from != "wasi_snapshot_preview1" {
			return nil, fmt.Errorf("it imports %s.%s; a policy gets nothing but wasi_snapshot_preview1", from, name)
		}
	}
	if err := m.validate(defaults); err != nil {
		return nil, fmt.Errorf("policy.yaml: the defaults of its parameters: %w", err)
	}
	if _, ok := compiled.ExportedMemories()["memory"]; !ok {
		return nil, errExports
	}
	// One instance at once: a module that can't start or judge should be known at the host's start, not at the first tool call.
	inst, err := m.instantiate(ctx, compiled)
	if err != nil {
		return nil, err
	}
	if !m.fresh {
		m.idle <- inst
		return m, nil
	}
	err = m.try(ctx, inst)
	m.discard(ctx, inst)
	return m, err
}

var errExports = errors.New("it must export agcluster_abi_version, alloc, evaluate and memory")

// Info describes the module.
func (m *Module) Info() ModuleInfo { return m.info }

// Evaluate asks the module. It never fails: a trap, a timeout, too much memory or a malformed answer is a denial that says so.
func (m *Module) Evaluate(ctx context.Context, in Input) Verdict {
	if in.Params == nil {
		in.Params = json.RawMessage("{}")
	}
	if in.State == nil {
		in.State = json.RawMessage("null")
	}
	question, err := json.Marshal(in)
	if err != nil {
		return m.deny("its input can't be encoded")
	}
	if len(question) > maxInput {
		return m.deny(fmt.Sprintf("its input has %d bytes, the limit is %d", len(question), maxInput))
	}
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	case <-ctx.Done():
		return m.deny("the caller gave up before it was asked")
	}
	compiled, err := m.rest.wake(ctx)
	if err == nil {
		defer m.rest.settle(restAfter)
	}
	var inst *instance
	if err == nil {
		inst, err = m.take(ctx, compiled)
	}
	if err != nil {
		m.runtime.log.Error("starting a policy", zap.String("policy", m.info.Name), zap.Error(err))
		return m.deny("it could not be started")
	}
	answer, err := m.call(ctx, inst, question)
	if err != nil || m.fresh || !inst.restore() {
		// After an error or a growth of its memory, nobody knows what is left in there.
		m.discard(ctx, inst)
	} else {
		m.idle <- inst
	}
	if err != nil {
		m.runtime.log.Warn("a policy failed", zap.String("policy", m.info.Name), zap.Error(err), zap.String("stderr", inst.stderr.String()))
		return m.deny(err.Error())
	}
	v, err := read(answer, in.Gate)
	if err != nil {
		return m.deny(err.Error())
	}
	return v
}

func (m *Module) deny(reason string) Verdict {
	return Verdict{Decision: Deny, Reason: fmt.Sprintf("policy %s: %s", m.info.Name, reason)}
}

func (m *Module) take(ctx context.Context, compiled wazero.CompiledModule) (*instance, error) {
	select {
	case inst := <-m.idle:
		return inst, nil
	default:
		return m.instantiate(ctx, compiled)
	}
}

// clear closes the instances that are ready.
func (m *Module) clear(ctx context.Context) {
	for {
		select {
		case inst := <-m.idle:
			m.discard(ctx, inst)
		default:
			return
		}
	}
}

func (m *Module) discard(ctx context.Context, inst *instance) {
	if err := inst.mod.Close(context.WithoutCancel(ctx)); err != nil {
		m.runtime.log.Warn("closing a policy", zap.String("policy", m.info.Name), zap.Error(err))
	}
}

// instantiate starts the module. One that is used again is let judge once, so that its runtime is warm, and a snapshot is taken.
func (m *Module) instantiate(ctx context.Context, compiled wazero.CompiledModule) (*instance, error) {
	// Starting takes longer than judging, and is bounded all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*m.runtime.cfg.Timeout)
	defer cancel()
	stderr := &tail{}
	// A verdict depends on nothing but its input, so time stands still and randomness is always the same: wazero's own stand-ins
	// count their calls, which would carry something from one evaluation to the next. (Go's runtime takes a 0 for a broken clock.)
	mod, err := m.runtime.wasm.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().
		WithName("").WithStartFunctions(startFunction).WithStderr(stderr).WithRandSource(constant{}).
		WithWalltime(func() (int64, int32) { return epoch, 0 }, sys.ClockResolution(time.Microsecond)).
		WithNanotime(func() int64 { return 1 }, sys.ClockResolution(time.Microsecond)))
	if err != nil {
		return nil, fmt.Errorf("starting it: %w (%s)", err, stderr)
	}
	inst := &instance{mod: mod, stderr: stderr, alloc: mod.ExportedFunction("alloc"), evaluate: mod.ExportedFunction("evaluate")}
	if err := m.prepare(ctx, inst); err != nil {
		return nil, errors.Join(err, mod.Close(ctx))
	}
	return inst, nil
}

func (m *Module) prepare(ctx context.Context, inst *instance) error {
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
	if m.fresh {
		return nil
	}
	if err := m.try(ctx, inst); err != nil {
		return err
	}
	for _, name := range m.globals {
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
func (m *Module) try(ctx context.Context, inst *instance) error {
	question, err := json.Marshal(Input{
		Gate: m.info.Gates[0], Params: json.RawMessage("{}"), State: json.RawMessage("null"), Input: json.RawMessage("{}"),
	})
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	if _, err := m.call(ctx, inst, question); err != nil {
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
func (m *Module) call(ctx context.Context, inst *instance, question []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, m.runtime.cfg.Timeout)
	defer cancel()
	inst.stderr.b = nil
	began := time.Now()
	n := uint64(len(question))
	at, err := inst.alloc.Call(ctx, n)
	if err != nil {
		return nil, m.failure(ctx, began, err)
	}
	if !inst.mod.Memory().Write(uint32(at[0]), question) { //nolint:gosec // an i32 by its signature
		return nil, errors.New("it gave a buffer outside of its memory")
	}
	packed, err := inst.evaluate.Call(ctx, at[0], n)
	if err != nil {
		return nil, m.failure(ctx, began, err)
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
func (m *Module) failure(ctx context.Context, began time.Time, err error) error {
	m.runtime.log.Debug("a policy's call failed", zap.String("policy", m.info.Name), zap.Duration("after", time.Since(began)), zap.Error(err))
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("no answer within %s", m.runtime.cfg.Timeout)
	case ctx.Err() != nil:
		return errors.New("the caller gave up")
	default:
		return errors.New("it trapped")
	}
}

// read checks an answer.
func read(answer []byte, gate Gate) (Verdict, error) {
	dec := json.NewDecoder(bytes.NewReader(answer))
	dec.DisallowUnknownFields()
	var v Verdict
	if err := dec.Decode(&v); err != nil {
		return Verdict{}, errors.New("its answer is no verdict")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Verdict{}, errors.New("its answer is no verdict")
	}
	// A guest whose language writes null for what is not there means just that.
	for _, optional := range []*json.RawMessage{&v.Rewrite, &v.State} {
		if string(*optional) == "null" {
			*optional = nil
		}
	}
	switch v.Decision {
	case Allow, Deny, Ask:
		if v.Rewrite != nil {
			return Verdict{}, fmt.Errorf("it answers %s with a rewrite", v.Decision)
		}
	case Rewrite:
		if gate != GateToolCall {
			return Verdict{}, fmt.Errorf("it rewrites at the gate %s", gate)
		}
		if len(v.Rewrite) == 0 || v.Rewrite[0] != '{' {
			return Verdict{}, errors.New("its rewrite is no object")
		}
	default:
		return Verdict{}, errors.New("its answer has no known verdict")
	}
	v.Reason = sanitise(v.Reason)
	return v, nil
}

// sanitise makes a guest's text one bounded line.
func sanitise(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), r == utf8.RuneError, r == '\u2028', r == '\u2029':
			return ' '
		case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
			return -1 // they turn the text around them, and names of files come from strangers
		}
		return r
	}, s)
	if len(s) <= maxReason {
		return s
	}
	cut := maxReason
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
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
