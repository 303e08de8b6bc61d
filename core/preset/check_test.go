package preset_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/presets"
)

func checker(t *testing.T) *preset.Catalog {
	t.Helper()
	c, err := preset.NewCatalog(fstest.MapFS{}, nil, known(), defaults())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCheckKeepsWhatIsGood(t *testing.T) {
	for _, tt := range []struct {
		name, yaml string
		errors     []string
		config     preset.Config
		unreadable bool
	}{
		{"nothing wrong", "name: X\nallowed_tools: [Read]\n", nil, preset.Config{Name: "X", AllowedTools: []string{"Read"}}, false},
		{"an unknown key", "id: x\nnme: X\nmax_turns: 5\n", []string{"2:1 nme: unknown key; did you mean name?"}, preset.Config{ID: "x", MaxTurns: 5}, false},
		{
			"a value of the wrong type", "id: x\nmax_turns: many\nresource_limits:\n  cpu_quota: 5\n",
			[]string{"2:1 max_turns: must be a whole number, got a string", "4:3 resource_limits.cpu_quota: must be 1000 to 25600000 (100000 is one CPU), got 5"},
			preset.Config{ID: "x", ResourceLimits: preset.ResourceLimits{CPUQuota: 5}},
			false,
		},
		{
			"a tool in a list", "allowed_tools:\n  - Read\n  - Raed\n",
			[]string{`3:5 allowed_tools[1]: unknown tool "Raed"; did you mean Read?`},
			preset.Config{AllowedTools: []string{"Read", "Raed"}},
			false,
		},
		{"no YAML", "id: [x\n", []string{"1:0 : did not find expected ',' or ']'"}, preset.Config{}, true},
		{"nothing", "# later\n", []string{"0:0 : is empty"}, preset.Config{}, true},
		{"a list", "- x\n", []string{"0:0 : must be an object, got a list"}, preset.Config{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := checker(t).Check([]byte(tt.yaml), preset.FormatYAML)
			var lines []string
			for _, e := range got.Errors {
				lines = append(lines, fmt.Sprintf("%d:%d %s: %s", e.Line, e.Column, e.Field, e.Message))
			}
			if strings.Join(lines, "\n") != strings.Join(tt.errors, "\n") || got.Readable == tt.unreadable || !reflect.DeepEqual(got.Config, tt.config) {
				t.Errorf("got %q, %v, %+v", lines, got.Readable, got.Config)
			}
		})
	}
	got := checker(t).Check([]byte(`{"id":"x","allowed_tools":["Raed"],"nme":1}`), preset.FormatJSON)
	if len(got.Errors) != 2 || got.Errors[0].Line != 0 || got.Config.ID != "x" || !got.Readable {
		t.Errorf("got %+v", got)
	}
}

func TestYAMLReadsBackAsTheSame(t *testing.T) {
	nasty := []string{
		"plain", "true", "1.0", "null", "~", "- x", "a: b", "# c", "a\nb\n", "a\n\n\nb", "  indented\nless\n", "\n\n", "\nx", "trailing \nspace ", "tab\there", "\ttab\nx",
		"cr\r\nlf", "nul? no", "esc\x1b[0m", "nel\u0085x", "ls\u2028x", "bom\ufeffx", "é ü 日本 🙂", "\"quoted\" 'both'", "%y", "@at", "`tick`", "{x", "x\n  y\n z\n", "---\nx", "...\nx",
		strings.Repeat("long ", 100), "x\n" + strings.Repeat("long line ", 50) + "\n\nend", "\x7f", "  ", " \n ",
	}
	for _, text := range nasty {
		c := preset.Config{
			ID: "x", Name: text, SystemPrompt: preset.SystemPrompt{Preset: true, Append: text}, Env: map[string]string{"A": text}, AllowedTools: []string{},
			SettingSources: []string{text, text}, Policies: []preset.Policy{{Name: "p", Params: json.RawMessage(`{"b":1,"a":[1.5,{"c":null}]}`)}},
		}
		out, err := c.YAML()
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		back, err := preset.ParseYAML(out)
		if err != nil || back.Name != text || back.SystemPrompt.Append != text || back.Env["A"] != text || back.SettingSources[1] != text || back.AllowedTools == nil {
			t.Errorf("%q became %q, %v\n%s", text, back.Name, err, out)
		}
	}
}

func FuzzYAMLReadsBackAsTheSame(f *testing.F) {
	for _, seed := range []string{"a", " a\nb", "a\n\n", "\u2029", "x: y\n- z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := preset.Config{ID: "x", SystemPrompt: preset.SystemPrompt{Text: strings.ToValidUTF8(text, "?")}}
		out, err := c.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := preset.ParseYAML(out); err != nil || back.SystemPrompt != c.SystemPrompt {
			t.Errorf("%q became %q, %v\n%s", text, back.SystemPrompt.Text, err, out)
		}
	})
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	s := preset.Schema([]preset.PolicySchema{
		{Name: "path", Params: json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{"read":{"type":"array"},"write":{},"deny":{"type":"array"},"n":{},"big":{}}}`)},
		{Name: "tools", Description: "Rules.", Params: json.RawMessage(`{"type":"object"}`)},
		{Name: "archive", Params: json.RawMessage(`{"type":"object"}`)},
	}, []string{"secrets", "shell"})
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func asData(t *testing.T, c preset.Config) any {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(raw(t, c))))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestSchemaTakesWhatIsValid(t *testing.T) {
	schema := compiled(t)
	names, err := fs.Glob(presets.FS, "*.yaml")
	if err != nil || len(names) < 4 {
		t.Fatalf("%v %v", names, err)
	}
	all := []preset.Config{everythingConfig(), {}, {SystemPrompt: preset.SystemPrompt{Text: "Hi"}}}
	for _, name := range names {
		text, err := fs.ReadFile(presets.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		c, err := preset.ParseYAML(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	for _, c := range all {
		if err := schema.Validate(asData(t, c)); err != nil {
			t.Errorf("%s: %v", c.ID, err)
		}
	}
}

func TestSchemaRefusesWhatIsNot(t *testing.T) {
	schema := compiled(t)
	for _, text := range []string{
		`{"id":"../x"}`, `{"nme":"x"}`, `{"max_turns":1001}`, `{"max_turns":-1}`, `{"permission_mode":"ask"}`, `{"allowed_tools":["Raed"]}`, `{"allowed_tools":["Read","Read"]}`,
		`{"resource_limits":{"cpu_quota":5}}`, `{"resource_limits":{"memory_limit":"lots"}}`, `{"cwd":"/etc"}`, `{"setting_sources":["global"]}`, `{"network":{"egress":"some"}}`,
		`{"system_prompt":{"type":"preset"}}`, `{"agents":{"a":{"prompt":"x"}}}`, `{"mcp_servers":{"a__b":{}}}`, `{"mcp_servers":{"a":{"type":"ws"}}}`,
		`{"policies":[{"name":"nope"}]}`, `{"policies":[{"name":"path","params":{"x":1}}]}`, `{"filters":["nope"]}`, `{"env":{"A=B":"x"}}`, `[]`,
	} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(doc) == nil {
			t.Errorf("%s is taken", text)
		}
		if got := checker(t).Check([]byte(text), preset.FormatJSON); len(got.Errors) == 0 && !strings.Contains(text, `"x":1`) {
			t.Errorf("%s: what the schema refuses is valid", text)
		}
	}
}

// TestSchemaKnowsEveryField holds the schema against the Go types, so that a new field can't be forgotten.
func TestSchemaKnowsEveryField(t *testing.T) {
	text, err := json.Marshal(preset.Schema(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	config := reflect.TypeFor[preset.Config]()
	compare(t, "", root, config)
}

func compare(t *testing.T, at string, schema map[string]any, typ reflect.Type) {
	t.Helper()
	switch typ.Kind() {
	case reflect.Map:
		of, _ := schema["additionalProperties"].(map[string]any)
		compare(t, at+".*", of, typ.Elem())
		return
	case reflect.Slice:
		if typ != reflect.TypeFor[json.RawMessage]() {
			of, _ := schema["items"].(map[string]any)
			compare(t, at+"[]", of, typ.Elem())
		}
		return
	case reflect.Struct:
	default:
		if schema["type"] == nil {
			t.Errorf("%s has no type", at)
		}
		return
	}
	if typ == reflect.TypeFor[preset.SystemPrompt]() {
		return
	}
	properties, _ := schema["properties"].(map[string]any)
	var names []string
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
		p, ok := properties[name].(map[string]any)
		if !ok || p["description"] == nil || p["title"] == nil && p["const"] == nil {
			t.Errorf("%s.%s is not in the schema, or has no title or description", at, name)
			continue
		}
		compare(t, at+"."+name, p, typ.Field(i).Type)
	}
	if len(names) != len(properties) {
		t.Errorf("%s: the schema has %d properties, the type %v", at, len(properties), names)
	}
}

func TestToolCatalogIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, tool := range preset.ToolCatalog() {
		if seen[tool.Name] || tool.Category == "" || !strings.HasSuffix(tool.Description, ".") {
			t.Errorf("%+v", tool)
		}
		seen[tool.Name] = true
		c := preset.Config{ID: "x", Name: "x", AllowedTools: []string{tool.Name}}
		if err := preset.Validate(c, preset.Known{}); err != nil {
			t.Errorf("%s: %v", tool.Name, err)
		}
	}
}
