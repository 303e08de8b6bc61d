package preset

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/agcluster/agcluster/core/config/strict"
)

const (
	promptType   = "preset"
	promptPreset = "claude_code"
)

type promptObject struct {
	Type   string `json:"type"`
	Preset string `json:"preset"`
	Append string `json:"append,omitempty"`
}

// IsZero says that nothing is given: the agent gets Claude Code's own prompt.
func (p SystemPrompt) IsZero() bool { return p == SystemPrompt{} }

// MarshalJSON implements json.Marshaler.
func (p SystemPrompt) MarshalJSON() ([]byte, error) {
	if p.Preset {
		return json.Marshal(promptObject{Type: promptType, Preset: promptPreset, Append: p.Append})
	}
	return json.Marshal(p.Text)
}

// UnmarshalJSON implements json.Unmarshaler: a string or an object, as strictly as files are read.
func (p *SystemPrompt) UnmarshalJSON(b []byte) error {
	d, err := strict.JSON(b)
	if err != nil {
		return fmt.Errorf("reading system_prompt: %w", err)
	}
	if found := promptShape(d.Data, ""); d.Data != nil && len(found) > 0 {
		return fmt.Errorf("reading system_prompt: %w", found[0])
	}
	*p = SystemPrompt{}
	switch v := d.Data.(type) {
	case string:
		p.Text = v
	case map[string]any:
		p.Preset = true
		p.Append, _ = v["append"].(string)
	}
	return nil
}

// Schema implements huma.SchemaProvider.
func (SystemPrompt) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "A text replaces Claude Code's own prompt; the object keeps it and adds to it.",
		OneOf: []*huma.Schema{
			{Type: huma.TypeString},
			{
				Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"type", "preset"},
				Properties: map[string]*huma.Schema{
					"type":   {Type: huma.TypeString, Enum: []any{promptType}},
					"preset": {Type: huma.TypeString, Enum: []any{promptPreset}},
					"append": {Type: huma.TypeString, Description: "Added to Claude Code's own prompt."},
				},
			},
		},
	}
}

// promptShape is the strict.Shape of a system prompt.
func promptShape(data any, field string) []strict.Error {
	m, ok := data.(map[string]any)
	if !ok {
		if _, ok := data.(string); ok {
			return nil
		}
		return strict.Mismatch(field, "a string or an object with type, preset and append", data)
	}
	var found []strict.Error
	wrong := func(key, msg string) {
		found = append(found, strict.Error{Field: strict.Join(field, key), Message: msg})
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		switch key {
		case "type", "preset":
		case "append":
			if _, ok := m[key].(string); !ok {
				wrong(key, "must be a string, got "+strict.Kind(m[key]))
			}
		default:
			found = append(found, strict.Unknown(strict.Join(field, key), "key", key, []string{"type", "preset", "append"}))
		}
	}
	if m["type"] != promptType {
		wrong("type", `must be "preset"`)
	}
	if m["preset"] != promptPreset {
		wrong("preset", `must be "claude_code"`)
	}
	return found
}
