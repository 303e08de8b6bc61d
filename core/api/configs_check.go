package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// ValidateRequest is the body of POST /api/configs/validate: one of both.
type ValidateRequest struct {
	YAML   *string       `json:"yaml,omitempty" doc:"A configuration as YAML."`
	Config *InlineConfig `json:"config,omitempty" doc:"A configuration as an object."`
}

type validateInput struct{ Body ValidateRequest }

// ConfigError is one thing that is wrong with a configuration.
type ConfigError struct {
	Path    string `json:"path" doc:"Such as agents.rev.model or allowed_tools[2]; empty is the configuration itself."`
	Message string `json:"message"`
	Line    int    `json:"line,omitempty" doc:"From 1; only for YAML, and where it is known."`
	Column  int    `json:"column,omitempty" doc:"From 1, in characters; as line."`
}

// Validated answers POST /api/configs/validate.
type Validated struct {
	Valid  bool           `json:"valid" doc:"True when it could be launched or, with the id of a configuration of one's own, put in its place: a value that is *** is what that has. To keep it, an id is needed."`
	Config *preset.Config `json:"config,omitempty" doc:"What could be understood, with nothing filled in: unknown keys and values of the wrong type are left out."`
	YAML   string         `json:"yaml,omitempty" doc:"config as YAML, in the order that presets have."`
	Errors []ConfigError  `json:"errors" nullable:"false"`
}

type validateOutput struct{ Body Validated }

func (a *API) validateConfig(_ context.Context, in *validateInput) (*validateOutput, error) {
	text, config := in.Body.YAML, in.Body.Config
	if (text == nil) == (config == nil) {
		return nil, invalid("body", "give either yaml or config")
	}
	var checked preset.Checked
	if text != nil {
		checked = a.Catalog.Check([]byte(*text), preset.FormatYAML)
	} else {
		checked = a.Catalog.Check(config.raw, preset.FormatJSON)
	}
	out := &validateOutput{Body: Validated{Valid: len(checked.Errors) == 0, Errors: []ConfigError{}}}
	for _, e := range checked.Errors {
		out.Body.Errors = append(out.Body.Errors, ConfigError{Path: e.Field, Message: e.Message, Line: e.Line, Column: e.Column})
	}
	if !checked.Readable {
		return out, nil
	}
	canonical, err := checked.Config.YAML()
	if err != nil {
		return nil, invalid("body", clip(err.Error()))
	}
	out.Body.Config, out.Body.YAML = &checked.Config, string(canonical)
	return out, nil
}

// ConfigSchema is a JSON Schema of configurations.
type ConfigSchema map[string]any

// Schema implements huma.SchemaProvider: a schema of schemas says nothing.
func (ConfigSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "A JSON Schema, 2020-12."}
}

type schemaOutput struct{ Body ConfigSchema }

func (a *API) configSchema(context.Context, *struct{}) (*schemaOutput, error) {
	var policies []preset.PolicySchema
	for _, p := range a.Status.Policies() {
		policies = append(policies, preset.PolicySchema{Name: p.Name, Description: p.Description, Params: p.Params})
	}
	filters := []string{}
	for _, p := range a.Status.Plugins() {
		if p.Kind == sdk.KindFilter {
			filters = append(filters, p.Name)
		}
	}
	return &schemaOutput{Body: preset.Schema(policies, filters)}, nil
}

// ToolList answers GET /api/configs/tools.
type ToolList struct {
	Tools []preset.Tool `json:"tools" nullable:"false"`
	Total int           `json:"total"`
}

type toolListOutput struct{ Body ToolList }

func (a *API) listTools(context.Context, *struct{}) (*toolListOutput, error) {
	all := preset.ToolCatalog()
	return &toolListOutput{Body: ToolList{Tools: all, Total: len(all)}}, nil
}
