package config

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// Setting is one key with its value in force.
type Setting struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Source Source `json:"source"`
}

// Effective lists every key with its value, as it would be written in agcluster.yaml, and where that came from. Options of plugins that
// look like credentials are masked.
func Effective(c Config, sources Sources) []Setting {
	keys := Describe()
	list := make([]Setting, len(keys))
	for i, k := range keys {
		list[i] = Setting{Key: k.Name, Value: shown(k.of(c)), Source: sources[k.Name]}
	}
	return list
}

// Write writes every key with its value and where that came from: a table for people, or a JSON list of {key, value, source}. Options
// of plugins that look like credentials are masked.
func Write(w io.Writer, c Config, sources Sources, asJSON bool) error {
	list := Effective(c, sources)
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

// MaskOptions hides the values of a plugin's options whose name says that they are credentials.
func MaskOptions(options map[string]any) map[string]any {
	out, _ := mask(options).(map[string]any)
	return out
}

// Credentials lists the values that MaskOptions hides, at any depth.
func Credentials(options map[string]any) []string {
	var found []string
	var look func(value any, hidden bool)
	look = func(value any, hidden bool) {
		switch v := value.(type) {
		case map[string]any:
			for key, item := range v {
				look(item, hidden || credential(key))
			}
		case []any:
			for _, item := range v {
				look(item, hidden)
			}
		case string:
			if hidden {
				found = append(found, v)
			}
		}
	}
	look(options, false)
	slices.Sort(found)
	return found
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
