package api

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/agcluster/agcluster/core/config"
	"github.com/agcluster/agcluster/core/plugin"
	"github.com/agcluster/agcluster/core/sandbox"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// Platform tells of the host to those who look after it.
type Platform interface {
	// PluginLogs returns the newest n kept log lines of a plugin, and how many there are.
	PluginLogs(name string, n int) (lines []plugin.LogLine, total int, err error)
	// Unavailable says why a provider can't be used now; empty is that it can. It may ask the provider.
	Unavailable(ctx context.Context, provider string) string
	// Settings lists the host's configuration with secrets masked.
	Settings() []config.Setting
	About() About
}

// ProviderInfo is a provider that launches may name.
type ProviderInfo struct {
	Name         string   `json:"name"`
	Default      bool     `json:"default" doc:"Launches that name none take it."`
	Available    bool     `json:"available" doc:"It answered within the last half minute."`
	Reason       string   `json:"reason,omitempty" doc:"Why it is not available."`
	Version      string   `json:"version"`
	Capabilities []string `json:"capabilities" nullable:"false" doc:"What it can do beside making sandboxes: stats, logs, pull, …"`
}

// ProviderList answers GET /api/providers.
type ProviderList struct {
	Providers []ProviderInfo `json:"providers" nullable:"false"`
	Pool      PoolHealth     `json:"pool"`
	Total     int            `json:"total"`
}

type providerListOutput struct{ Body ProviderList }

func (a *API) listProviders(ctx context.Context, _ *struct{}) (*providerListOutput, error) {
	var names []string
	for _, p := range a.Status.Plugins() {
		if p.Kind == sdk.KindProvider {
			names = append(names, p.Name)
		}
	}
	reasons := a.reasons(ctx, names)
	out := &providerListOutput{Body: ProviderList{Providers: []ProviderInfo{}, Pool: poolHealth(a.Status.Pool())}}
	// Once more: what a provider can do is known once it was asked.
	for _, p := range a.Status.Plugins() {
		if p.Kind != sdk.KindProvider {
			continue
		}
		reason := reasons[p.Name]
		out.Body.Providers = append(out.Body.Providers, ProviderInfo{
			Name: p.Name, Default: p.Name == a.cfg.Provider, Available: reason == "", Reason: clip(reason), Version: p.Version,
			Capabilities: orEmpty(p.Capabilities),
		})
	}
	out.Body.Total = len(out.Body.Providers)
	return out, nil
}

// reasons asks all providers at the same time.
func (a *API) reasons(ctx context.Context, names []string) map[string]string {
	type answer struct{ name, reason string }
	answers := make(chan answer, len(names))
	for _, name := range names {
		go func() { answers <- answer{name, a.Platform.Unavailable(ctx, name)} }()
	}
	out := map[string]string{}
	for range names {
		got := <-answers
		out[got.name] = got.reason
	}
	return out
}

func poolHealth(s sandbox.Status) PoolHealth {
	return PoolHealth{
		Ready: s.Ready, Starting: s.Starting, MemoryBytes: s.MemoryBytes, Warm: s.Warm, Cold: s.Cold, Slots: s.Slots,
		Waiting: s.Waiting, Queue: s.Queue,
	}
}

// Setting is one key of the host's configuration.
type Setting struct {
	Key     string   `json:"key" doc:"As in agcluster.yaml."`
	Value   AnyValue `json:"value" doc:"In force; *** for credentials."`
	Default string   `json:"default" doc:"As the environment would give it; where it is no constant, how it comes about."`
	Source  string   `json:"source" enum:"default,file,env,flag" doc:"Where the value comes from."`
	From    string   `json:"from,omitempty" doc:"The file with its line, the variable or the flag."`
	Env     string   `json:"env" doc:"The variable that sets it."`
	Type    string   `json:"type" doc:"string, number, bool, duration, size, list, object or list of objects."`
	Limits  string   `json:"limits,omitempty" doc:"What a value may be, for people."`
	Doc     string   `json:"doc" doc:"What it is for."`
}

// AnyValue is any JSON value.
type AnyValue struct{ value any }

// MarshalJSON implements json.Marshaler.
func (v AnyValue) MarshalJSON() ([]byte, error) { return json.Marshal(v.value) }

// Schema implements huma.SchemaProvider.
func (AnyValue) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Description: "Whatever the key's type is."}
}

// SettingList answers GET /api/settings.
type SettingList struct {
	Settings []Setting `json:"settings" nullable:"false"`
	Total    int       `json:"total"`
}

type settingListOutput struct{ Body SettingList }

func (a *API) listSettings(context.Context, *struct{}) (*settingListOutput, error) {
	keys := map[string]config.Key{}
	for _, k := range config.Describe() {
		keys[k.Name] = k
	}
	out := &settingListOutput{Body: SettingList{Settings: []Setting{}}}
	for _, s := range a.Platform.Settings() {
		k, ok := keys[s.Key]
		if !ok || len(k.Env) == 0 {
			return nil, a.problem(fmt.Errorf("there is no setting %q", s.Key))
		}
		source := string(s.Source.Kind)
		if s.Source.Kind == config.KindEnvironment {
			source = "env"
		}
		from := ""
		if s.Source.Kind != config.KindDefault {
			from = s.Source.Name
			if s.Source.Line > 0 {
				from = s.Source.String()
			}
		}
		out.Body.Settings = append(out.Body.Settings, Setting{
			Key: s.Key, Value: AnyValue{s.Value}, Default: k.Default, Source: source, From: from, Env: k.Env[0], Type: k.Type,
			Limits: k.Limits, Doc: k.Doc,
		})
	}
	out.Body.Total = len(out.Body.Settings)
	return out, nil
}

// About answers GET /api/about.
type About struct {
	Version           string    `json:"version"`
	GoVersion         string    `json:"go_version"`
	ClaudeCodeVersion string    `json:"claude_code_version" doc:"The version that this build pins; what a session runs, its init event says."`
	StartedAt         time.Time `json:"started_at" doc:"When the host was started."`
	Offline           bool      `json:"offline" doc:"True when the host's own scripted model answers: any key works."`
	Provider          string    `json:"provider" doc:"The default provider."`
	Terminal          bool      `json:"terminal" doc:"True when sessions have terminals."`
	Docs              string    `json:"docs" doc:"Where this API is described."`
}

type aboutOutput struct{ Body About }

func (a *API) about(context.Context, *struct{}) (*aboutOutput, error) {
	return &aboutOutput{Body: a.Platform.About()}, nil
}
