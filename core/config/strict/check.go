package strict

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Shape says what is wrong with data for a type that has a form of its own, such as "text or an object"; nil is nothing.
type Shape func(data any, field string) []Error

// Schema is what a document is held against.
type Schema struct {
	// Type is the Go type; Tag is the struct tag that names its keys (json, koanf).
	Type reflect.Type
	Tag  string
	// Shapes replace the check by reflection for some types.
	Shapes map[reflect.Type]Shape
}

// maxErrors bounds what Check returns: nobody reads more, and the document may come from a stranger.
const maxErrors = 100

// Check returns what is wrong with the document, in the order of the keys: unknown keys and values of the wrong type. After 100 it
// only says how many more there are.
func (s Schema) Check(d Document) []Error {
	found := s.check(d.Data, s.Type, "")
	if more := len(found) - maxErrors; more > 0 {
		found = append(found[:maxErrors], Error{Message: fmt.Sprintf("and %d more", more)})
	}
	for i, e := range found {
		found[i] = d.At(e)
	}
	return found
}

func (s Schema) check(data any, t reflect.Type, field string) []Error {
	if shape, ok := s.Shapes[t]; ok {
		return shape(data, field)
	}
	if data == nil && field != "" {
		return []Error{{Field: field, Message: "has no value; leave the key out instead"}}
	}
	switch t.Kind() {
	case reflect.Struct:
		m, ok := data.(map[string]any)
		if !ok {
			return Mismatch(field, "an object", data)
		}
		return s.object(m, t, field)
	case reflect.Map:
		m, ok := data.(map[string]any)
		if !ok {
			return Mismatch(field, "an object", data)
		}
		var found []Error
		for _, key := range slices.Sorted(maps.Keys(m)) {
			found = append(found, s.check(m[key], t.Elem(), Join(field, key))...)
		}
		return found
	case reflect.Slice:
		if t == reflect.TypeFor[json.RawMessage]() {
			return nil
		}
		list, ok := data.([]any)
		if !ok {
			return Mismatch(field, "a list", data)
		}
		var found []Error
		for i, item := range list {
			found = append(found, s.check(item, t.Elem(), Index(field, i))...)
		}
		return found
	default:
		return basic(data, t.Kind(), field)
	}
}

// Known returns what of a document fits: unknown keys and values of the wrong type are left out, with what is in them.
func (s Schema) Known(d Document) any {
	if data, ok := s.known(d.Data, s.Type); ok {
		return data
	}
	return nil
}

func (s Schema) known(data any, t reflect.Type) (any, bool) {
	_, shaped := s.Shapes[t]
	m, isObject := data.(map[string]any)
	list, isList := data.([]any)
	switch {
	case shaped:
	case t.Kind() == reflect.Struct && isObject:
		fits := map[string]any{}
		for name, typ := range s.fields(t) {
			if v, ok := s.known(m[name], typ); ok {
				fits[name] = v
			}
		}
		return fits, true
	case t.Kind() == reflect.Map && isObject:
		fits := make(map[string]any, len(m))
		for name, value := range m {
			if v, ok := s.known(value, t.Elem()); ok {
				fits[name] = v
			}
		}
		return fits, true
	case t.Kind() == reflect.Slice && t != reflect.TypeFor[json.RawMessage]() && isList:
		fits := make([]any, 0, len(list))
		for _, item := range list {
			if v, ok := s.known(item, t.Elem()); ok {
				fits = append(fits, v)
			}
		}
		return fits, true
	}
	return data, data != nil && len(s.check(data, t, "x")) == 0
}

// fields are the types of a struct's keys.
func (s Schema) fields(t reflect.Type) map[string]reflect.Type {
	known := map[string]reflect.Type{}
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get(s.Tag), ","); name != "" && name != "-" {
			known[name] = t.Field(i).Type
		}
	}
	return known
}

func (s Schema) object(m map[string]any, t reflect.Type, field string) []Error {
	known := s.fields(t)
	names := slices.Sorted(maps.Keys(known))
	var found []Error
	for _, key := range slices.Sorted(maps.Keys(m)) {
		at := Join(field, key)
		if known[key] == nil {
			found = append(found, Unknown(at, "key", key, names))
			continue
		}
		found = append(found, s.check(m[key], known[key], at)...)
	}
	return found
}

func basic(data any, kind reflect.Kind, field string) []Error {
	switch kind {
	case reflect.Interface:
		return nil
	case reflect.String:
		switch data.(type) {
		case string:
			return nil
		case json.Number, bool:
			return []Error{{Field: field, Message: fmt.Sprintf("must be a string, got %s; put it in quotes", Kind(data))}}
		}
		return Mismatch(field, "a string", data)
	case reflect.Bool:
		if _, ok := data.(bool); !ok {
			return Mismatch(field, "true or false", data)
		}
	case reflect.Int, reflect.Int64:
		n, ok := data.(json.Number)
		if !ok {
			return Mismatch(field, "a whole number", data)
		}
		if _, err := strconv.ParseInt(n.String(), 10, 64); err != nil {
			return []Error{{Field: field, Message: fmt.Sprintf("must be a whole number, got %s", n)}}
		}
	case reflect.Uint32:
		n, ok := data.(json.Number)
		if !ok {
			return Mismatch(field, "a whole number", data)
		}
		if v, err := strconv.ParseInt(n.String(), 10, 64); err != nil || v < 0 || v > math.MaxUint32 {
			return []Error{{Field: field, Message: fmt.Sprintf("must be a whole number from 0 to %d, got %s", uint32(math.MaxUint32), n)}}
		}
	default:
		return []Error{{Field: field, Message: "can't be given in a file"}}
	}
	return nil
}

// Mismatch is the error of a value that is none of what was wanted.
func Mismatch(field, want string, got any) []Error {
	return []Error{{Field: field, Message: fmt.Sprintf("must be %s, got %s", want, Kind(got))}}
}

// Kind names the kind of a value in a document.
func Kind(data any) string {
	switch data.(type) {
	case nil:
		return "nothing"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "true or false"
	default:
		return fmt.Sprintf("%T", data)
	}
}

// Unknown is the error of a name that is not among names. It suggests one that is spelled nearly the same.
func Unknown(field, what, name string, names []string) Error {
	msg := "unknown " + what
	if near := Nearest(name, names); near != "" {
		msg += fmt.Sprintf("; did you mean %s?", near)
	}
	return Error{Field: field, Message: msg}
}

// Nearest is the one of names that differs from name in the fewest letters, if those are few; else it is empty.
func Nearest(name string, names []string) string {
	if len(name) > 64 {
		return ""
	}
	best, least := "", max(1, len(name)/3)+1
	for _, n := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance counts letters that are wrong, missing, too much or swapped with their neighbour (optimal string alignment).
func distance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
