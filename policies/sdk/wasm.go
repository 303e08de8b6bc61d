//go:build wasip1

package sdk

import "unsafe"

// Buffers keeps what host and guest hand each other alive, for one evaluation at a time: the host never calls into an instance
// twice at once.
type Buffers struct{ in, out []byte }

// Alloc returns the address of n bytes for the host to write to.
func (b *Buffers) Alloc(n uint32) uint32 {
	b.in = make([]byte, n+1)
	return uint32(uintptr(unsafe.Pointer(&b.in[0])))
}

// Evaluate judges the n bytes that the host has written and returns address<<32 | length of the verdict.
func Evaluate[P any](b *Buffers, n uint32, judge func(Input[P]) Verdict) uint64 {
	b.out = Respond(b.in[:n], judge)
	return uint64(uintptr(unsafe.Pointer(&b.out[0])))<<32 | uint64(len(b.out))
}
