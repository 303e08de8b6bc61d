package policy

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestReadTakesVerdictsOnly(t *testing.T) {
	for answer, want := range map[string]struct {
		gate Gate
		v    string
		err  string
	}{
		`{"verdict":"allow"}`:                                           {GatePathAccess, `{"verdict":"allow","reason":""}`, ""},
		" {\"verdict\":\"deny\",\"reason\":\"no\"}\n":                   {GatePathAccess, `{"verdict":"deny","reason":"no"}`, ""},
		`{"verdict":"allow","reason":null,"rewrite":null,"state":null}`: {GatePathAccess, `{"verdict":"allow","reason":""}`, ""},
		`{"verdict":"ask","state":{"n":1}}`:                             {GateToolCall, `{"verdict":"ask","reason":"","state":{"n":1}}`, ""},
		`{"verdict":"rewrite","rewrite":{"a":1}}`:                       {GateToolCall, `{"verdict":"rewrite","reason":"","rewrite":{"a":1}}`, ""},
		`{"verdict":"rewrite"}`:                                         {GateToolCall, "", "no object"},
		`{"verdict":"rewrite","rewrite":[]}`:                            {GateToolCall, "", "no object"},
		`{"verdict":"rewrite","rewrite":{} }`:                           {GateArchiveEntry, "", "rewrites at the gate archive.entry"},
		`{"verdict":"deny","rewrite":{}}`:                               {GateToolCall, "", "answers deny with a rewrite"},
		`{"verdict":"ALLOW"}`:                                           {GateToolCall, "", "no known verdict"},
		`{}`:                                                            {GateToolCall, "", "no known verdict"},
		`null`:                                                          {GateToolCall, "", "no known verdict"},
		``:                                                              {GateToolCall, "", "no verdict"},
		`"allow"`:                                                       {GateToolCall, "", "no verdict"},
		`[{"verdict":"allow"}]`:                                         {GateToolCall, "", "no verdict"},
		`{"verdict":"allow"}{"verdict":"allow"}`:                        {GateToolCall, "", "no verdict"},
		`{"verdict":"allow"}}`:                                          {GateToolCall, "", "no verdict"},
		`{"verdict":"allow"}]`:                                          {GateToolCall, "", "no verdict"},
		"{\"verdict\":\"allow\"}\x00":                                   {GateToolCall, "", "no verdict"},
		`{"verdict":true}`:                                              {GateToolCall, "", "no verdict"},
		`{"verdict":"allow","reasons":"x"}`:                             {GateToolCall, "", "no verdict"},
		strings.Repeat("[", 20000):                                      {GateToolCall, "", "no verdict"},
	} {
		v, err := read([]byte(answer), want.gate)
		if want.err != "" {
			if err == nil || !strings.Contains(err.Error(), want.err) {
				t.Errorf("%.60q: got %+v, %v, want %q", answer, v, err, want.err)
			}
			continue
		}
		b, marshalErr := json.Marshal(v)
		if err != nil || marshalErr != nil || string(b) != want.v {
			t.Errorf("%.60q: got %s, %v, want %s", answer, b, err, want.v)
		}
	}
}

func FuzzReadTakesVerdictsOnly(f *testing.F) {
	f.Add([]byte(`{"verdict":"allow"}`))
	f.Add([]byte(`{"verdict":"rewrite","rewrite":{"a":1},"reason":"x\n","state":[1]}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		for _, gate := range []Gate{GateToolCall, GatePathAccess} {
			v, err := read(answer, gate)
			if err != nil {
				continue
			}
			switch v.Decision {
			case Allow, Deny, Ask:
				if v.Rewrite != nil {
					t.Errorf("%s with a rewrite", v.Decision)
				}
			case Rewrite:
				var object map[string]json.RawMessage
				if gate != GateToolCall || json.Unmarshal(v.Rewrite, &object) != nil || object == nil {
					t.Errorf("a rewrite at %s to %q", gate, v.Rewrite)
				}
			default:
				t.Errorf("took %q", v.Decision)
			}
			if len(v.Reason) > maxReason+len("…") || !utf8.ValidString(v.Reason) || strings.ContainsFunc(v.Reason, unicode.IsControl) {
				t.Errorf("the reason %q", v.Reason)
			}
			if v.State != nil && !json.Valid(v.State) {
				t.Errorf("the state %q", v.State)
			}
		}
	})
}
