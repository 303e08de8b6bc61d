package api

import (
	"context"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/agcluster/agcluster/core/preset"
)

const mediaYAML = "application/yaml"

// ConfigList answers GET /api/configs/.
type ConfigList struct {
	Configs []preset.Summary `json:"configs" nullable:"false"`
	Total   int              `json:"total"`
}

type configsOutput struct{ Body ConfigList }

func (a *API) listConfigs(context.Context, *struct{}) (*configsOutput, error) {
	all := a.Catalog.List()
	return &configsOutput{Body: ConfigList{Configs: a.summaries(all), Total: len(all)}}, nil
}

func (a *API) summaries(list []preset.Config) []preset.Summary {
	out := make([]preset.Summary, 0, len(list))
	for _, c := range list {
		s := c.Summary()
		s.Custom = a.Catalog.Origin(c.ID) == preset.OriginCustom
		out = append(out, s)
	}
	return out
}

type configInput struct {
	ConfigID string `path:"config_id" maxLength:"64"`
	Accept   string `header:"Accept" doc:"application/json (the default) or application/yaml."`
}

func (a *API) getConfig(_ context.Context, in *configInput) (*huma.StreamResponse, error) {
	form, err := negotiate(in.Accept, mediaJSON, mediaYAML)
	if err != nil {
		return nil, err
	}
	c, ok := a.Catalog.Get(in.ConfigID)
	if !ok {
		return nil, huma.Error404NotFound("there is no configuration " + clip(in.ConfigID))
	}
	c = a.public(c)
	if form == mediaJSON {
		return &huma.StreamResponse{Body: func(hc huma.Context) { writeJSON(hc, c) }}, nil
	}
	text, err := c.YAML()
	if err != nil {
		return nil, a.problem(err)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		_, w := humachi.Unwrap(hc)
		w.Header().Set("Content-Type", mediaYAML)
		_, _ = w.Write(text) // the client has gone; there is nobody to tell
	}}, nil
}

func configAnswers(r huma.Registry, op *huma.Operation) {
	answers(op, "The configuration, complete. Values of env and headers that may be credentials are ***, unless it ships with the host; empty ones and ${VAR} are shown.", map[string]*huma.MediaType{
		mediaJSON: media(r.Schema(reflect.TypeFor[preset.Config](), true, "Config")),
		mediaYAML: media(&huma.Schema{Type: huma.TypeString, Description: "The same as a preset file."}),
	})
}

// public is what anybody may read of a configuration.
func (a *API) public(c preset.Config) preset.Config {
	if a.Catalog.Origin(c.ID) == preset.OriginBuiltin {
		return c
	}
	return preset.Masked(c)
}
