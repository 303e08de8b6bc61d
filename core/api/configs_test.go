package api

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/plugin"
	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// host tells of a policy and a filter.
type host struct{ fake }

func (*host) Policies() []policy.ModuleInfo {
	return []policy.ModuleInfo{{Name: "path", Description: "Paths.", Params: json.RawMessage(`{"type":"object","properties":{"deny":{"type":"array"}}}`)}}
}

func (*host) Plugins() []plugin.Status {
	return []plugin.Status{{Name: "secrets", Kind: sdk.KindFilter}, {Name: "local", Kind: sdk.KindProvider}}
}

// serveLibrary is a host with configurations of the users' own in dir.
func serveLibrary(t *testing.T, dir string) *httptest.Server {
	t.Helper()
	catalog, err := preset.NewCatalog(
		fstest.MapFS{"a.yaml": {Data: []byte("id: built-in\nname: Built in\nenv: {A: open}\n")}},
		fstest.MapFS{"b.yaml": {Data: []byte("id: operators\nname: Operator's\nenv: {A: hunter2}\n")}},
		preset.Known{Policies: []string{"path"}, Filters: []string{"secrets"}}, preset.Defaults{AllowedTools: []string{"Read"}, MaxTurns: 100},
	)
	if err != nil {
		t.Fatal(err)
	}
	library, err := preset.OpenLibrary(catalog, dir)
	if err != nil {
		t.Fatal(err)
	}
	_, h := New(Config{Version: "1"}, Deps{Catalog: library, Custom: library, Status: &host{}}, zap.NewNop())
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s
}

// send makes a request and returns the status and the answer.
func send(t *testing.T, method, url, body string, header ...string) (int, string) {
	t.Helper()
	res, text := exchange(t, method, url, body, header...)
	return res.StatusCode, text
}

// exchange makes a request and returns the answer, and its body as it was read.
func exchange(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", mediaJSON)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestConfigurationsOfOnesOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "configs")
	url := serveLibrary(t, dir).URL + "/api/configs/"
	status, body := send(t, http.MethodPost, url+"custom", `{"id":"mine","env":{"TOKEN":"hunter2"}}`)
	if status != http.StatusCreated || !strings.Contains(body, `"max_turns":100`) || !strings.Contains(body, `"TOKEN":"***"`) {
		t.Fatalf("%d %s", status, body)
	}
	// Another host on the same folder is what a restart is.
	url = serveLibrary(t, dir).URL + "/api/configs/"
	if status, body = send(t, http.MethodGet, url+"mine", ""); status != 200 || !strings.Contains(body, `"name":"mine"`) || strings.Contains(body, "hunter2") {
		t.Errorf("%d %s", status, body)
	}
	if status, body = send(t, http.MethodGet, url+"custom/list", ""); status != 200 || !strings.Contains(body, `"id":"mine"`) || !strings.Contains(body, `"broken":[],"total":1}`) {
		t.Errorf("%d %s", status, body)
	}
	var list ConfigList
	if _, body = send(t, http.MethodGet, url, ""); json.Unmarshal([]byte(body), &list) != nil || list.Total != 3 || list.Configs[0].Custom || !list.Configs[1].Custom || list.Configs[2].Custom {
		t.Errorf("%s", body)
	}
	if status, body = send(t, http.MethodPut, url+"custom/mine", `{"name":"New","env":{"TOKEN":"***"}}`); status != 200 || !strings.Contains(body, `"name":"New"`) {
		t.Errorf("%d %s", status, body)
	}
	if status, body = send(t, http.MethodDelete, url+"custom/mine", ""); status != http.StatusNoContent || body != "" {
		t.Errorf("%d %s", status, body)
	}
	if status, body = send(t, http.MethodGet, url+"mine", ""); status != http.StatusNotFound {
		t.Errorf("%d %s", status, body)
	}
}

func TestConfigurationsAreRefusedByField(t *testing.T) {
	url := serveLibrary(t, t.TempDir()).URL + "/api/configs/custom"
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		says               string
	}{
		"an id that climbs":         {http.MethodPost, "", `{"id":"../x"}`, 422, `"location":"body.id"`},
		"a reserved id":             {http.MethodPost, "", `{"id":"tools"}`, 422, `"location":"body.id"`},
		"no id":                     {http.MethodPost, "", `{}`, 422, `"location":"body.id"`},
		"an unknown key":            {http.MethodPost, "", `{"id":"x","nme":"x"}`, 422, `unknown key; did you mean name?","location":"body.nme"`},
		"a value inside":            {http.MethodPost, "", `{"id":"x","policies":[{"name":"pth"}]}`, 422, `"location":"body.policies[0].name"`},
		"too much":                  {http.MethodPost, "", `{"id":"x","description":"` + strings.Repeat("x", 1<<20) + `"}`, 422, `more than 1048576`},
		"a list":                    {http.MethodPost, "", `[]`, 422, `must be an object, got a list`},
		"nothing":                   {http.MethodPost, "", ``, 400, `body is required`},
		"no JSON":                   {http.MethodPost, "", `{`, 422, `unexpected end of JSON input","location":"body"`},
		"a preset's id":             {http.MethodPost, "", `{"id":"built-in"}`, 409, `there is a configuration with this id`},
		"a change of nobody's":      {http.MethodPut, "/none", `{}`, 404, `there is no configuration of your own`},
		"a change of a preset":      {http.MethodPut, "/built-in", `{}`, 404, `there is no configuration of your own`},
		"a change elsewhere":        {http.MethodPut, "/..%2fx", `{}`, 422, `"location":"path.config_id"`},
		"a removal elsewhere":       {http.MethodDelete, "/..%2f..%2fagcluster.db", ``, 422, `"location":"path.config_id"`},
		"a removal of what is none": {http.MethodDelete, "/none", ``, 404, `there is no configuration of your own`},
	} {
		status, body := send(t, c.method, url+c.path, c.body)
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %.300s", name, status, body)
		}
	}
}

func TestAConfigurationAsYAML(t *testing.T) {
	url := serveLibrary(t, t.TempDir()).URL + "/api/configs/"
	status, body := send(t, http.MethodGet, url+"built-in", "", "Accept", mediaYAML)
	c, err := preset.ParseYAML([]byte(body))
	if status != 200 || err != nil || !strings.HasPrefix(body, "id: built-in\nname: Built in\n") || c.Env["A"] != "open" || c.MaxTurns != 100 {
		t.Errorf("%d %v %s", status, err, body)
	}
	if _, body = send(t, http.MethodGet, url+"operators", "", "Accept", mediaYAML); strings.Contains(body, "hunter2") || !strings.Contains(body, "***") {
		t.Errorf("what may be a credential is shown: %s", body)
	}
	if status, _ = send(t, http.MethodGet, url+"built-in", "", "Accept", "text/html"); status != http.StatusNotAcceptable {
		t.Errorf("got %d", status)
	}
}

func TestValidateTellsPathLineAndColumn(t *testing.T) {
	url := serveLibrary(t, t.TempDir()).URL + "/api/configs/validate"
	for body, want := range map[string]string{
		`{"yaml":"name: X\n"}`: `{"valid":true,"config":{"id":"","name":"X"},"yaml":"id: \"\"\nname: X\n","errors":[]}`,
		`{"yaml":"name: X\nagents:\n  rev: {model: s, prompt: p}\nallowed_tools: [Task]\n"}`: `{"path":"agents.rev.description","message":"must not be empty","line":3,"column":3}`,
		`{"yaml":"id: [\n"}`:                          `"message":"did not find expected node content","line":1}`,
		`{"config":{"allowed_tools":["Raed"],"z":1}}`: `"config":{"id":"","name":"","allowed_tools":["Raed"]}`,
		`{"config":{"max_turns":"5"}}`:                `{"path":"max_turns","message":"must be a whole number, got a string"}`,
	} {
		if status, got := send(t, http.MethodPost, url, body); status != 200 || !strings.Contains(got, want) {
			t.Errorf("%s: %d %s", body, status, got)
		}
	}
	for _, body := range []string{`{}`, `{"yaml":"a","config":{}}`} {
		if status, got := send(t, http.MethodPost, url, body); status != 422 || !strings.Contains(got, "give either yaml or config") {
			t.Errorf("%s: %d %s", body, status, got)
		}
	}
}

func TestSchemaHasTheHostsPoliciesAndFilters(t *testing.T) {
	url := serveLibrary(t, t.TempDir()).URL + "/api/configs/"
	status, body := send(t, http.MethodGet, url+"schema", "")
	for _, want := range []string{`"policy:path":{"description":"Paths."`, `"enum":["secrets"]`, `"$schema":"https://json-schema.org/draft/2020-12/schema"`} {
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("%d, no %s in %s", status, want, body)
		}
	}
	if status, body = send(t, http.MethodGet, url+"tools", ""); status != 200 || !strings.Contains(body, `{"name":"Bash","category":"shell","description":"Runs shell commands in the sandbox."}`) {
		t.Errorf("%d %s", status, body)
	}
}

func TestWhatIsNoCredentialIsShown(t *testing.T) {
	url := serveLibrary(t, t.TempDir()).URL + "/api/configs/"
	const servers = `"mcp_servers":{"s":{"command":"c","env":{"EMPTY":"","REF":"${REF}","KEY":"hunter2"}}}`
	const shown = `"env":{"EMPTY":"","KEY":"***","REF":"${REF}"}`
	for _, c := range []struct{ method, path, body string }{
		{http.MethodPost, "custom", `{"id":"mine","env":{"A":"${A}","B":"hunter2"},` + servers + `}`},
		{http.MethodGet, "mine", ""},
		{http.MethodPut, "custom/mine", `{"env":{"A":"${A}","B":"***"},"mcp_servers":{"s":{"command":"c","env":{"EMPTY":"","REF":"${REF}","KEY":"***"}}}}`},
		{http.MethodGet, "mine", ""},
	} {
		status, body := send(t, c.method, url+c.path, c.body)
		if status >= 300 || !strings.Contains(body, shown) || !strings.Contains(body, `"env":{"A":"${A}","B":"***"}`) || strings.Contains(body, "hunter2") {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
		}
	}
	for body, valid := range map[string]bool{
		`{"config":{"id":"mine","env":{"B":"***"}}}`:  true,
		`{"config":{"id":"mine","env":{"C":"***"}}}`:  false,
		`{"yaml":"id: new\nenv: {B: '***'}\n"}`:       false,
		`{"yaml":"id: new\nenv: {B: '${B}', C: ''}"}`: true,
	} {
		status, got := send(t, http.MethodPost, url+"validate", body)
		if status != 200 || strings.Contains(got, `"valid":true`) != valid || strings.Contains(got, "*** stands for") == valid {
			t.Errorf("%s: %d %s", body, status, got)
		}
	}
}

// TestNothingIsLaunchedWithThreeStars also asks the policies nothing: what would be launched is not known.
func TestNothingIsLaunchedWithThreeStars(t *testing.T) {
	catalog, err := preset.NewCatalog(fstest.MapFS{}, nil, preset.Known{}, preset.Defaults{})
	if err != nil {
		t.Fatal(err)
	}
	f := &host{}
	g := &trials{}
	_, h := New(Config{}, Deps{Catalog: mustOpen(t, catalog), Sessions: f, Trials: g, Status: f}, zap.NewNop())
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	const config = `"config":{"env":{"A":"***"},"mcp_servers":{"s":{"command":"c","env":{"T":"***"}}}}`
	for path, body := range map[string]string{
		"/api/agents/launch":  `{"api_key":"sk-ant-x",` + config + `}`,
		"/api/policies/check": `{"gate":"tool.call","tool":"Bash",` + config + `}`,
	} {
		status, got := send(t, http.MethodPost, s.URL+path, body)
		if status != 422 || !strings.Contains(got, `"location":"body.config.env.A"`) || !strings.Contains(got, `"location":"body.config.mcp_servers.s.env.T"`) ||
			!strings.Contains(got, "give the value itself, or launch by config_id") {
			t.Errorf("%s: %d %s", path, status, got)
		}
	}
	if g.asked.Gate != "" {
		t.Errorf("asked %+v", g.asked)
	}
}

func mustOpen(t *testing.T, catalog *preset.Catalog) *preset.Library {
	t.Helper()
	library, err := preset.OpenLibrary(catalog, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return library
}
