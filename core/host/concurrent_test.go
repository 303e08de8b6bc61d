package host_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/agcluster/agcluster/core/event"
)

// TestThirtyAgentsAtOnce: thirty real agents, each with turns of its own that use tools, on a machine that starts two at a time.
func TestThirtyAgentsAtOnce(t *testing.T) {
	needDocker(t)
	const agents = 30
	r := newRig(t, options{on: onDocker, env: []string{"AGCLUSTER_SESSION_LAUNCH_TIMEOUT=5m"}})
	var wg sync.WaitGroup
	ids := make([]string, agents)
	for i := range agents {
		wg.Go(func() {
			var out launched
			a := r.requestWithin(4*patience, "", http.MethodPost, "/api/agents/launch", map[string]any{"api_key": key, "config": inline(nil)})
			if a.status != http.StatusOK {
				t.Errorf("launch %d: %v", i, a)
				return
			}
			a.into(t, 200, &out)
			ids[i] = out.SessionID
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	if h := r.pool(); h.Waiting != 0 {
		t.Errorf("%d starts still wait", h.Waiting)
	}
	idle := r.memory()
	for i, id := range ids {
		wg.Go(func() {
			own := "number-" + strconv.Itoa(i)
			for _, message := range []string{"write /workspace/own.txt " + own, "run: cat own.txt; ls | wc -l"} {
				a := r.requestWithin(4*patience, key, http.MethodPost, "/api/agents/"+id+"/chat", map[string]string{"message": message})
				var answer struct {
					Status      string
					Text        string
					ToolResults []struct{ Output string } `json:"tool_results"`
				}
				if a.status != http.StatusOK {
					t.Errorf("agent %d: %v", i, a)
					return
				}
				a.into(t, 200, &answer)
				if answer.Status != event.CompleteOK || len(answer.ToolResults) != 1 {
					t.Errorf("agent %d: %v", i, a)
				}
				if strings.HasPrefix(message, "run:") && answer.ToolResults[0].Output != own+"1" {
					t.Errorf("agent %d sees %q", i, answer.ToolResults[0].Output)
				}
			}
		})
	}
	wg.Wait()
	for i, id := range ids {
		for _, e := range r.history(id) {
			if u, ok := e.Data.(event.ToolUse); ok && strings.Contains(string(u.Arguments), "number-") && !strings.Contains(string(u.Arguments), `"number-`+strconv.Itoa(i)+`"`) {
				t.Errorf("agent %d has another's call: %s", i, u.Arguments)
			}
		}
	}
	// What is garbage by now goes once the runtime collects it, for which the reading of a history gives it cause; what leaked stays.
	eventually(t, fmt.Sprintf("the host is back at less than 64 MiB over the %d MiB it had before sixty turns", idle>>20), func() bool {
		r.history(ids[0])
		return r.memory() <= idle+64<<20
	})
	for _, id := range ids {
		wg.Go(func() { r.request(http.MethodDelete, "/api/agents/sessions/"+id, nil).into(t, 200, nil) })
	}
	wg.Wait()
	if left := append(r.containers(), r.volumes()...); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}
