package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agcluster/agcluster/core/guard"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
)

func (f *fake) InForce(preset.Config) ([]guard.InForce, error) { return f.inForce, f.gates }

// fields reads an answer of this status.
func fields(t *testing.T, res *http.Response, status int) map[string]any {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != status {
		t.Fatalf("want %d, got %d %s (%v)", status, res.StatusCode, b, err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return m
}

func TestSessionDetails(t *testing.T) {
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f := &fake{
		rec: session.Session{
			ID: "conv-1", Provider: "local", Title: "first", LastLine: "last", Turn: 3, CostUSD: 0.5, TurnRunning: true, Waiting: 2, IdleExpires: until,
			Start: session.Start{Kind: session.StartWarm}, Limits: map[string]string{"memory": "4g"},
			Config: preset.Config{ID: "p", Model: "opus", Env: map[string]string{"TOKEN": "hidden"}},
		},
		inForce: []guard.InForce{{Name: "path", Digest: "sha256:0", Params: json.RawMessage(`{"deny":["x"]}`)}},
	}
	url := serve(t, f).URL + "/api/agents/sessions"
	details := fields(t, get(t, url+"/conv-1"), 200)
	listed := fields(t, get(t, url), 200)["sessions"].([]any)[0].(map[string]any)
	for name, want := range map[string]any{
		"session_id": "conv-1", "provider": "local", "title": "first", "last_line": "last", "turn": 3.0, "turns": 3.0, "cost_usd": 0.5,
		"turn_running": true, "waiting": 2.0, "idle_expires_at": "2026-01-02T03:04:05Z", "start": "warm",
	} {
		if details[name] != want || listed[name] != want {
			t.Errorf("%s: %v in the details, %v in the list, want %v", name, details[name], listed[name], want)
		}
	}
	if _, there := listed["config"]; there {
		t.Error("the list carries configurations")
	}
	b, err := json.Marshal([]any{details["config"], details["policies"]})
	if err != nil || strings.Contains(string(b), "hidden") || !strings.Contains(string(b), `"model":"opus"`) ||
		!strings.Contains(string(b), `{"digest":"sha256:0","name":"path","params":{"deny":["x"]}}`) {
		t.Errorf("%s (%v)", b, err)
	}

	f.rec.IdleExpires = time.Time{}
	if _, there := fields(t, get(t, url+"/conv-1"), 200)["idle_expires_at"]; there {
		t.Error("a session without an end has one")
	}
	f.gates = errors.New("gone")
	fields(t, get(t, url+"/conv-1"), 500)
}
