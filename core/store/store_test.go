package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(tb testing.TB, path string) *Store {
	tb.Helper()
	s, err := Open(context.Background(), path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func fresh(tb testing.TB) *Store {
	tb.Helper()
	return open(tb, filepath.Join(tb.TempDir(), "agcluster.db"))
}

func record(id string, owner string, created time.Time) session.Session {
	return session.Session{
		ID: id, AgentID: "agent-0123456789ab", ConfigID: "code-assistant", Provider: "local", Owner: []byte(owner),
		TranscriptID: "0b1c2d3e-0000-4000-8000-000000000001", SealedEnv: []byte{0, 1, 0xFF},
		Status: session.StatusRunning, Reason: "why", CreatedAt: created, LastActive: created.Add(time.Second),
		Turn: 3, TurnOpen: true, Usage: event.Usage{InputTokens: 1, OutputTokens: 2, CacheReadTokens: 3, CacheWriteTokens: 4},
		CostUSD: 0.125, Limits: map[string]string{"memory": "4.0 GiB by cgroup v1"},
		Config: preset.Config{
			ID: "code-assistant", Name: "n", AllowedTools: []string{"Bash"},
			SystemPrompt: preset.SystemPrompt{Preset: true, Append: "be kind <>&"}, MaxTurns: 5, Env: map[string]string{"A": "b"},
			MCPServers:     map[string]agent.MCPServer{"gh": {Command: "gh", Args: []string{"x"}}},
			Agents:         map[string]agent.SubAgent{"rev": {Description: "d", Prompt: "p", Tools: []string{"Read"}}},
			ResourceLimits: preset.ResourceLimits{CPUQuota: 200000, MemoryLimit: "4g"},
			Policies:       []preset.Policy{{Name: "path", Params: json.RawMessage(`{"read":["/workspace/**"]}`)}},
			Filters:        []string{"secrets"},
		},
	}
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

func put(tb testing.TB, s *Store, id string) {
	tb.Helper()
	if err := s.Put(context.Background(), record(id, "owner", epoch)); err != nil {
		tb.Fatal(err)
	}
}

func texts(after int64, contents ...string) []event.Event {
	events := make([]event.Event, len(contents))
	for i, c := range contents {
		events[i] = event.Event{
			ID: after + int64(i) + 1, Turn: 1, Time: epoch.Add(time.Duration(i)), Data: event.Text{Content: c},
		}
	}
	return events
}

func appendAll(tb testing.TB, s *Store, id string, events []event.Event) {
	tb.Helper()
	if err := s.AppendEvents(context.Background(), id, events); err != nil {
		tb.Fatal(err)
	}
}

func read(tb testing.TB, s *Store, id string, after int64, limit int) []event.Event {
	tb.Helper()
	events, err := s.ReadEvents(context.Background(), id, after, limit)
	if err != nil {
		tb.Fatal(err)
	}
	return events
}

// write puts something of everything into s and returns what checks that it is there.
func write(tb testing.TB, s *Store) (check func(*Store)) {
	tb.Helper()
	ctx := context.Background()
	want := record("conv-1", "owner", epoch)
	events := texts(0, "one", "two", "three")
	events[1].Data = event.ToolUse{ID: "toolu_1", Tool: "Bash", Input: "ls", Arguments: json.RawMessage(`{"command":"ls"}`)}
	if err := s.Put(ctx, want); err != nil {
		tb.Fatal(err)
	}
	appendAll(tb, s, "conv-1", events)
	if err := s.PutPolicyState(ctx, "conv-1", "tools/0", json.RawMessage(`{"n":1}`)); err != nil {
		tb.Fatal(err)
	}
	return func(s *Store) {
		tb.Helper()
		got, err := s.Get(ctx, "conv-1")
		if err != nil || !reflect.DeepEqual(got, want) {
			tb.Errorf("got %+v, %v\nwant %+v", got, err, want)
		}
		if got := read(tb, s, "conv-1", 0, 10); !reflect.DeepEqual(got, events) {
			tb.Errorf("got %+v\nwant %+v", got, events)
		}
		if last, err := s.LastEventID(ctx, "conv-1"); err != nil || last != 3 {
			tb.Errorf("last event: got %d, %v", last, err)
		}
		if state, err := s.PolicyState(ctx, "conv-1", "tools/0"); err != nil || string(state) != `{"n":1}` {
			tb.Errorf("policy state: got %s, %v", state, err)
		}
	}
}

func TestGetOfAnUnknownSession(t *testing.T) {
	s := fresh(t)
	if _, err := s.Get(context.Background(), "conv-none"); !errors.Is(err, session.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if last, err := s.LastEventID(context.Background(), "conv-none"); err != nil || last != 0 {
		t.Errorf("got %d, %v", last, err)
	}
	if state, err := s.PolicyState(context.Background(), "conv-none", "p"); err != nil || state != nil {
		t.Errorf("got %s, %v", state, err)
	}
	if err := s.Delete(context.Background(), "conv-none"); err != nil {
		t.Error(err)
	}
}

func TestPutReplacesTheRecordAndKeepsTheEvents(t *testing.T) {
	s := fresh(t)
	put(t, s, "conv-1")
	appendAll(t, s, "conv-1", texts(0, "one"))
	rec := record("conv-1", "owner", epoch)
	rec.Status, rec.Turn = session.StatusAsleep, 9
	if err := s.Put(context.Background(), rec); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(context.Background(), "conv-1")
	if err != nil || got.Status != session.StatusAsleep || got.Turn != 9 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got := read(t, s, "conv-1", 0, 10); len(got) != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestListIsByOwnerAndNewestFirst(t *testing.T) {
	s := fresh(t)
	for i, owner := range []string{"a", "b", "a"} {
		rec := record(fmt.Sprintf("conv-%d", i), owner, epoch.Add(time.Duration(i)))
		if err := s.Put(context.Background(), rec); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		owner []byte
		want  string
	}{
		{nil, "conv-2 conv-1 conv-0"},
		{[]byte("a"), "conv-2 conv-0"},
		{[]byte("b"), "conv-1"},
		{[]byte("c"), ""},
		// An empty owner is an owner and not everybody.
		{[]byte{}, ""},
	} {
		list, err := s.List(context.Background(), tc.owner)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, rec := range list {
			ids = append(ids, rec.ID)
		}
		if got := strings.Join(ids, " "); got != tc.want {
			t.Errorf("owner %q: got %q, want %q", tc.owner, got, tc.want)
		}
	}
}

func TestDeleteTakesEverythingOfTheSessionAndNothingElse(t *testing.T) {
	ctx := context.Background()
	s := fresh(t)
	for _, id := range []string{"conv-1", "conv-2"} {
		put(t, s, id)
		appendAll(t, s, id, texts(0, "one", "two"))
		if err := s.PutPolicyState(ctx, id, "p", json.RawMessage(`1`)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(ctx, "conv-1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx, "conv-1"); err != nil {
		t.Error(err)
	}
	for _, table := range []string{"sessions", "events", "policy_states"} {
		column := "session_id"
		if table == "sessions" {
			column = "id"
		}
		for id, want := range map[string]bool{"conv-1": false, "conv-2": true} {
			var n int
			row := s.read.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+table+" WHERE "+column+" = ?", id)
			if err := row.Scan(&n); err != nil || (n > 0) != want {
				t.Errorf("%s of %s: %d, %v", table, id, n, err)
			}
		}
	}
	if err := s.AppendEvents(ctx, "conv-1", texts(2, "three")); err == nil {
		t.Error("an event of a deleted session was kept")
	}
	if err := s.PutPolicyState(ctx, "conv-1", "p", json.RawMessage(`1`)); err == nil {
		t.Error("a policy state of a deleted session was kept")
	}
}

func TestAppendKeepsAllOrNothing(t *testing.T) {
	s := fresh(t)
	put(t, s, "conv-1")
	appendAll(t, s, "conv-1", texts(0, "one", "two"))
	for _, tc := range []struct {
		name   string
		events []event.Event
		want   string
	}{
		{"a number that is taken", append(texts(2, "three"), texts(1, "again")...), "inserting event 2"},
		{"data that is no JSON", append(texts(2, "three"), event.Event{
			ID: 4, Time: epoch, Data: event.ToolUse{Arguments: json.RawMessage(`{`)},
		}), "marshalling event 4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := s.AppendEvents(context.Background(), "conv-1", tc.events)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
			if got := read(t, s, "conv-1", 0, 10); len(got) != 2 {
				t.Errorf("got %+v", got)
			}
		})
	}
	appendAll(t, s, "conv-1", texts(2, "three"))
}

func TestReadEventsInPages(t *testing.T) {
	s := fresh(t)
	put(t, s, "conv-1")
	put(t, s, "conv-2")
	appendAll(t, s, "conv-1", texts(0, "1", "2", "3", "4", "5"))
	appendAll(t, s, "conv-2", texts(0, "other"))
	for _, tc := range []struct {
		after int64
		limit int
		want  string
	}{{0, 2, "12"}, {2, 2, "34"}, {4, 2, "5"}, {5, 2, ""}, {99, 2, ""}, {0, 100, "12345"}} {
		got := ""
		for _, e := range read(t, s, "conv-1", tc.after, tc.limit) {
			got += e.Data.(event.Text).Content
		}
		if got != tc.want {
			t.Errorf("after %d limit %d: got %q, want %q", tc.after, tc.limit, got, tc.want)
		}
	}
}

func TestBigEvents(t *testing.T) {
	s := fresh(t)
	put(t, s, "conv-1")
	want := texts(0, strings.Repeat("x", 8<<20), strings.Repeat("\u2028\"", 1000))
	appendAll(t, s, "conv-1", want)
	if got := read(t, s, "conv-1", 0, 10); !reflect.DeepEqual(got, want) {
		t.Error("a big event came back changed")
	}
}
