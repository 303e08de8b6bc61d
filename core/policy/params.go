package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

func compileSchema(name string, raw []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name+".json", doc); err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	s, err := c.Compile(name + ".json")
	if err != nil {
		return nil, fmt.Errorf("compiling the schema: %w", err)
	}
	return s, nil
}

// Resolve checks the parameters of each layer (operator, then configuration) and returns what each is evaluated with. The module
// is asked once per layer and the strictest verdict stands, so a layer can only narrow what the ones before it allow. The first
// layer gets the module's defaults for what it leaves out; in the others, what is left out does not constrain.
func (m *Module) Resolve(layers ...json.RawMessage) ([]json.RawMessage, error) {
	resolved := make([]json.RawMessage, 0, len(layers))
	for i, raw := range layers {
		params := map[string]any{}
		if len(raw) > 0 && string(raw) != "null" {
			if err := json.Unmarshal(raw, &params); err != nil {
				return nil, errors.New("params: an object is needed")
			}
		}
		if i > 0 && len(params) == 0 {
			continue
		}
		if err := m.validate(params); err != nil {
			return nil, err
		}
		if i == 0 {
			withDefaults := maps.Clone(m.defaults)
			maps.Copy(withDefaults, params)
			params = withDefaults
		}
		b, err := json.Marshal(params)
		if err != nil {
			return nil, fmt.Errorf("params: %w", err)
		}
		resolved = append(resolved, b)
	}
	return resolved, nil
}

// validate names the parameter and the limit that it breaks.
func (m *Module) validate(params map[string]any) error {
	err := m.schema.Validate(params)
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	for len(invalid.Causes) > 0 {
		invalid = invalid.Causes[0]
	}
	where := strings.Join(append([]string{"params"}, invalid.InstanceLocation...), ".")
	return fmt.Errorf("%s: %s", where, invalid.ErrorKind.LocalizedString(message.NewPrinter(language.English)))
}

// defaultsOf reads the defaults of a schema's properties.
func defaultsOf(schema json.RawMessage) (map[string]any, error) {
	var s struct {
		Properties map[string]struct {
			Default json.RawMessage `json:"default"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(schema, &s); err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	defaults := map[string]any{}
	for name, p := range s.Properties {
		if p.Default == nil {
			continue
		}
		var v any
		if err := json.Unmarshal(p.Default, &v); err != nil {
			return nil, fmt.Errorf("reading the default of %s: %w", name, err)
		}
		defaults[name] = v
	}
	return defaults, nil
}
