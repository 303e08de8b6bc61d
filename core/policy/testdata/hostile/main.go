// Command hostile is a policy that does whatever its parameter "do" says, all of it bad.
package main

import (
	"bytes"
	"unsafe"
)

func main() {}

var (
	in, out []byte
	counter int
	hoard   [][]byte
)

//go:wasmexport agcluster_abi_version
func abiVersion() uint32 { return 1 }

//go:wasmexport alloc
func alloc(n uint32) uint32 {
	in = make([]byte, n+1)
	return uint32(uintptr(unsafe.Pointer(&in[0])))
}

//go:wasmexport evaluate
func evaluate(_, n uint32) uint64 {
	does := func(what string) bool { return bytes.Contains(in[:n], []byte(`"do":"`+what+`"`)) }
	counter++
	out = []byte(`{"verdict":"allow"}`)
	switch {
	case does("loop"):
		for counter > 0 {
			counter++
			if counter < 0 {
				counter = 1
			}
		}
	case does("hog"):
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			hoard = append(hoard, b)
		}
	case does("panic"):
		panic("secret words of the guest")
	case does("garbage"):
		out = []byte(`{"verdict":`)
	case does("unknown"):
		out = []byte(`{"verdict":"maybe"}`)
	case does("extra"):
		out = []byte(`{"verdict":"allow","also":1}`)
	case does("rewrite"):
		out = []byte(`{"verdict":"rewrite","rewrite":"text"}`)
	case does("huge"):
		out = bytes.Repeat([]byte("x"), 5<<20)
	case does("pointer"):
		return uint64(0xfffffff0)<<32 | 64
	case does("count"):
		out = []byte(`{"verdict":"deny","reason":"` + string(rune('0'+counter)) + `"}`)
	case does("words"):
		out = []byte("{\"verdict\":\"deny\",\"reason\":\"" + `line\u000aline\u0000` + string(bytes.Repeat([]byte("y"), 3000)) + "\"}")
	}
	return uint64(uintptr(unsafe.Pointer(&out[0])))<<32 | uint64(len(out))
}
