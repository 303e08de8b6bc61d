package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// ToolResult is a tool result on its way to the model.
type ToolResult struct {
	ToolUseID string
	// Tool and Input are of the call it answers, as far as the request still holds it.
	Tool  string
	Input json.RawMessage
	// Content is the result as the model would see it: a string or a list of blocks.
	Content json.RawMessage
	IsError bool
}

// Results judges tool results on their way to the model. Hooks inside the sandbox see most of them first, but they can't replace
// what a failed call shows, and a hook alone is no boundary: what was not judged there is judged here, before it leaves the host.
type Results interface {
	// Passed says that this result was judged already and may go as it is.
	Passed(toolUseID string) bool
	// Judge returns what the model gets instead of the content; nil leaves it. An error withholds the whole request.
	Judge(ctx context.Context, r ToolResult) (json.RawMessage, error)
}

// screen reads a request's body and puts every result in it that has not passed to the session's judge.
func screen(w http.ResponseWriter, r *http.Request, results Results) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		return err
	}
	if results != nil {
		if body, err = screened(r.Context(), body, results); err != nil {
			return err
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.Header.Set("Content-Length", fmt.Sprint(len(body)))
	r.TransferEncoding = nil
	return nil
}

var resultKey = []byte(`"tool_use_id"`) //nolint:gochecknoglobals // a constant

// allPassed looks for results that were not judged without parsing the body, which holds the whole conversation each time.
func allPassed(body []byte, results Results) bool {
	for {
		i := bytes.Index(body, resultKey)
		if i < 0 {
			return true
		}
		body = bytes.TrimLeft(body[i+len(resultKey):], " \t\r\n")
		value, isField := bytes.CutPrefix(body, []byte(":"))
		if !isField {
			continue
		}
		value = bytes.TrimLeft(value, " \t\r\n")
		end := -1
		if len(value) > 0 && value[0] == '"' {
			end = bytes.IndexByte(value[1:], '"')
		}
		if end < 0 || bytes.IndexByte(value[1:1+end], '\\') >= 0 || !results.Passed(string(value[1:1+end])) {
			return false
		}
		body = value[2+end:]
	}
}

type object = map[string]json.RawMessage

// block is what matters of a content block.
type block struct {
	Type      string          `json:"type"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
}

var (
	errBody  = errors.New("the request is no Messages API request")
	errJudge = errors.New("the host could not judge a tool result")
)

// screened is the body with the replacements of the judge.
func screened(ctx context.Context, body []byte, results Results) ([]byte, error) {
	if allPassed(body, results) {
		return body, nil
	}
	var request object
	var messages []object
	if json.Unmarshal(body, &request) != nil || json.Unmarshal(request["messages"], &messages) != nil {
		return nil, errBody
	}
	calls, changed := map[string]block{}, false
	for _, m := range messages {
		replaced, err := screenMessage(ctx, m, calls, results)
		if err != nil {
			return nil, err
		}
		changed = changed || replaced
	}
	if !changed {
		return body, nil
	}
	var err error
	if request["messages"], err = json.Marshal(messages); err != nil {
		return nil, fmt.Errorf("encoding messages: %w", err)
	}
	if body, err = json.Marshal(request); err != nil {
		return nil, fmt.Errorf("encoding a request: %w", err)
	}
	return body, nil
}

// screenMessage replaces results in one message and remembers the calls in it.
func screenMessage(ctx context.Context, m object, calls map[string]block, results Results) (bool, error) {
	var parts []json.RawMessage
	if json.Unmarshal(m["content"], &parts) != nil {
		return false, nil //nolint:nilerr // a plain text
	}
	changed := false
	for i, raw := range parts {
		var b block
		if err := json.Unmarshal(raw, &b); err != nil {
			return false, errBody
		}
		if b.Type == "tool_use" {
			calls[b.ID] = b
		}
		if b.Type != "tool_result" || results.Passed(b.ToolUseID) {
			continue
		}
		call := calls[b.ToolUseID]
		content := b.Content
		if len(content) == 0 {
			content = json.RawMessage(`""`)
		}
		next, err := results.Judge(ctx, ToolResult{
			ToolUseID: b.ToolUseID, Tool: call.Name, Input: call.Input, Content: content, IsError: b.IsError,
		})
		if err != nil {
			return false, fmt.Errorf("%w: %w", errJudge, err)
		}
		if next == nil {
			continue
		}
		var fields object
		if err := json.Unmarshal(raw, &fields); err != nil {
			return false, errBody
		}
		fields["content"] = next
		if parts[i], err = json.Marshal(fields); err != nil {
			return false, fmt.Errorf("encoding a result: %w", err)
		}
		changed = true
	}
	if !changed {
		return false, nil
	}
	content, err := json.Marshal(parts)
	if err != nil {
		return false, fmt.Errorf("encoding a message: %w", err)
	}
	m["content"] = content
	return true, nil
}
