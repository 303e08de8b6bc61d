package preset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// YAML writes the configuration as a preset file: the keys in their documented order, long texts as blocks. What it writes, ParseYAML
// reads back as the same.
func (c Config) YAML() ([]byte, error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("writing a configuration: %w", err)
	}
	return ToYAML(raw)
}

// ToYAML writes JSON as YAML, its keys in the order they have.
func ToYAML(raw []byte) ([]byte, error) {
	// JSON is YAML; its nodes keep the order that Go's maps lose.
	var doc yaml.Node
	if err := yaml.Unmarshal(escaped(raw), &doc); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	plain(&doc)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	err := enc.Encode(&doc)
	if err = errors.Join(err, enc.Close()); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	return b.Bytes(), nil
}

// escaped writes characters that YAML takes for something else than JSON does, as \uXXXX. In JSON they can only be within strings.
func escaped(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for _, r := range string(raw) {
		if (r >= 0x7f && r <= 0x9f) || r == '\u2028' || r == '\u2029' || r == '\ufeff' {
			out = fmt.Appendf(out, `\u%04x`, r)
			continue
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}

// plain takes off the style that JSON has. Short lists of plain values stay on one line.
func plain(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || !delicate(n.Value) {
		n.Style = 0
	}
	scalars, width := n.Kind == yaml.SequenceNode, 0
	for _, child := range n.Content {
		plain(child)
		scalars = scalars && child.Kind == yaml.ScalarNode
		width += len(child.Value) + 2
	}
	if scalars && width < 80 {
		n.Style = yaml.FlowStyle
	}
}

// delicate says that a text does not survive as a block: its quotes stay.
func delicate(s string) bool {
	if strings.ContainsFunc(s, func(r rune) bool {
		return r != '\n' && (unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\ufeff')
	}) {
		return true
	}
	return strings.Contains(s, "\n") && (strings.HasPrefix(s, " ") || strings.HasPrefix(s, "\n") || strings.TrimRight(s, " \n") == "")
}
