package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/agcluster/agcluster/core/api"
)

func configsCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "configs [CONFIG]", Short: "List the configurations to launch, or show one as YAML", Args: cobra.MaximumNArgs(1),
		RunE: g.action(func(ctx context.Context, c *client, args []string) error {
			if len(args) == 0 {
				var list api.ConfigList
				raw, err := c.call(ctx, request{method: http.MethodGet, path: "/api/configs/", open: true}, &list)
				if err != nil || g.json {
					return g.orJSON(raw, err)
				}
				return g.listConfigs(list)
			}
			if args[0] == "" {
				return usagef("the configuration's id is empty")
			}
			raw, err := c.call(ctx, request{method: http.MethodGet, path: "/api/configs/" + url.PathEscape(args[0]), open: true}, nil)
			if err != nil || g.json {
				return g.orJSON(raw, err)
			}
			text, err := toYAML(raw)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(g.out, clean(text))
			return err
		}),
	}
}

func (g *globals) listConfigs(list api.ConfigList) error {
	if len(list.Configs) == 0 {
		g.note("the host has no configurations")
		return nil
	}
	rows := [][]string{{"CONFIG", "TOOLS", "EXTRAS", "MODE", "DESCRIPTION"}}
	for _, c := range list.Configs {
		extras := "-"
		switch {
		case c.HasSubAgents && c.HasMCPServers:
			extras = "sub-agents, MCP"
		case c.HasSubAgents:
			extras = "sub-agents"
		case c.HasMCPServers:
			extras = "MCP"
		}
		words := c.Description
		if words == "" {
			words = c.Name
		}
		rows = append(rows, []string{line(c.ID), count(int64(len(c.AllowedTools))), extras, line(c.PermissionMode), line(words)})
	}
	if w := g.width(); w > 0 {
		last := len(rows[0]) - 1
		used := 0
		for i := range last {
			widest := 0
			for _, row := range rows {
				widest = max(widest, len(row[i]))
			}
			used += widest + 2
		}
		for _, row := range rows {
			row[last] = cut(row[last], max(w-used, 20))
		}
	}
	return table(g.out, g.colours(g.out), rows)
}

// toYAML writes JSON as YAML, its keys in the order they have.
func toYAML(raw []byte) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return "", fmt.Errorf("reading the configuration: %w", err)
	}
	plain(&doc)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	err := enc.Encode(&doc)
	if err = errors.Join(err, enc.Close()); err != nil {
		return "", fmt.Errorf("writing the configuration: %w", err)
	}
	return b.String(), nil
}

// plain takes off the style that JSON has. Short lists of plain values stay on one line.
func plain(n *yaml.Node) {
	n.Style = 0
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
