package policy

import (
	"errors"
	"fmt"
)

// fuelGlobal is the export under which the host finds a metered module's fuel.
const fuelGlobal = "agcluster.fuel"

// The instructions that meter writes.
const (
	opUnreachable = 0x00
	opLoop        = 0x03
	opIf          = 0x04
	opEnd         = 0x0b
	opLocalGet    = 0x20
	opLocalSet    = 0x21
	opGlobalGet   = 0x23
	opGlobalSet   = 0x24
	opI64Const    = 0x42
	opI64LtS      = 0x53
	opI64Sub      = 0x7d
	opI64ShrU     = 0x88
	opI64ExtendU  = 0xad

	typeI32  = 0x7f
	typeI64  = 0x7e
	typeVoid = 0x40
)

// bulkUnit is the binary logarithm of how many bytes (or elements) a bulk instruction moves for one unit of fuel.
const bulkUnit = 6

// meter rewrites a module so that it counts what it does: every entry into a function and every round of a loop takes one unit from a
// global, and so do 64 bytes of a bulk instruction; below zero it traps. What is between two such points is bounded by the code's size, so
// fuel bounds an evaluation without anybody outside having to stop it, at a tenth of what wazero's own check in every loop costs. The
// host fills the global before each evaluation. An error means that the module has something that meter doesn't know.
func meter(code []byte) ([]byte, error) {
	m := &metering{}
	if err := m.survey(code); err != nil {
		return nil, err
	}
	return m.rewrite(code)
}

// metering is what rewriting needs to know of a module.
type metering struct {
	// params is how many parameters each type has, types the type of each defined function.
	params, types []uint32
	// global is the index of the new global.
	global uint32
	// hasGlobals says that there is a section for it.
	hasGlobals bool
}

type section struct {
	id        byte
	start     int
	body, end int
}

// sections calls fn for each section of a module.
func sections(code []byte, fn func(s section) error) error {
	if len(code) < 8 || string(code[:4]) != "\x00asm" {
		return errors.New("this is no WASM module")
	}
	r := &reader{b: code, i: 8}
	for r.i < len(code) {
		s := section{start: r.i, id: r.byte()}
		size := int(r.u32())
		s.body, s.end = r.i, r.i+size
		if r.err != nil || size < 0 || s.end > len(code) {
			return errors.New("the module is cut off")
		}
		if err := fn(s); err != nil {
			return err
		}
		r.i = s.end
	}
	return nil
}

func (m *metering) survey(code []byte) error {
	return sections(code, func(s section) error {
		r := &reader{b: code[:s.end], i: s.body}
		switch s.id {
		case 1:
			for n := r.u32(); n > 0 && r.err == nil; n-- {
				if r.byte() != 0x60 {
					return errors.New("a type is no function's")
				}
				params := r.u32()
				r.skip(int(params))
				r.skip(int(r.u32()))
				m.params = append(m.params, params)
			}
		case 2:
			m.global += countImportedGlobals(r)
		case 3:
			for n := r.u32(); n > 0 && r.err == nil; n-- {
				m.types = append(m.types, r.u32())
			}
		case 6:
			m.hasGlobals = true
			m.global += r.u32()
		}
		return r.err
	})
}

func (m *metering) rewrite(code []byte) ([]byte, error) {
	out := append([]byte(nil), code[:8]...)
	added := m.hasGlobals
	err := sections(code, func(s section) error {
		// Without a section of globals, one comes before the exports, which every policy has.
		if !added && s.id == 7 {
			out = appendSection(out, 6, append([]byte{1}, newGlobal()...))
			added = true
		}
		body := code[s.body:s.end]
		r := &reader{b: code[:s.end], i: s.body}
		switch s.id {
		case 6:
			n := r.u32()
			body = append(append(appendU32(nil, n+1), code[r.i:s.end]...), newGlobal()...)
		case 7:
			n := r.u32()
			body = append(appendU32(nil, n+1), code[r.i:s.end]...)
			body = append(appendU32(body, uint32(len(fuelGlobal))), fuelGlobal...)
			body = appendU32(append(body, 3), m.global)
		case 10:
			var err error
			if body, err = m.functions(r, s.end); err != nil {
				return err
			}
		case 0:
			// Names and debug information would point to the wrong places.
			return r.err
		}
		out = appendSection(out, s.id, body)
		return r.err
	})
	return out, err
}

// newGlobal holds the fuel for the module's start, which runs before the host can set it.
func newGlobal() []byte {
	return append(appendS64([]byte{typeI64, 1, opI64Const}, fuelPerStart), opEnd)
}

func appendS64(b []byte, v int64) []byte {
	for ; v < -64 || v > 63; v >>= 7 {
		b = append(b, byte(v&0x7f)|0x80)
	}
	return append(b, byte(v&0x7f))
}

func appendSection(out []byte, id byte, body []byte) []byte {
	out = appendU32(append(out, id), uint32(len(body))) //nolint:gosec // bounded by the module's size
	return append(out, body...)
}

// functions rewrites the code section.
func (m *metering) functions(r *reader, end int) ([]byte, error) {
	n := r.u32()
	if int(n) != len(m.types) {
		return nil, errors.New("the module has functions without code")
	}
	out := appendU32(nil, n)
	for i := range n {
		size := int(r.u32())
		if r.err != nil || size < 0 || r.i+size > end {
			return nil, errors.New("a function is cut off")
		}
		if int(m.types[i]) >= len(m.params) {
			return nil, errors.New("a function has an unknown type")
		}
		body, err := m.function(&reader{b: r.b[:r.i+size], i: r.i}, m.params[m.types[i]])
		if err != nil {
			return nil, fmt.Errorf("function %d: %w", i, err)
		}
		out = append(appendU32(out, uint32(len(body))), body...) //nolint:gosec // bounded by the module's size
		r.i += size
	}
	return out, r.err
}

// function rewrites one function's body. A function with bulk instructions gets one more local, for their size.
func (m *metering) function(r *reader, params uint32) ([]byte, error) {
	groups := r.u32()
	start := r.i
	locals := uint64(params)
	for range groups {
		locals += uint64(r.u32())
		r.byte()
		if r.err != nil {
			return nil, r.err
		}
	}
	if locals > 50_000 {
		return nil, errors.New("it has too many locals")
	}
	out := appendU32(nil, groups+1)
	out = append(out, r.b[start:r.i]...)
	out = append(out, 1, typeI32)
	size := uint32(locals)
	out = m.tick(out)
	for r.i < len(r.b) && r.err == nil {
		at := r.i
		op := r.byte()
		if op == opGlobalGet || op == opGlobalSet {
			// A module that names the new global would be its own fuel attendant.
			if index := r.u32(); index >= m.global {
				return nil, fmt.Errorf("unknown global %d", index)
			}
			r.i = at + 1
		}
		bulk, err := skipImmediates(r, op)
		if err != nil {
			return nil, err
		}
		if bulk {
			out = m.charge(out, size)
		}
		out = append(out, r.b[at:r.i]...)
		if op == opLoop {
			out = m.tick(out)
		}
	}
	return out, r.err
}

// tick takes one unit.
func (m *metering) tick(out []byte) []byte {
	out = appendU32(append(out, opGlobalGet), m.global)
	out = append(out, opI64Const, 1, opI64Sub)
	return m.spend(out)
}

// charge takes what a bulk instruction costs, whose size is on the stack and stays there.
func (m *metering) charge(out []byte, local uint32) []byte {
	out = appendU32(append(out, opLocalSet), local)
	out = appendU32(append(out, opGlobalGet), m.global)
	out = appendU32(append(out, opLocalGet), local)
	out = append(out, opI64ExtendU, opI64Const, bulkUnit, opI64ShrU, opI64Sub)
	out = m.spend(out)
	return appendU32(append(out, opLocalGet), local)
}

// spend keeps the fuel that is on the stack, and traps when it is below zero.
func (m *metering) spend(out []byte) []byte {
	out = appendU32(append(out, opGlobalSet), m.global)
	out = appendU32(append(out, opGlobalGet), m.global)
	return append(out, opI64Const, 0, opI64LtS, opIf, typeVoid, opUnreachable, opEnd)
}

// skipImmediates reads what belongs to an instruction of WebAssembly 2.0. bulk says that its size is the last thing on the stack.
func skipImmediates(r *reader, op byte) (bulk bool, err error) {
	switch {
	case op <= 0x01, op == 0x05, op == opEnd, op == 0x0f, op == 0x1a, op == 0x1b, op >= 0x45 && op <= 0xc4, op == 0xd1:
	case op >= 0x02 && op <= 0x04, op == 0x0c, op == 0x0d, op == 0x10, op >= 0x20 && op <= 0x26, op == 0x3f, op == 0x41, op == opI64Const,
		op == 0xd0, op == 0xd2:
		r.leb()
	case op == 0x40:
		// memory.grow has pages on the stack, and the memory's limit bounds it.
		r.leb()
	case op == 0x0e, op == 0x1c:
		n := r.u32()
		if op == 0x0e {
			n++ // the default's label
		}
		for ; n > 0 && r.err == nil; n-- {
			r.leb()
		}
	case op == 0x11, op >= 0x28 && op <= 0x3e:
		r.leb()
		r.leb()
	case op == 0x43:
		r.skip(4)
	case op == 0x44:
		r.skip(8)
	case op == 0xfc:
		return skipBulk(r)
	case op == 0xfd:
		err = skipVector(r)
	default:
		err = fmt.Errorf("unknown instruction %#x", op)
	}
	return false, err
}

func skipBulk(r *reader) (bulk bool, err error) {
	switch sub := r.u32(); {
	case sub <= 7: // saturating conversions
	case sub == 8, sub == 10, sub == 12, sub == 14: // init and copy
		r.leb()
		r.leb()
		return true, nil
	case sub == 11, sub == 15, sub == 17: // fill, table.grow
		r.leb()
		return true, nil
	case sub == 9, sub == 13, sub == 16: // drop, table.size
		r.leb()
	default:
		return false, fmt.Errorf("unknown instruction 0xfc %d", sub)
	}
	return false, nil
}

func skipVector(r *reader) error {
	switch sub := r.u32(); {
	case sub <= 11, sub == 92, sub == 93:
		r.leb()
		r.leb()
	case sub == 12, sub == 13:
		r.skip(16)
	case sub >= 21 && sub <= 34:
		r.skip(1)
	case sub >= 84 && sub <= 91:
		r.leb()
		r.leb()
		r.skip(1)
	case sub > 255:
		return fmt.Errorf("unknown instruction 0xfd %d", sub)
	}
	return nil
}
