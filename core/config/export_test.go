package config

import (
	"fmt"
	"strings"
)

// Markdown is the reference of all keys as a table, for a README.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| Key | Default | Environment | What it is |\n|---|---|---|---|\n")
	for _, k := range Describe() {
		doc := k.Doc
		if k.Limits != "" {
			doc += " (" + k.Limits + ")"
		}
		value := cell(k.Default)
		if !k.derived && value != "" {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s |\n", k.Name, value, strings.Join(k.Env, "`, `"), cell(doc))
	}
	return b.String()
}

func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;").Replace(text)
}
