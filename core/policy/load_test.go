package policy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/policy"
)

// wasm puts a module together by hand: what no Go program can be compiled to.
type wasm struct {
	imports, tables, memories, globals, exports, elements, bodies, data [][]byte
	memory                                                              []byte
	custom                                                              int
}

const (
	i32, i64 = 0x7f, 0x7e
	// The types of the module's functions, by index.
	typeVersion, typeAlloc, typeEvaluate, typeAnswer, typeNothing = 0, 1, 2, 3, 4
)

// The two answers that every module here has in its memory.
const (
	answerFirst  = `{"verdict":"allow"}`
	answerSecond = `{"verdict":"deny","reason":"something is left of the one before"}`
	atFirst      = 1024
	atSecond     = 2048
)

func leb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// sleb encodes signed constants.
func sleb(n int64) []byte {
	var b []byte
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if (n == 0 && c&0x40 == 0) || (n == -1 && c&0x40 != 0) {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func cat(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case []byte:
			b = append(b, p...)
		case string:
			b = append(append(b, leb(len(p))...), p...)
		}
	}
	return b
}

func section(id int, items [][]byte) []byte {
	if len(items) == 0 {
		return nil
	}
	body := cat(leb(len(items)), bytes.Join(items, nil))
	return cat(id, leb(len(body)), body)
}

func packed(at int, text string) []byte { return cat(0x42, sleb(int64(at)<<32|int64(len(text)))) }

// good is a module that allows everything: version 1, alloc at 65536/2, and evaluate with the given body before the first answer.
func good(evaluate ...any) *wasm {
	w := &wasm{memory: []byte{0, 2}}
	w.function(typeVersion, "agcluster_abi_version", 0x41, 1)
	w.function(typeAlloc, "alloc", 0x41, sleb(32768))
	if len(evaluate) == 0 {
		evaluate = []any{packed(atFirst, answerFirst)}
	}
	w.function(typeEvaluate, "evaluate", evaluate...)
	w.exports = append(w.exports, cat("memory", 2, 0))
	w.data = [][]byte{cat(0, 0x41, sleb(atFirst), 0x0b, answerFirst), cat(0, 0x41, sleb(atSecond), 0x0b, answerSecond)}
	return w
}

// function adds a function, exported when it has a name; its type stands before its body until bytes sorts them apart.
func (w *wasm) function(typ int, name string, code ...any) {
	if name != "" {
		w.exports = append(w.exports, cat(name, 0, leb(len(w.imports)+len(w.bodies))))
	}
	w.bodies = append(w.bodies, cat(typ, code2(code...)))
}

func code2(code ...any) []byte {
	body := cat(0, cat(code...), 0x0b)
	return cat(leb(len(body)), body)
}

func (w *wasm) bytes() []byte {
	types := [][]byte{
		cat(0x60, 0, 1, i32), cat(0x60, 1, i32, 1, i32), cat(0x60, 2, i32, i32, 1, i64), cat(0x60, 0, 1, i64), cat(0x60, 0, 0),
	}
	var functions, code [][]byte
	for _, b := range w.bodies {
		functions, code = append(functions, b[:1]), append(code, b[1:])
	}
	memories := w.memories
	if w.memory != nil {
		memories = append(memories, w.memory)
	}
	out := cat([]byte("\x00asm\x01\x00\x00\x00"), section(1, types), section(2, w.imports), section(3, functions), section(4, w.tables),
		section(5, memories), section(6, w.globals), section(7, w.exports), section(9, w.elements), section(10, code), section(11, w.data))
	if w.custom > 0 {
		body := cat("padding", make([]byte, w.custom))
		out = cat(out, 0, leb(len(body)), body)
	}
	return out
}

const startFunction = "_initialize"

const tinyManifest = "name: tiny\ngates: [tool.call]\n"

// second answers with the second answer when the i32 on the stack is not zero, else with the first.
func second(condition ...any) []any {
	return []any{cat(condition...), 0x04, i64, packed(atSecond, answerSecond), 0x05, packed(atFirst, answerFirst), 0x0b}
}

func TestModulesOfAnyCompilerAreWipedToo(t *testing.T) {
	memory := cat(
		0x41, sleb(100), 0x28, 2, 0, // i32.load 100
		0x41, sleb(100), 0x41, 1, 0x36, 2, 0, // i32.store 100 ← 1
	)
	global := cat(0x23, 0, 0x41, 1, 0x24, 0) // global.get 0, global.set 0 ← 1
	counter := [][]byte{cat(i32, 1, 0x41, 0, 0x0b)}
	swap := good(cat(0x41, 0, 0x11, typeAnswer, 0, 0x41, 0, 0xd2, 4, 0x26, 0)) // call_indirect 0; table.set 0 ← ref.func 4
	swap.function(typeAnswer, "", packed(atFirst, answerFirst))
	swap.function(typeAnswer, "", packed(atSecond, answerSecond))
	swap.tables = [][]byte{cat(0x70, 0, 2)}
	swap.elements = [][]byte{cat(0, 0x41, 0, 0x0b, 2, 3, 4)}
	withGlobal, largeGlobal := good(second(global)...), good(second(global)...)
	withGlobal.globals, largeGlobal.globals = counter, counter
	largeMemory := good(second(memory)...)
	largeGlobal.custom, largeMemory.custom = 300<<10, 300<<10
	for name, w := range map[string]*wasm{
		"memory": good(second(memory)...), "global": withGlobal, "table": swap, "memory of a large module": largeMemory,
		"global of a large module": largeGlobal,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRuntime(t, policy.Config{Instances: 1})
			if err := r.Load(t.Context(), []byte(tinyManifest), w.bytes()); err != nil {
				t.Fatal(err)
			}
			m, _ := r.Module("tiny")
			first := ask(m, policy.GateToolCall, "x")
			for range 3 {
				if v := ask(m, policy.GateToolCall, "x"); v.Decision != first.Decision || v.Reason != first.Reason {
					t.Errorf("got %+v after %+v", v, first)
				}
			}
			if strings.HasPrefix(first.Reason, "policy") {
				t.Errorf("got %+v", first)
			}
		})
	}
}

func TestAModuleGetsNoMoreMemoryThanItsLimit(t *testing.T) {
	for pages, want := range map[int64]policy.Decision{4: policy.Allow, 16: policy.Deny} {
		// memory.grow answers -1 when it can't
		w := good(second(cat(0x41, sleb(pages), 0x40, 0, 0x41, sleb(-1), 0x46))...)
		r := newRuntime(t, policy.Config{MemoryPages: 8})
		if err := r.Load(t.Context(), []byte(tinyManifest), w.bytes()); err != nil {
			t.Fatal(err)
		}
		m, _ := r.Module("tiny")
		if v := ask(m, policy.GateToolCall, "x"); v.Decision != want || strings.HasPrefix(v.Reason, "policy") {
			t.Errorf("%d pages: got %+v, want %s", pages, v, want)
		}
	}
}

func TestLoadRefusesWhatItCanNotTrust(t *testing.T) {
	change := func(f func(*wasm)) []byte {
		w := good()
		f(w)
		return w.bytes()
	}
	rename := func(from, to string) []byte {
		return bytes.Replace(good().bytes(), []byte(from), []byte(to), 1)
	}
	code := good().bytes()
	for name, c := range map[string]struct {
		manifest string
		code     []byte
		want     string
	}{
		"another digest":                    {"name: pinned\ngates: [tool.call]\n", code, "the pinned one"},
		"no wasm":                           {tinyManifest, []byte("hello"), "no WASM"},
		"nothing":                           {tinyManifest, nil, "no WASM"},
		"cut off":                           {tinyManifest, code[:len(code)/2], "cut off"},
		"cut off, of Go":                    {tinyManifest, shared(t).guests["path"][:1<<20], "cut off"},
		"no export":                         {tinyManifest, change(func(w *wasm) { w.exports = nil }), "exports nothing"},
		"no version":                        {tinyManifest, rename("agcluster_abi_version", "agcluster_abi_versiom"), "must export agcluster_abi_version"},
		"no alloc":                          {tinyManifest, rename("alloc", "allok"), "must export"},
		"no evaluate":                       {tinyManifest, rename("evaluate", "evaluatf"), "must export"},
		"no memory":                         {tinyManifest, change(func(w *wasm) { w.memory, w.exports, w.data = nil, w.exports[:3], nil }), "must export"},
		"another version":                   {tinyManifest, bytes.Replace(code, code2(0x41, 1), code2(0x41, 2), 1), "its ABI version is 2, this host speaks 1"},
		"another signature":                 {tinyManifest, change(func(w *wasm) { w.bodies[2] = cat(typeAnswer, w.bodies[2][1:]) }), "its export evaluate has the wrong signature"},
		"a host function":                   {tinyManifest, change(func(w *wasm) { w.imports = [][]byte{cat("env", "now", 0, typeVersion)} }), "it imports env.now"},
		"an imported memory":                {tinyManifest, change(func(w *wasm) { w.memory, w.imports = nil, [][]byte{cat("env", "memory", 2, 0, 2)} }), "env"},
		"an imported global":                {tinyManifest, change(func(w *wasm) { w.imports = [][]byte{cat("env", "g", 3, i32, 0)} }), "env"},
		"more memory than allowed":          {tinyManifest, change(func(w *wasm) { w.memory = cat(0, leb(4096)) }), "memory"},
		"a trap at its start":               {tinyManifest, change(func(w *wasm) { w.function(typeNothing, startFunction, 0x00) }), "starting it"},
		"a loop at its start":               {tinyManifest, change(func(w *wasm) { w.function(typeNothing, startFunction, 0x03, 0x40, 0x0c, 0, 0x0b) }), "starting it"},
		"a trap when tried":                 {tinyManifest, good(0x00).bytes(), "trying it"},
		"a loop when tried":                 {tinyManifest, good(0x03, 0x40, 0x0c, 0, 0x0b, 0x00).bytes(), "trying it"},
		"an invalid body":                   {tinyManifest, good(0x41, 1).bytes(), "compiling it"},
		"no manifest":                       {"", code, "policy.yaml"},
		"no YAML":                           {"{", code, "policy.yaml"},
		"an unknown gate":                   {"name: x\ngates: [door]\n", code, `gates: unknown gate "door"`},
		"no gate":                           {"name: x\n", code, "gates: at least one is needed"},
		"no name":                           {"gates: [tool.call]\n", code, "name:"},
		"a name with a slash":               {"name: a/b\ngates: [tool.call]\n", code, `name: "a/b"`},
		"an unknown key":                    {"name: x\ngates: [tool.call]\nmood: bad\n", code, "mood"},
		"params that are no schema":         {"name: x\ngates: [tool.call]\nparams: {type: thing}\n", code, "params"},
		"params that are no object":         {"name: x\ngates: [tool.call]\nparams: [1]\n", code, "policy.yaml"},
		"a default that is invalid":         {"name: x\ngates: [tool.call]\nparams: {properties: {n: {type: integer, default: many}}}\n", code, "the defaults of its parameters: params.n"},
		"a rule on a gate that it has not":  {"name: x\ngates: [tool.call]\nonly_with: {agent.launch: [n]}\nparams: {properties: {n: {}}}\n", code, `only_with: "agent.launch" is none of its gates`},
		"batches at a gate that has none":   {"name: x\ngates: [tool.call]\nbatches: [tool.call]\n", code, `batches: only path.access can be asked about in batches, of a policy that judges it; got "tool.call"`},
		"batches at a gate that it has not": {"name: x\ngates: [tool.call]\nbatches: [path.access]\n", code, "batches: only path.access"},
		"a rule on no parameter of its":     {"name: x\ngates: [tool.call]\nonly_with: {tool.call: [m]}\nparams: {properties: {n: {}}}\n", code, `only_with.tool.call: there is no parameter "m"`},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRuntime(t, policy.Config{Pins: map[string]string{"pinned": "sha256:00"}, MemoryPages: 512, Timeout: 200e6})
			err := r.Load(context.Background(), []byte(c.manifest), c.code)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
			if len(r.Modules()) != 0 {
				t.Error("it was loaded all the same")
			}
		})
	}
}

func TestAModuleWithoutParametersTakesNone(t *testing.T) {
	r := newRuntime(t, policy.Config{})
	if err := r.Load(t.Context(), []byte(tinyManifest), good().bytes()); err != nil {
		t.Fatal(err)
	}
	m, _ := r.Module("tiny")
	if got, err := m.Resolve(nil); err != nil || string(got[0]) != "{}" {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := m.Resolve([]byte(`{"a":1}`)); err == nil {
		t.Error("want an error")
	}
	if err := r.Load(t.Context(), []byte(tinyManifest), good().bytes()); err == nil || !strings.Contains(err.Error(), `two modules called "tiny"`) {
		t.Errorf("got %v", err)
	}
}

func TestLoadDir(t *testing.T) {
	code := good().bytes()
	sum := sha256.Sum256(code)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	for name, c := range map[string]struct {
		files map[string]string
		pins  map[string]string
		want  string
	}{
		"one module":        {map[string]string{"tiny.wasm": string(code), "tiny.yaml": tinyManifest, "README.md": "hello"}, map[string]string{"tiny": digest}, ""},
		"no module":         {map[string]string{"tiny.yaml": tinyManifest}, nil, "no policies in"},
		"no description":    {map[string]string{"tiny.wasm": string(code)}, nil, "reading its description"},
		"another digest":    {map[string]string{"tiny.wasm": string(code), "tiny.yaml": tinyManifest}, map[string]string{"tiny": "sha256:00"}, "its digest is " + digest},
		"a pin of nobody":   {map[string]string{"tiny.wasm": string(code), "tiny.yaml": tinyManifest}, map[string]string{"tinny": digest}, "policy.pins.tinny: there is no such policy"},
		"the same name two": {map[string]string{"a.wasm": string(code), "a.yaml": tinyManifest, "b.wasm": string(code), "b.yaml": tinyManifest}, nil, "two modules"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r := newRuntime(t, policy.Config{Pins: c.pins})
			err := r.LoadDir(t.Context(), dir)
			if (c.want == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if c.want != "" {
				return
			}
			if all := r.Modules(); len(all) != 1 || all[0].Name != "tiny" || all[0].Digest != digest {
				t.Errorf("got %+v", all)
			}
		})
	}
}

func FuzzLoadNeverPanics(f *testing.F) {
	f.Add(good().bytes(), []byte(tinyManifest))
	f.Add([]byte("\x00asm\x01\x00\x00\x00"), []byte(hostileManifest))
	f.Fuzz(func(t *testing.T, code, manifest []byte) {
		r, err := policy.New(context.Background(), policy.Config{Timeout: 50e6, MemoryPages: 16}, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Load(context.Background(), manifest, code) // it may fail, it must not panic
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestAGateMayBeAboutSomeParametersOnly(t *testing.T) {
	r := newRuntime(t, policy.Config{})
	manifest := "name: tiny\ngates: [tool.call, agent.launch]\nonly_with: {agent.launch: [modes, kinds]}\nparams: {properties: {modes: {}, kinds: {}, deny: {}}}\n"
	if err := r.Load(context.Background(), []byte(manifest), good().bytes()); err != nil {
		t.Fatal(err)
	}
	m, _ := r.Module("tiny")
	for _, c := range []struct {
		gate   policy.Gate
		params string
		want   bool
	}{
		{policy.GateToolCall, `{}`, true},
		{policy.GateAgentLaunch, `{}`, false},
		{policy.GateAgentLaunch, `{"deny":["Bash"]}`, false},
		{policy.GateAgentLaunch, `{"deny":["Bash"],"kinds":null}`, true},
		{policy.GateAgentLaunch, `{"modes":[]}`, true},
		{policy.GateAgentLaunch, `nonsense`, true},
		{policy.GatePathAccess, `{"modes":[]}`, false},
	} {
		if got := m.Judges(c.gate, json.RawMessage(c.params)); got != c.want {
			t.Errorf("%s with %s: %v", c.gate, c.params, got)
		}
	}
}
