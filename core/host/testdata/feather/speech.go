package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/agcluster/agcluster/core/event"
)

// order is what a message asks for: "emit N WHAT", and "at R" for R events a second; without it they come as fast as they go.
type order struct {
	n, rate int
	what    string
}

// readOrder understands a message; anything that is no order asks for one text.
func readOrder(message string) order {
	o := order{n: 1, what: "texts"}
	if got, err := fmt.Sscanf(message, "emit %d %s at %d", &o.n, &o.what, &o.rate); err != nil && got < 2 {
		return order{n: 1, what: "texts"}
	}
	return o
}

// tick is how often a paced order says something.
const tick = 10 * time.Millisecond

// speech is what an order becomes, event by event: next gives event number i.
//
//	texts   short texts, each kept
//	deltas  previews; the whole text follows at the end
//	work    what a session consists of: texts with markdown, thinking, commands, edits, each kept
//	stream  the same with previews, as they come while an agent works: nine events of ten are previews
func speech(o order) (next func(i int) event.Data, last event.Data) {
	switch o.what {
	case "texts":
		return func(int) event.Data { return event.Text{Content: word} }, nil
	case "deltas":
		return func(int) event.Data { return event.TextDelta{Content: word} }, event.Text{Content: strings.Repeat(word, min(o.n, 1000))}
	case "stream":
		return streamed, event.Text{Content: theEnd}
	default:
		return worked, event.Text{Content: theEnd}
	}
}

const (
	theEnd    = "That was all of it."
	paragraph = "I look at **one thing** after the other: `first` what is there, then what is not, and [what others say](https://example.com/).\n\n"
	fence     = "```go\nfunc add(a, b int) int {\n\treturn a + b\n}\n```\n\n- one\n- two with `code`\n"
)

// worked is event i of a session: a text, a thought, and commands and edits with what came of them.
func worked(i int) event.Data {
	call := fmt.Sprintf("toolu_%06d", i/2*2)
	switch i % 10 {
	case 0:
		return event.Thinking{Content: strings.Repeat("What follows from that? ", 12)}
	case 1:
		return event.Text{Content: paragraph + fence}
	case 2, 6:
		return event.ToolUse{ID: call, Tool: "Bash", Input: "go test ./...", Arguments: arguments(map[string]any{"command": "go test ./...", "description": "Run the tests"})}
	case 3, 7:
		return event.ToolResult{ID: call, Tool: "Bash", Output: strings.Repeat("ok  \texample.com/some/package\t0.123s\n", 20)}
	case 4:
		return event.ToolUse{ID: call, Tool: "Edit", Input: "/workspace/add.go", Arguments: arguments(map[string]any{
			"file_path": "/workspace/add.go", "old_string": "\treturn a - b\n", "new_string": "\t// Both are small.\n\treturn a + b\n",
		})}
	case 5:
		return event.ToolResult{ID: call, Tool: "Edit", Output: "The file /workspace/add.go has been updated."}
	case 8:
		return event.ToolUse{ID: call, Tool: "Read", Input: "/workspace/add.go", Arguments: arguments(map[string]any{"file_path": "/workspace/add.go"})}
	default:
		return event.ToolResult{ID: call, Tool: "Read", Output: "1\tpackage add\n2\t\n3\tfunc add(a, b int) int {\n"}
	}
}

// streamed is event i of a turn that is looked at: eighteen previews, then the text that they make and one step of the work.
func streamed(i int) event.Data {
	const round = 20
	step := i / round
	switch in := i % round; in {
	case round - 2:
		return event.Text{Content: strings.Repeat(paragraph, 3)}
	case round - 1:
		// A call and its result are steps that follow each other.
		return worked(step/8*10 + 2 + step%8)
	default:
		at := in * 3 * len(paragraph) / (round - 2)
		return event.TextDelta{Content: strings.Repeat(paragraph, 3)[at : (in+1)*3*len(paragraph)/(round-2)]}
	}
}

func arguments(input map[string]any) json.RawMessage {
	b, err := json.Marshal(input)
	if err != nil {
		panic(err) // strings only
	}
	return b
}
