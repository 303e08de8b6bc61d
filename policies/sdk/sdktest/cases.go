// Package sdktest runs the cases.yaml of a policy module against its judge function, natively. The host's tests run the same cases
// through the compiled module.
package sdktest

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/agcluster/agcluster/policies/sdk"
)

// Case is one question and the verdict it must get. Values are YAML and become JSON.
type Case struct {
	Name   string `yaml:"name"`
	Gate   string `yaml:"gate"`
	Params any    `yaml:"params"`
	State  any    `yaml:"state"`
	Input  any    `yaml:"input"`
	Want   struct {
		Verdict string `yaml:"verdict"`
		// Reason is a regular expression.
		Reason string `yaml:"reason"`
		// Rewrite and State are compared as JSON when they are there.
		Rewrite any `yaml:"rewrite"`
		State   any `yaml:"state"`
	} `yaml:"want"`
}

// Load reads the cases in a file.
func Load(path string) ([]Case, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	var cases []Case
	return cases, dec.Decode(&cases)
}

// JSON is the question as the host puts it.
func (c Case) JSON() ([]byte, error) {
	params := c.Params
	if params == nil {
		params = map[string]any{}
	}
	return json.Marshal(map[string]any{
		"gate": c.Gate, "session": sdk.Session{ID: "conv-test", ConfigID: "test", Workspace: "/workspace"},
		"params": params, "state": c.State, "input": c.Input,
	})
}

// Check compares a verdict with what the case wants.
func (c Case) Check(t *testing.T, got sdk.Verdict) {
	t.Helper()
	if string(got.Decision) != c.Want.Verdict {
		t.Errorf("verdict %q (%s), want %q", got.Decision, got.Reason, c.Want.Verdict)
	}
	if ok, err := regexp.MatchString(c.Want.Reason, got.Reason); err != nil || !ok {
		t.Errorf("reason %q does not match %q", got.Reason, c.Want.Reason)
	}
	same(t, "rewrite", got.Rewrite, c.Want.Rewrite)
	same(t, "state", got.State, c.Want.State)
}

func same(t *testing.T, what string, got json.RawMessage, want any) {
	t.Helper()
	if want == nil {
		return
	}
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var a, b any
	if json.Unmarshal(got, &a) != nil || json.Unmarshal(raw, &b) != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("%s %s, want %s", what, got, raw)
	}
}

// Run runs every case of a file against judge.
func Run[P any](t *testing.T, path string, judge func(sdk.Input[P]) sdk.Verdict) {
	t.Helper()
	cases, err := Load(path)
	if err != nil {
		t.Fatalf("reading %s: %v", path, err)
	}
	if len(cases) == 0 {
		t.Fatalf("%s has no cases", path)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			in, err := c.JSON()
			if err != nil {
				t.Fatal(err)
			}
			var got sdk.Verdict
			if err := json.Unmarshal(sdk.Respond(in, judge), &got); err != nil {
				t.Fatal(err)
			}
			c.Check(t, got)
		})
	}
}
