package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/core/config"
	"github.com/agcluster/agcluster/core/preset"
)

var update = flag.Bool("update", false, "write the golden files")

func TestEveryKeyIsDocumentedAndNamedOnce(t *testing.T) {
	taken := map[string]string{}
	for _, k := range config.Describe() {
		if k.Doc == "" || !strings.HasSuffix(k.Doc, ".") || k.Type == "" || len(k.Env) == 0 || len(k.Flags) == 0 {
			t.Errorf("%s is not described: %+v", k.Name, k)
		}
		if k.Name != strings.ToLower(k.Name) {
			t.Errorf("%s is no snake_case", k.Name)
		}
		for _, name := range append(append([]string{k.Name}, k.Env...), k.Flags...) {
			if other, twice := taken[name]; twice {
				t.Errorf("%s and %s are both called %s", k.Name, other, name)
			}
			taken[name] = k.Name
		}
		if (k.Type == "number" || k.Type == "duration" || k.Type == "size") && !strings.Contains(k.Limits, " to ") {
			t.Errorf("%s has no bounds", k.Name)
		}
	}
}

// What a preset may give, the operator may give, and the other way round.
func TestBoundsAreThoseOfPresets(t *testing.T) {
	limits := map[string]string{}
	for _, k := range config.Describe() {
		limits[k.Name] = k.Limits
	}
	size := func(n int64) string { return preset.FormatSize(n) }
	for key, want := range map[string]string{
		"limits.cpu_quota":     strconv.Itoa(preset.MinCPU) + " to " + strconv.Itoa(preset.MaxCPU),
		"limits.memory_limit":  size(preset.MinMemory) + " to " + size(preset.MaxMemory),
		"limits.storage_limit": size(preset.MinStorage) + " to " + size(preset.MaxStorage),
	} {
		if limits[key] != want {
			t.Errorf("%s: %s, presets have %s", key, limits[key], want)
		}
	}
	for _, turns := range []int{1, 1000} {
		c := preset.Config{ID: "x", Name: "x", MaxTurns: turns}
		if err := preset.Validate(c, preset.Known{}); err != nil {
			t.Errorf("defaults.max_turns = %s, but: %v", limits["defaults.max_turns"], err)
		}
	}
	modes, _ := strings.CutPrefix(limits["defaults.permission_mode"], "one of ")
	for mode := range strings.SplitSeq(modes, ", ") {
		if err := preset.Validate(preset.Config{ID: "x", Name: "x", PermissionMode: mode}, preset.Known{}); err != nil {
			t.Error(err)
		}
	}
}

func TestReference(t *testing.T) {
	const name, begin, end = "README.md", "-update` -->\n", "<!-- /keys -->"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the keys", name)
	}
	want := before + begin + config.Markdown() + end + after
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("%s is not current: run go test ./core/config -run Reference -update", name)
	}
	for _, k := range config.Describe() {
		if !strings.Contains(want, "| `"+k.Name+"` |") {
			t.Errorf("%s is not in the reference", k.Name)
		}
	}
}

func TestWrite(t *testing.T) {
	c, sources := mustLoad(t, given{
		yaml: "plugins:\n  options:\n    provider-fly: {api_token: hunter2, region: ams, nested: [{password: hunter2}]}\n" +
			"defaults:\n  system_prompt: \"one\\ntwo\\e[31m\"\nsession: {idle_timeout: 5400}\n",
		env:   []string{"CONTAINER_MEMORY_LIMIT=2048m"},
		flags: []string{"--offline"},
	})
	var text, js bytes.Buffer
	if err := config.Write(&text, c, sources, false); err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	for line := range strings.Lines(text.String()) {
		if fields := strings.Fields(line); len(fields) > 1 {
			lines[fields[0]] = strings.Join(fields[1:], " ")
		}
	}
	for key, want := range map[string]string{
		"api.port":               "8000 default",
		"session.idle_timeout":   "1h30m agcluster.yaml:6",
		"limits.memory_limit":    "2g environment CONTAINER_MEMORY_LIMIT",
		"offline.enabled":        "true flag --offline",
		"defaults.system_prompt": `"one\ntwo\u001b[31m" agcluster.yaml:5`,
		"plugins.options":        `{"provider-fly":{"api_token":"***","nested":[{"password":"***"}],"region":"ams"}} agcluster.yaml:2`,
		"guard.policies":         "[] default",
	} {
		if lines[key] != want {
			t.Errorf("%s: got %q, want %q", key, lines[key], want)
		}
	}
	if err := config.Write(&js, c, sources, true); err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Key    string
		Value  any
		Source config.Source
	}
	if err := json.Unmarshal(js.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != len(config.Describe()) || list[1].Key != "api.port" || fmt.Sprint(list[1].Value) != "8000" {
		t.Errorf("got %v", list)
	}
	for _, e := range list {
		if e.Key == "session.idle_timeout" && (e.Value != "1h30m" || e.Source != config.Source{Kind: config.KindFile, Name: config.FileName, Line: 6}) {
			t.Errorf("got %+v", e)
		}
	}
	if strings.Contains(text.String()+js.String(), "hunter2") {
		t.Error("a credential is shown")
	}
}
