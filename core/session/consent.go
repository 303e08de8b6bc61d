package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"sync"

	"github.com/agcluster/agcluster/core/agent"
)

// consents are the calls of a turn that a person has let pass at a gate, so that the CLI's own prompt, which comes after it in some
// permission modes, need not ask the same person the same thing again. Its zero value is ready.
type consents struct {
	mu sync.Mutex
	// byUse has what was let pass, by tool use id.
	byUse map[string][sha256.Size]byte
}

// give remembers a call as the person saw it, until its prompt or its result. No more are kept than can be asked about at once; what is
// not kept is asked twice.
func (c *consents) give(ask agent.Ask) {
	sum, ok := sumOf(ask)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok || ask.ToolUseID == "" || len(c.byUse) >= maxAsks {
		return
	}
	if c.byUse == nil {
		c.byUse = map[string][sha256.Size]byte{}
	}
	c.byUse[ask.ToolUseID] = sum
}

// take says whether a person has let just this call pass, with this input, and forgets it: one consent is for one call.
func (c *consents) take(ask agent.Ask) bool {
	sum, ok := sumOf(ask)
	c.mu.Lock()
	defer c.mu.Unlock()
	given, known := c.byUse[ask.ToolUseID]
	delete(c.byUse, ask.ToolUseID)
	return ok && known && given == sum
}

// drop forgets a call that is over.
func (c *consents) drop(toolUseID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byUse, toolUseID)
}

// sumOf is the same for two asks when tool and input mean the same, however the input is written.
func sumOf(ask agent.Ask) (sum [sha256.Size]byte, ok bool) {
	var input any
	dec := json.NewDecoder(bytes.NewReader(ask.Input))
	dec.UseNumber()
	if dec.Decode(&input) != nil {
		return sum, false
	}
	canonical, err := json.Marshal([]any{ask.Tool, input})
	return sha256.Sum256(canonical), err == nil
}
