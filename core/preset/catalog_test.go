package preset_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/preset"
)

func TestCatalog(t *testing.T) {
	file := func(id, name string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("id: " + id + "\nname: " + name + "\nallowed_tools: [Read]\n")}
	}
	builtin := fstest.MapFS{"b.yaml": file("b", "Builtin B"), "a.yaml": file("a", "Builtin A")}
	catalog, err := preset.NewCatalog(builtin, fstest.MapFS{"mine.yaml": file("b", "Own B"), "c.yaml": file("c", "Own C")}, preset.Known{}, preset.Defaults{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range catalog.List() {
		names = append(names, c.Name)
	}
	if want := []string{"Builtin A", "Own B", "Own C"}; !reflect.DeepEqual(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if c, ok := catalog.Get("b"); !ok || c.Name != "Own B" {
		t.Errorf("the operator's does not win: %+v", c)
	}
	if _, ok := catalog.Get("mine"); ok {
		t.Error("a file's name is no id")
	}
	filled, err := preset.NewCatalog(builtin, nil, preset.Known{}, defaults())
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := filled.Get("a"); c.MaxTurns != 100 || c.ResourceLimits.MemoryLimit != "4g" || len(c.AllowedTools) != 1 || c.AllowedTools[0] != "Read" {
		t.Errorf("what a preset leaves out is not filled in: %+v", c)
	}
	if alone, err := preset.NewCatalog(builtin, nil, preset.Known{}, preset.Defaults{}); err != nil || len(alone.List()) != 2 {
		t.Errorf("without a folder of one's own: %v", err)
	}
	_, err = preset.NewCatalog(fstest.MapFS{"x.yaml": file("X", "x")}, fstest.MapFS{"y.yaml": file("Y", "y")}, preset.Known{}, preset.Defaults{})
	if err == nil || !strings.Contains(err.Error(), "preset x.yaml") || !strings.Contains(err.Error(), "preset y.yaml") {
		t.Errorf("got %v, want the errors of both folders", err)
	}
}

func defaults() preset.Defaults {
	return preset.Defaults{
		SystemPrompt: "Default.", AllowedTools: []string{"Read"}, PermissionMode: "acceptEdits", MaxTurns: 100,
		ResourceLimits: preset.ResourceLimits{CPUQuota: 200000, MemoryLimit: "4g", StorageLimit: "10g"},
	}
}

func TestComplete(t *testing.T) {
	catalog, err := preset.NewCatalog(fstest.MapFS{}, nil, preset.Known{Policies: []string{"path"}}, defaults())
	if err != nil {
		t.Fatal(err)
	}
	got, err := catalog.Complete(preset.Config{})
	want := preset.Config{
		ID: "inline", Name: "inline", AllowedTools: []string{"Read"}, SystemPrompt: preset.SystemPrompt{Text: "Default."},
		PermissionMode: "acceptEdits", MaxTurns: 100, ResourceLimits: defaults().ResourceLimits,
		Network: preset.Network{Egress: "open"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	given := preset.Config{
		ID: "mine", Name: "Mine", AllowedTools: []string{}, SystemPrompt: preset.SystemPrompt{Preset: true}, PermissionMode: "plan",
		MaxTurns: 5, ResourceLimits: preset.ResourceLimits{CPUQuota: 100000, MemoryLimit: "1g", StorageLimit: "1g"},
		Network: preset.Network{Egress: "none"},
	}
	if got, err := catalog.Complete(given); err != nil || !reflect.DeepEqual(got, given) {
		t.Errorf("what is given was changed: %+v, %v", got, err)
	}
	part := preset.Config{ResourceLimits: preset.ResourceLimits{MemoryLimit: "1g"}}
	if got, err := catalog.Complete(part); err != nil || got.ResourceLimits != (preset.ResourceLimits{CPUQuota: 200000, MemoryLimit: "1g", StorageLimit: "10g"}) {
		t.Errorf("got %+v, %v", got.ResourceLimits, err)
	}
	_, err = catalog.Complete(preset.Config{Policies: []preset.Policy{{Name: "nope"}}})
	if _, ok := errors.AsType[preset.Errors](err); !ok || !strings.Contains(err.Error(), `policies[0].name: unknown policy "nope"`) {
		t.Errorf("got %v", err)
	}
}

func TestFillSharesNothing(t *testing.T) {
	d := defaults()
	d.Fill(preset.Config{}).AllowedTools[0] = "Bash"
	if d.AllowedTools[0] != "Read" {
		t.Error("a session changed the defaults of all")
	}
}

func TestSummary(t *testing.T) {
	c := everythingConfig()
	text, err := json.Marshal(c.Summary())
	const want = `{"id":"all-of-it","name":"All of it","description":"Every key there is.","version":"1.2.3",` +
		`"allowed_tools":["Bash","Task","mcp__github__create_issue"],"has_mcp_servers":true,"has_sub_agents":true,"permission_mode":"plan","custom":false}`
	if err != nil || string(text) != want {
		t.Errorf("got  %s, %v\nwant %s", text, err, want)
	}
	if s := (preset.Config{Agents: map[string]agent.SubAgent{}}).Summary(); s.HasMCPServers || s.HasSubAgents {
		t.Errorf("got %+v", s)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "1b": 1, "1k": 1 << 10, "1K": 1 << 10, "1kb": 1 << 10, "1KiB": 1 << 10, "512m": 512 << 20, "4g": 4 << 30, "4G": 4 << 30,
		" 4gb ": 4 << 30, "1.5g": 3 << 29, "0.5k": 512, "2t": 2 << 40, "8388607t": 8388607 << 40, "1048576": 1 << 20,
	} {
		if got, err := preset.ParseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "is no size", "g": "is no size", "4x": "is no size", "-1g": "is no size", "1e3": "is no size", "4 g": "is no size", "1ib": "is no size",
		"1bb": "is no size", "0x10": "is no size", "1.g": "is no size", ".5g": "is no size", "1,5g": "is no size", "+1": "is no size", "1g1": "is no size",
		"0": "is nothing", "0g": "is nothing", "0.1b": "is nothing", "0.0001k": "is nothing",
		"8388608t": "is too large", "999999999999999t": "is too large", "8388608.5t": "is too large", "1000000000000000000": "is no size",
		strings.Repeat("9", 100): "is no size",
	} {
		if got, err := preset.ParseSize(text); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 120 {
			t.Errorf("%q: %d, %v; want %s", text, got, err, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, seed := range []string{"1", "4g", "1.5GiB", "0.000001t", "999999999999999t", "8388607.999999t"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := preset.ParseSize(text)
		if err != nil {
			return
		}
		if n <= 0 || n == math.MaxInt64 {
			t.Errorf("%q is %d", text, n)
		}
		if back, err := preset.ParseSize(preset.FormatSize(n)); n < 1e15 && (err != nil || back != n) {
			t.Errorf("%q is %d, written %s, read %d, %v", text, n, preset.FormatSize(n), back, err)
		}
	})
}
