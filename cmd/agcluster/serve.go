package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/config"
	"github.com/agcluster/agcluster/core/host"
	"github.com/agcluster/agcluster/core/telemetry"
)

// clientVariables are those of the client commands, which may well be set where a host is started.
func clientVariables() []string {
	return []string{"AGCLUSTER_URL", "AGCLUSTER_API_KEY", "AGCLUSTER_CLAUDE"}
}

func load(flags *pflag.FlagSet, file string) (config.Config, config.Sources, error) {
	exe, err := os.Executable()
	if err != nil {
		return config.Config{}, nil, fmt.Errorf("finding the executable: %w", err)
	}
	return config.Load(config.LoadOptions{
		File: file, Environ: os.Environ(), Reserved: clientVariables(), Flags: flags, Executable: exe,
	})
}

func serveCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "serve", Short: "Start the host", Args: cobra.NoArgs,
		Long: "Start the host. Configuration comes from agcluster.yaml, the environment and flags; `agcluster config` shows the\n" +
			"effective one and where each value comes from. SIGTERM and Ctrl-C drain and stop it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, sources, err := load(cmd.Flags(), file)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, sources)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file (default: ./agcluster.yaml if there is one)")
	config.RegisterFlags(cmd.Flags())
	return cmd
}

func serve(ctx context.Context, cfg config.Config, sources config.Sources) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	redactor := telemetry.NewRedactor()
	log, flush, err := telemetry.New(telemetry.Config{Level: cfg.Log.Level, Format: cfg.Log.Format, Out: os.Stderr, Redactor: redactor})
	if err != nil {
		return err
	}
	defer flush()
	h, err := host.Start(ctx, cfg, sources, version, redactor, log)
	if err != nil {
		return err
	}
	log.Info("listening", zap.String("url", h.URL()), zap.String("docs", h.URL()+"/docs/"), zap.Int("pid", os.Getpid()))
	err = h.Wait(ctx)
	// From here on a second signal ends the process at once: plugins and sandboxes die with it.
	stop()
	signal.Reset(syscall.SIGTERM, os.Interrupt)
	log.Info("stopping")
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.API.ShutdownTimeout)
	defer cancel()
	err = errors.Join(err, h.Close(closing))
	log.Info("stopped")
	return err
}

func configCommand() *cobra.Command {
	var file string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "config", Short: "Print the host's effective configuration and where each value comes from", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, sources, err := load(cmd.Flags(), file)
			if err != nil {
				return err
			}
			return config.Write(cmd.OutOrStdout(), cfg, sources, asJSON)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file (default: ./agcluster.yaml if there is one)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	config.RegisterFlags(cmd.Flags())
	return cmd
}
