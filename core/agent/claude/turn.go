package claude

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// turn is one turn as it runs.
type turn struct {
	ctx    context.Context
	cancel context.CancelFunc
	// asking ends when the turn is interrupted: open asks are denied then.
	asking context.Context
	deny   context.CancelFunc
	number int64
	sink   Sink
	log    *zap.Logger
	work   sync.WaitGroup

	interrupted chan struct{}
	once        sync.Once
	complete    chan event.Complete
	proc        *process

	mu sync.Mutex
	// tools and parents map a tool use id to the tool's name and to the Task call it belongs to; agents maps a Task call to its
	// sub-agent's type, ids a sub-agent's own id to its Task call.
	tools   map[string]string
	parents map[string]string
	agents  map[string]string
	ids     map[string]string
	// replaced is what a result shows instead of what the CLI says.
	replaced map[string]string
	perm     string
	failure  bool
	dead     bool
}

func newTurn(ctx context.Context, number int64, sink Sink, log *zap.Logger) *turn {
	t := &turn{
		number: number, sink: sink, log: log, interrupted: make(chan struct{}), complete: make(chan event.Complete, 1),
		tools: map[string]string{}, parents: map[string]string{}, agents: map[string]string{}, ids: map[string]string{},
		replaced: map[string]string{},
	}
	t.ctx, t.cancel = context.WithCancel(ctx)
	t.asking, t.deny = context.WithCancel(t.ctx)
	return t
}

func (t *turn) begin(p *process) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.proc = p
}

func (t *turn) interrupt() {
	t.once.Do(func() {
		close(t.interrupted)
		t.deny()
	})
}

func (t *turn) wasInterrupted() bool {
	select {
	case <-t.interrupted:
		return true
	default:
		return false
	}
}

// end releases what the turn holds and waits for its goroutines.
func (t *turn) end() {
	t.cancel()
	t.work.Wait()
}

func (t *turn) emit(d event.Data) {
	t.mu.Lock()
	dead := t.dead
	t.mu.Unlock()
	if dead {
		return
	}
	if err := t.sink.Event(d); err != nil {
		t.mu.Lock()
		t.dead = true
		t.mu.Unlock()
		t.log.Warn("dropping the rest of a turn", zap.Error(err))
	}
}

// failed reports a turn that the CLI never took up.
func (t *turn) failed(code string, err error) event.Complete {
	if t.wasInterrupted() {
		return event.Complete{Status: event.CompleteInterrupted}
	}
	t.emit(event.Error{Code: code, Message: cut(readable(err.Error()))})
	return event.Complete{Status: event.CompleteFailed}
}

// exited reports a turn whose CLI ended before it.
func (t *turn) exited(p *process, err error) event.Complete {
	if t.wasInterrupted() {
		return event.Complete{Status: event.CompleteInterrupted}
	}
	t.emit(event.Error{Code: "agent_exited", Message: cut(fmt.Sprintf("%v%s", err, p.lastWords()))})
	return event.Complete{Status: event.CompleteFailed}
}

func cut(s string) string {
	const limit = 4 << 10
	if len(s) > limit {
		return s[:limit] + "…"
	}
	return s
}

func (t *turn) mode() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.perm
}

func (t *turn) replace(id, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.replaced[id] = text
}

// parentOf names the Task call that a tool call belongs to; empty for the main agent's.
func (t *turn) parentOf(toolUse, agentID, _ string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.parents[toolUse]; ok {
		return p
	}
	return t.ids[agentID]
}

func (t *turn) agentType(agentID string) string {
	if agentID == "" {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if kind := t.agents[t.ids[agentID]]; kind != "" {
		return kind
	}
	// Unknown, but certainly not the main agent.
	return "unknown"
}

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
		err = t.user(m)
	case "result":
		err = t.result(m)
	}
	if err != nil {
		t.log.Warn("reading a message of Claude Code", zap.String("type", readable(m.Type)), zap.Error(err))
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
	t.mu.Lock()
	t.perm = s.Mode
	p := t.proc
	t.mu.Unlock()
	init := event.Init{
		Model: s.Model, Tools: s.Tools, Agents: s.Agents, PermissionMode: s.Mode, Cwd: s.Cwd, CLIVersion: s.Version,
		Resumed: p.resumed,
	}
	for _, x := range s.MCP {
		init.MCPServers = append(init.MCPServers, event.MCP{Name: x.Name, Status: x.Status})
	}
	if p.announce(init) {
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
	known := json.Unmarshal(b.Input, &in) == nil
	t.mu.Lock()
	t.tools[b.ID] = b.Name
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
	if b.Name == "TodoWrite" && known && in.Todos != nil {
		t.mu.Lock()
		t.replaced["todos:"+b.ID] = string(b.Input)
		t.mu.Unlock()
	}
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
		t.mu.Lock()
		tool := t.tools[b.ToolUseID]
		output, ok := t.replaced[b.ToolUseID]
		t.mu.Unlock()
		if !ok {
			output = text(b.Content)
		}
		t.emit(event.ToolResult{ID: b.ToolUseID, Tool: tool, Output: output, IsError: b.IsError, Parent: m.parent()})
		if tool == "TodoWrite" && !b.IsError {
			t.todos(b.ToolUseID, m.ToolUse)
		}
	}
	return nil
}

// todos reports the list after a change: what the tool says, else what it was given.
func (t *turn) todos(id string, result json.RawMessage) {
	var r struct {
		New []event.Todo `json:"newTodos"`
	}
	if json.Unmarshal(result, &r) == nil && r.New != nil {
		t.emit(event.TodoUpdate{Todos: r.New})
		return
	}
	var in struct {
		Todos []event.Todo `json:"todos"`
	}
	t.mu.Lock()
	raw := t.replaced["todos:"+id]
	t.mu.Unlock()
	if json.Unmarshal([]byte(raw), &in) == nil && in.Todos != nil {
		t.emit(event.TodoUpdate{Todos: in.Todos})
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
			s += "[" + readable(b.Type) + "]"
		}
	}
	return s
}

func (t *turn) modelError(kind, text string) {
	t.mu.Lock()
	t.failure = true
	t.mu.Unlock()
	code := "model_error"
	if kind == "authentication_failed" {
		code = kind
	}
	t.emit(event.Error{Code: code, Message: cut(readable(text))})
}

func (t *turn) result(m message) error {
	var r struct {
		IsError bool     `json:"is_error"`
		Result  string   `json:"result"`
		Errors  []string `json:"errors"`
		Turns   int      `json:"num_turns"`
		Cost    float64  `json:"total_cost_usd"`
		Usage   event.Usage
	}
	if err := json.Unmarshal(m.raw, &r); err != nil {
		return fmt.Errorf("reading a result: %w", err)
	}
	c := event.Complete{Status: event.CompleteOK, Usage: r.Usage, Turns: r.Turns, CostUSD: t.proc.spent(r.Cost)}
	t.mu.Lock()
	failed := t.failure
	t.mu.Unlock()
	switch {
	case t.wasInterrupted():
		c.Status = event.CompleteInterrupted
	case m.Subtype == "error_max_turns":
		c.Status = event.CompleteMaxTurns
		t.emit(event.Error{Code: "max_turns", Message: "the turn reached its limit of model round trips"})
	case m.Subtype != "success" || r.IsError:
		c.Status = event.CompleteFailed
		if !failed {
			detail := r.Result
			for _, e := range r.Errors {
				detail += " " + e
			}
			t.emit(event.Error{Code: "model_error", Message: cut(readable(m.Subtype + ": " + detail))})
		}
	}
	select {
	case t.complete <- c:
	default:
	}
	return nil
}

// announce says whether init is news.
func (p *process) announce(init event.Init) bool {
	b, err := json.Marshal(init)
	if err != nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told == string(b) {
		return false
	}
	p.told = string(b)
	return true
}

// spent turns the process's running total into what the turn has cost.
func (p *process) spent(total float64) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	cost := max(total-p.cost, 0)
	p.cost = total
	return cost
}
