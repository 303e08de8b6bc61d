package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/agcluster/agcluster/core/api"
	"github.com/agcluster/agcluster/core/preset"
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
			text, err := preset.ToYAML(raw)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(g.out, clean(string(text)))
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
