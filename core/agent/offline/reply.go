package offline

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// reply is a rule's answer with its templates filled in.
type reply struct {
	id         string
	model      string
	parts      []part
	stopReason string
	usage      map[string]any
}

// part is one content block, or a pause.
type part struct {
	kind  string // text, thinking, tool_use, delay
	text  string
	id    string
	name  string
	input json.RawMessage
	delay time.Duration
}

func prepare(rule Rule, data Data) (reply, error) {
	r := reply{id: identifier("msg_"), stopReason: "end_turn"}
	for _, b := range rule.Reply {
		p := part{delay: time.Duration(b.Delay), kind: "delay"}
		var err error
		switch {
		case b.Text != "":
			p.kind = "text"
			p.text, err = render(b.Text, data)
		case b.Thinking != "":
			p.kind = "thinking"
			p.text, err = render(b.Thinking, data)
		case b.Tool != nil:
			p.kind, p.name, p.id = "tool_use", b.Tool.Name, identifier("toolu_")
			r.stopReason = "tool_use"
			var input any
			if input, err = walk(b.Tool.Input, func(text string) (string, error) { return render(text, data) }); err == nil {
				p.input, err = json.Marshal(input)
			}
			if b.Tool.Input == nil {
				p.input = json.RawMessage("{}")
			}
		}
		if err != nil {
			return r, err
		}
		r.parts = append(r.parts, p)
	}
	if rule.StopReason != "" {
		r.stopReason = rule.StopReason
	}
	return r, nil
}

func (r reply) tokens() int {
	n := 0
	for _, p := range r.parts {
		n += len(p.text) + len(p.input)
	}
	return tokens(n)
}

func (r reply) message(content []any, stop any, usage map[string]any) map[string]any {
	return map[string]any{
		"id": r.id, "type": "message", "role": "assistant", "model": r.model, "content": content,
		"stop_reason": stop, "stop_sequence": nil, "usage": usage,
	}
}

func (r reply) content() []any {
	content := []any{}
	for _, p := range r.parts {
		switch p.kind {
		case "text":
			content = append(content, map[string]any{"type": "text", "text": p.text})
		case "thinking":
			content = append(content, map[string]any{"type": "thinking", "thinking": p.text, "signature": signature})
		case "tool_use":
			content = append(content, map[string]any{"type": "tool_use", "id": p.id, "name": p.name, "input": p.input})
		}
	}
	return content
}

// signature stands where the API puts a thinking block's signature.
const signature = "b2ZmbGluZQ=="

// wait spends the reply's pauses; false means that the client has gone.
func (r reply) wait(ctx context.Context) bool {
	for _, p := range r.parts {
		if p.kind == "delay" && !pause(ctx, p.delay) {
			return false
		}
	}
	return true
}

func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Server) stream(w http.ResponseWriter, r *http.Request, reply reply) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Request-Id", identifier("req_"))
	out := &sse{w: w, flush: http.NewResponseController(w)}
	err := s.events(r.Context(), out, reply)
	if err != nil && r.Context().Err() == nil {
		s.log.Warn("streaming a reply", zap.Error(err))
	}
}

type sse struct {
	w     http.ResponseWriter
	flush *http.ResponseController
}

func (o *sse) send(kind string, v map[string]any) error {
	v["type"] = kind
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", kind, err)
	}
	if _, err := fmt.Fprintf(o.w, "event: %s\ndata: %s\n\n", kind, b); err != nil {
		return fmt.Errorf("sending %s: %w", kind, err)
	}
	if err := o.flush.Flush(); err != nil {
		return fmt.Errorf("flushing %s: %w", kind, err)
	}
	return nil
}

// events sends a reply in the order that the API documents.
func (s *Server) events(ctx context.Context, out *sse, r reply) error {
	// Nothing is said yet; message_delta has the whole.
	usage := maps.Clone(r.usage)
	usage["output_tokens"] = 1
	if err := out.send("message_start", map[string]any{"message": r.message([]any{}, nil, usage)}); err != nil {
		return err
	}
	if err := out.send("ping", map[string]any{}); err != nil {
		return err
	}
	index := 0
	for _, p := range r.parts {
		if p.kind == "delay" {
			if !pause(ctx, p.delay) {
				return ctx.Err()
			}
			continue
		}
		if err := s.block(ctx, out, p, index); err != nil {
			return err
		}
		index++
	}
	if err := out.send("message_delta", map[string]any{
		"delta": map[string]any{"stop_reason": r.stopReason, "stop_sequence": nil},
		"usage": map[string]any{"output_tokens": r.usage["output_tokens"]},
	}); err != nil {
		return err
	}
	return out.send("message_stop", map[string]any{})
}

func (s *Server) block(ctx context.Context, out *sse, p part, index int) error {
	var start map[string]any
	var kind, field string
	text := p.text
	switch p.kind {
	case "text":
		start, kind, field = map[string]any{"type": "text", "text": ""}, "text_delta", "text"
	case "thinking":
		start, kind, field = map[string]any{"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta", "thinking"
	default:
		start = map[string]any{"type": "tool_use", "id": p.id, "name": p.name, "input": map[string]any{}}
		kind, field, text = "input_json_delta", "partial_json", string(p.input)
	}
	if err := out.send("content_block_start", map[string]any{"index": index, "content_block": start}); err != nil {
		return err
	}
	runes := []rune(text)
	for len(runes) > 0 {
		if !pause(ctx, time.Duration(s.script.ChunkDelay)) {
			return ctx.Err()
		}
		n := min(s.script.ChunkSize, len(runes))
		delta := map[string]any{"type": kind, field: string(runes[:n])}
		if err := out.send("content_block_delta", map[string]any{"index": index, "delta": delta}); err != nil {
			return err
		}
		runes = runes[n:]
	}
	if p.kind == "thinking" {
		delta := map[string]any{"type": "signature_delta", "signature": signature}
		if err := out.send("content_block_delta", map[string]any{"index": index, "delta": delta}); err != nil {
			return err
		}
	}
	return out.send("content_block_stop", map[string]any{"index": index})
}
