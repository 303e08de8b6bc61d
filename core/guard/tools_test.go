package guard

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/preset"
	"github.com/agcluster/agcluster/core/session"
)

func TestWhoMayUseWhat(t *testing.T) {
	c := preset.Config{
		AllowedTools: []string{"Read", "Task", "mcp__files__*", "mcp__web", "mcp__github__get_issue"},
		Agents: map[string]agent.SubAgent{
			"narrow": {Tools: []string{"Grep", "mcp__db__query"}}, "plain": {},
		},
		MCPServers: map[string]agent.MCPServer{"db": {}},
	}
	for _, tt := range []struct {
		agentType, tool string
		want            bool
	}{
		{"", "Read", true},
		{"", "Bash", false},
		{"", "read", false},
		{"", "ReadX", false},
		{"", "", false},
		{"", "Agent", true}, // the CLI's other name of Task
		{"", "mcp__files__list", true},
		{"", "mcp__files", false},
		{"", "mcp__filesystem__list", false},
		{"", "mcp__web__fetch", true},
		{"", "mcp__web2__fetch", false},
		{"", "mcp__github__get_issue", true},
		{"", "mcp__github__get_issues", false},
		{"", "mcp__github__get_issue__x", false},
		{"", "mcp__db__anything", true}, // configuring a server allows its tools
		{"", "mcp__db", false},
		{"", "mcp__dbx__y", false},
		{"", "ListMcpResources", true},
		{"", "ReadMcpResourceTool", true},
		{"narrow", "Grep", true},
		{"narrow", "Read", false}, // the main agent's
		{"narrow", "mcp__db__query", true},
		{"narrow", "mcp__db__drop", false}, // its own list is all it has
		{"narrow", "ListMcpResources", false},
		{"plain", "Read", true},
		{"plain", "mcp__db__drop", true},
		{"plain", "Bash", false},
		{"general-purpose", "Read", true}, // the CLI's own sub-agents have what the main agent has
		{"general-purpose", "Bash", false},
	} {
		reason, ok := permitted(c, agent.Ask{Tool: tt.tool, AgentType: tt.agentType})
		if ok != tt.want {
			t.Errorf("%q uses %q: got %v", tt.agentType, tt.tool, ok)
		}
		if !ok && (!strings.Contains(reason, "may not use "+tt.tool) || strings.Contains(reason, "sub-agent") != (c.Agents[tt.agentType].Tools != nil || tt.agentType == "plain")) {
			t.Errorf("%q uses %q: got the reason %q", tt.agentType, tt.tool, reason)
		}
	}
	if _, ok := permitted(preset.Config{}, agent.Ask{Tool: "ListMcpResources"}); ok {
		t.Error("without a server there are no resources")
	}
}

func TestAToolThatIsNotAllowedReachesNobody(t *testing.T) {
	f := &filter{}
	g := newRig(t, Config{Filters: []string{"f"}}, map[string]*filter{"f": f})
	j := g.Call(t.Context(), scope("s"), agent.Ask{Tool: "NotebookEdit", Input: json.RawMessage(`{}`)})
	if j.Ruling != session.RulingDeny || len(told(j)) != 1 || told(j)[0] != "tool.call deny host: the agent may not use NotebookEdit: it is not among its allowed tools" || len(f.seen) != 0 {
		t.Errorf("got %v, the filter saw %v", told(j), f.seen)
	}
}
