package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/config"
	"github.com/agcluster/agcluster/core/plugin"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// platform is a host with a provider that is there, one that is not, and a filter.
type platform struct {
	fake
	name string
	tail int
}

func (*platform) Plugins() []plugin.Status {
	return []plugin.Status{
		{Name: "docker", Kind: sdk.KindProvider, State: plugin.StateFailed, LastError: "starting it:\nno such file"},
		{
			Name: "local", Kind: sdk.KindProvider, State: plugin.StateRunning, Version: "1.0.0", PID: 7, StartedAt: time.Unix(1, 0).UTC(), Restarts: 2,
			Capabilities: []string{"stats"}, OptionsSchema: json.RawMessage(`{"type":"object"}`), Options: map[string]any{"api_key": "hunter2", "size": 1},
		},
		{Name: "secrets", Kind: sdk.KindFilter, State: plugin.StateStopped},
	}
}

func (p *platform) PluginLogs(name string, n int) ([]plugin.LogLine, int, error) {
	p.name, p.tail = name, n
	if name == "none" {
		return nil, 0, plugin.ErrNotFound
	}
	return []plugin.LogLine{{Time: time.Unix(0, 0).UTC(), Level: "warn", Message: "a line"}}, 5, nil
}

func (*platform) Unavailable(_ context.Context, name string) string {
	if name == "docker" {
		return "no\x1b engine"
	}
	return ""
}

func (*platform) Settings() []config.Setting {
	return []config.Setting{
		{Key: "api.port", Value: 9, Source: config.Source{Kind: config.KindEnvironment, Name: "API_PORT"}},
		{Key: "log.level", Value: "info", Source: config.Source{Kind: config.KindDefault}},
		{Key: "egress.allow", Value: []string{"a"}, Source: config.Source{Kind: config.KindFile, Name: "agcluster.yaml", Line: 3}},
		{Key: "offline.enabled", Value: true, Source: config.Source{Kind: config.KindFlag, Name: "--offline"}},
	}
}

func (*platform) About() About { return About{Version: "1", Terminal: true, Docs: "/docs"} }

func servePlatform(t *testing.T, p *platform) string {
	t.Helper()
	_, h := New(Config{Provider: "local"}, Deps{Status: p, Platform: p}, zap.NewNop())
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s.URL
}

func TestThePlatformTellsOfItself(t *testing.T) {
	url := servePlatform(t, &platform{})
	for path, want := range map[string]string{
		"/api/plugins": `{"plugins":[{"name":"docker","kind":"provider","state":"failed","restarts":0,"id":"provider-docker","last_error":"starting it:?no such file","capabilities":[],"options_schema":{},"options":{}},` +
			`{"name":"local","kind":"provider","version":"1.0.0","state":"running","restarts":2,"id":"provider-local","pid":7,"started_at":"1970-01-01T00:00:01Z","capabilities":["stats"],"options_schema":{"type":"object"},"options":{"api_key":"***","size":1}},` +
			`{"name":"secrets","kind":"filter","state":"stopped","restarts":0,"id":"filter-secrets","capabilities":[],"options_schema":{},"options":{}}],"total":3}`,
		"/api/plugins/secrets/logs": `{"lines":[{"time":"1970-01-01T00:00:00Z","level":"warn","message":"a line"}],"total":5}`,
		"/api/providers": `{"providers":[{"name":"docker","default":false,"available":false,"reason":"no? engine","version":"","capabilities":[]},` +
			`{"name":"local","default":true,"available":true,"version":"1.0.0","capabilities":["stats"]}],` +
			`"pool":{"ready":0,"starting":0,"memory_bytes":0,"warm":0,"cold":0,"slots":0,"waiting":0,"queue":0},"total":2}`,
		"/api/about": `{"version":"1","go_version":"","claude_code_version":"","started_at":"0001-01-01T00:00:00Z","offline":false,"provider":"","terminal":true,"docs":"/docs"}`,
	} {
		if status, body := send(t, http.MethodGet, url+path, ""); status != http.StatusOK || strings.TrimSpace(body) != want {
			t.Errorf("%s: %d\ngot  %s\nwant %s", path, status, body, want)
		}
	}
}

func TestSettingsSayWhereTheyComeFrom(t *testing.T) {
	status, body := send(t, http.MethodGet, servePlatform(t, &platform{})+"/api/settings", "")
	for _, want := range []string{
		`{"key":"api.port","value":9,"default":"8000","source":"env","from":"API_PORT","env":"AGCLUSTER_API_PORT","type":"number","limits":"0 to 65535","doc":"Port to listen on; 0 is any free one."}`,
		`{"key":"log.level","value":"info","default":"info","source":"default","env":"AGCLUSTER_LOG_LEVEL","type":"string","limits":"one of debug, info, warn, error"`,
		`"value":["a"],"default":"","source":"file","from":"agcluster.yaml:3"`, `"value":true,"default":"false","source":"flag","from":"--offline"`, `"total":4}`,
	} {
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d, no %s in\n%s", status, want, body)
		}
	}
}

func TestPluginLogsAreBounded(t *testing.T) {
	p := &platform{}
	url := servePlatform(t, p) + "/api/plugins/"
	if status, body := send(t, http.MethodGet, url+"filter-secrets/logs?tail=3", ""); status != http.StatusOK || p.name != "filter-secrets" || p.tail != 3 {
		t.Errorf("%d %s, asked %q %d", status, body, p.name, p.tail)
	}
	if send(t, http.MethodGet, url+"filter-secrets/logs", ""); p.tail != 200 {
		t.Errorf("asked for %d", p.tail)
	}
	for path, want := range map[string]int{"none/logs": 404, "x/logs?tail=0": 422, "x/logs?tail=501": 422} {
		if status, body := send(t, http.MethodGet, url+path, ""); status != want || !strings.Contains(body, `"status":`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestAPluginNameThatIsNotUniqueSaysSo(t *testing.T) {
	a, _ := New(Config{}, Deps{}, zap.NewNop())
	err := errors.Join(plugin.ErrNotFound, errors.New("more than one is called git"))
	if p := a.problem(err); p.GetStatus() != http.StatusNotFound || !strings.Contains(p.Error(), "more than one") {
		t.Errorf("%d %s", p.GetStatus(), p.Error())
	}
}
