package api

import (
	"context"
	"time"

	"github.com/agcluster/agcluster/core/config"
	"github.com/agcluster/agcluster/core/plugin"
)

// PluginDetails is how a plugin is, what it can do and what it was told.
type PluginDetails struct {
	PluginHealth
	ID            string     `json:"id" doc:"KIND-NAME, the name of its file."`
	PID           int        `json:"pid,omitempty" doc:"Of its process, while that runs."`
	StartedAt     *time.Time `json:"started_at,omitempty" doc:"When its process was started, while that runs."`
	LastError     string     `json:"last_error,omitempty" doc:"Why it ended or could not be started."`
	Capabilities  []string   `json:"capabilities" nullable:"false" doc:"Known once it was used."`
	OptionsSchema Object     `json:"options_schema" doc:"JSON Schema of its options; {} until it was used, and for one that takes none."`
	Options       AnyObject  `json:"options" doc:"As configured in plugins.options; values that look like credentials are ***."`
}

// AnyObject is a JSON object with anything in it.
type AnyObject map[string]any

// PluginList answers GET /api/plugins.
type PluginList struct {
	Plugins []PluginDetails `json:"plugins" nullable:"false"`
	Total   int             `json:"total"`
}

type pluginListOutput struct{ Body PluginList }

func (a *API) listPlugins(context.Context, *struct{}) (*pluginListOutput, error) {
	out := &pluginListOutput{Body: PluginList{Plugins: []PluginDetails{}}}
	for _, p := range a.Status.Plugins() {
		d := PluginDetails{
			PluginHealth: pluginHealth(p), ID: string(p.Kind) + "-" + p.Name, PID: p.PID, LastError: clip(p.LastError),
			Capabilities: orEmpty(p.Capabilities), OptionsSchema: Object(p.OptionsSchema), Options: config.MaskOptions(p.Options),
		}
		if !p.StartedAt.IsZero() {
			d.StartedAt = &p.StartedAt
		}
		out.Body.Plugins = append(out.Body.Plugins, d)
	}
	out.Body.Total = len(out.Body.Plugins)
	return out, nil
}

func pluginHealth(p plugin.Status) PluginHealth {
	return PluginHealth{Name: p.Name, Kind: string(p.Kind), Version: p.Version, State: string(p.State), Restarts: p.Restarts}
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

type pluginLogsInput struct {
	Name string `path:"name" maxLength:"64" doc:"KIND-NAME, or NAME where only one kind has it."`
	Tail int    `query:"tail" minimum:"1" maximum:"500" default:"200" doc:"How many lines, the newest."`
}

// PluginLogLine is one line of a plugin's log.
type PluginLogLine struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level" enum:"debug,info,warn,error"`
	Message string    `json:"message" doc:"One line, with its fields as name=value."`
}

// PluginLogs answers GET /api/plugins/{name}/logs.
type PluginLogs struct {
	Lines []PluginLogLine `json:"lines" nullable:"false" doc:"The oldest first."`
	Total int             `json:"total" doc:"Lines that are kept."`
}

type pluginLogsOutput struct{ Body PluginLogs }

func (a *API) pluginLogs(_ context.Context, in *pluginLogsInput) (*pluginLogsOutput, error) {
	lines, total, err := a.Platform.PluginLogs(in.Name, in.Tail)
	if err != nil {
		return nil, a.problem(err)
	}
	out := &pluginLogsOutput{Body: PluginLogs{Lines: make([]PluginLogLine, 0, len(lines)), Total: total}}
	for _, l := range lines {
		out.Body.Lines = append(out.Body.Lines, PluginLogLine(l))
	}
	return out, nil
}
