// Package sdk is what the author of a policy module imports. A policy is a pure function from an Input to a Verdict; README.md of
// the parent folder is the reference. The three exports that the host calls are glue in the module's own wasm.go.
package sdk

import "encoding/json"

// ABIVersion is what a module exports as agcluster_abi_version.
const ABIVersion = 1

// Decision is what a policy decides.
type Decision string

// The decisions. Rewrite is only possible at the gate tool.call; Ask leaves a tool call to a person.
const (
	Allow   Decision = "allow"
	Deny    Decision = "deny"
	Ask     Decision = "ask"
	Rewrite Decision = "rewrite"
)

// Input is what the host asks. P is the type of the module's parameters.
type Input[P any] struct {
	Gate    string  `json:"gate"`
	Session Session `json:"session"`
	// Params are valid by the schema in policy.yaml. A parameter that is absent does not constrain: the host has filled in the
	// defaults where they apply.
	Params P `json:"params"`
	// State is what the last Verdict for this session left, null at first.
	State json.RawMessage `json:"state"`
	// Input depends on the gate.
	Input json.RawMessage `json:"input"`
}

// Session is what a policy may know of the session.
type Session struct {
	ID        string `json:"id"`
	ConfigID  string `json:"config_id"`
	Workspace string `json:"workspace"`
}

// Verdict is a decision with its reason, one line that people and the model read.
type Verdict struct {
	Decision Decision        `json:"verdict"`
	Reason   string          `json:"reason,omitempty"`
	Rewrite  json.RawMessage `json:"rewrite,omitempty"`
	State    json.RawMessage `json:"state,omitempty"`
}

// Allowed is the verdict that lets something pass.
func Allowed() Verdict { return Verdict{Decision: Allow} }

// Denied is the verdict that refuses, and why.
func Denied(reason string) Verdict { return Verdict{Decision: Deny, Reason: reason} }

// Respond is what a module does with the bytes it gets: it decodes the input, judges and encodes the verdict. Input that can't be
// read is a denial.
func Respond[P any](input []byte, judge func(Input[P]) Verdict) []byte {
	var in Input[P]
	v := Denied("the policy could not read its input")
	if err := json.Unmarshal(input, &in); err == nil {
		v = judge(in)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return []byte(`{"verdict":"deny","reason":"the policy could not write its verdict"}`)
	}
	return out
}
