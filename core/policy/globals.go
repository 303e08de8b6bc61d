package policy

import (
	"errors"
	"fmt"
)

// exportGlobals adds an export for every mutable global that a module defines, under globalPrefix and its index. Putting an
// instance back to its snapshot needs its globals as well as its memory (a stack pointer that points elsewhere corrupts it), and
// wazero shows only exported ones.
func exportGlobals(code []byte) ([]byte, []string, error) {
	if len(code) < 8 || string(code[:4]) != "\x00asm" {
		return nil, nil, errors.New("this is no WASM module")
	}
	out := append([]byte(nil), code[:8]...)
	r := &reader{b: code, i: 8}
	var imported, defined uint32
	var mutable []uint32
	var names []string
	done := false
	for r.i < len(code) && r.err == nil {
		start := r.i
		id := r.byte()
		size := int(r.u32())
		body := r.i
		end := body + size
		if r.err != nil || size < 0 || end > len(code) {
			return nil, nil, errors.New("the module is cut off")
		}
		switch id {
		case 2:
			imported = countImportedGlobals(&reader{b: code[:end], i: body})
		case 6:
			s := &reader{b: code[:end], i: body}
			n := s.u32()
			for ; defined < n && s.err == nil; defined++ {
				s.byte() // type
				if s.byte() == 1 {
					mutable = append(mutable, imported+defined)
				}
				s.constant()
			}
			if s.err != nil {
				return nil, nil, fmt.Errorf("reading globals: %w", s.err)
			}
		case 7:
			s := &reader{b: code[:end], i: body}
			n := s.u32()
			var section []byte
			section = appendU32(section, n+uint32(len(mutable))) //nolint:gosec // a module has far fewer than 2^32 globals
			section = append(section, code[s.i:end]...)
			for _, index := range mutable {
				name := fmt.Sprintf("%s%d", globalPrefix, index)
				names = append(names, name)
				section = appendU32(section, uint32(len(name))) //nolint:gosec // short
				section = append(section, name...)
				section = append(section, 3)
				section = appendU32(section, index)
			}
			out = append(out, 7)
			out = appendU32(out, uint32(len(section))) //nolint:gosec // bounded by the module's size
			out = append(out, section...)
			done = true
			r.i = end
			continue
		}
		out = append(out, code[start:end]...)
		r.i = end
	}
	if r.err != nil {
		return nil, nil, r.err
	}
	if !done {
		return nil, nil, errors.New("the module exports nothing")
	}
	return out, names, nil
}

const globalPrefix = "agcluster.global."

func countImportedGlobals(r *reader) uint32 {
	var globals uint32
	for n := r.u32(); n > 0 && r.err == nil; n-- {
		r.skip(int(r.u32()))
		r.skip(int(r.u32()))
		switch r.byte() {
		case 0:
			r.u32()
		case 1:
			r.byte()
			r.limits()
		case 2:
			r.limits()
		case 3:
			r.skip(2)
			globals++
		default:
			r.err = errors.New("unknown import")
		}
	}
	return globals
}

// reader walks a module's bytes; its first error sticks.
type reader struct {
	b   []byte
	i   int
	err error
}

func (r *reader) byte() byte {
	if r.err != nil || r.i >= len(r.b) {
		r.skip(1)
		return 0
	}
	r.i++
	return r.b[r.i-1]
}

func (r *reader) skip(n int) {
	if r.err == nil && (n < 0 || n > len(r.b)-r.i) {
		r.err = errors.New("the module is cut off")
	}
	if r.err == nil {
		r.i += n
	}
}

func (r *reader) u32() uint32 {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	r.err = errors.New("a number is too long")
	return 0
}

func (r *reader) leb() {
	for range 10 {
		if r.byte() < 0x80 {
			return
		}
	}
	r.err = errors.New("a number is too long")
}

func (r *reader) limits() {
	flags := r.byte()
	r.leb()
	if flags&1 != 0 {
		r.leb()
	}
}

// constant skips a constant expression.
func (r *reader) constant() {
	for r.err == nil {
		switch op := r.byte(); op {
		case 0x0b:
			return
		case 0x41, 0x42, 0x23, 0xd2:
			r.leb()
		case 0x43:
			r.skip(4)
		case 0x44:
			r.skip(8)
		case 0xd0:
			r.byte()
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e:
		default:
			r.err = fmt.Errorf("a constant has the unknown instruction %#x", op)
		}
	}
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}
