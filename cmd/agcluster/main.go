// Command agcluster is the host and its client: `agcluster serve` starts the host, the other commands talk to one.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the build.
var version = "dev"

func main() { os.Exit(run(os.Args[1:])) }

// exitError carries an exit code through cobra; its text, if any, has been shown already.
type exitError struct{ code int }

// Error implements error.
func (e exitError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	root := rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if e, ok := errors.AsType[exitError](err); ok {
		return e.code
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "agcluster:", err)
		return 1
	}
	return 0
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "agcluster",
		Short: "A self-hosted host of Claude Code agents",
		Long: "AgCluster launches Claude Code agents, each in a sandbox of its own, behind one API.\n" +
			"Start a host with `agcluster serve`; the other commands talk to it.",
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	g := newGlobals(os.Stdin, os.Stdout, os.Stderr)
	root.AddCommand(serveCommand(), offlineCommand(), configCommand(), openapiCommand(), versionCommand())
	for _, c := range clientCommands(g) {
		g.register(c.PersistentFlags())
		root.AddCommand(c)
	}
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err
		},
	}
}
