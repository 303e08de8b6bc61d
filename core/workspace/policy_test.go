package workspace

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/guard"
	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/core/policy/policytest"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
	"github.com/agcluster/agcluster/plugins/sdk/plugintest"
)

// sessions has one session, with policies and the verdicts that were recorded for it.
type sessions struct {
	config   preset.Config
	verdicts []event.Verdict
}

// Scope implements guard.Sessions.
func (s *sessions) Scope(_ context.Context, id string) (session.Scope, error) {
	return session.Scope{SessionID: id, ConfigID: "c", Config: s.config}, nil
}

// Record implements guard.Sessions.
func (s *sessions) Record(_ context.Context, _ string, v event.Verdict) error {
	s.verdicts = append(s.verdicts, v)
	return nil
}

// PolicyState implements guard.States.
func (s *sessions) PolicyState(context.Context, string, string) (json.RawMessage, error) {
	return nil, nil
}

// PutPolicyState implements guard.States.
func (s *sessions) PutPolicyState(context.Context, string, string, json.RawMessage) error { return nil }

// realGates are the gates with the real modules, as the host has them.
func realGates(tb testing.TB, s *sessions) *guard.Files {
	tb.Helper()
	ctx := context.Background()
	log := zaptest.NewLogger(tb)
	modules, err := policy.New(ctx, policy.Config{}, log)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := modules.Close(ctx); err != nil {
			tb.Error(err)
		}
	})
	for _, name := range []string{"archive", "path"} {
		dir := filepath.Join("..", "..", "policies", name)
		out := filepath.Join(tb.TempDir(), name+".wasm")
		if err := policytest.Build(out, dir); err != nil {
			tb.Fatal(err)
		}
		code, codeErr := os.ReadFile(out)
		manifest, err := os.ReadFile(filepath.Join(dir, "policy.yaml"))
		if err := errors.Join(codeErr, err); err != nil {
			tb.Fatal(err)
		}
		if err := modules.Load(ctx, manifest, code); err != nil {
			tb.Fatal(err)
		}
	}
	g, err := guard.New(guard.Config{}, modules.Module, nil, s, log)
	if err != nil {
		tb.Fatal(err)
	}
	return guard.NewFiles(g, s)
}

func policies(archive, path string) preset.Config {
	return preset.Config{Policies: []preset.Policy{
		{Name: "archive", Params: json.RawMessage(archive)}, {Name: "path", Params: json.RawMessage(path)},
	}}
}

// TestTheRealPoliciesAndTheRealZipExporter has nothing made up but the sandbox: what is sent to the gates is what the modules read.
func TestTheRealPoliciesAndTheRealZipExporter(t *testing.T) {
	s := &sessions{}
	gates := realGates(t, s)
	s.config = policies(`{}`, `{"read":["/workspace/**"]}`)
	if err := gates.Path(context.Background(), "tilde", "read", "~/f"); err != nil {
		t.Errorf("a folder called ~ is one like any other: %v", err)
	}
	plugin := plugintest.Start(t, plugintest.Build(t, "../../plugins/exporters/zip"), nil)
	const mib = 1 << 20
	large := newBox(nil)
	large.listing = []agent.Entry{{Path: "zeros", Type: agent.EntryFile, Size: 64 * mib}}
	large.archive = zeros(64 * mib)
	small := func() *box {
		return newBox(map[string]string{"src/a.txt": "hello", "src/b.txt": "world!", "empty/": "", "link@": "src/a.txt", "bad\xff": "x", "~/f": "y"})
	}
	for name, c := range map[string]struct {
		box           *box
		archive, path string
		// limit says that the refusal is about a limit, reason is in it; without a reason the export succeeds.
		limit  bool
		reason string
	}{
		"by default":       {small(), `{}`, `{}`, false, ""},
		"at every limit":   {small(), `{"max_entries":8,"max_bytes":22,"max_entry_bytes":9}`, `{}`, false, ""},
		"too many entries": {small(), `{"max_entries":7}`, `{}`, true, "is entry 8, the limit is max_entries = 7"},
		"too many bytes":   {small(), `{"max_bytes":21}`, `{}`, true, "has 22 bytes, the limit is max_bytes = 21"},
		"too large a file": {small(), `{"max_entry_bytes":5}`, `{}`, true, "the limit is max_entry_bytes = 5"},
		"packed too far":   {large, `{"max_ratio":20}`, `{}`, true, "the limit is max_ratio = 20"},
		"a name":           {small(), `{"deny":["**/a.txt"]}`, `{}`, false, `"src/a.txt" may not leave`},
		"a path":           {small(), `{}`, `{"deny":["/workspace/src/b.*"]}`, false, "reading /workspace/src/b.txt is denied"},
	} {
		t.Run(name, func(t *testing.T) {
			s.config, s.verdicts = policies(c.archive, c.path), nil
			r := start(t, c.box, Config{}, plugin.Exporter)
			// Policies are kept by session.
			r.Service.gates, r.id = gates, name
			out, done, err := r.export(ExportRequest{Name: "mine"})
			if c.reason == "" {
				if err != nil {
					t.Fatal(err)
				}
				checkZip(t, out)
				return
			}
			var denied *guard.DeniedError
			var large *TooLargeError
			if !errors.As(err, &denied) || errors.As(err, &large) != c.limit || !strings.Contains(denied.Reason, c.reason) {
				t.Errorf("got %v, want %q", err, c.reason)
			}
			if len(out.began) > 0 || out.Len() > 0 || done.Bytes > 40*mib {
				t.Errorf("%d bytes left, %d were read", out.Len(), done.Bytes)
			}
			if len(s.verdicts) != 1 || s.verdicts[0].Decision != "deny" {
				t.Errorf("recorded %+v", s.verdicts)
			}
		})
	}
}

func checkZip(t *testing.T, out *client) {
	t.Helper()
	if len(out.began) != 1 || out.began[0].FileName != "mine.zip" || out.began[0].MediaType != "application/zip" {
		t.Errorf("began with %+v", out.began)
	}
	z, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	want := []string{"bad\xff", "empty/", "link", "src/", "src/a.txt", "src/b.txt", "~/", "~/f"}
	if slices.Sort(names); !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

// TestABatchHasTheFieldsThatThePolicyReads holds the names; what they mean is above.
func TestABatchHasTheFieldsThatThePolicyReads(t *testing.T) {
	b, err := json.Marshal(Batch{"export", []BatchEntry{{"a", agent.EntryFile, 1}}, 2, 3, 4})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"op":"export","entries":[{"path":"a","type":"file","size":1}],"entries_before":2,"bytes_before":3,"bytes_out":4}`
	if string(b) != want {
		t.Errorf("got %s, want %s", b, want)
	}
}

func BenchmarkGatesOf10000Entries(b *testing.B) {
	s := &sessions{config: policies(`{"deny":["**/.env"]}`, `{"deny":["/workspace/secrets/**"]}`)}
	gates := realGates(b, s)
	bx := newBox(nil)
	for i := range 10_000 {
		bx.put(fmt.Sprintf("d%d/some-file-%d.txt", i%50, i), "x")
	}
	delete(bx.items, slices.Max(slices.Collect(maps.Keys(bx.items))))
	for i := range 49 {
		delete(bx.items, fmt.Sprintf("d0/some-file-%d.txt", i*50))
	}
	r := start(b, bx, Config{}, exporter(plain))
	r.Service.gates = gates
	for b.Loop() {
		if _, _, err := r.export(ExportRequest{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGatesBelowAFolderOf10000 deletes and moves a folder, and puts the same deletion to the gates path by path for comparison.
func BenchmarkGatesBelowAFolderOf10000(b *testing.B) {
	s := &sessions{config: policies(`{}`, `{"deny":["/workspace/secrets/**"]}`)}
	gates := realGates(b, s)
	bx := newBox(map[string]string{"to/": ""})
	for i := range 10_000 {
		bx.put(fmt.Sprintf("d/%d/some-file-%d.txt", i%50, i), "x")
	}
	r := start(b, bx, Config{}, exporter(plain))
	r.Service.gates = gates
	v, err := r.enter(b.Context(), "s", "delete", "d", false)
	if err != nil {
		b.Fatal(err)
	}
	defer v.release()
	one := func() error {
		return v.files.Tree(b.Context(), "d", func(e agent.Entry) error { return gates.Path(b.Context(), "s", "delete", e.Raw()) })
	}
	for name, do := range map[string]func() error{
		"delete": func() error { return v.gateBelow(b.Context(), wish{"delete", "d"}) },
		"move": func() error {
			return v.gateBelow(b.Context(), wish{"read", "d"}, wish{"delete", "d"}, wish{"write", "to/d"})
		},
		"path by path": one,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
