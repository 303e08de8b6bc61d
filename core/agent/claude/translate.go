package claude

import (
	"encoding/json"
	"fmt"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// The host refuses more as a broken protocol: what a model can make larger is cut here.
const (
	maxOutput = 1 << 20
	maxTodos  = 1000
)

// translate turns one message of the CLI into events.
func (t *turn) translate(m message) {
	var err error
	switch m.Type {
	case "system":
		err = t.system(m)
	case "stream_event":
		err = t.delta(m)
	case "assistant":
		err = t.assistant(m)
	case "user":
		if m.Replay {
			t.taken = t.taken || m.UUID == t.id
			return
		}
		err = t.user(m)
	case "result":
		err = t.result(m)
	}
	if err != nil {
		t.log.Warn("reading a message of Claude Code", zap.String("type", agent.Line(m.Type)), zap.Error(err))
	}
}

func (t *turn) system(m message) error {
	var s struct {
		ToolUseID string   `json:"tool_use_id"`
		TaskID    string   `json:"task_id"`
		Model     string   `json:"model"`
		Tools     []string `json:"tools"`
		Agents    []string `json:"agents"`
		MCP       []struct {
			Name   string `json:"name"`
			Status string `json:"status"`
		} `json:"mcp_servers"`
		Mode    string `json:"permissionMode"`
		Cwd     string `json:"cwd"`
		Version string `json:"claude_code_version"`
	}
	if err := json.Unmarshal(m.raw, &s); err != nil {
		return fmt.Errorf("reading a system message: %w", err)
	}
	if m.Subtype == "task_started" && s.TaskID != "" {
		t.mu.Lock()
		t.ids[s.TaskID] = s.ToolUseID
		t.mu.Unlock()
		return nil
	}
	if m.Subtype != "init" {
		return nil
	}
	init := event.Init{
		Model: s.Model, Tools: s.Tools, Agents: s.Agents, PermissionMode: s.Mode, Cwd: s.Cwd, CLIVersion: s.Version,
		Resumed: t.proc.plan.resumed,
	}
	for _, x := range s.MCP {
		init.MCPServers = append(init.MCPServers, event.MCP{Name: x.Name, Status: x.Status})
	}
	if t.proc.announce(init) {
		t.emit(init)
	}
	return nil
}

func (t *turn) delta(m message) error {
	var e struct {
		Type  string `json:"type"`
		Delta struct {
			Type string `json:"type"`
			Text string `json:"text"`
		} `json:"delta"`
	}
	if err := json.Unmarshal(m.Event, &e); err != nil {
		return fmt.Errorf("reading a stream event: %w", err)
	}
	if e.Type == "content_block_delta" && e.Delta.Type == "text_delta" && e.Delta.Text != "" {
		t.emit(event.TextDelta{Content: e.Delta.Text, Parent: m.parent()})
	}
	return nil
}

// content is one block of a message.
type content struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
}

func blocks(raw json.RawMessage) ([]content, error) {
	var m struct {
		Content json.RawMessage `json:"content"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("reading a message: %w", err)
	}
	var text string
	if json.Unmarshal(m.Content, &text) == nil {
		return []content{{Type: "text", Text: text}}, nil
	}
	var list []content
	if err := json.Unmarshal(m.Content, &list); err != nil {
		return nil, fmt.Errorf("reading the content of a message: %w", err)
	}
	return list, nil
}

func (t *turn) assistant(m message) error {
	list, err := blocks(m.Message)
	if err != nil {
		return err
	}
	// A message that carries an error is the CLI's own text about it, not the model's.
	var kind string
	if len(m.Error) > 0 && json.Unmarshal(m.Error, &kind) == nil && kind != "" {
		text := ""
		for _, b := range list {
			text += b.Text
		}
		t.modelError(kind, text)
		return nil
	}
	parent := m.parent()
	for _, b := range list {
		switch b.Type {
		case "text":
			if b.Text != "" {
				t.emit(event.Text{Content: b.Text, Parent: parent})
			}
		case "thinking":
			if b.Thinking != "" {
				t.emit(event.Thinking{Content: b.Thinking, Parent: parent})
			}
		case "tool_use", "server_tool_use", "mcp_tool_use":
			t.toolUse(b, parent)
		}
	}
	return nil
}

func (t *turn) toolUse(b content, parent string) {
	var in struct {
		Agent string       `json:"subagent_type"`
		Todos []event.Todo `json:"todos"`
	}
	if len(b.Input) == 0 || b.Input[0] != '{' {
		b.Input = json.RawMessage(`{}`)
	}
	if json.Unmarshal(b.Input, &in) == nil && b.Name == "TodoWrite" && in.Todos != nil {
		t.todos[b.ID] = in.Todos
	}
	t.names[b.ID] = b.Name
	t.mu.Lock()
	t.parents[b.ID] = parent
	if in.Agent != "" {
		t.agents[b.ID] = in.Agent
	}
	t.mu.Unlock()
	t.emit(event.ToolUse{
		ID: b.ID, Tool: b.Name, Input: agent.Summary(b.Name, b.Input), Parent: parent,
		// The line it was read from is reused.
		Arguments: append(json.RawMessage(nil), b.Input...),
	})
}

func (t *turn) user(m message) error {
	list, err := blocks(m.Message)
	if err != nil {
		return err
	}
	for _, b := range list {
		if b.Type != "tool_result" {
			continue
		}
		tool := t.names[b.ToolUseID]
		t.mu.Lock()
		output, ok := t.replaced[b.ToolUseID]
		t.mu.Unlock()
		if !ok {
			output = text(b.Content)
		}
		t.emit(event.ToolResult{
			ID: b.ToolUseID, Tool: tool, Output: cut(output, maxOutput), IsError: b.IsError, Parent: m.parent(),
		})
		if tool == "TodoWrite" && !b.IsError {
			t.todoUpdate(b.ToolUseID, m.ToolUse)
		}
	}
	return nil
}

// todoUpdate reports the list after a change: what the tool says, else what it was given.
func (t *turn) todoUpdate(id string, result json.RawMessage) {
	var r struct {
		New []event.Todo `json:"newTodos"`
	}
	if json.Unmarshal(result, &r) != nil || r.New == nil {
		r.New = t.todos[id]
	}
	if r.New != nil {
		t.emit(event.TodoUpdate{Todos: r.New[:min(len(r.New), maxTodos)]})
	}
}

// text is a tool result's content as a person reads it.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var list []content
	if json.Unmarshal(raw, &list) != nil {
		return string(raw)
	}
	for i, b := range list {
		if i > 0 {
			s += "\n"
		}
		if b.Type == "text" {
			s += b.Text
		} else {
			s += "[" + agent.Line(b.Type) + "]"
		}
	}
	return s
}

func (t *turn) modelError(kind, text string) {
	t.failure = true
	code := "model_error"
	if kind == "authentication_failed" {
		code = kind
	}
	t.emit(event.Error{Code: code, Message: cut(agent.Line(text), maxError)})
}

func (t *turn) result(m message) error {
	var r struct {
		IsError bool        `json:"is_error"`
		Result  string      `json:"result"`
		Errors  []string    `json:"errors"`
		Turns   int         `json:"num_turns"`
		Cost    float64     `json:"total_cost_usd"`
		Usage   event.Usage `json:"usage"`
	}
	if err := json.Unmarshal(m.raw, &r); err != nil {
		return fmt.Errorf("reading a result: %w", err)
	}
	if !t.taken && r.Turns > 0 && !t.wasInterrupted() {
		// The end of a run that the CLI began by itself; ours comes yet. The CLI's own commands (/cost) are never taken up and have
		// no turns.
		return nil
	}
	t.over = true
	c := event.Complete{Status: event.CompleteOK, Usage: r.Usage, Turns: r.Turns, CostUSD: t.proc.spent(r.Cost)}
	switch {
	case t.wasInterrupted():
		c.Status = event.CompleteInterrupted
	case m.Subtype == "error_max_turns":
		c.Status = event.CompleteMaxTurns
		t.emit(event.Error{Code: "max_turns", Message: "the turn reached its limit of model round trips"})
	case m.Subtype != "success" || r.IsError:
		c.Status = event.CompleteFailed
		if !t.failure {
			detail := r.Result
			for _, e := range r.Errors {
				detail += " " + e
			}
			t.emit(event.Error{Code: "model_error", Message: cut(agent.Line(m.Subtype+": "+detail), maxError)})
		}
	}
	t.complete <- c
	return nil
}
