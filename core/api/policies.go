package api

import (
	"cmp"
	"context"
	"encoding/json"
	"net"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/agcluster/agcluster/core/egress/rule"
	"github.com/agcluster/agcluster/core/guard"
	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/preset"
)

// Trials tells of the policies as the gates use them.
type Trials interface {
	// Try asks what a session of this configuration would be told. It leaves nothing behind.
	Try(ctx context.Context, c preset.Config, q guard.Question) (guard.Trial, error)
	// Counts has the verdicts since the host began, by policy.
	Counts() map[string]guard.Counts
	// Operator lists the policies that every session has.
	Operator() []preset.Policy
}

// Object is any JSON object.
type Object json.RawMessage

// MarshalJSON implements json.Marshaler.
func (o Object) MarshalJSON() ([]byte, error) {
	if len(o) == 0 {
		return []byte("{}"), nil
	}
	return o, nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *Object) UnmarshalJSON(b []byte) error {
	*o = append((*o)[:0], b...)
	return nil
}

// Schema implements huma.SchemaProvider.
func (Object) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// LoadedPolicy is a policy module and what came of asking it.
type LoadedPolicy struct {
	PolicyInfo
	ParamsSchema Object        `json:"params_schema" doc:"JSON Schema of its parameters."`
	Operator     bool          `json:"operator" doc:"True when every session has it."`
	Params       Object        `json:"params" doc:"The operator's parameters; a configuration can only narrow them."`
	Verdicts     VerdictCounts `json:"verdicts"`
}

// VerdictCounts are the verdicts of a policy since the host began.
type VerdictCounts struct {
	Allow   int64 `json:"allow"`
	Deny    int64 `json:"deny"`
	Ask     int64 `json:"ask"`
	Rewrite int64 `json:"rewrite"`
}

// PolicyList answers GET /api/policies.
type PolicyList struct {
	Policies []LoadedPolicy `json:"policies" nullable:"false"`
	Total    int            `json:"total"`
}

type policyListOutput struct{ Body PolicyList }

func (a *API) listPolicies(context.Context, *struct{}) (*policyListOutput, error) {
	counts, operator := a.Trials.Counts(), map[string]preset.Policy{}
	for _, p := range a.Trials.Operator() {
		operator[p.Name] = p
	}
	out := &policyListOutput{Body: PolicyList{Policies: []LoadedPolicy{}}}
	for _, m := range a.Status.Policies() {
		p, always := operator[m.Name]
		c := counts[m.Name]
		out.Body.Policies = append(out.Body.Policies, LoadedPolicy{
			PolicyInfo: policyInfo(m), ParamsSchema: Object(m.Params), Operator: always, Params: Object(p.Params),
			Verdicts: VerdictCounts(c),
		})
	}
	out.Body.Total = len(out.Body.Policies)
	return out, nil
}

func policyInfo(m policy.ModuleInfo) PolicyInfo {
	info := PolicyInfo{Name: m.Name, Version: m.Version, Description: m.Description, Digest: m.Digest, Gates: []string{}}
	for _, g := range m.Gates {
		info.Gates = append(info.Gates, string(g))
	}
	return info
}

// CheckRequest is the body of POST /api/policies/check.
type CheckRequest struct {
	ConfigID  string        `json:"config_id,omitempty" doc:"Id of a configuration." maxLength:"64"`
	Config    *InlineConfig `json:"config,omitempty" doc:"An inline configuration, instead of config_id."`
	Gate      string        `json:"gate" enum:"tool.call,path.access,network.connect,agent.launch" doc:"What is asked: each gate has its own fields. agent.launch asks whether the configuration could be launched as it is."`
	Tool      string        `json:"tool,omitempty" doc:"tool.call: the tool, such as Bash. path.access: the tool that names the path, if any." maxLength:"256"`
	Arguments Object        `json:"arguments,omitempty" doc:"tool.call: the tool's input, such as {command: git push}."`
	Op        string        `json:"op,omitempty" enum:"read,write,delete,list" doc:"path.access: read, unless given."`
	Path      string        `json:"path,omitempty" doc:"path.access: absolute, or relative to the configuration's cwd." maxLength:"4096"`
	Host      string        `json:"host,omitempty" doc:"network.connect: a name or an address." maxLength:"1024"`
	Port      int           `json:"port,omitempty" minimum:"1" maximum:"65535" doc:"network.connect: 443, unless given."`
	Provider  string        `json:"provider,omitempty" doc:"agent.launch: name of a provider plugin; the host's default otherwise." maxLength:"64"`
}

type checkInput struct{ Body CheckRequest }

// CheckAnswer answers POST /api/policies/check.
type CheckAnswer struct {
	Verdict string      `json:"verdict" enum:"allow,deny,ask,rewrite"`
	By      string      `json:"by" doc:"Who decided: policy:NAME, filter:NAME, host or host:egress; empty when nobody minded."`
	Reason  string      `json:"reason"`
	Rewrite Object      `json:"rewrite,omitempty" doc:"The tool's new input, where it was rewritten."`
	Steps   []CheckStep `json:"steps" nullable:"false" doc:"Every answer on the way, in order. A policy is asked about the call, and about each path that it names."`
}

// CheckStep is one answer on the way.
type CheckStep struct {
	By      string `json:"by"`
	Verdict string `json:"verdict" enum:"allow,deny,ask,rewrite"`
	Reason  string `json:"reason"`
}

type checkOutput struct{ Body CheckAnswer }

func (a *API) checkPolicies(ctx context.Context, in *checkInput) (*checkOutput, error) {
	config, id, err := a.configOf(LaunchRequest{ConfigID: in.Body.ConfigID, Config: in.Body.Config})
	if err != nil {
		return nil, err
	}
	q, err := question(in.Body)
	if err != nil {
		return nil, err
	}
	if q.Gate == policy.GateAgentLaunch {
		if err := a.checkProvider(in.Body.Provider); err != nil {
			return nil, err
		}
		q.Source, q.Provider = a.source(id), cmp.Or(in.Body.Provider, a.cfg.Provider)
	}
	t, err := a.Trials.Try(ctx, config, q)
	if err != nil {
		return nil, a.problem(err)
	}
	out := &checkOutput{Body: CheckAnswer{
		Verdict: string(t.Verdict), By: t.By, Reason: t.Reason, Rewrite: Object(t.Rewrite), Steps: []CheckStep{},
	}}
	for _, s := range t.Steps {
		out.Body.Steps = append(out.Body.Steps, CheckStep{By: s.By, Verdict: string(s.Verdict), Reason: s.Reason})
	}
	return out, nil
}

// question is what is asked, with the fields that its gate needs.
func question(b CheckRequest) (guard.Question, error) {
	q := guard.Question{Gate: policy.Gate(b.Gate), Tool: b.Tool}
	switch q.Gate {
	case policy.GateToolCall:
		if b.Tool == "" {
			return q, invalid("body.tool", "the gate tool.call needs the name of a tool")
		}
		q.Input = json.RawMessage(b.Arguments)
		if len(q.Input) == 0 {
			q.Input = json.RawMessage("{}")
		}
	case policy.GatePathAccess:
		if b.Path == "" || strings.ContainsRune(b.Path, 0) {
			return q, invalid("body.path", "the gate path.access needs a path")
		}
		q.Op, q.Path = b.Op, b.Path
		if q.Op == "" {
			q.Op = "read"
		}
	case policy.GateAgentLaunch:
	default:
		port := b.Port
		if port == 0 {
			port = 443
		}
		target, err := rule.ParseTarget(net.JoinHostPort(b.Host, strconv.Itoa(port)), 0)
		if err != nil {
			return q, invalid("body.host", clip(err.Error()))
		}
		q.Connection = guard.Connection{Host: target.Host, Port: target.Port, Scheme: "connect"}
		if target.Addr.IsValid() {
			q.Connection.Address = target.Host
		}
	}
	return q, nil
}
