// Command puppet is a policy that answers as its parameters say. It is the policy of this folder's tests.
package main

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/agcluster/agcluster/policies/sdk"
)

func main() {}

var buffers sdk.Buffers

//go:wasmexport agcluster_abi_version
func abiVersion() uint32 { return sdk.ABIVersion }

//go:wasmexport alloc
func alloc(n uint32) uint32 { return buffers.Alloc(n) }

//go:wasmexport evaluate
func evaluate(_, n uint32) uint64 { return sdk.Evaluate(&buffers, n, judge) }

type params struct {
	Rules []rule `json:"rules"`
}

// rule is what to answer at a gate when the input contains a text; a rule without a text always holds.
type rule struct {
	Gate     string          `json:"gate"`
	Contains string          `json:"contains"`
	Verdict  string          `json:"verdict"`
	Reason   string          `json:"reason"`
	Rewrite  json.RawMessage `json:"rewrite"`
	// Count answers with how often it was asked, Fill leaves a state of that many bytes, Loop never answers.
	Count bool `json:"count"`
	Fill  int  `json:"fill"`
	Loop  bool `json:"loop"`
}

func judge(in sdk.Input[params]) sdk.Verdict {
	for _, r := range in.Params.Rules {
		if r.Gate != in.Gate || !strings.Contains(string(in.Input), r.Contains) {
			continue
		}
		for r.Loop {
		}
		v := sdk.Verdict{Decision: sdk.Decision(r.Verdict), Reason: r.Reason, Rewrite: r.Rewrite}
		if r.Fill > 0 {
			v.State, _ = json.Marshal(strings.Repeat("x", r.Fill))
		}
		if r.Count {
			n, _ := strconv.Atoi(string(in.State))
			v.State = json.RawMessage(strconv.Itoa(n + 1))
			v.Reason += strconv.Itoa(n + 1)
		}
		return v
	}
	return sdk.Allowed()
}
