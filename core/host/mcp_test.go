package host_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/agcluster/agcluster/core/event"
)

// mcpServer is a whole MCP server over stdio with one tool, which tells whether it got its credential.
const mcpServer = `
import json, os, sys
for line in sys.stdin:
    m = json.loads(line)
    if "id" not in m:
        continue
    if m["method"] == "initialize":
        r = {"protocolVersion": m["params"]["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "vault", "version": "1"}}
    elif m["method"] == "tools/list":
        r = {"tools": [{"name": "open", "description": "opens", "inputSchema": {"type": "object", "properties": {}}}]}
    elif m["method"] == "tools/call":
        r = {"content": [{"type": "text", "text": "credential of %d characters, %s" % (len(os.environ.get("VAULT_TOKEN", "")), os.environ.get("MODE"))}]}
    else:
        r = {}
    print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": r}), flush=True)
`

func jobMCPServersGetTheirCredentials(t *testing.T, on string) {
	r := newRig(t, options{on: on, script: `
rules:
  - match: {user: '^open'}
    reply: [{tool: {name: mcp__vault__open, input: {}}}]
  - match: {result: '(?s)(.*)'}
    reply: [{text: 'The tool said: {{.Result}}'}]
`})
	credential := "made-up-vault-token-8842"
	var out struct {
		SessionID string `json:"session_id"`
	}
	r.requestAs("", http.MethodPost, "/api/agents/launch", map[string]any{
		"api_key": key,
		"config": inline(func(c map[string]any) {
			c["mcp_servers"] = map[string]any{"vault": map[string]any{
				"command": "python3", "args": []string{"-c", mcpServer}, "env": map[string]string{"MODE": "open"},
			}}
		}),
		"mcp_env": map[string]any{"vault": map[string]string{"VAULT_TOKEN": credential}},
	}).into(t, 200, &out)
	x := r.turn(out.SessionID, "open it").ended(event.CompleteOK).says("credential of 24 characters, open")
	inits := of[event.Init](x.events)
	if len(inits) != 1 || !slices.Contains(inits[0].MCPServers, event.MCP{Name: "vault", Status: "connected"}) {
		t.Errorf("init: %s", describe(x.events))
	}
	// It is sealed under the user's key: the session wakes with it after a restart, and nobody reads it from the disk.
	r.stop(syscall.SIGTERM)
	r.start()
	r.turn(out.SessionID, "open it again").ended(event.CompleteOK).says("credential of 24 characters, open")
	for _, name := range []string{"agcluster.db", "agcluster.db-wal"} {
		b, err := os.ReadFile(filepath.Join(r.data, name))
		if err == nil && strings.Contains(string(b), credential) {
			t.Errorf("the credential is in %s", name)
		}
	}
	if strings.Contains(r.log.all(), credential) {
		t.Error("the credential is in the log")
	}
}

func TestHostRefusesWhatItCannotServe(t *testing.T) {
	preset := func(text string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "mine.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for name, c := range map[string]struct {
		env  string
		says []string
	}{
		"a preset with an unknown tool": {
			"AGCLUSTER_PRESETS_DIR=" + preset("id: mine\nname: Mine\nallowed_tools: [Read, Bsh]\n"), []string{"mine.yaml", "line 3", "allowed_tools[1]", "Bash"},
		},
		"a preset with an unknown key": {
			"AGCLUSTER_PRESETS_DIR=" + preset("id: mine\nname: Mine\nallowed_tool: [Read]\n"), []string{"mine.yaml", "line 3", "allowed_tool"},
		},
		"an unknown variable":        {"AGCLUSTER_API_PROT=1", []string{"AGCLUSTER_API_PROT", "AGCLUSTER_API_PORT"}},
		"a port out of range":        {"API_PORT=70000", []string{"API_PORT", "65535"}},
		"a policy that is not there": {`AGCLUSTER_GUARD_POLICIES=[{"name":"pat"}]`, []string{"pat"}},
		"a pin that does not fit":    {`AGCLUSTER_POLICY_PINS={"path":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}`, []string{"path", "pinned one is sha256:0000"}},
		"an upstream that is none":   {"AGCLUSTER_GATEWAY_UPSTREAM=ftp://x", []string{"gateway.upstream"}},
	} {
		cmd := exec.Command(built(t, "bin/agcluster"), "serve", "--port", "0")
		if strings.HasPrefix(c.env, "API_PORT") {
			cmd = exec.Command(built(t, "bin/agcluster"), "serve")
		}
		cmd.Dir = t.TempDir()
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "AGCLUSTER_DATA_DIR=" + filepath.Join(cmd.Dir, "d"), c.env}
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%s: the host started", name)
		}
		for _, part := range c.says {
			if !strings.Contains(string(out), part) {
				t.Errorf("%s: no %q in %s", name, part, out)
			}
		}
	}
}

// Without its walls no agent runs, and the error names the fix.
func TestNoAgentWithoutASandbox(t *testing.T) {
	r := newRig(t, options{env: []string{
		`AGCLUSTER_PLUGINS_OPTIONS={"provider-local":{"bubblewrap":"/nowhere/bwrap"}}`,
	}})
	a := r.requestAs("", http.MethodPost, "/api/agents/launch", map[string]any{"api_key": key, "config_id": "code-assistant"})
	if a.status != http.StatusServiceUnavailable || !strings.Contains(a.problem(), "bubblewrap") || !strings.Contains(a.problem(), "/nowhere/bwrap") {
		t.Errorf("without bubblewrap: %v", a)
	}
	var list struct{ Total int }
	r.request(http.MethodGet, "/api/agents/sessions", nil).into(t, 200, &list)
	if list.Total != 0 {
		t.Errorf("a failed launch left %d sessions", list.Total)
	}
	volumes, err := filepath.Glob(filepath.Join(r.data, "plugins/provider-local/*/*"))
	if err != nil || len(volumes) != 0 {
		t.Errorf("a failed launch left %v (%v)", volumes, err)
	}
}

func TestSecondHostOnTheSameDataIsRefused(t *testing.T) {
	r := newRig(t, options{})
	cmd := exec.Command(built(t, "bin/agcluster"), "serve")
	cmd.Env, cmd.Dir = r.env, t.TempDir()
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "another host uses it") {
		t.Errorf("%v %s", err, out)
	}
}
