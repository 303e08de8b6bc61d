// Package strict reads YAML and JSON the way people need it who wrote it by hand: an unknown key, a key given twice or a value of
// the wrong type is an error that names the key and, in YAML, the line. It knows Go types by reflection and nothing of what they
// mean.
//
// Why not the decoders' own strict modes: encoding/json names an unknown key without its place and stops at the first; yaml.v3
// reports Go types instead of keys, turns 1.0 into a string silently, and expands aliases, which a few lines blow up to gigabytes.
// Anchors, aliases and merge keys are therefore refused.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const (
	// MaxBytes bounds a document.
	MaxBytes = 1 << 20
	maxDepth = 64
	// Every value gets a path. One long key above many values would make that gigabytes, so both are bounded.
	maxPath   = 1 << 10
	maxValues = 20_000
)

// Error is one thing that is wrong.
type Error struct {
	// Field is the path of the key, such as agents.frontend.tools[2]; empty is the document itself.
	Field   string
	Message string
	// Line and Column count from 1; 0 is unknown. Column counts characters.
	Line, Column int
}

// Error implements error.
func (e Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Message)
	return b.String()
}

// Document is a parsed document: Data consists of map[string]any, []any, string, json.Number, bool and nil.
type Document struct {
	Data   any
	places map[string]place
}

// place is where a key stands.
type place struct{ line, column int }

// Line is where field stands, 0 if that is not known.
func (d Document) Line(field string) int { return d.places[field].line }

// At returns the error with its line and column filled in: those of its field, or of the nearest field around it.
func (d Document) At(e Error) Error {
	for field := e.Field; e.Line == 0; {
		e.Line, e.Column = d.places[field].line, d.places[field].column
		i := strings.LastIndexAny(field, ".[")
		if i < 0 {
			break
		}
		field = field[:i]
	}
	return e
}

// reader counts what it has read.
type reader struct {
	places map[string]place
	values int
}

// enter is called for each value before it is read; a message is empty when it may be.
func (r *reader) enter(field string, depth int) string {
	r.values++
	switch {
	case depth > maxDepth:
		return fmt.Sprintf("is nested deeper than %d", maxDepth)
	case len(field) > maxPath:
		return fmt.Sprintf("its key and those around it have more than %d bytes", maxPath)
	case r.values > maxValues:
		return fmt.Sprintf("is one of more than %d values", maxValues)
	default:
		return ""
	}
}

// YAML parses one document. An empty one has nil Data.
func YAML(text []byte) (Document, error) {
	d := Document{places: map[string]place{}}
	if err := checkText(text); err != nil {
		return d, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var root, more yaml.Node
	if err := dec.Decode(&root); errors.Is(err, io.EOF) {
		return d, nil
	} else if err != nil {
		return d, syntaxOfYAML(err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return d, Error{Message: "holds more than one document", Line: more.Line, Column: more.Column}
	}
	r := &reader{places: d.places}
	var err error
	d.Data, err = r.yaml(&root, "", 0)
	return d, err
}

// syntaxOfYAML takes the line out of the parser's message.
func syntaxOfYAML(err error) Error {
	e := Error{Message: strings.TrimPrefix(err.Error(), "yaml: ")}
	if rest, ok := strings.CutPrefix(e.Message, "line "); ok {
		if number, message, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil && n > 0 {
				e.Line, e.Message = n, message
			}
		}
	}
	return e
}

func checkText(text []byte) error {
	switch {
	case len(text) > MaxBytes:
		return Error{Message: fmt.Sprintf("has %d bytes, more than %d", len(text), MaxBytes)}
	case !utf8.Valid(text):
		return Error{Message: "is no valid UTF-8"}
	}
	return nil
}

func (r *reader) yaml(n *yaml.Node, field string, depth int) (any, error) {
	fail := func(message string) (any, error) {
		return nil, Error{Field: short(field), Message: message, Line: n.Line, Column: n.Column}
	}
	if message := r.enter(field, depth); message != "" {
		return fail(message)
	}
	if field != "" {
		r.places[field] = place{n.Line, n.Column}
	}
	if n.Anchor != "" || n.Kind == yaml.AliasNode {
		return fail("anchors and aliases are not allowed")
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return r.yaml(n.Content[0], field, depth)
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Tag == "!!merge" {
				return nil, Error{Field: field, Message: "keys must be plain strings", Line: key.Line, Column: key.Column}
			}
			at := Join(field, key.Value)
			if _, twice := m[key.Value]; twice {
				return nil, Error{Field: short(at), Message: "is given twice", Line: key.Line, Column: key.Column}
			}
			v, err := r.yaml(n.Content[i+1], at, depth+1)
			if err != nil {
				return nil, err
			}
			r.places[at] = place{key.Line, key.Column}
			m[key.Value] = v
		}
		return m, nil
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			v, err := r.yaml(item, Index(field, i), depth+1)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	default:
		v, err := scalar(n)
		if err != nil {
			return fail(err.Error())
		}
		return v, nil
	}
}

func scalar(n *yaml.Node) (any, error) {
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return n.Value, nil
	case "!!null":
		return nil, nil //nolint:nilnil // a null is a value here
	case "!!bool":
		var b bool
		err := n.Decode(&b)
		return b, err
	case "!!int":
		var i int64
		if err := n.Decode(&i); err != nil {
			return nil, fmt.Errorf("%q is no number of 64 bits", n.Value)
		}
		return json.Number(strconv.FormatInt(i, 10)), nil
	case "!!float":
		var f float64
		if err := n.Decode(&f); err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("%q is no finite number", n.Value)
		}
		text, err := json.Marshal(f)
		return json.Number(text), err
	default:
		return nil, fmt.Errorf("the tag %s is not allowed", n.Tag)
	}
}

// JSON parses one document. Lines are not known.
func JSON(text []byte) (Document, error) {
	if err := checkText(text); err != nil {
		return Document{}, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	data, err := (&reader{}).json(dec, "", 0)
	if err != nil {
		return Document{}, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Document{}, Error{Message: "holds more than one JSON value"}
	}
	return Document{Data: data}, nil
}

// json reads by tokens because that is how a key given twice is seen.
func (r *reader) json(dec *json.Decoder, field string, depth int) (any, error) {
	if message := r.enter(field, depth); message != "" {
		return nil, Error{Field: short(field), Message: message}
	}
	token, err := dec.Token()
	if err != nil {
		return nil, syntax(err)
	}
	switch token {
	case json.Delim('{'):
		m := map[string]any{}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return nil, syntax(err)
			}
			name, _ := key.(string)
			at := Join(field, name)
			if _, twice := m[name]; twice {
				return nil, Error{Field: short(at), Message: "is given twice"}
			}
			if m[name], err = r.json(dec, at, depth+1); err != nil {
				return nil, err
			}
		}
		_, err := dec.Token()
		return m, syntax(err)
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := r.json(dec, Index(field, len(list)), depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.Token()
		return list, syntax(err)
	default:
		return token, nil
	}
}

func syntax(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return Error{Message: "the JSON ends too early"}
	default:
		return Error{Message: "is no valid JSON: " + err.Error()}
	}
}

// short cuts a path that is too long to be shown.
func short(field string) string {
	if len(field) <= maxPath {
		return field
	}
	return strings.ToValidUTF8(field[:80], "") + "…"
}

// Join is the path of key within field. A key that would be mistaken for a path is quoted.
func Join(field, key string) string {
	if key == "" || strings.ContainsAny(key, ".[]\"\n\r\t ") {
		key = strconv.Quote(key)
	}
	if field == "" {
		return key
	}
	return field + "." + key
}

// Index is the path of the i-th item of field, from 0.
func Index(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }
