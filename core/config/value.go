package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"

	"github.com/agcluster/agcluster/core/config/strict"
	"github.com/agcluster/agcluster/core/preset"
)

// schema is what agcluster.yaml, and a value from anywhere else, is held against.
func schema(t reflect.Type) strict.Schema {
	return strict.Schema{Type: t, Tag: "json", Shapes: map[reflect.Type]strict.Shape{
		reflect.TypeFor[time.Duration](): textual("a duration such as 30m, or a whole number of seconds", reflect.TypeFor[time.Duration]()),
		reflect.TypeFor[Size]():          textual("a size such as 512m or 4g, or a whole number of bytes", reflect.TypeFor[Size]()),
	}}
}

// textual is the shape of a number that is written with its unit.
func textual(what string, t reflect.Type) strict.Shape {
	return func(data any, field string) []strict.Error {
		text, ok := written(data)
		if !ok {
			return strict.Mismatch(field, what, data)
		}
		if _, err := number(t, text); err != nil {
			return []strict.Error{{Field: field, Message: fmt.Sprintf("must be %s: %s", what, err)}}
		}
		return nil
	}
}

// number reads a number, with its unit if t has one.
func number(t reflect.Type, text string) (int64, error) {
	text = strings.TrimSpace(text)
	switch t {
	case reflect.TypeFor[time.Duration]():
		d, err := duration(text)
		return int64(d), err
	case reflect.TypeFor[Size]():
		return preset.ParseSize(text)
	default:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%.40q is no whole number", text)
		}
		return n, nil
	}
}

// duration takes whole seconds too, as AgCluster Container does.
func duration(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		if seconds > math.MaxInt64/int64(time.Second) || seconds < math.MinInt64/int64(time.Second) {
			return 0, fmt.Errorf("%.40q is too large", text)
		}
		return time.Duration(seconds) * time.Second, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%.40q is none", text)
	}
	return d, nil
}

// parse turns the text of a default, a variable or a flag into what a file would hold, checked in type.
func (k Key) parse(text string) (any, []strict.Error) {
	data, err := k.read(text)
	if err != nil {
		if e, ok := errors.AsType[strict.Error](err); ok {
			return nil, []strict.Error{e}
		}
		return nil, []strict.Error{{Message: err.Error()}}
	}
	if found := schema(k.goType).Check(strict.Document{Data: data}); len(found) > 0 {
		return nil, found
	}
	return data, nil
}

func (k Key) read(text string) (any, error) {
	switch k.Type {
	case "string", "duration", "size":
		return text, nil
	case "bool":
		b, err := strconv.ParseBool(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("must be true or false, got %.40q", text)
		}
		return b, nil
	case "number":
		n, err := number(k.goType, text)
		if err != nil {
			return nil, fmt.Errorf("must be a whole number, got %.40q", text)
		}
		return json.Number(strconv.FormatInt(n, 10)), nil
	case "list":
		if trimmed := strings.TrimSpace(text); !strings.HasPrefix(trimmed, "[") {
			list := []any{}
			for item := range strings.SplitSeq(trimmed, ",") {
				if item = strings.TrimSpace(item); item != "" {
					list = append(list, item)
				}
			}
			return list, nil
		}
	}
	d, err := strict.JSON([]byte(text))
	if err != nil {
		return nil, err
	}
	if d.Data == nil {
		return nil, errors.New("must be JSON, got null")
	}
	return d.Data, nil
}

// written is how a number with its unit, or without, is written.
func written(data any) (string, bool) {
	switch v := data.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	default:
		return "", false
	}
}

// convert is the mapstructure hook for what Config has and a document has not.
func convert(_, to reflect.Type, data any) (any, error) {
	switch to {
	case reflect.TypeFor[time.Duration](), reflect.TypeFor[Size]():
		text, ok := written(data)
		if !ok {
			return data, nil
		}
		n, err := number(to, text)
		if err != nil {
			return nil, err
		}
		return reflect.ValueOf(n).Convert(to).Interface(), nil
	case reflect.TypeFor[json.RawMessage]():
		raw, err := json.Marshal(data)
		return json.RawMessage(raw), err
	default:
		return data, nil
	}
}

var _ mapstructure.DecodeHookFuncType = convert
