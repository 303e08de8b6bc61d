package api

import (
	"context"
	"maps"

	"github.com/danielgtaylor/huma/v2"

	"github.com/agcluster/agcluster/core/preset"
)

// ConfigList answers GET /api/configs/.
type ConfigList struct {
	Configs []preset.Summary `json:"configs"`
	Total   int              `json:"total"`
}

type configsOutput struct{ Body ConfigList }

func (a *API) listConfigs(context.Context, *struct{}) (*configsOutput, error) {
	all := a.Catalog.List()
	out := &configsOutput{Body: ConfigList{Configs: make([]preset.Summary, 0, len(all)), Total: len(all)}}
	for _, c := range all {
		out.Body.Configs = append(out.Body.Configs, c.Summary())
	}
	return out, nil
}

type configInput struct {
	ConfigID string `path:"config_id" maxLength:"64"`
}

type configOutput struct{ Body preset.Config }

func (a *API) getConfig(_ context.Context, in *configInput) (*configOutput, error) {
	c, ok := a.Catalog.Get(in.ConfigID)
	if !ok {
		return nil, huma.Error404NotFound("there is no configuration " + clip(in.ConfigID))
	}
	return &configOutput{Body: masked(c)}, nil
}

// masked hides what may be a credential of the operator's: anybody can read this.
func masked(c preset.Config) preset.Config {
	c.Env = mask(c.Env)
	servers := maps.Clone(c.MCPServers)
	for name, s := range servers {
		s.Env, s.Headers = mask(s.Env), mask(s.Headers)
		servers[name] = s
	}
	c.MCPServers = servers
	return c
}

func mask(values map[string]string) map[string]string {
	if len(values) == 0 {
		return values
	}
	out := make(map[string]string, len(values))
	for k := range values {
		out[k] = "***"
	}
	return out
}
