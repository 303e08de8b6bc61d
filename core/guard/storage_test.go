package guard

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/preset"
)

func TestAFullStorageLeavesAWayToDelete(t *testing.T) {
	for command, want := range map[string]bool{
		"rm -rf build": true, "rm a && rmdir b; ls -la | wc -l": true, "cd /workspace && rm -f *.o 2>/dev/null": true, "/bin/rm x": true,
		"find . -name '*.o' -delete": true, "find . -size +1M -exec rm {} +": true, "find . -print0 | xargs -0 rm -f": true, "du -sh * 2>&1": true,
		"rm $(find . -name x)": true, "for f in a b; do rm $f; done": true, "test -f x && rm x || true": true, "cat < x": true, "": true,
		"echo x > f": false, "echo x >> f": false, "cat x >& f": false, "echo x &> f": false, "rm x; touch y": false, "python3 -c 1": false,
		"find . -exec cp {} /tmp \\;": false, "find . -fprint f": false, "find . -okdir rm {} \\;": false, "find . $X": false, "$X f": false,
		"xargs cp": false, "xargs -I{} cp {} x": false, "xargs": false, "rm() { dd of=x; }; rm": false, "PATH=. rm x": false, "X=1": false,
		"rm $(dd if=/dev/zero of=x)": false, "rm x | tee y": false, "export PATH=.": false, "./rm x": false, "if": false, "bash -c 'rm x'": false,
		"cat > x <<E\nE": false, "cat <<E\nx\nE": true, "rm x <(touch y)": false, "coproc rm x": false, "exec 3<>x": false,
	} {
		input, err := json.Marshal(map[string]string{"command": command})
		if err != nil {
			t.Fatal(err)
		}
		if got := frees(input); got != want {
			t.Errorf("%q: %v", command, got)
		}
	}
}

func TestAFullStorageIsADenialThatSaysSo(t *testing.T) {
	c := preset.Config{MCPServers: map[string]agent.MCPServer{"here": {Command: "x"}, "there": {URL: "https://x.test"}}}
	g := newRig(t, Config{}, nil).Guard
	full, room := &agent.Disk{Used: 3 << 20, Limit: 2 << 20}, &agent.Disk{Used: 2 << 20, Limit: 2 << 20}
	for _, x := range []struct {
		tool  string
		input string
		disk  *agent.Disk
		ok    bool
	}{
		{"Write", `{"file_path":"/workspace/x","content":""}`, full, false},
		{"Write", `{}`, room, true},
		{"Write", `{}`, nil, true},
		{"Write", `{}`, &agent.Disk{Used: 9}, true},
		{"Edit", `{}`, full, false},
		{"Read", `{}`, full, true},
		{"Task", `{}`, full, true},
		{"Bash", `{"command":"rm x"}`, full, true},
		{"Bash", `{"command":"touch x"}`, full, false},
		{"mcp__here__x", `{}`, full, false},
		{"mcp__there__x", `{}`, full, true},
		{"mcp__nowhere__x", `{}`, full, false},
		{"Unheard", `{}`, full, false},
	} {
		reason, ok := g.stored(t.Context(), c, agent.Ask{Tool: x.tool, Disk: x.disk}, json.RawMessage(x.input))
		if ok != x.ok || !ok && (!strings.Contains(reason, "3.0 MiB are stored, the limit is 2.0 MiB") || !strings.Contains(reason, "delete")) {
			t.Errorf("%s %s with %v: %v %q", x.tool, x.input, x.disk, ok, reason)
		}
	}
}

func TestAFullStorageIsJudgedBeforeAllElse(t *testing.T) {
	r := newRig(t, Config{}, map[string]*filter{"f": {}})
	s := scope("full", puppet("puppet", `{"gate":"tool.call","verdict":"deny","reason":"no"}`))
	s.Config.AllowedTools, s.Config.Filters = []string{"Write"}, []string{"f"}
	ask := agent.Ask{Tool: "Write", Input: json.RawMessage(`{}`), Disk: &agent.Disk{Used: 2, Limit: 1}}
	j := r.Call(t.Context(), s, ask)
	if got := told(j); len(got) != 1 || !strings.HasPrefix(got[0], "tool.call deny host:storage: the session's storage is full: 2 B") {
		t.Errorf("got %q", got)
	}
	ask.Disk.Used = 1
	if got := told(r.Call(t.Context(), s, ask)); len(got) != 1 || got[0] != "tool.call deny policy:puppet: no" {
		t.Errorf("with room: %q", got)
	}
}
