package workspace

import (
	"context"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/core/agent"
)

func TestChangesAreCheckedAgain(t *testing.T) {
	two := 2
	good := agent.Change{Path: "a/b", Status: agent.Modified, Size: 5, Additions: &two, Deletions: &two}
	latin := agent.NewChange("latin\xff")
	latin.Status = agent.Added
	for name, c := range map[string]struct {
		since string
		list  agent.ChangeList
		err   error
		want  func(error) bool
	}{
		"as it should be":     {"turn", agent.ChangeList{Since: "turn:3", Changes: []agent.Change{good, latin}, Total: 7, Truncated: true}, nil, is(nil)},
		"not kept any more":   {"turn:1", agent.ChangeList{}, agent.ErrNotFound, is(ErrNotFound)},
		"no such moment":      {"turn:0", agent.ChangeList{}, nil, isInvalid("since")},
		"no moment":           {"", agent.ChangeList{}, nil, isInvalid("since")},
		"a signed number":     {"turn:+1", agent.ChangeList{}, nil, isInvalid("since")},
		"a path that goes up": {"turn", agent.ChangeList{Changes: []agent.Change{{Path: "a/../b", Status: agent.Added}}, Total: 1}, nil, is(ErrBroken)},
		"an absolute path":    {"turn", agent.ChangeList{Changes: []agent.Change{{Path: "/etc", Status: agent.Added}}, Total: 1}, nil, is(ErrBroken)},
		"another moment":      {"turn", agent.ChangeList{Since: "yesterday"}, nil, is(ErrBroken)},
		"gone":                {"turn", agent.ChangeList{}, agent.ErrGone, is(ErrGone)},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, newBox(nil), Config{}, nil)
			r.box.changes, r.box.changeErr = c.list, c.err
			got, err := r.Changes(context.Background(), "s", c.since)
			if !c.want(err) {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				return
			}
			if got.Since != "turn:3" || got.Total != 7 || !got.Truncated || len(got.Changes) != 2 || *got.Changes[0].Additions != 2 ||
				got.Changes[0].SizeBytes != 5 || string(got.Changes[1].PathBytes) != "latin\xff" {
				t.Errorf("got %+v", got)
			}
			if !r.gates.asked("list", "") {
				t.Errorf("the gates heard %q", r.gates.paths)
			}
		})
	}
	r := start(t, newBox(nil), Config{}, nil)
	r.gates.denied["list "] = true
	if _, err := r.Changes(context.Background(), "s", "launch"); !isRefused(err) {
		t.Errorf("got %v", err)
	}
}

func TestAChangeShowsTexts(t *testing.T) {
	one := 1
	for name, c := range map[string]struct {
		before, after []byte
		// wantBefore and wantAfter are "-" for null.
		wantBefore, wantAfter string
		binary                bool
	}{
		"a text":       {[]byte("a\n"), []byte("b\n"), "a\n", "b\n", false},
		"a new one":    {nil, []byte("b"), "-", "b", false},
		"an empty one": {[]byte{}, nil, "", "-", false},
		"UTF-16":       {[]byte("\xff\xfea\x00"), []byte("\xef\xbb\xbfb"), "a", "b", false},
		"no text":      {[]byte("a"), []byte("\xff\x80"), "-", "-", true},
		"a PDF":        {[]byte("%PDF-1.4"), nil, "-", "-", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, newBox(nil), Config{}, nil)
			r.box.change = agent.FileChange{
				Change: agent.Change{Status: agent.Modified, Additions: &one, Deletions: &one}, Before: c.before, After: c.after, Truncated: name == "a text",
			}
			got, err := r.Change(context.Background(), "s", "/workspace/f", "launch")
			if err != nil {
				t.Fatal(err)
			}
			text := func(s *string) string {
				if s == nil {
					return "-"
				}
				return *s
			}
			if text(got.Before) != c.wantBefore || text(got.After) != c.wantAfter || got.Binary != c.binary || (got.Additions == nil) != c.binary ||
				got.Path != "f" || got.Truncated != (name == "a text") {
				t.Errorf("got %+v, %q, %q", got, text(got.Before), text(got.After))
			}
			if strings.Join(r.gates.paths, ",") != "read f" {
				t.Errorf("the gates heard %q", r.gates.paths)
			}
		})
	}
	for path, want := range map[string]func(error) bool{"denied": isRefused, "": isInvalidPath, "../x": isInvalidPath} {
		r := start(t, newBox(nil), Config{}, nil)
		r.gates.denied["read denied"] = true
		if _, err := r.Change(context.Background(), "s", path, "launch"); !want(err) {
			t.Errorf("%q: got %v", path, err)
		}
	}
	r := start(t, newBox(nil), Config{}, nil)
	r.box.changeErr = agent.ErrNotFound
	if _, err := r.Change(context.Background(), "s", "f", "launch"); !is(ErrNotFound)(err) {
		t.Errorf("got %v", err)
	}
	if _, err := r.Change(context.Background(), "s", "f", "now"); !isInvalid("since")(err) {
		t.Errorf("got %v", err)
	}
}
