package guard

import (
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
)

type sessions struct {
	policies []preset.Policy
	recorded []event.Verdict
	scopeErr error
	err      error
}

func (s *sessions) Scope(_ context.Context, id string) (session.Scope, error) {
	return scope(id, s.policies...), s.scopeErr
}

func (s *sessions) Record(_ context.Context, _ string, v event.Verdict) error {
	s.recorded = append(s.recorded, v)
	return s.err
}

func TestFileRequestsAreJudgedAndRefusalsRecorded(t *testing.T) {
	g := newRig(t, Config{Policies: []preset.Policy{puppet("puppet",
		`{"gate":"path.access","contains":"\"path\":\"/workspace/secret\"","verdict":"deny","reason":"not that"}`,
		`{"gate":"path.access","contains":"/etc","verdict":"deny"}`,
		`{"gate":"path.access","contains":"dear","verdict":"ask"}`,
		`{"gate":"path.access","contains":"~","verdict":"deny","reason":"a name like any other"}`,
		`{"gate":"path.access","contains":"\"op\":\"delete\"","verdict":"deny","reason":"nothing is deleted"}`,
		`{"gate":"archive.entry","contains":"\"size\":9","verdict":"deny","reason":"too large"}`,
		`{"gate":"archive.entry","contains":"turn","verdict":"rewrite","rewrite":{}}`)}}, nil)
	type entry struct {
		Path string `json:"path"`
		Size int    `json:"size"`
	}
	for name, c := range map[string]struct {
		do     func(*Files) error
		gate   string
		reason string
	}{
		"a file":                {func(f *Files) error { return f.Path(t.Context(), "s", "read", "a/b.txt") }, "", ""},
		"a file that is denied": {func(f *Files) error { return f.Path(t.Context(), "s", "read", "x/../secret") }, "path.access", "not that"},
		"a path that climbs":    {func(f *Files) error { return f.Path(t.Context(), "s", "write", "../etc/passwd") }, "path.access", "denied by the policy"},
		"an absolute path":      {func(f *Files) error { return f.Path(t.Context(), "s", "read", "/etc/passwd") }, "path.access", "denied by the policy"},
		"a deletion":            {func(f *Files) error { return f.Path(t.Context(), "s", "delete", "a") }, "path.access", "nothing is deleted"},
		"a question":            {func(f *Files) error { return f.Path(t.Context(), "s", "read", "dear") }, "path.access", "the policy answers ask, which a file request can't follow"},
		// For the file API ~ is no home; a rule on /workspace must see it.
		"a tilde": {func(f *Files) error { return f.Path(t.Context(), "s", "read", "~/x") }, "path.access", "a name like any other"},
		"a batch": {func(f *Files) error {
			return f.Batch(t.Context(), "s", map[string]any{"entries": []entry{{"a", 1}}})
		}, "", ""},
		"a batch that is denied": {func(f *Files) error {
			return f.Batch(t.Context(), "s", map[string]any{"entries": []entry{{"a", 1}, {"b", 9}}})
		}, "archive.entry", "too large"},
		"a batch that is to be rewritten": {func(f *Files) error {
			return f.Batch(t.Context(), "s", map[string]any{"turn": 1})
		}, "archive.entry", "policy puppet: it rewrites at the gate archive.entry"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sessions{}
			err := c.do(NewFiles(g.Guard, s))
			if c.reason == "" {
				if err != nil || len(s.recorded) != 0 {
					t.Errorf("got %v, recorded %+v", err, s.recorded)
				}
				return
			}
			var denied *DeniedError
			if !errors.As(err, &denied) {
				t.Fatalf("got %v, want a DeniedError", err)
			}
			if gate, by, reason := denied.Denied(); gate != c.gate || by != "policy:puppet" || reason != c.reason {
				t.Errorf("got %s %s %q", gate, by, reason)
			}
			if err.Error() != c.gate+" denied by policy:puppet: "+c.reason {
				t.Errorf("got %q", err)
			}
			if want := (event.Verdict{Gate: c.gate, Decision: "deny", By: "policy:puppet", Reason: c.reason}); len(s.recorded) != 1 || s.recorded[0] != want {
				t.Errorf("recorded %+v", s.recorded)
			}
		})
	}
}

func TestARefusalThatCanNotBeRecordedIsNoAllowance(t *testing.T) {
	g := newRig(t, Config{Policies: []preset.Policy{puppet("puppet", `{"gate":"path.access","verdict":"deny"}`)}}, nil)
	disk := errors.New("disk")
	if err := NewFiles(g.Guard, &sessions{err: disk}).Path(t.Context(), "s", "read", "a"); !errors.Is(err, disk) {
		t.Errorf("got %v", err)
	}
	s := &sessions{scopeErr: session.ErrNotFound}
	if err := NewFiles(g.Guard, s).Path(t.Context(), "s", "read", "a"); !errors.Is(err, session.ErrNotFound) || len(s.recorded) != 0 {
		t.Errorf("got %v", err)
	}
}

func TestWhatTheHostCanNotJudgeIsItsOwnDenial(t *testing.T) {
	g := newRig(t, Config{Policies: []preset.Policy{{Name: "nobody"}}}, nil)
	s := &sessions{}
	var denied *DeniedError
	if err := NewFiles(g.Guard, s).Path(t.Context(), "s", "read", "a"); !errors.As(err, &denied) || denied.By != "host" || len(s.recorded) != 1 {
		t.Errorf("got %v, recorded %+v", err, s.recorded)
	}
	if err := NewFiles(newRig(t, Config{}, nil).Guard, s).Batch(t.Context(), "s", make(chan int)); !errors.As(err, &denied) || denied.By != "host" {
		t.Errorf("got %v", err)
	}
}

// TestManyPathsAreJudgedTogether has one policy that takes batches and one that does not.
func TestManyPathsAreJudgedTogether(t *testing.T) {
	rels := []string{"d/a", "d/secret", "~/b", "d/\xff"}
	for name, c := range map[string]struct {
		policies   []preset.Policy
		by, reason string
		// asked is how often each policy is.
		asked map[string]Counts
	}{
		"nobody judges paths": {},
		"all are allowed": {
			policies: []preset.Policy{puppet("puppet"), puppet("other")}, asked: map[string]Counts{"puppet": {Allow: 4}, "other": {Allow: 1}},
		},
		"one is denied by who is asked one by one": {
			policies: []preset.Policy{puppet("puppet", `{"gate":"path.access","contains":"secret","verdict":"deny","reason":"no"}`), puppet("other")},
			by:       "policy:puppet", reason: "/workspace/d/secret: no", asked: map[string]Counts{"puppet": {Allow: 1, Deny: 1}},
		},
		"one is denied without a word": {
			policies: []preset.Policy{puppet("puppet", `{"gate":"path.access","contains":"secret","verdict":"deny"}`)},
			by:       "policy:puppet", reason: "/workspace/d/secret: deny", asked: map[string]Counts{"puppet": {Allow: 1, Deny: 1}},
		},
		"one is denied by who names it": {
			policies: []preset.Policy{puppet("puppet", `{"gate":"path.access","contains":"secret","verdict":"deny","reason":"/workspace/d/secret is closed"}`)},
			by:       "policy:puppet", reason: "/workspace/d/secret is closed", asked: map[string]Counts{"puppet": {Allow: 1, Deny: 1}},
		},
		"one is denied in the batch": {
			policies: []preset.Policy{puppet("puppet"), puppet("other", `{"gate":"path.access","contains":"\"paths\":[\"/workspace/d/a\",\"/workspace/d/secret\",\"/workspace/~/b\"","verdict":"deny","reason":"secret"}`)},
			by:       "policy:other", reason: "secret", asked: map[string]Counts{"puppet": {Allow: 4}, "other": {Deny: 1}},
		},
		"a denial is stricter than a question": {
			policies: []preset.Policy{puppet("puppet", `{"gate":"path.access","contains":"/a","verdict":"ask","reason":"sure?"}`), puppet("other", `{"gate":"path.access","verdict":"deny","reason":"no"}`)},
			by:       "policy:other", reason: "no", asked: map[string]Counts{"puppet": {Allow: 3, Ask: 1}, "other": {Deny: 1}},
		},
		"a question is a denial that names its path": {
			policies: []preset.Policy{puppet("puppet", `{"gate":"path.access","contains":"/b","verdict":"ask","reason":"sure?"}`)},
			by:       "policy:puppet", reason: "the policy answers ask (/workspace/~/b: sure?), which a file request can't follow", asked: map[string]Counts{"puppet": {Allow: 3, Ask: 1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, Config{}, nil)
			s := &sessions{policies: c.policies}
			err := NewFiles(g.Guard, s).Paths(t.Context(), "s", "delete", rels)
			var denied *DeniedError
			switch {
			case c.by == "":
				if err != nil || len(s.recorded) != 0 {
					t.Errorf("got %v, recorded %+v", err, s.recorded)
				}
			case !errors.As(err, &denied) || denied.Gate != "path.access" || denied.By != c.by || denied.Reason != c.reason || len(s.recorded) != 1:
				t.Errorf("got %v, recorded %+v", err, s.recorded)
			}
			if got := g.Counts(); !maps.Equal(got, c.asked) {
				t.Errorf("asked %+v, want %+v", got, c.asked)
			}
		})
	}
	s := &sessions{policies: []preset.Policy{{Name: "nobody"}}}
	var denied *DeniedError
	if err := NewFiles(newRig(t, Config{}, nil).Guard, s).Paths(t.Context(), "s", "delete", rels); !errors.As(err, &denied) || denied.By != "host" {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s = &sessions{policies: []preset.Policy{puppet("other")}}
	if err := NewFiles(newRig(t, Config{}, nil).Guard, s).Paths(ctx, "s", "delete", rels); !errors.As(err, &denied) || denied.By != "host" {
		t.Errorf("got %v", err)
	}
}
