package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/policy/policytest"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk"
)

const puppetManifest = `
name: %s
gates: [tool.call, path.access, archive.entry, network.connect, agent.launch]
batches: [%s]
params: {type: object, additionalProperties: false, properties: {rules: {type: array}}}
`

// fillVar names the folder of the guest whose compiled code this binary, started again, puts into the cache.
const fillVar = "AGCLUSTER_TEST_FILL"

// puppets has testdata/puppet loaded as "puppet" and as "other". It is built at its first use, so that fuzzing, whose workers each run
// TestMain, does not wait for it.
var puppets = sync.OnceValues(buildPuppets)

type built struct {
	dir     string
	runtime *policy.Runtime
}

var made *built

func TestMain(m *testing.M) {
	if dir := os.Getenv(fillVar); dir != "" {
		r, err := load(dir)
		if err == nil {
			err = r.Close(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	var err error
	if made != nil {
		err = errors.Join(made.runtime.Close(context.Background()), os.RemoveAll(made.dir))
	}
	if err == nil && code == 0 {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func load(dir string) (*policy.Runtime, error) {
	ctx := context.Background()
	r, err := policy.New(ctx, policy.Config{CacheDir: filepath.Join(dir, "cache"), Timeout: time.Second}, zap.NewNop())
	if err != nil {
		return nil, err
	}
	return r, r.LoadDir(ctx, dir)
}

func buildPuppets() (*policy.Runtime, error) {
	dir, err := os.MkdirTemp("", "agc")
	if err != nil {
		return nil, err
	}
	out := filepath.Join(dir, "puppet.wasm")
	if err := policytest.Build(out, "testdata/puppet"); err != nil {
		return nil, err
	}
	if err := os.Link(out, filepath.Join(dir, "other.wasm")); err != nil {
		return nil, err
	}
	// Only the other one takes batches.
	for name, batches := range map[string]string{"puppet": "", "other": "path.access"} {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), fmt.Appendf(nil, puppetManifest, name, batches), 0o600); err != nil {
			return nil, err
		}
	}
	// Compiling takes ten times as long with the race detector, so a run without it fills the cache.
	fill := exec.Command("go", "test", "-run", "^$", ".")
	fill.Env = append(os.Environ(), fillVar+"="+dir)
	if b, err := fill.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compiling the puppet: %w\n%s", err, b)
	}
	r, err := load(dir)
	if err != nil {
		return nil, err
	}
	made = &built{dir, r}
	return r, nil
}

// states is a store of policies' states.
type states struct {
	mu     sync.Mutex
	kept   map[string]json.RawMessage
	before func(sessionID string) error
	put    error
}

func (s *states) PolicyState(_ context.Context, sessionID, name string) (json.RawMessage, error) {
	if s.before != nil {
		if err := s.before(sessionID); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[sessionID+" "+name], nil
}

func (s *states) PutPolicyState(_ context.Context, sessionID, name string, state json.RawMessage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[sessionID+" "+name] = slices.Clone(state)
	return s.put
}

// filter is a filter plugin that notes what it sees.
type filter struct {
	mu     sync.Mutex
	seen   []string
	call   func(context.Context, sdk.Call) (sdk.Outcome, error)
	result func(context.Context, sdk.Result) (sdk.Outcome, error)
}

func (f *filter) FilterCall(ctx context.Context, c sdk.Call) (sdk.Outcome, error) {
	f.note(string(c.Input))
	if f.call == nil {
		return sdk.Outcome{Decision: sdk.Pass}, nil
	}
	return f.call(ctx, c)
}

func (f *filter) FilterResult(ctx context.Context, r sdk.Result) (sdk.Outcome, error) {
	f.note(string(r.Output))
	if f.result == nil {
		return sdk.Outcome{Decision: sdk.Pass}, nil
	}
	return f.result(ctx, r)
}

func (f *filter) note(s string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, s)
}

// answering is a filter that always answers the same.
func answering(out sdk.Outcome, err error) *filter {
	return &filter{
		call:   func(context.Context, sdk.Call) (sdk.Outcome, error) { return out, err },
		result: func(context.Context, sdk.Result) (sdk.Outcome, error) { return out, err },
	}
}

func rewriting(to string) *filter {
	return answering(sdk.Outcome{Decision: sdk.Rewrite, Reason: "rewritten", Replacement: json.RawMessage(to)}, nil)
}

// rig is a guard with all around it.
type rig struct {
	*Guard
	states  *states
	filters map[string]*filter
}

// newRig returns a guard with the operator's policies and filters; the filters of all layers are in the map.
func newRig(t *testing.T, cfg Config, filters map[string]*filter) *rig {
	t.Helper()
	modules := func(name string) (*policy.Module, bool) {
		r, err := puppets()
		if err != nil {
			t.Error(err)
			return nil, false
		}
		return r.Module(name)
	}
	s := &states{kept: map[string]json.RawMessage{}}
	g, err := New(cfg, modules, func(_ context.Context, name string) (sdk.Filter, error) {
		f, ok := filters[name]
		if !ok {
			return nil, fmt.Errorf("there is no plugin filter-%s", name)
		}
		return f, nil
	}, s, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	return &rig{Guard: g, states: s, filters: filters}
}

// puppet names a policy with rules, each a JSON object.
func puppet(name string, rules ...string) preset.Policy {
	p := preset.Policy{Name: name, Params: json.RawMessage(`{"rules":[`)}
	for i, r := range rules {
		if i > 0 {
			p.Params = append(p.Params, ',')
		}
		p.Params = append(p.Params, r...)
	}
	p.Params = append(p.Params, `]}`...)
	return p
}

// scope is a session whose configuration allows some tools.
func scope(id string, policies ...preset.Policy) session.Scope {
	return session.Scope{SessionID: id, ConfigID: "test", Config: preset.Config{
		AllowedTools: []string{"Bash", "Read", "Write", "WebFetch"}, Policies: policies,
	}}
}

func fetch(url string) agent.Ask {
	return agent.Ask{ID: "a", Stage: agent.StageCall, Tool: "WebFetch", ToolUseID: "t", Input: json.RawMessage(`{"url":"` + url + `"}`)}
}

// told is the verdicts of a judgement, one line each.
func told(j session.Judgement) []string {
	var lines []string
	for _, v := range j.Verdicts {
		lines = append(lines, fmt.Sprintf("%s %s %s: %s", v.Gate, v.Decision, v.By, v.Reason))
	}
	return lines
}
