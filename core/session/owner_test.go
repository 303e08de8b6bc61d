package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/preset"
)

func TestAuthorize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launch().ID
		for _, tc := range []struct {
			name, id, key string
			want          error
		}{
			{"the key", id, userKey, nil},
			{"another key", id, "sk-ant-other", ErrForbidden},
			{"a longer key", id, userKey + "x", ErrForbidden},
			{"no key", id, "", ErrKeyMissing},
			{"no session", "conv-none", userKey, ErrNotFound},
		} {
			if rec, err := h.Authorize(context.Background(), tc.id, tc.key); !errors.Is(err, tc.want) || err == nil && rec.ID != id {
				t.Errorf("%s: got %+v, %v", tc.name, rec, err)
			}
		}
		if key, ok := h.Key(id); !ok || key != userKey {
			t.Errorf("the gateway gets %q, %v", key, ok)
		}
		// After a restart the key is nowhere until its owner shows it.
		if err := h.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		h.log.Close()
		h.up()
		for _, key := range []string{"", "sk-ant-other"} {
			if _, err := h.Authorize(context.Background(), id, key); err == nil {
				t.Errorf("%q was let in", key)
			}
			if got, ok := h.Key(id); ok {
				t.Errorf("the gateway gets %q", got)
			}
		}
		if _, err := h.Authorize(context.Background(), id, userKey); err != nil {
			t.Error(err)
		}
		if key, ok := h.Key(id); !ok || key != userKey {
			t.Errorf("the gateway gets %q, %v", key, ok)
		}
	})
}

func TestAnotherHostsOwnersAreOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		a := h.owner(userKey)
		h.Service.cfg.Secret = bytes.Repeat([]byte("x"), 32)
		if b := h.owner(userKey); bytes.Equal(a, b) || len(a) != 32 || bytes.Contains(a, []byte(userKey)) {
			t.Error("the owner does not depend on the host's secret")
		}
	})
}

func TestListShowsTheCallersOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(busy)
		if _, err := h.Launch(context.Background(), LaunchRequest{Key: "sk-ant-other"}); err != nil {
			t.Fatal(err)
		}
		h.send(id, "hi")
		list, err := h.List(context.Background(), userKey)
		if err != nil || len(list) != 1 || list[0].ID != id || list[0].Activity != ActivityWorking {
			t.Errorf("got %+v, %v", list, err)
		}
		if _, err := h.List(context.Background(), ""); !errors.Is(err, ErrKeyMissing) {
			t.Errorf("got %v", err)
		}
		if list, err := h.List(context.Background(), "sk-ant-third"); err != nil || len(list) != 0 {
			t.Errorf("got %+v, %v", list, err)
		}
	})
}

// TestNothingKeptHoldsTheKey looks through all that a session leaves in the store.
func TestNothingKeptHoldsTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		const token = "ghp_made_up"
		rec, err := h.Launch(context.Background(), LaunchRequest{
			Key:    userKey,
			Config: preset.Config{ID: "p", MCPServers: map[string]agent.MCPServer{"gh": {Command: "gh", Env: map[string]string{"A": "1"}}}},
			MCPEnv: map[string]map[string]string{"gh": {"TOKEN": token}},
		})
		if err != nil {
			t.Fatal(err)
		}
		h.end(rec.ID, h.send(rec.ID, "hi").Number)
		synctest.Wait()
		events, err := json.Marshal(h.mem.events)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{h.mem.records[rec.ID], events} {
			if bytes.Contains(b, []byte(userKey)) || bytes.Contains(b, []byte(token)) {
				t.Errorf("a secret is in %s", b)
			}
		}
		got := h.boxes.last().agent.specs[0].MCPServers["gh"].Env
		if want := map[string]string{"A": "1", "TOKEN": token}; !reflect.DeepEqual(got, want) {
			t.Errorf("the server gets %v", got)
		}
		if len(rec.Config.MCPServers["gh"].Env) != 1 {
			t.Errorf("the configuration was changed: %v", rec.Config.MCPServers["gh"].Env)
		}
	})
}

func TestSeal(t *testing.T) {
	env := map[string]map[string]string{"gh": {"TOKEN": "t"}, "db": {"URL": "u", "": ""}}
	sealed, err := seal("key", "conv-1", env)
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal("key", "conv-1", env)
	if err != nil || bytes.Equal(sealed, again) {
		t.Errorf("the same twice: %v", err)
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-1] ^= 1
	for _, tc := range []struct {
		name, key, id string
		sealed        []byte
		ok            bool
	}{
		{"key and session", "key", "conv-1", sealed, true},
		{"another key", "yek", "conv-1", sealed, false},
		{"another session", "key", "conv-2", sealed, false},
		{"no key", "", "conv-1", sealed, false},
		{"changed", "key", "conv-1", flipped, false},
		{"cut", "key", "conv-1", sealed[:20], false},
		{"cut short", "key", "conv-1", sealed[:5], false},
	} {
		got, err := unseal(tc.key, tc.id, tc.sealed)
		if tc.ok != (err == nil) || tc.ok && !reflect.DeepEqual(got, env) {
			t.Errorf("%s: got %v, %v", tc.name, got, err)
		}
	}
	if sealed, err := seal("key", "conv-1", nil); err != nil || sealed != nil {
		t.Errorf("nothing: got %v, %v", sealed, err)
	}
	if env, err := unseal("", "conv-1", nil); err != nil || len(env) != 0 {
		t.Errorf("nothing: got %v, %v", env, err)
	}
}

// FuzzUnseal: no bytes from a database make the host fall over or open without the key.
func FuzzUnseal(f *testing.F) {
	want := map[string]map[string]string{"a": {"B": "c"}}
	sealed, err := seal("key", "conv-1", want)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed, "key")
	f.Add([]byte{}, "")
	f.Fuzz(func(t *testing.T, b []byte, key string) {
		env, err := unseal(key, "conv-1", b)
		if err == nil && len(b) > 0 && (key != "key" || !reflect.DeepEqual(env, want)) {
			t.Errorf("opened as %v", env)
		}
	})
}

func TestSessionSpec(t *testing.T) {
	rec := Session{ID: "conv-1", TranscriptID: "t", Config: preset.Config{
		Model: "opus", AllowedTools: []string{"Bash"}, PermissionMode: "plan", MaxTurns: 7, SettingSources: []string{"project"},
		Env: map[string]string{"A": "b"}, Cwd: "/workspace/x", Agents: map[string]agent.SubAgent{"r": {Prompt: "p"}},
		SystemPrompt: preset.SystemPrompt{Preset: true, Append: "more"},
	}}
	for _, turn := range []int64{0, 1} {
		rec.Turn = turn
		got, err := sessionSpec(rec, "key")
		want := agent.SessionSpec{
			TranscriptID: "t", Resume: turn > 0, Model: "opus", Tools: []string{"Bash"}, PermissionMode: "plan", MaxTurns: 7,
			SettingSources: []string{"project"}, Env: map[string]string{"A": "b"}, Cwd: "/workspace/x",
			Agents: map[string]agent.SubAgent{"r": {Prompt: "p"}}, SystemPrompt: agent.SystemPrompt{Append: "more"},
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

func TestMeterAddsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(polite)
		u := event.Usage{InputTokens: 1, OutputTokens: 2, CacheReadTokens: 3, CacheWriteTokens: 4}
		h.Meter(id, u)
		h.Meter(id, u)
		want := event.Usage{InputTokens: 2, OutputTokens: 4, CacheReadTokens: 6, CacheWriteTokens: 8}
		if rec, err := h.Get(context.Background(), id); err != nil || rec.Usage != want {
			t.Errorf("got %+v, %v", rec.Usage, err)
		}
		// It is kept with the end of the turn that used it.
		h.end(id, h.send(id, "hi").Number)
		synctest.Wait()
		if rec, _ := h.mem.record(t, id); rec.Usage != want {
			t.Errorf("kept %+v", rec.Usage)
		}
	})
}

func TestRecordAndScopeAndHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		id := h.launched(busy)
		if err := h.Record(context.Background(), id, event.Verdict{Gate: "path.access", Decision: "deny"}); err != nil {
			t.Error(err)
		}
		turn := h.send(id, "hi")
		synctest.Wait()
		if err := h.Record(context.Background(), id, event.Verdict{Gate: "path.access", Decision: "deny", Reason: "2"}); err != nil {
			t.Error(err)
		}
		events, err := h.History(context.Background(), id, 1, 10)
		if err != nil || len(events) != 4 || events[0].Turn != 0 || events[3].Turn != turn.Number {
			t.Errorf("got %+v, %v", events, err)
		}
		if scope, err := h.Scope(context.Background(), id); err != nil || scope.SessionID != id || scope.ConfigID != "p" || scope.Config.ID != "p" {
			t.Errorf("got %+v, %v", scope, err)
		}
	})
}
