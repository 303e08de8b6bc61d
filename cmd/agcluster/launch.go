package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agcluster/agcluster/core/api"
	"github.com/agcluster/agcluster/core/config/strict"
	"github.com/agcluster/agcluster/core/preset"
)

// launchBody is api.LaunchRequest as a client writes it.
type launchBody struct {
	APIKey   string                       `json:"api_key"`
	ConfigID string                       `json:"config_id,omitempty"`
	Config   json.RawMessage              `json:"config,omitempty"`
	Provider string                       `json:"provider,omitempty"`
	MCPEnv   map[string]map[string]string `json:"mcp_env,omitempty"`
}

func launchCommand(g *globals) *cobra.Command {
	var file, provider, message string
	var mcpEnv []string
	var lines int
	cmd := &cobra.Command{
		Use: "launch CONFIG | --config FILE", Short: "Launch an agent and print its session's id",
		Long: `Launch an agent: a configuration of the host (agcluster configs lists them) or one of your own in a YAML file. It prints the
session's id, for the other commands.

The key is taken from AGCLUSTER_API_KEY or ANTHROPIC_API_KEY, or asked for. It is kept in the host's memory only.`,
		Example: `  agcluster launch code-assistant -m "write tests for parser.go"
  session=$(agcluster launch --config reviewer.yaml --mcp-env github.GITHUB_PERSONAL_ACCESS_TOKEN)`,
		Args: func(_ *cobra.Command, args []string) error {
			if (file == "") != (len(args) == 1) || len(args) > 1 {
				return errors.New("give the id of a configuration, or --config")
			}
			return nil
		},
		RunE: g.connected(func(ctx context.Context, c *client, args []string) error {
			body := launchBody{Provider: provider}
			var err error
			if body.MCPEnv, err = g.mcpEnv(mcpEnv); err != nil {
				return err
			}
			if len(args) == 1 {
				body.ConfigID = args[0]
			} else if body.Config, err = g.readConfig(file); err != nil {
				return err
			}
			var out api.Launched
			// Ctrl-C ends the launch; the conversation that may follow has a better use for it.
			err = g.cancellable(ctx, func(ctx context.Context) error {
				out, err = g.launch(ctx, c, body)
				return err
			})
			if err != nil || message == "" {
				return err
			}
			cv, stop := g.conversation(c, out.SessionID, lines, false)
			defer stop()
			return cv.once(ctx, message)
		}),
	}
	cmd.Flags().StringVar(&file, "config", "", "YAML file with a configuration; - is the standard input")
	cmd.Flags().StringVar(&provider, "provider", "", "provider to run the agent; the host's default without it")
	cmd.Flags().StringArrayVar(&mcpEnv, "mcp-env", nil, "credential of an MCP server: SERVER.VAR=VALUE, or SERVER.VAR for this environment's VAR")
	cmd.Flags().StringVarP(&message, "message", "m", "", "first message; its turn is shown as agcluster chat does")
	cmd.Flags().IntVar(&lines, "lines", defaultLines, "with -m: lines of a tool's result to show; 0 is all")
	return cmd
}

func (g *globals) launch(ctx context.Context, c *client, body launchBody) (out api.Launched, err error) {
	if body.APIKey, err = c.key(); err != nil {
		return out, err
	}
	raw, err := c.call(ctx, request{method: http.MethodPost, path: "/api/agents/launch", in: body, open: true}, &out)
	if err != nil || g.json {
		return out, g.orJSON(raw, err)
	}
	_, err = fmt.Fprintln(g.out, line(out.SessionID))
	return out, err
}

// mcpEnv reads SERVER.VAR=VALUE and SERVER.VAR. Its errors hold no value.
func (g *globals) mcpEnv(given []string) (map[string]map[string]string, error) {
	env := map[string]map[string]string{}
	for _, s := range given {
		name, value, set := strings.Cut(s, "=")
		server, variable, ok := strings.Cut(name, ".")
		if !ok || server == "" || variable == "" {
			if set {
				name += "=…"
			}
			return nil, usagef("--mcp-env %s: must be SERVER.VAR=VALUE or SERVER.VAR", name)
		}
		if !set {
			if value, set = g.env(variable); !set {
				return nil, usagef("--mcp-env %s: %s is not set in the environment", name, variable)
			}
		}
		if env[server] == nil {
			env[server] = map[string]string{}
		}
		if _, twice := env[server][variable]; twice {
			return nil, usagef("--mcp-env %s: is given twice", name)
		}
		env[server][variable] = value
	}
	return env, nil
}

// readConfig reads a configuration and returns it as JSON, with what it gives and nothing else: the host fills in the rest.
func (g *globals) readConfig(file string) (json.RawMessage, error) {
	text, err := g.readFile(file)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	if _, err := preset.ParseYAML(text); err != nil {
		if found, ok := errors.AsType[preset.Errors](err); ok {
			var b strings.Builder
			for _, e := range found {
				b.WriteString("\n  " + e.Error())
			}
			return nil, fmt.Errorf("--config %s:%s", file, b.String())
		}
		return nil, fmt.Errorf("--config %s: %w", file, err)
	}
	d, err := strict.YAML(text)
	if err != nil {
		return nil, fmt.Errorf("--config %s: %w", file, err)
	}
	raw, err := json.Marshal(d.Data)
	if err != nil {
		return nil, fmt.Errorf("--config %s: %w", file, err)
	}
	return raw, nil
}

func (g *globals) readFile(file string) (text []byte, err error) {
	if file == "-" {
		return io.ReadAll(io.LimitReader(g.in, strict.MaxBytes+1))
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	return io.ReadAll(io.LimitReader(f, strict.MaxBytes+1))
}
