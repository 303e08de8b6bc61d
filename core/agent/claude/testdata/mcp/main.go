// Command mcp is a tiny MCP server on stdio for this package's tests: its tool "tell" says what is in its environment and "draw" returns
// an image. It waits before it lists its tools, as a slow server would.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

type request struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Version string `json:"protocolVersion"`
		Name    string `json:"name"`
	} `json:"params"`
}

const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg=="

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var r request
		if json.Unmarshal(lines.Bytes(), &r) != nil || r.ID == nil {
			continue
		}
		b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": r.ID, "result": answer(r)})
		if err != nil {
			os.Exit(1)
		}
		fmt.Println(string(b))
	}
}

func answer(r request) any {
	type object = map[string]any
	switch r.Method {
	case "initialize":
		return object{
			"protocolVersion": r.Params.Version, "capabilities": object{"tools": object{}},
			"serverInfo": object{"name": "tiny", "version": "1"},
		}
	case "tools/list":
		time.Sleep(300 * time.Millisecond) // slow on purpose: a first turn that did not wait would miss the tools
		schema := object{"type": "object", "properties": object{}}
		return object{"tools": []any{
			object{"name": "tell", "description": "Tells.", "inputSchema": schema},
			object{"name": "draw", "description": "Draws.", "inputSchema": schema},
		}}
	case "tools/call":
		if r.Params.Name == "draw" {
			return object{"content": []any{object{"type": "image", "data": pixel, "mimeType": "image/png"}}}
		}
		return object{"content": []any{object{"type": "text", "text": "MCP says " + os.Getenv("TELL")}}}
	default:
		return object{}
	}
}
