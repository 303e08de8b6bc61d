// Package offline is a scripted model that speaks the Anthropic Messages API, for demos, tests and trying presets, policies and
// plugins without a key. README.md beside this file has the script format. It imports nothing of the host.
package offline

import (
	"bytes"
	_ "embed" // the default script
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"

	"go.yaml.in/yaml/v3"
)

//go:embed default.yaml
var defaultScript []byte

// Script says what the model answers: the first rule that matches a request makes the reply.
type Script struct {
	// RequireKey is the only key the model accepts; empty accepts any that is there.
	RequireKey string `yaml:"require_key"`
	// ChunkSize is how many runes of text go into one delta; 0 is 24. ChunkDelay waits before each.
	ChunkSize  int      `yaml:"chunk_size"`
	ChunkDelay Duration `yaml:"chunk_delay"`
	Rules      []Rule   `yaml:"rules"`
}

// Rule is one thing the model knows to answer.
type Rule struct {
	Name  string  `yaml:"name"`
	Match Match   `yaml:"match"`
	Reply []Block `yaml:"reply"`
	// Times is how often the rule may be used; 0 is without bound.
	Times int `yaml:"times"`
	// StopReason overrides end_turn or tool_use.
	StopReason string `yaml:"stop_reason"`

	re compiled
}

// Match holds the conditions of a rule; all that are set must hold. The regular expressions are Go's (RE2), unanchored.
type Match struct {
	// User is matched against the text of the last message a person wrote; reminders that the CLI adds are left out.
	User string `yaml:"user"`
	// Result is matched against the text of the newest tool results; it holds only right after a tool ran. Without it, a rule
	// holds only when a person wrote last.
	Result string `yaml:"result"`
	// Tool is the name of the tool that the newest result belongs to.
	Tool string `yaml:"tool"`
	// Step is how many times tools have run since a person wrote: 1 right after the first. 0 does not look.
	Step int `yaml:"step"`
	// System and Model are matched against the system prompt and the model's name.
	System string `yaml:"system"`
	Model  string `yaml:"model"`
}

// Block is one part of a reply: exactly one field is set.
type Block struct {
	// Text and Thinking are templates (see Data).
	Text     string     `yaml:"text"`
	Thinking string     `yaml:"thinking"`
	Tool     *ToolBlock `yaml:"tool"`
	// Delay waits before the next block.
	Delay Duration `yaml:"delay"`
	// Error answers with an API error instead of a message. It must be the only block.
	Error *ErrorBlock `yaml:"error"`
}

// ToolBlock is a tool call. The strings in Input are templates.
type ToolBlock struct {
	Name  string         `yaml:"name"`
	Input map[string]any `yaml:"input"`
}

// ErrorBlock is an API error.
type ErrorBlock struct {
	Status  int    `yaml:"status"`
	Type    string `yaml:"type"`
	Message string `yaml:"message"`
	// RetryAfter is sent as the retry-after header when positive.
	RetryAfter Duration `yaml:"retry_after"`
}

// Data is what templates see.
type Data struct {
	// User is the last thing a person wrote, Result the text of the newest tool results.
	User, Result string
	// History holds everything a person wrote in this conversation, the oldest first.
	History []string
	// Match holds the groups of the last regular expression that matched: Result's, else User's.
	Match []string
}

// Duration reads "150ms" from YAML.
type Duration time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	*d = Duration(v)
	return nil
}

type compiled struct{ user, result, system, model *regexp.Regexp }

// Parse reads a script. Unknown fields, bad expressions and bad templates are errors that name their place.
func Parse(r io.Reader) (Script, error) {
	dec := yaml.NewDecoder(r)
	dec.KnownFields(true)
	var s Script
	if err := dec.Decode(&s); errors.Is(err, io.EOF) {
		return Script{}, errors.New("reading the script: it is empty")
	} else if err != nil {
		return Script{}, fmt.Errorf("reading the script: %w", err)
	}
	if err := dec.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return Script{}, errors.New("reading the script: it has more than one document")
	}
	switch {
	case s.ChunkSize < 0:
		return Script{}, errors.New("reading the script: chunk_size must not be negative")
	case s.ChunkDelay < 0:
		return Script{}, errors.New("reading the script: chunk_delay must not be negative")
	}
	for i := range s.Rules {
		if err := s.Rules[i].compile(); err != nil {
			return Script{}, fmt.Errorf("reading the script: rule %d (%s): %w", i+1, s.Rules[i].Name, err)
		}
	}
	return s, nil
}

// Load reads a script from a file.
func Load(path string) (Script, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Script{}, fmt.Errorf("reading the script: %w", err)
	}
	return Parse(bytes.NewReader(b))
}

// Default is the built-in script: README.md lists what it understands.
func Default() (Script, error) { return Parse(bytes.NewReader(defaultScript)) }

func (r *Rule) compile() error {
	for _, e := range []struct {
		name, expr string
		to         **regexp.Regexp
	}{
		{"user", r.Match.User, &r.re.user},
		{"result", r.Match.Result, &r.re.result},
		{"system", r.Match.System, &r.re.system},
		{"model", r.Match.Model, &r.re.model},
	} {
		if e.expr == "" {
			continue
		}
		re, err := regexp.Compile(e.expr)
		if err != nil {
			return fmt.Errorf("match.%s: %w", e.name, err)
		}
		*e.to = re
	}
	switch {
	case r.Match.Step < 0:
		return errors.New("match.step must not be negative")
	case r.Times < 0:
		return errors.New("times must not be negative")
	case r.StopReason != "" && !slices.Contains(stopReasons(), r.StopReason):
		return fmt.Errorf("stop_reason %q is not one of %s", r.StopReason, strings.Join(stopReasons(), ", "))
	case len(r.Reply) == 0:
		return errors.New("reply: at least one block is needed")
	}
	for i, b := range r.Reply {
		if err := b.check(len(r.Reply) == 1); err != nil {
			return fmt.Errorf("reply[%d]: %w", i, err)
		}
	}
	return nil
}

func (b Block) check(alone bool) error {
	set := 0
	for _, is := range []bool{b.Text != "", b.Thinking != "", b.Tool != nil, b.Delay > 0, b.Error != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return errors.New("exactly one of text, thinking, tool, delay and error must be set")
	case b.Error != nil && !alone:
		return errors.New("error must be the only block")
	case b.Error != nil && (b.Error.Status < 400 || b.Error.Status > 599):
		return errors.New("error.status must be from 400 to 599")
	case b.Error != nil && b.Error.RetryAfter < 0:
		return errors.New("error.retry_after must not be negative")
	case b.Tool != nil && b.Tool.Name == "":
		return errors.New("tool.name is needed")
	}
	for _, text := range []string{b.Text, b.Thinking} {
		if _, err := parse(text); err != nil {
			return err
		}
	}
	if b.Tool == nil {
		return nil
	}
	_, err := walk(b.Tool.Input, func(text string) (string, error) {
		_, err := parse(text)
		return text, err
	})
	if err != nil {
		return fmt.Errorf("tool.input: %w", err)
	}
	return nil
}

func stopReasons() []string {
	return []string{"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal"}
}

func parse(text string) (*template.Template, error) {
	t, err := template.New("").Funcs(functions()).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("template %q: %w", text, err)
	}
	return t, nil
}

func functions() template.FuncMap {
	return template.FuncMap{"join": strings.Join, "upper": strings.ToUpper, "last": func(s []string, n int) []string {
		return s[max(0, len(s)-n):]
	}}
}

func render(text string, data Data) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	t, err := parse(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return "", err
	}
	return b.String(), nil
}

// walk changes every string of a tool's input.
func walk(v any, change func(string) (string, error)) (any, error) {
	switch v := v.(type) {
	case string:
		return change(v)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			r, err := walk(e, change)
			if err != nil {
				return nil, err
			}
			out[i] = r
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			r, err := walk(e, change)
			if err != nil {
				return nil, err
			}
			out[k] = r
		}
		return out, nil
	default:
		return v, nil
	}
}
