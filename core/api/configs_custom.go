package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/agcluster/agcluster/core/preset"
)

// Custom keeps the users' own configurations, which come and go while the host runs.
type Custom interface {
	Own() ([]preset.Config, []preset.Broken)
	Create(raw []byte) (preset.Config, error)
	Replace(id string, raw []byte) (preset.Config, error)
	Remove(id string) error
}

// asGiven binds an operation that reads its body by itself, as strictly as a file: errors then say what was meant.
func asGiven[I, O any](fn func(context.Context, *I) (*O, error)) func(huma.API, huma.Operation) {
	return func(api huma.API, op huma.Operation) {
		op.SkipValidateBody = true
		huma.Register(api, op, fn)
	}
}

type createConfigInput struct{ Body InlineConfig }

type createdConfig struct {
	Status int
	Body   preset.Config
}

func (a *API) createConfig(_ context.Context, in *createConfigInput) (*createdConfig, error) {
	c, err := a.Custom.Create(in.Body.raw)
	if err != nil {
		return nil, a.fieldProblem("body", err)
	}
	return &createdConfig{Status: http.StatusCreated, Body: preset.Masked(c)}, nil
}

type customInput struct {
	ConfigID string `path:"config_id" pattern:"^[a-z0-9_-]{1,64}$" patternDescription:"1 to 64 characters of a-z, 0-9, _ and -"`
}

type replaceConfigInput struct {
	ConfigID string `path:"config_id" pattern:"^[a-z0-9_-]{1,64}$" patternDescription:"1 to 64 characters of a-z, 0-9, _ and -"`
	Body     InlineConfig
}

type configOutput struct{ Body preset.Config }

func (a *API) replaceConfig(_ context.Context, in *replaceConfigInput) (*configOutput, error) {
	c, err := a.Custom.Replace(in.ConfigID, in.Body.raw)
	if err != nil {
		return nil, a.fieldProblem("body", err)
	}
	return &configOutput{Body: preset.Masked(c)}, nil
}

func (a *API) deleteConfig(_ context.Context, in *customInput) (*struct{}, error) {
	if err := a.Custom.Remove(in.ConfigID); err != nil {
		return nil, a.problem(err)
	}
	return nil, nil //nolint:nilnil // no content
}

// CustomList answers GET /api/configs/custom/list.
type CustomList struct {
	Configs []preset.Summary `json:"configs" nullable:"false"`
	Broken  []preset.Broken  `json:"broken" nullable:"false" doc:"Those that can't be used now, because they name a policy that is gone, say. They can be replaced and deleted."`
	Total   int              `json:"total"`
}

type customListOutput struct{ Body CustomList }

func (a *API) listCustom(context.Context, *struct{}) (*customListOutput, error) {
	own, broken := a.Custom.Own()
	return &customListOutput{Body: CustomList{Configs: a.summaries(own), Broken: broken, Total: len(own)}}, nil
}
