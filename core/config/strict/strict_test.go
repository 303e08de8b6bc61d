package strict_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/config/strict"
)

func TestYAMLReadsWhatJSONReads(t *testing.T) {
	const yaml = `
text: plain            # a comment
quoted: "1.0"
number: 12
hex: 0x10
float: 1.50
yes: true
date: 2026-01-02
"a.b": {c: [x, 2, {d: e}]}
block: |
  two
  lines
none: ~
empty: []
`
	const text = `{"text": "plain", "quoted": "1.0", "number": 12, "hex": 16, "float": 1.5, "yes": true, "date": "2026-01-02",
		"a.b": {"c": ["x", 2, {"d": "e"}]}, "block": "two\nlines\n", "none": null, "empty": []}`
	fromYAML, err := strict.YAML([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	fromJSON, err := strict.JSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(fromYAML.Data, fromJSON.Data) {
		t.Errorf("YAML gives %#v\nJSON gives %#v", fromYAML.Data, fromJSON.Data)
	}
	for field, line := range map[string]int{"text": 2, `"a.b".c`: 9, `"a.b".c[2].d`: 9, "block": 10, "empty": 14, "nowhere": 0} {
		if got := fromYAML.Line(field); got != line {
			t.Errorf("%s stands on line %d, want %d", field, got, line)
		}
	}
}

func TestEmptyYAML(t *testing.T) {
	for _, text := range []string{"", "\n\n", "# only a comment\n", "---\n", "~"} {
		if d, err := strict.YAML([]byte(text)); err != nil || d.Data != nil {
			t.Errorf("%q: %v, %v", text, d.Data, err)
		}
	}
}

func TestYAMLRefuses(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x]\n"
	for i := range 8 {
		from, to := string(rune('a'+i)), string(rune('b'+i))
		bomb += to + ": &" + to + " [" + strings.TrimSuffix(strings.Repeat("*"+from+", ", 9), ", ") + "]\n"
	}
	for _, tt := range []struct{ name, text, want string }{
		{"a key given twice", "a: 1\nb:\n  c: 2\n  d: 3\n  c: 4\n", "line 5: b.c: is given twice"},
		{"a key given twice, once in quotes", "a: 1\n\"a\": 2\n", "line 2: a: is given twice"},
		{"an anchor", "a: &x 1\n", "line 1: a: anchors and aliases are not allowed"},
		{"an alias bomb", bomb, "line 1: a: anchors and aliases are not allowed"},
		{"an anchor of a key", "&x a: 1\n", "line 1: keys must be plain strings"},
		{"a merge key", "a: {b: 1}\nc:\n  <<: {d: 1}\n", "line 3: c: keys must be plain strings"},
		{"a list as a key", "? [a]\n: 1\n", "line 1: keys must be plain strings"},
		{"two documents", "a: 1\n---\nb: 2\n", "line 2: holds more than one document"},
		{"broken YAML", "a: [1\n", "did not find expected"},
		{"a tab as indentation", "a:\n\tb: 1\n", "found character that cannot start any token"},
		{"a tag of its own", "a: !!binary aGk=\n", "line 1: a: the tag !!binary is not allowed"},
		{"a private tag", "a: !env HOME\n", "line 1: a: the tag !env is not allowed"},
		{"infinity", "a: .inf\n", `line 1: a: ".inf" is no finite number`},
		{"no number", "a: .nan\n", `is no finite number`},
		{"a number of more than 64 bits", "a:\n  - 9223372036854775808\n", `line 2: a[0]: "9223372036854775808" is no number of 64 bits`},
		{"no UTF-8", "a: \xff\n", "is no valid UTF-8"},
		{"too deep in blocks", deepYAML(65), "is nested deeper than 64"},
		{"too deep in brackets", "a: " + strings.Repeat("[", 70) + strings.Repeat("]", 70), "line 1: a" + strings.Repeat("[0]", 64) + ": is nested deeper than 64"},
		{"too large", "a: " + strings.Repeat("x", strict.MaxBytes), "more than 1048576"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := strict.YAML([]byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func deepYAML(depth int) string {
	var b strings.Builder
	for i := range depth {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String() + strings.Repeat(" ", depth) + "b\n"
}

func TestDepthThatIsAllowed(t *testing.T) {
	if _, err := strict.YAML([]byte(deepYAML(63))); err != nil {
		t.Error(err)
	}
	if _, err := strict.JSON([]byte(strings.Repeat("[", 64) + strings.Repeat("]", 64))); err != nil {
		t.Error(err)
	}
}

func TestJSONRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "the JSON ends too early"},
		{"half an object", `{"a": 1`, "the JSON ends too early"},
		{"half a list", `[1,`, "the JSON ends too early"},
		{"a key given twice", `{"a": 1, "b": {"c": 1, "c": 2}}`, "b.c: is given twice"},
		{"a key given twice, once escaped", `{"a": 1, "\u0061": 2}`, "a: is given twice"},
		{"two values", `{} {}`, "more than one JSON value"},
		{"text behind it", `{} x`, "more than one JSON value"},
		{"no JSON", `{a: 1}`, "is no valid JSON"},
		{"a comma too many", `[1,]`, "is no valid JSON"},
		{"no UTF-8", "\"\xff\"", "is no valid UTF-8"},
		{"too deep", strings.Repeat("[", 66), "is nested deeper than 64"},
		{"too large", `"` + strings.Repeat("x", strict.MaxBytes) + `"`, "more than 1048576"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := strict.JSON([]byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// A path for every value must not make gigabytes of a small document.
func TestLongKeysAboveManyValues(t *testing.T) {
	long := strings.Repeat("k", 100_000)
	for _, tt := range []struct{ name, text, want string }{
		{"a long key", `{"` + long + `": [` + strings.Repeat("0,", 10_000) + `0]}`, "kkk…: its key and those around it have more than 1024 bytes"},
		{"a long key twice", `{"` + long + `": 1, "` + long + `": 1}`, "kkk…: its key and those around it"},
		{"long keys within each other", strings.Repeat(`{"`+long[:100]+`":`, 12) + "1" + strings.Repeat("}", 12), "more than 1024 bytes"},
		{"many values", `{"a": [` + strings.Repeat("0,", 20_000) + `0]}`, "a[19998]: is one of more than 20000 values"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for language, err := range map[string]error{"JSON": second(strict.JSON([]byte(tt.text))), "YAML": second(strict.YAML([]byte(tt.text)))} {
				if err == nil || (language == "JSON" && !strings.Contains(err.Error(), tt.want)) || len(err.Error()) > 2000 {
					t.Errorf("%s: got %.500v, want %s", language, err, tt.want)
				}
			}
		})
	}
}

func second(_ strict.Document, err error) error { return err }

type shaped string

type inner struct {
	Name string `json:"name"`
	Size uint32 `json:"size,omitempty"`
}

type outer struct {
	Text    string            `json:"text"`
	Count   int               `json:"count"`
	Big     int64             `json:"big"`
	On      bool              `json:"on"`
	Any     any               `json:"any"`
	Raw     json.RawMessage   `json:"raw"`
	List    []inner           `json:"list"`
	Map     map[string]inner  `json:"map"`
	Env     map[string]string `json:"env"`
	Shaped  shaped            `json:"shaped"`
	Float   float64           `json:"float"`
	Skipped string            `json:"-"`
	NoTag   string
}

func schema() strict.Schema {
	return strict.Schema{Type: reflect.TypeFor[outer](), Tag: "json", Shapes: map[reflect.Type]strict.Shape{
		reflect.TypeFor[shaped](): func(data any, field string) []strict.Error {
			if data == "right" {
				return nil
			}
			return strict.Mismatch(field, "right", data)
		},
	}}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"everything right", "text: a\ncount: -1\nbig: 9223372036854775807\non: true\nany: [1, {b: 2}]\nraw: {x: ~}\nlist: [{name: a, size: 4294967295}]\nmap: {any key: {}}\nenv: {A: b}\nshaped: right\n", ""},
		{"unknown key", "text: a\nlist:\n  - name: x\n    siez: 1\n", "line 4: list[0].siez: unknown key; did you mean size?"},
		{"unknown key without a neighbour", "zebra: 1\n", "line 1: zebra: unknown key"},
		{"the case of a key counts", "Text: a\n", "line 1: Text: unknown key; did you mean text?"},
		{"a field without a tag is no key", "NoTag: a\n", "line 1: NoTag: unknown key"},
		{"a field with the tag - is no key", "Skipped: a\n", "line 1: Skipped: unknown key"},
		{"number for text", "text: 1\n", "line 1: text: must be a string, got a number; put it in quotes"},
		{"bool for text", "env: {A: true}\n", "line 1: env.A: must be a string, got true or false; put it in quotes"},
		{"list for text", "text: [a]\n", "line 1: text: must be a string, got a list"},
		{"text for a number", "count: x\n", "line 1: count: must be a whole number, got a string"},
		{"fraction for a whole number", "count: 1.5\n", "line 1: count: must be a whole number, got 1.5"},
		{"negative for unsigned", "list: [{size: -1}]\n", "line 1: list[0].size: must be a whole number from 0 to 4294967295, got -1"},
		{"too large for 32 bits", "list: [{size: 4294967296}]\n", "line 1: list[0].size: must be a whole number from 0 to 4294967295, got 4294967296"},
		{"text for unsigned", "list: [{size: x}]\n", "line 1: list[0].size: must be a whole number, got a string"},
		{"text for bool", "on: \"yes\"\n", "line 1: on: must be true or false, got a string"},
		{"object for a list", "list: {}\n", "line 1: list: must be a list, got an object"},
		{"list for an object", "map: []\n", "line 1: map: must be an object, got a list"},
		{"text for an object in a map", "map:\n  a: b\n", "line 2: map.a: must be an object, got a string"},
		{"a key that looks like a path", "map:\n  \"a.b\": c\n", `line 2: map."a.b": must be an object, got a string`},
		{"no value", "text:\n", "line 1: text: has no value; leave the key out instead"},
		{"no value in a list", "list: [~]\n", "line 1: list[0]: has no value; leave the key out instead"},
		{"a shape of its own", "shaped: wrong\n", "line 1: shaped: must be right, got a string"},
		{"a type that files can't give", "float: 1.5\n", "line 1: float: can't be given in a file"},
		{"a list for the document", "- a\n", "must be an object, got a list"},
		{"all that is wrong, in order", "on: 1\ncount: x\nzebra: 1\n", "line 2: count: must be a whole number, got a string|line 1: on: must be true or false, got a number|line 3: zebra: unknown key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := strict.YAML([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range schema().Check(d) {
				got = append(got, e.Error())
			}
			if s := strings.Join(got, "|"); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
		})
	}
}

func TestManyErrorsAreCounted(t *testing.T) {
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, "unknown%d: 1\n", i)
	}
	d, err := strict.YAML([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	if found := schema().Check(d); len(found) != 101 || found[100].Error() != "and 4900 more" || found[0].Line != 1 {
		t.Errorf("got %d, the last is %v", len(found), found[len(found)-1])
	}
}

func TestAtFindsTheNearestLine(t *testing.T) {
	d, err := strict.YAML([]byte("a:\n  b:\n    - c: 1\n    - 2\n"))
	if err != nil {
		t.Fatal(err)
	}
	for field, line := range map[string]int{"a": 1, "a.b": 2, "a.b[0].c": 3, "a.b[1]": 4, "a.b[1].gone.too": 4, "a.b[7]": 2, "a.x": 1, "z": 0, "": 0} {
		if got := d.At(strict.Error{Field: field}).Line; got != line {
			t.Errorf("%q: line %d, want %d", field, got, line)
		}
	}
	if got := d.At(strict.Error{Field: "a", Line: 9}).Line; got != 9 {
		t.Errorf("a line that is known became %d", got)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"port", "host", "allowed_tools", "Read", "Bash"}
	for name, want := range map[string]string{
		"prot": "port", "pord": "port", "ports": "port", "por": "port", "Port": "port", "read": "Read", "Raed": "Read",
		"allowd_tool": "allowed_tools", "zzzz": "", "": "", "xy": "", strings.Repeat("port", 20): "",
	} {
		if got := strict.Nearest(name, names); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func FuzzYAML(f *testing.F) {
	for _, seed := range []string{"", "a: 1", "a: &x [*x]", "a: {b: [c, ~, 1.5]}", "? [a]\n: b", "<<: {a: 1}", "a: !!set {b}", "a: 0o17", "- - - a", "\"\\x00\": 1"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := strict.YAML(text)
		if err != nil {
			return
		}
		for _, e := range schema().Check(d) {
			if e.Field != "" && e.Line == 0 {
				t.Errorf("%s has no line", e.Field)
			}
		}
		roundTrip(t, d)
	})
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"a": [1, null, true, "x"]}`, `{"a": 1, "a": 2}`, "1e999", `"\ud800"`, "[[[["} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := strict.JSON(text)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Errorf("accepted %q", text)
		}
		schema().Check(d)
		roundTrip(t, d)
	})
}

// roundTrip: what was read is plain JSON data and means the same when it is read again.
func roundTrip(t *testing.T, d strict.Document) {
	t.Helper()
	text, err := json.Marshal(d.Data)
	if err != nil {
		t.Fatalf("%#v: %v", d.Data, err)
	}
	if len(text) > strict.MaxBytes {
		return
	}
	again, err := strict.JSON(text)
	if err != nil || !reflect.DeepEqual(again.Data, d.Data) {
		t.Errorf("%s: %v\n%#v\n%#v", text, err, d.Data, again.Data)
	}
}

func TestPlacesHaveColumns(t *testing.T) {
	for _, tt := range []struct {
		yaml, field  string
		line, column int
	}{
		{"a: 1\nbb:\n  - x\n  -  yy\n", "bb[1]", 4, 6},
		{"a: 1\nbb: {c: [é, {d: 1}]}\n", "bb.c[1].d", 2, 14},
		{"a: 1\n  \nbb: 2\n", "bb", 3, 1},
		{"a: {b: 1}\n", "a.none[3]", 1, 1},
		{"a: 1\n", "none", 0, 0},
	} {
		d, err := strict.YAML([]byte(tt.yaml))
		if err != nil {
			t.Fatal(err)
		}
		if e := d.At(strict.Error{Field: tt.field}); e.Line != tt.line || e.Column != tt.column {
			t.Errorf("%q: %s is at %d:%d, want %d:%d", tt.yaml, tt.field, e.Line, e.Column, tt.line, tt.column)
		}
	}
}

func TestSyntaxErrorsHaveTheirLine(t *testing.T) {
	_, err := strict.YAML([]byte("a: 1\nb: [1\nc: 2\n"))
	e, ok := errors.AsType[strict.Error](err)
	if !ok || e.Line < 1 || e.Line > 3 || strings.Contains(e.Message, "line") || !strings.HasPrefix(err.Error(), fmt.Sprintf("line %d: ", e.Line)) {
		t.Errorf("got %#v", err)
	}
}

func TestKnownLeavesOutWhatDoesNotFit(t *testing.T) {
	type inner struct {
		N int `json:"n"`
	}
	type outer struct {
		S    string           `json:"s"`
		List []string         `json:"list"`
		Map  map[string]inner `json:"map"`
		Raw  json.RawMessage  `json:"raw"`
		Own  time.Duration    `json:"own"`
	}
	schema := strict.Schema{Type: reflect.TypeFor[outer](), Tag: "json", Shapes: map[reflect.Type]strict.Shape{
		reflect.TypeFor[time.Duration](): func(data any, field string) []strict.Error {
			if data == "ok" {
				return nil
			}
			return strict.Mismatch(field, "ok", data)
		},
	}}
	for text, want := range map[string]string{
		`{"s":"x","list":["a",1,"b"],"map":{"k":{"n":1,"m":2},"l":3},"raw":[1,{"a":null}],"own":"ok","z":1}`: `{"list":["a","b"],"map":{"k":{"n":1}},"own":"ok","raw":[1,{"a":null}],"s":"x"}`,
		`{"s":1,"list":"a","map":[],"own":5}`: `{}`,
		`{"s":null}`:                          `{}`,
		`[1]`:                                 `null`,
		`"x"`:                                 `null`,
	} {
		d, err := strict.JSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(schema.Known(d)); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
}
