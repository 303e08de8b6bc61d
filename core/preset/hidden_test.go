package preset_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/preset"
)

func TestOnlyLiteralValuesAreMasked(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "${TOKEN}": "${TOKEN}", "${TOKEN:-}": "${TOKEN:-}", "${HOST:-git.example.org}": "***", "${_a1}": "${_a1}",
		"hunter2": "***", "***": "***", " ": "***", "Bearer ${TOKEN}": "***", "${TOKEN}x": "***", "$TOKEN": "***", "${}": "***", "${1A}": "***",
		"${A}${B}": "***", "${A:-${B}}": "***", "${A:-x}y}": "***", "${A:-hunter2": "***", "${TOKEN}\n": "***",
	} {
		c := preset.Config{
			Env: map[string]string{"A": value},
			MCPServers: map[string]agent.MCPServer{
				"s": {Command: "c", Args: []string{"a"}, Env: map[string]string{"B": value}}, "w": {Type: "http", URL: "https://x", Headers: map[string]string{"C": value}},
			},
		}
		got := preset.Masked(c)
		if got.Env["A"] != want || got.MCPServers["s"].Env["B"] != want || got.MCPServers["w"].Headers["C"] != want || got.MCPServers["s"].Command != "c" {
			t.Errorf("%q: got %+v, want %q", value, got, want)
		}
		if c.Env["A"] != value || c.MCPServers["s"].Env["B"] != value {
			t.Errorf("%q: the configuration itself was masked", value)
		}
	}
	if got := preset.Masked(preset.Config{}); !reflect.DeepEqual(got, preset.Config{}) {
		t.Errorf("nothing became %+v", got)
	}
}

func TestNobodyLaunchesWithAHiddenValue(t *testing.T) {
	c := checker(t)
	_, err := c.Complete(preset.Config{
		Env: map[string]string{"A": "***", "B": ""},
		MCPServers: map[string]agent.MCPServer{
			"s": {Command: "c", Env: map[string]string{"T": "***", "U": "${U}"}}, "w": {Type: "http", URL: "https://x", Headers: map[string]string{"Authorization": "***"}},
		},
	})
	found, _ := errors.AsType[preset.Errors](err)
	var fields []string
	for _, e := range found {
		fields = append(fields, e.Field)
		if !strings.Contains(e.Message, "give the value itself, or launch by config_id") {
			t.Errorf("%+v", e)
		}
	}
	if got, want := strings.Join(fields, " "), "env.A mcp_servers.s.env.T mcp_servers.w.headers.Authorization"; got != want {
		t.Errorf("refused %q, want %q", got, want)
	}
	if _, err := c.Complete(preset.Config{Env: map[string]string{"A": "a *** b"}}); err != nil {
		t.Errorf("stars within a value: %v", err)
	}
}

func TestCheckKnowsWhatAHiddenValueStandsFor(t *testing.T) {
	l := library(t, t.TempDir())
	if _, err := l.Create([]byte(`{"id":"x","env":{"A":"one"}}`)); err != nil {
		t.Fatal(err)
	}
	const why = "*** stands for a value that is not shown; give the value itself, or launch by config_id"
	for name, c := range map[string]struct {
		text string
		want string
		line int
	}{
		"of what is kept":                 {"id: x\nenv: {A: '***'}\n", "", 0},
		"of what is not":                  {"id: x\nenv:\n  A: '***'\n  B: '***'\n", "env.B: " + why, 4},
		"of another configuration":        {"id: y\nenv: {A: '***'}\n", "env.A: " + why, 2},
		"of one that has no id yet":       {"env: {A: '***'}\n", "env.A: " + why, 1},
		"of a server that was not there":  {"id: x\nmcp_servers:\n  s:\n    command: c\n    env: {A: '***'}\n", "mcp_servers.s.env.A: " + why, 5},
		"next to what is wrong otherwise": {"id: x\nmax_turns: many\nenv: {C: '***'}\n", "max_turns: must be a whole number, got a string; env.C: " + why, 2},
	} {
		got := l.Check([]byte(c.text), preset.FormatYAML)
		var told []string
		for _, e := range got.Errors {
			told = append(told, e.Field+": "+e.Message)
		}
		if strings.Join(told, "; ") != c.want || c.line > 0 && got.Errors[0].Line != c.line {
			t.Errorf("%s: got %q at %+v", name, told, got.Errors)
		}
	}
	if got := l.Check([]byte(`{"id":"x","env":{"B":"***"}}`), preset.FormatJSON); len(got.Errors) != 1 || got.Config.Env["B"] != "***" {
		t.Errorf("as JSON: %+v", got)
	}
}
