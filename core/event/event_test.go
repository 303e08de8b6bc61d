package event

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// full holds a value of every type with every field set.
func full() []Data {
	return []Data{
		User{Content: "hi <b>&\u2028"},
		Init{
			Model: "m", Tools: []string{"Bash"}, Agents: []string{"rev"}, MCPServers: []MCP{{Name: "gh", Status: "connected"}},
			PermissionMode: "default", Cwd: "/workspace", CLIVersion: "2", Resumed: true,
		},
		Text{Content: "t", Parent: "toolu_1"},
		TextDelta{Content: "d", Parent: "toolu_1"},
		Thinking{Content: "h", Parent: "toolu_1"},
		ToolUse{ID: "toolu_2", Tool: "Bash", Input: "ls", Arguments: json.RawMessage(`{"command":"ls"}`), Parent: "toolu_1"},
		ToolResult{ID: "toolu_2", Tool: "Bash", Output: "a\nb", IsError: true, Parent: "toolu_1"},
		TodoUpdate{Todos: []Todo{{Content: "c", Status: "pending", ActiveForm: "doing c"}}},
		ApprovalRequired{
			Ask: "ask-1", ToolUseID: "toolu_2", Tool: "Bash", Input: "ls", Arguments: json.RawMessage(`{"command":"ls"}`),
			Reason: "why", ExpiresAt: "2026-01-01T00:00:00Z", Parent: "toolu_1",
		},
		ApprovalResolved{
			Ask: "ask-1", Decision: "allow", By: "person", Reason: "fine", Scope: ScopeSession, Tool: "Bash", ToolUseID: "toolu_2", Parent: "toolu_1",
		},
		Verdict{Gate: "tool.call", Decision: "deny", By: "host", Reason: "no", Tool: "Bash", ToolUseID: "toolu_2", Parent: "toolu_1"},
		Status{Status: "asleep", Reason: "idle", Position: 1},
		Settings{Model: "opus", PermissionMode: "plan"},
		Error{Code: "sandbox_lost", Message: "gone"},
		Complete{Status: CompleteOK, Usage: Usage{1, 2, 3, 4}, CostUSD: 0.25, Turns: 3},
	}
}

func TestEveryTypeSurvivesItsJSON(t *testing.T) {
	values := full()
	if len(values) != len(Types()) {
		t.Fatalf("the test has %d types, Types has %d", len(values), len(Types()))
	}
	for i, empty := range Types() {
		if reflect.TypeOf(values[i]) != reflect.TypeOf(empty) {
			t.Fatalf("the test has %T where Types has %T", values[i], empty)
		}
		if v := reflect.ValueOf(values[i]); slices.ContainsFunc(fields(v), reflect.Value.IsZero) {
			t.Errorf("%T: the test leaves a field empty, which would hide a lost one", values[i])
		}
		t.Run(string(empty.Type()), func(t *testing.T) {
			want := Event{ID: 7, Turn: 2, Time: time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC), Data: values[i]}
			b, err := json.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			var flat map[string]any
			if err := json.Unmarshal(b, &flat); err != nil {
				t.Fatal(err)
			}
			if flat["event_id"] != 7.0 || flat["turn"] != 2.0 || flat["type"] != string(empty.Type()) {
				t.Errorf("the header is not at the top: %s", b)
			}
			var got Event
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			data, err := json.Marshal(values[i])
			if err != nil {
				t.Fatal(err)
			}
			decoded, err := Decode(empty.Type(), data)
			if err != nil || !reflect.DeepEqual(decoded, values[i]) {
				t.Errorf("Decode got %+v, %v", decoded, err)
			}
		})
	}
}

func fields(v reflect.Value) []reflect.Value {
	var all []reflect.Value
	for i := range v.NumField() {
		all = append(all, v.Field(i))
	}
	return all
}

// TestNoTypeHidesTheHeader guards the flat form: a field of a type must not be called as one of the header.
func TestNoTypeHidesTheHeader(t *testing.T) {
	names := map[string]bool{}
	for f := range reflect.TypeFor[header]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names[strings.ToLower(name)] = true
	}
	for _, d := range Types() {
		for f := range reflect.TypeOf(d).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if names[strings.ToLower(name)] {
				t.Errorf("%T.%s is called %q as the header's field", d, f.Name, name)
			}
		}
	}
}

func TestTypesAreDistinct(t *testing.T) {
	seen := map[Type]bool{}
	for _, d := range Types() {
		if seen[d.Type()] {
			t.Errorf("two types are called %q", d.Type())
		}
		seen[d.Type()] = true
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"an unknown type", `{"event_id":1,"type":"gossip","time":"2026-01-01T00:00:00Z"}`, `unknown type "gossip"`},
		{"no type", `{"event_id":1,"time":"2026-01-01T00:00:00Z"}`, `unknown type ""`},
		{"a field of another kind", `{"type":"text","time":"2026-01-01T00:00:00Z","content":5}`, "reading text event"},
		{"a time that is none", `{"type":"text","time":"soon"}`, "reading event header"},
		{"a number that is none", `{"type":"text","event_id":"1"}`, "reading event header"},
		{"no object", `[]`, "reading event header"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var e Event
			if err := json.Unmarshal([]byte(tc.in), &e); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestMarshalRefusesAnEventWithoutData(t *testing.T) {
	if b, err := json.Marshal(Event{ID: 1}); err == nil {
		t.Errorf("got %s", b)
	}
}

func TestPreviewHasNoNumber(t *testing.T) {
	b, err := json.Marshal(Event{Data: TextDelta{Content: "x"}, Time: time.Unix(0, 0)})
	if err != nil || strings.Contains(string(b), "event_id") {
		t.Errorf("got %s, %v", b, err)
	}
}

// FuzzEvent checks that whatever can be read can be written and read again as the same.
func FuzzEvent(f *testing.F) {
	for i, d := range full() {
		b, err := json.Marshal(Event{ID: int64(i), Turn: 1, Time: time.Unix(1, 0).UTC(), Data: d})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"type":"tool_use","arguments":null,"Arguments":{"a":1}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var first, second Event
		if json.Unmarshal(in, &first) != nil {
			return
		}
		b, err := json.Marshal(first)
		if err != nil {
			if y := first.Time.Year(); y < 0 || y > 9999 {
				return // not a time in JSON
			}
			t.Fatalf("%s was read but can't be written: %v", in, err)
		}
		if err := json.Unmarshal(b, &second); err != nil {
			t.Fatalf("%s was written as %s, which can't be read: %v", in, b, err)
		}
		again, err := json.Marshal(second)
		if err != nil || string(again) != string(b) {
			t.Fatalf("%s became %s, %v", b, again, err)
		}
	})
}

// TestAppendJSONIsWhatJSONMarshals compares with the standard library's encoding of the same fields.
func TestAppendJSONIsWhatJSONMarshals(t *testing.T) {
	for _, e := range []Event{
		{ID: 7, Turn: 2, Time: time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("", 3600)), Data: Text{Content: "a<b>&\u2028\xff"}},
		{Turn: 1, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Data: TextDelta{}},
		{ID: 1, Data: Complete{Status: CompleteOK}},
		{ID: 2, Data: bare{}},
	} {
		head, err := json.Marshal(header{ID: e.ID, Type: e.Data.Type(), Time: e.Time.UTC(), Turn: e.Turn})
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		want := string(head)
		if string(body) != "{}" {
			want = want[:len(want)-1] + "," + string(body[1:])
		}
		got, err := e.AppendJSON([]byte("before "))
		if err != nil || string(got) != "before "+want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
		if std, err := json.Marshal(e); err != nil || string(std) != want {
			t.Errorf("json.Marshal: %s, %v; want %s", std, err, want)
		}
	}
	for _, e := range []Event{{}, {Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), Data: Text{}}} {
		if got, err := e.AppendJSON([]byte("before ")); err == nil || string(got) != "before " {
			t.Errorf("got %s, %v", got, err)
		}
	}
}

// bare is an event without fields.
type bare struct{}

func (bare) Type() Type { return "bare" }
