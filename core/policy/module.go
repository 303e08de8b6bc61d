package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/zap"
)

// maxFresh is up to how many bytes of code a new instance costs less than putting an old one back would: C, AssemblyScript, Rego. Go
// modules have megabytes, and a runtime that has to start.
const maxFresh = 256 << 10

// Module is a loaded policy. It is safe for concurrent use.
type Module struct {
	info     ModuleInfo
	schema   *jsonschema.Schema
	defaults map[string]any
	runtime  *Runtime
	globals  []string
	// fresh says that every evaluation gets an instance of its own.
	fresh bool
	// engines are asked in turn: who runs out of fuel leaves the question to the next. The last has a deadline instead of fuel.
	engines []*engine
	// slots bounds the evaluations, and so the instances of each engine. A slot is taken before an instance is.
	slots chan struct{}
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
		slots: make(chan struct{}, r.cfg.Instances),
	}
	if err := m.validate(defaults); err != nil {
		return nil, fmt.Errorf("policy.yaml: the defaults of its parameters: %w", err)
	}
	if metered, err := meter(patched); err != nil {
		r.log.Info("a policy can't be metered; its evaluations take longer", zap.String("policy", info.Name), zap.Error(err))
	} else {
		m.engines = append(m.engines, newEngine(m, r.metered, metered))
	}
	m.engines = append(m.engines, newEngine(m, r.watched, patched))
	for i, e := range m.engines {
		err := e.check(ctx)
		if err != nil && i < len(m.engines)-1 {
			// Its start may take more than there is fuel for: the engine with the deadline has the last word.
			continue
		}
		m.engines = m.engines[i:]
		return m, err
	}
	return nil, errExports
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
	for _, e := range m.engines {
		var answer []byte
		if answer, err = e.ask(ctx, question); errors.Is(err, errFuel) {
			continue
		}
		if err != nil {
			return m.deny(err.Error())
		}
		v, err := read(answer, in.Gate)
		if err != nil {
			return m.deny(err.Error())
		}
		return v
	}
	return m.deny(err.Error())
}

func (m *Module) deny(reason string) Verdict {
	return Verdict{Decision: Deny, Reason: fmt.Sprintf("policy %s: %s", m.info.Name, reason)}
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
