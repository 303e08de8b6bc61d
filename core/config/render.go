package config

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// effective is one key with its value in force.
type effective struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Source Source `json:"source"`
}

// Write writes every key with its value and where that came from: a table for people, or a JSON list of {key, value, source}. Options
// of plugins that look like credentials are masked.
func Write(w io.Writer, c Config, sources Sources, asJSON bool) error {
	keys := Describe()
	list := make([]effective, len(keys))
	for i, k := range keys {
		list[i] = effective{Key: k.Name, Value: shown(k.of(c)), Source: sources[k.Name]}
	}
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(list)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tVALUE\tSOURCE")
	for _, e := range list {
		text, err := oneLine(e.Value)
		if err != nil {
			return fmt.Errorf("writing %s: %w", e.Key, err)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", e.Key, text, e.Source)
	}
	return table.Flush()
}

// shown is a value as it would be written in agcluster.yaml.
func shown(value any) any {
	switch v := value.(type) {
	case time.Duration:
		text := v.String()
		for _, zero := range []string{"m0s", "h0m"} {
			if strings.HasSuffix(text, zero) {
				text = text[:len(text)-2]
			}
		}
		return text
	case Size:
		return v.String()
	case map[string]map[string]any:
		return maskOptions(v)
	default:
		return value
	}
}

// oneLine is a value without anything that a terminal would take for more than text.
func oneLine(value any) (string, error) {
	if text, ok := value.(string); ok && !strings.ContainsFunc(text, unicode.IsControl) {
		return text, nil
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(value)
	return strings.TrimSpace(b.String()), err
}

// maskOptions hides the values of options whose name says that they are credentials: what they are, only the plugin knows.
func maskOptions(options map[string]map[string]any) map[string]any {
	out := make(map[string]any, len(options))
	for name, given := range options {
		out[name] = mask(given)
	}
	return out
}

// masked stands for a credential.
const masked = "***"

func mask(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, item := range v {
			if credential(key) {
				item = masked
			}
			out[key] = mask(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = mask(item)
		}
		return out
	default:
		return value
	}
}

func credential(option string) bool {
	option = strings.ToLower(option)
	for _, word := range []string{"key", "token", "secret", "password", "credential", "dsn"} {
		if strings.Contains(option, word) {
			return true
		}
	}
	return false
}
