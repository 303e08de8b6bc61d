package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/agcluster/agcluster/core/preset"
)

const (
	envPrefix = "AGCLUSTER_"
	delimiter = "."
)

// Key describes one key, as the tags of Config do.
type Key struct {
	// Name is the path, such as api.port.
	Name string
	Type string
	// Default is written as in the environment; where it is no constant it says how it comes about.
	Default string
	Doc     string
	// Limits say what a value may be, for people; empty is no limit but the type.
	Limits string
	// Env are the names in the environment, the strongest first. Flags are written with their dashes.
	Env   []string
	Flags []string

	goType   reflect.Type
	index    []int
	derived  bool
	min, max string
	oneof    []string
}

// Describe lists every key, in the order of Config.
func Describe() []Key { return keysOf(reflect.TypeFor[Config](), "", nil) }

// keysOf walks a struct: a field with a doc tag is a key, one without is a group.
func keysOf(t reflect.Type, path string, index []int) []Key {
	var found []Key
	for i := range t.NumField() {
		field := t.Field(i)
		at := append(append([]int(nil), index...), i)
		name := path + field.Tag.Get("json")
		doc, isKey := field.Tag.Lookup("doc")
		if !isKey {
			found = append(found, keysOf(field.Type, name+delimiter, at)...)
			continue
		}
		k := Key{
			Name: name, Type: typeName(field.Type), Default: field.Tag.Get("default"), Doc: doc,
			Env:   []string{envPrefix + strings.ToUpper(strings.ReplaceAll(name, delimiter, "_"))},
			Flags: []string{"--" + flagName(name)},
			index: at, goType: field.Type, min: field.Tag.Get("min"), max: field.Tag.Get("max"),
			oneof: strings.Fields(field.Tag.Get("oneof")),
		}
		if how, derived := field.Tag.Lookup("derived"); derived {
			k.derived, k.Default = true, how
		}
		if documented := field.Tag.Get("env"); documented != "" {
			k.Env = append(k.Env, documented)
		}
		if short := field.Tag.Get("short"); short != "" {
			k.Flags = append(k.Flags, "--"+short)
		}
		switch {
		case k.min != "":
			k.Limits = k.min + " to " + k.max
		case len(k.oneof) > 0:
			k.Limits = "one of " + strings.Join(k.oneof, ", ")
		}
		found = append(found, k)
	}
	return found
}

// flagName is the key with dashes, as flags are written.
func flagName(key string) string { return strings.ReplaceAll(key, "_", "-") }

func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "duration"
	case reflect.TypeFor[Size]():
		return "size"
	case reflect.TypeFor[[]preset.Policy]():
		return "list of objects"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int64:
		return "number"
	case reflect.Slice:
		return "list"
	case reflect.Map:
		return "object"
	default:
		return "string"
	}
}

// of is the key's value within a configuration.
func (k Key) of(c Config) any { return reflect.ValueOf(c).FieldByIndex(k.index).Interface() }

// check holds a value against the key's min, max and oneof. A message is empty when nothing is wrong.
func (k Key) check(value any) string {
	switch v := value.(type) {
	case string:
		if len(k.oneof) > 0 && !slices.Contains(k.oneof, v) {
			return fmt.Sprintf("must be %s, got %.80q", k.Limits, v)
		}
	case int:
		return k.within(int64(v), fmt.Sprint(v))
	case int64:
		return k.within(v, fmt.Sprint(v))
	case Size:
		return k.within(int64(v), v.String())
	case time.Duration:
		return k.within(int64(v), v.String())
	}
	return ""
}

func (k Key) within(v int64, text string) string {
	if k.min == "" {
		return ""
	}
	least, err := number(k.goType, k.min)
	most, maxErr := number(k.goType, k.max)
	if err != nil || maxErr != nil || v < least || v > most {
		return fmt.Sprintf("must be %s, got %s", k.Limits, text)
	}
	return ""
}
