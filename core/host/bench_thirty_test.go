package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/agcluster/agcluster/core/event"
)

// works launches an agent, has it write a file that only it knows and read it again, and says whether all of that came true. It does
// not end the test: it runs many times at once, and the figure is how many succeed.
func (r *rig) works(name string) bool {
	var s launched
	if !r.ask(http.MethodPost, "/api/agents/launch", map[string]any{"api_key": key, "config": agentConfig()}, &s) {
		return false
	}
	defer r.ask(http.MethodDelete, "/api/agents/sessions/"+s.SessionID, nil, nil)
	for _, message := range []string{"run: echo " + name + " > mine.txt", "run: cat mine.txt"} {
		var a struct {
			Status, Text string
		}
		if !r.ask(http.MethodPost, "/api/agents/"+s.SessionID+"/chat", map[string]string{"message": message}, &a) || a.Status != event.CompleteOK {
			r.t.Logf("%s: %s: %+v", name, message, a)
			return false
		}
		if strings.Contains(message, "cat") && (!strings.Contains(a.Text, name) || strings.Count(a.Text, "agent-") != 1) {
			r.t.Logf("%s was told %q", name, a.Text)
			return false
		}
	}
	return true
}

// ask makes a request that may fail; the test goes on.
func (r *rig) ask(method, path string, in, out any) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience)
	defer cancel()
	body, err := json.Marshal(in)
	if err == nil && in == nil {
		body = nil
	}
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, bytes.NewReader(body))
	if err != nil {
		r.t.Log(err)
		return false
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Log(fmt.Errorf("%s %s: %w", method, path, err))
		return false
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		r.t.Logf("%s %s: %s %.500s %v", method, path, res.Status, b, err)
		return false
	}
	if out != nil {
		err = json.Unmarshal(b, out)
	}
	return err == nil
}
