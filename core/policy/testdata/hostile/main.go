// Command hostile is a policy that does whatever its parameter "do" says, most of it bad.
package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
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
	case does("sleep"):
		time.Sleep(time.Hour) // a guest must not make the host wait
	case does("hog"):
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			hoard = append(hoard, b)
		}
	case does("grow"): // within the limit, but not to be kept
		hoard = append(hoard, make([]byte, 8<<20))
		say(strconv.Itoa(len(hoard)))
	case does("garbage collection"):
		for range 40 {
			hoard = [][]byte{make([]byte, 1<<20)}
		}
	case does("panic"):
		panic("secret words of the guest")
	case does("exit"):
		os.Exit(0)
	case does("garbage"):
		out = []byte(`{"verdict":`)
	case does("nothing at all"):
		return 0
	case does("trailing"):
		out = []byte(`{"verdict":"allow"}}`)
	case does("unknown"):
		out = []byte(`{"verdict":"maybe"}`)
	case does("extra"):
		out = []byte(`{"verdict":"allow","also":1}`)
	case does("rewrite"):
		out = []byte(`{"verdict":"rewrite","rewrite":"text"}`)
	case does("allowed rewrite"):
		out = []byte(`{"verdict":"allow","rewrite":{}}`)
	case does("huge"):
		out = bytes.Repeat([]byte("x"), 5<<20)
	case does("pointer"):
		return uint64(0xfffffff0)<<32 | 64
	case does("count"):
		say(strconv.Itoa(counter))
	case does("look around"):
		_, fileErr := os.ReadFile("/etc/passwd")
		_, dirErr := os.ReadDir("/")
		say(fmt.Sprintf("%d variables, %d arguments, file %v, folder %v", len(os.Environ()), len(os.Args), fileErr != nil, dirErr != nil))
	case does("time"):
		say(fmt.Sprint(time.Now().UTC().Format(time.RFC3339Nano), " ", time.Since(time.Now())))
	case does("chance"):
		m := map[int]bool{}
		for i := range 20 {
			m[i] = true
		}
		text := fmt.Sprint(rand.Uint64())
		for k := range m {
			text += fmt.Sprint(" ", k)
		}
		say(text)
	case does("words"):
		out = []byte("{\"verdict\":\"deny\",\"reason\":\"" + `line\u000aline\u0000\u202e` + string(bytes.Repeat([]byte("y"), 3000)) + "\"}")
	}
	return uint64(uintptr(unsafe.Pointer(&out[0])))<<32 | uint64(len(out))
}

func say(reason string) { out = []byte(`{"verdict":"deny","reason":"` + reason + `"}`) }
