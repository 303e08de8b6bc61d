package claude

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
	"github.com/google/uuid"
)

// maxError bounds the text of an Error event, in bytes.
const maxError = 4 << 10

// turn is one turn as it runs.
type turn struct {
	// id is the uuid of the turn's message.
	id     string
	ctx    context.Context
	cancel context.CancelFunc
	// open ends when the turn is interrupted: what waits for a person or for the CLI to start is given up then.
	open  context.Context
	close context.CancelFunc
	sink  Sink
	log   *zap.Logger
	work  sync.WaitGroup
	// proc is set before the first message arrives.
	proc *process

	interrupted chan struct{}
	once        sync.Once
	complete    chan event.Complete

	// The fields up to mu belong to the process's reading goroutine.
	//
	// taken says that the CLI has taken up the turn's message, over that it has reported its result, failure that an error of the
	// model was reported.
	taken, over, failure bool
	// names maps a tool use id to the tool's name, todos one of TodoWrite to its list.
	names map[string]string
	todos map[string][]event.Todo
	dead  bool

	mu sync.Mutex
	// parents maps a tool use id to the Task call it belongs to, agents a Task call to its sub-agent's type, ids a sub-agent's own
	// id to its Task call.
	parents map[string]string
	agents  map[string]string
	ids     map[string]string
	// replaced is what a result shows instead of what the CLI says.
	replaced map[string]string
}

func newTurn(ctx context.Context, sink Sink, log *zap.Logger) *turn {
	t := &turn{
		id: uuid.NewString(), sink: sink, log: log, interrupted: make(chan struct{}), complete: make(chan event.Complete, 1),
		names: map[string]string{}, todos: map[string][]event.Todo{},
		parents: map[string]string{}, agents: map[string]string{}, ids: map[string]string{}, replaced: map[string]string{},
	}
	t.ctx, t.cancel = context.WithCancel(ctx)
	t.open, t.close = context.WithCancel(t.ctx)
	return t
}

func (t *turn) interrupt() {
	t.once.Do(func() {
		close(t.interrupted)
		t.close()
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

// emit passes on an event. After the first error nobody reads on, and the rest is dropped.
func (t *turn) emit(d event.Data) {
	if t.dead {
		return
	}
	if err := t.sink.Event(d); err != nil {
		t.dead = true
		t.log.Warn("dropping the rest of a turn", zap.Error(err))
	}
}

// failed reports a turn that the CLI never took up.
func (t *turn) failed(code string, err error) event.Complete {
	if t.wasInterrupted() {
		return event.Complete{Status: event.CompleteInterrupted}
	}
	t.emit(event.Error{Code: code, Message: cut(agent.Line(err.Error()), maxError)})
	return event.Complete{Status: event.CompleteFailed}
}

// exited reports a turn whose CLI ended before it.
func (t *turn) exited(p *process, err error) event.Complete {
	return t.failed("agent_exited", fmt.Errorf("%w%s", err, p.lastWords()))
}

func (t *turn) replace(id, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.replaced[id] = text
}

// parentOf names the Task call that a tool call belongs to; empty for the main agent's.
func (t *turn) parentOf(toolUse, agentID string) string {
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

// message is one line of the CLI's output, as far as it concerns us. Its raw parts are valid until the next line is read.
type message struct {
	Type      string          `json:"type"`
	Subtype   string          `json:"subtype"`
	UUID      string          `json:"uuid"`
	Replay    bool            `json:"isReplay"`
	RequestID string          `json:"request_id"`
	Request   json.RawMessage `json:"request"`
	Response  json.RawMessage `json:"response"`
	Parent    *string         `json:"parent_tool_use_id"`
	Message   json.RawMessage `json:"message"`
	Event     json.RawMessage `json:"event"`
	Error     json.RawMessage `json:"error"`
	ToolUse   json.RawMessage `json:"tool_use_result"`
	raw       []byte
}

func (m message) parent() string {
	if m.Parent == nil {
		return ""
	}
	return *m.Parent
}
