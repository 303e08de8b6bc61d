package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// launched is a launch as its client sees it.
type launched struct {
	SessionID string `json:"session_id"`
	Start     string `json:"start"`
	Reason    string `json:"reason"`
}

func (r *rig) started(config any) launched {
	r.t.Helper()
	var out launched
	r.requestAs("", http.MethodPost, "/api/agents/launch", map[string]any{"api_key": key, "config": config}).into(r.t, http.StatusOK, &out)
	return out
}

type poolHealth struct {
	Ready, Starting, Slots, Waiting, Queue int
	Warm, Cold                             int64
	MemoryBytes                            int64 `json:"memory_bytes"`
}

func (r *rig) pool() poolHealth {
	r.t.Helper()
	var h struct{ Pool poolHealth }
	r.requestAs("", http.MethodGet, "/health", nil).into(r.t, http.StatusOK, &h)
	return h.Pool
}

// TestWarmLaunch: a spare is an agent like any other once it is claimed, and what nobody claimed goes with the host, also when that
// is killed.
func jobWarmLaunch(t *testing.T, on string) {
	before := running()
	r := newRig(t, options{on: on, env: []string{"AGCLUSTER_POOL_SIZE=2", "AGCLUSTER_POOL_PRESETS=code-assistant"}})
	ready := func(n int) {
		t.Helper()
		eventually(t, strconv.Itoa(n)+" spares are ready", func() bool { p := r.pool(); return p.Ready == n && p.Starting == 0 })
	}
	ready(1)
	var first launched
	r.requestAs("", http.MethodPost, "/api/agents/launch", map[string]any{"api_key": key, "config_id": "code-assistant"}).into(t, 200, &first)
	if first.Start != "warm" {
		t.Fatalf("the first launch of a pinned preset: %+v", first)
	}
	id := first.SessionID
	r.turn(id, "write: /workspace/a.txt hello").ended("completed")
	r.turn(id, "run: cat a.txt").ended("completed").says("hello")
	r.turn(id, "what did I say").ended("completed").says("cat a.txt")
	if m := string(r.requestAs("", http.MethodGet, "/metrics", nil).body); !strings.Contains(m, `agcluster_starts_total{start="warm"} 1`) ||
		!strings.Contains(m, "agcluster_sandboxes 1\n") || strings.Contains(m, id) {
		t.Errorf("metrics: %.3000s", m)
	}
	// Its policies are the session's own.
	r.turn(id, "run: cat /etc/passwd").ended("completed").denied("path.access")
	if u := r.session(id).Usage; u.InputTokens == 0 {
		t.Error("its model calls are not counted: the tunnel is not its own")
	}

	// An inline configuration gets its spare from the second launch on; what is told late reaches it.
	config := inline(func(c map[string]any) {
		c["allowed_tools"] = []string{"Bash", "Read", "Task"}
		c["agents"] = map[string]any{"looker": map[string]any{"description": "looks", "prompt": "Look.", "tools": []string{"Read"}}}
	})
	if s := r.started(config); s.Start != "cold" || !strings.Contains(s.Reason, "no spare") {
		t.Errorf("the first launch: %+v", s)
	}
	eventually(t, "a spare for it", func() bool { p := r.pool(); return p.Ready >= 2 && p.Starting == 0 })
	second := r.started(config)
	if second.Start != "warm" {
		t.Errorf("the second launch: %+v", second)
	}
	r.turn(second.SessionID, "ask looker: read: /workspace/none").ended("completed")
	withEnv := r.started(inline(func(c map[string]any) { c["env"] = map[string]string{"A": "b"} }))
	if withEnv.Start != "cold" || !strings.Contains(withEnv.Reason, "environment") {
		t.Errorf("with an environment: %+v", withEnv)
	}
	// A host that is killed leaves spares like any sandbox, and the next one removes them with their volumes.
	eventually(t, "spares again", func() bool { p := r.pool(); return p.Ready >= 2 && p.Starting == 0 })
	r.stop(syscall.SIGKILL)
	eventually(t, "the plugins notice", func() bool {
		for _, p := range processes() {
			if !before[p.pid] && strings.Contains(p.cmdline, "provider-"+on) {
				return false
			}
		}
		return true
	})
	r.env = append(r.env, "AGCLUSTER_POOL_SIZE=0", "AGCLUSTER_POOL_PRESETS=")
	r.start()
	r.turn(id, "what did I say").ended("completed").says("cat a.txt") // cold, with its history
	eventually(t, "only volumes of sessions are left", func() bool { return len(r.volumes()) == 4 })
	r.stop(syscall.SIGTERM)
	if left := r.left(before); len(left) > 0 {
		t.Errorf("left over: %s", strings.Join(left, "\n"))
	}
}

// TestAQueueOfStarts: launches wait for their turn and are told their place; one more than may wait is refused with a time to come
// back.
func TestAQueueOfStarts(t *testing.T) {
	r := newRig(t, options{env: []string{"AGCLUSTER_START_SLOTS=1", "AGCLUSTER_START_QUEUE=2"}})
	type progress struct {
		Type   string
		Status *struct {
			Status   string
			Position int
		}
		Session *launched
		Problem *struct{ Status int }
	}
	var mu sync.Mutex
	var good, refused, places int
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			res := r.open(ctx, "", http.MethodPost, "/api/agents/launch", map[string]any{"api_key": key, "config": inline(nil)}, "Accept", "text/event-stream")
			defer func() { _ = res.Body.Close() }()
			mu.Lock()
			defer mu.Unlock()
			if res.StatusCode == http.StatusServiceUnavailable {
				refused++
				if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err != nil || n < 1 {
					t.Errorf("Retry-After: %q", res.Header.Get("Retry-After"))
				}
				return
			}
			mu.Unlock()
			var seen []progress
			for lines := bufio.NewScanner(res.Body); lines.Scan(); {
				data, ok := strings.CutPrefix(lines.Text(), "data: ")
				var p progress
				if !ok || data == "[DONE]" || json.Unmarshal([]byte(data), &p) != nil {
					continue
				}
				seen = append(seen, p)
			}
			mu.Lock()
			if len(seen) == 0 || seen[len(seen)-1].Type != "launched" {
				t.Errorf("%d %+v", res.StatusCode, seen)
				return
			}
			good++
			if seen[0].Status != nil && seen[0].Status.Status == "queued" {
				places++
			}
		})
	}
	wg.Wait()
	// One starts, two wait; whoever came after an end of a start found room again.
	if good < 3 || refused < 1 || good+refused != 8 || places < 1 {
		t.Errorf("%d launched, %d refused, %d were told a place", good, refused, places)
	}
	var list struct{ Total int }
	r.request(http.MethodGet, "/api/agents/sessions", nil).into(t, 200, &list)
	if list.Total != good {
		t.Errorf("%d sessions are listed, %d were launched", list.Total, good)
	}
}
