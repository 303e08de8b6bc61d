package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// describe reads a policy.yaml.
func describe(manifest []byte) (ModuleInfo, *jsonschema.Schema, error) {
	var y struct {
		Name        string            `yaml:"name"`
		Version     string            `yaml:"version"`
		Description string            `yaml:"description"`
		Gates       []Gate            `yaml:"gates"`
		OnlyWith    map[Gate][]string `yaml:"only_with"`
		Batches     []Gate            `yaml:"batches"`
		Params      map[string]any    `yaml:"params"`
	}
	dec := yaml.NewDecoder(strings.NewReader(string(manifest)))
	dec.KnownFields(true)
	if err := dec.Decode(&y); err != nil {
		return ModuleInfo{}, nil, fmt.Errorf("reading policy.yaml: %w", err)
	}
	known := []Gate{GateAgentLaunch, GateToolCall, GatePathAccess, GateArchiveEntry, GateNetworkConnect}
	for _, g := range y.Gates {
		if !slices.Contains(known, g) {
			return ModuleInfo{}, nil, fmt.Errorf("policy.yaml: gates: unknown gate %q", g)
		}
	}
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`).MatchString(y.Name) {
		return ModuleInfo{}, nil, fmt.Errorf("policy.yaml: name: %q is not 1 to 64 characters of a-z, 0-9, _ and -", y.Name)
	}
	if len(y.Gates) == 0 {
		return ModuleInfo{}, nil, errors.New("policy.yaml: gates: at least one is needed")
	}
	if y.Params == nil {
		y.Params = map[string]any{"type": "object", "additionalProperties": false}
	}
	params, err := json.Marshal(y.Params)
	if err != nil {
		return ModuleInfo{}, nil, fmt.Errorf("policy.yaml: params: %w", err)
	}
	schema, err := compileSchema(y.Name, params)
	if err != nil {
		return ModuleInfo{}, nil, fmt.Errorf("policy.yaml: params: %w", err)
	}
	info := ModuleInfo{
		Name: y.Name, Version: y.Version, Description: y.Description, Gates: y.Gates, OnlyWith: y.OnlyWith, Batches: y.Batches, Params: params,
	}
	for _, gate := range info.Batches {
		if gate != GatePathAccess || !slices.Contains(info.Gates, gate) {
			return ModuleInfo{}, nil, fmt.Errorf("policy.yaml: batches: only path.access can be asked about in batches, of a policy that judges it; got %q", gate)
		}
	}
	return info, schema, checkOnlyWith(info)
}

// checkOnlyWith finds names in only_with that mean nothing: a rule that is misspelt would never be asked for.
func checkOnlyWith(info ModuleInfo) error {
	var schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(info.Params, &schema); err != nil {
		return fmt.Errorf("policy.yaml: params: %w", err)
	}
	for gate, params := range info.OnlyWith {
		if !slices.Contains(info.Gates, gate) {
			return fmt.Errorf("policy.yaml: only_with: %q is none of its gates", gate)
		}
		for _, name := range params {
			if _, ok := schema.Properties[name]; !ok {
				return fmt.Errorf("policy.yaml: only_with.%s: there is no parameter %q", gate, name)
			}
		}
	}
	return nil
}

// Judges says whether the module is to be asked at a gate with these parameters, which are an object of Resolve's.
func (m *Module) Judges(gate Gate, params json.RawMessage) bool {
	if !slices.Contains(m.info.Gates, gate) {
		return false
	}
	needs, ok := m.info.OnlyWith[gate]
	if !ok {
		return true
	}
	var given map[string]json.RawMessage
	// What can't be read is the module's to refuse.
	return json.Unmarshal(params, &given) != nil || slices.ContainsFunc(needs, func(name string) bool { _, ok := given[name]; return ok })
}
