package host_test

import (
	"net/http"
	"testing"

	"github.com/agcluster/agcluster/core/event"
)

// TestACallIsApprovedOnce: in permission mode default the real CLI prompts for what it does not know to be harmless, after our gates. Who
// has let a call pass at a gate is not prompted for it.
func TestACallIsApprovedOnce(t *testing.T) {
	r := newRig(t, options{})
	id := r.launch(inline(func(c map[string]any) {
		c["permission_mode"] = "default"
		c["policies"] = []map[string]any{
			{"name": "tools", "params": map[string]any{"ask": []string{"Bash(touch *)", "Write(/workspace/asked*)"}}}, {"name": "path"}, {"name": "archive"},
		}
	}))
	// approve sends a message and answers every approval; it returns for which reasons there were any.
	approve := func(message, scope string) []string {
		t.Helper()
		s := r.send(t.Context(), id, message)
		var reasons []string
		s.until("the end of the turn", func(e event.Event) bool {
			if a, ok := e.Data.(event.ApprovalRequired); ok {
				reasons = append(reasons, a.Reason)
				r.request(http.MethodPost, "/api/agents/"+id+"/approvals/"+a.Ask, map[string]string{"decision": "allow", "scope": scope}).into(t, 200, nil)
			}
			return e.Data.Type() == event.TypeComplete
		})
		turn{t, s.rest()}.ended(event.CompleteOK)
		return reasons
	}
	const mode = "the session's permission mode asks for it"
	rule := func(rule string) string { return "the rule " + rule + " wants a person to decide (tools policy)" }
	for _, c := range []struct{ message, scope, file, want string }{
		{"run: touch by-rule.txt", "once", "by-rule.txt", rule("Bash(touch *)")},
		{"write /workspace/asked.txt one", "once", "asked.txt", rule("Write(/workspace/asked*)")},
		{"write /workspace/by-mode.txt two", "once", "by-mode.txt", mode},
		{"run: touch again.txt", "session", "again.txt", rule("Bash(touch *)")},
		{"run: touch granted.txt", "", "granted.txt", ""},
		{"write /workspace/mode-again.txt three", "session", "mode-again.txt", mode},
		{"write /workspace/mode-granted.txt four", "", "mode-granted.txt", ""},
	} {
		reasons := approve(c.message, c.scope)
		if want := c.want != ""; want && (len(reasons) != 1 || reasons[0] != c.want) || !want && len(reasons) != 0 {
			t.Errorf("%s: asked %q, want %q", c.message, reasons, c.want)
		}
		if a := r.request(http.MethodGet, "/api/files/"+id+"/"+c.file+"?raw=true", nil); a.status != 200 {
			t.Errorf("%s: an approved call did not run: %v", c.message, a)
		}
	}
}
