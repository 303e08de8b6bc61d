package guard

import (
	"testing"

	"github.com/agcluster/agcluster/core/preset"
)

func TestPoliciesInForce(t *testing.T) {
	g := newRig(t, Config{Policies: []preset.Policy{puppet("puppet", `{"a":1}`)}}, nil)
	list, err := g.InForce(preset.Config{Policies: []preset.Policy{puppet("other"), puppet("puppet", `{"b":2}`)}})
	if err != nil {
		t.Fatal(err)
	}
	want := []InForce{
		{Name: "puppet", Params: []byte(`{"rules":[{"a":1}]}`)},
		{Name: "puppet", Params: []byte(`{"rules":[{"b":2}]}`)},
		{Name: "other", Params: []byte(`{"rules":[]}`)},
	}
	if len(list) != len(want) {
		t.Fatalf("got %+v", list)
	}
	for i, p := range list {
		if p.Name != want[i].Name || string(p.Params) != string(want[i].Params) || len(p.Digest) != len("sha256:")+64 {
			t.Errorf("policy %d: got %s %s %s", i, p.Name, p.Digest, p.Params)
		}
	}
	if _, err := g.InForce(preset.Config{Policies: []preset.Policy{{Name: "none"}}}); err == nil {
		t.Error("a policy that is not there is in force")
	}
}
