package offline

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// request is what the model needs of POST /v1/messages.
type request struct {
	Model     string          `json:"model"`
	MaxTokens int             `json:"max_tokens"`
	Stream    bool            `json:"stream"`
	System    json.RawMessage `json:"system"`
	Messages  []message       `json:"messages"`
	Tools     []struct {
		Name string `json:"name"`
	} `json:"tools"`
}

type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

type contentBlock struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
}

// view is a request as rules see it.
type view struct {
	model, system string
	// history holds what a person wrote, the oldest first; user is the last of it.
	history []string
	// afterTool says that the newest message brings tool results; result is their text, tool the last one's name.
	afterTool    bool
	result, tool string
	// step counts the messages with tool results since a person wrote.
	step     int
	hasTools bool
}

func decode(body []byte) (request, error) {
	var r request
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("request body: %w", err)
	}
	switch {
	case r.Model == "":
		return r, errors.New("model: Field required")
	case len(r.Messages) == 0:
		return r, errors.New("messages: at least one message is required")
	}
	for i, m := range r.Messages {
		if m.Role != "user" && m.Role != "assistant" && m.Role != "system" {
			return r, fmt.Errorf("messages.%d.role: Input should be 'user' or 'assistant'", i)
		}
	}
	return r, nil
}

// blocks reads content that is a string or a list of blocks.
func blocks(raw json.RawMessage) []contentBlock {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return []contentBlock{{Type: "text", Text: s}}
	}
	var list []contentBlock
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

func (r request) view() view {
	v := view{model: r.Model, hasTools: len(r.Tools) > 0}
	var system []string
	for _, b := range blocks(r.System) {
		system = append(system, b.Text)
	}
	v.system = strings.Join(system, "\n")
	names := map[string]string{}
	for _, m := range r.Messages {
		var said, results []string
		tool := ""
		for _, b := range blocks(m.Content) {
			switch b.Type {
			case "text":
				if text := spoken(b.Text); text != "" {
					said = append(said, text)
				}
			case "tool_use":
				names[b.ID] = b.Name
			case "tool_result":
				var parts []string
				for _, c := range blocks(b.Content) {
					parts = append(parts, c.Text)
				}
				results = append(results, strings.Join(parts, "\n"))
				tool = names[b.ToolUseID]
			}
		}
		switch {
		case m.Role != "user":
			v.afterTool, v.result, v.tool = false, "", ""
		case len(results) > 0 && len(said) == 0:
			v.afterTool, v.result, v.tool = true, strings.Join(results, "\n"), tool
			v.step++
		case len(said) > 0:
			v.afterTool, v.result, v.tool, v.step = false, "", "", 0
			v.history = append(v.history, strings.Join(said, "\n"))
		}
	}
	return v
}

// spoken drops what the CLI puts beside a person's words. After an interrupt it sends the next message together with the results of
// the calls that were cut short, and a note.
func spoken(text string) string {
	if strings.HasPrefix(text, "[Request interrupted by user") {
		return ""
	}
	for {
		before, rest, ok := strings.Cut(text, "<system-reminder>")
		if !ok {
			return strings.TrimSpace(text)
		}
		_, after, _ := strings.Cut(rest, "</system-reminder>")
		text = before + after
	}
}

func (v view) user() string {
	if len(v.history) == 0 {
		return ""
	}
	return v.history[len(v.history)-1]
}

// match says whether the rule holds and what its templates see.
func (r *Rule) match(v view) (Data, bool) {
	data := Data{User: v.user(), Result: v.result, History: v.history}
	wantsResult := r.re.result != nil || r.Match.Tool != "" || r.Match.Step > 0
	switch {
	case wantsResult != v.afterTool, r.Match.Tool != "" && r.Match.Tool != v.tool, r.Match.Step > 0 && r.Match.Step != v.step:
		return data, false
	}
	if r.re.system != nil && !r.re.system.MatchString(v.system) || r.re.model != nil && !r.re.model.MatchString(v.model) {
		return data, false
	}
	for _, m := range []struct {
		re   interface{ FindStringSubmatch(string) []string }
		set  bool
		text string
	}{{r.re.user, r.re.user != nil, data.User}, {r.re.result, r.re.result != nil, v.result}} {
		if !m.set {
			continue
		}
		groups := m.re.FindStringSubmatch(m.text)
		if groups == nil {
			return data, false
		}
		data.Match = groups
	}
	return data, true
}
