package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent/offline"
	"github.com/agcluster/agcluster/core/telemetry"
)

func offlineCommand() *cobra.Command {
	var listen, script, record string
	cmd := &cobra.Command{
		Use: "offline-model", Short: "Serve the scripted model, for a host's gateway.upstream", Args: cobra.NoArgs,
		Long: "Serve a scripted model that speaks the Anthropic Messages API. `agcluster serve --offline` has one built in; this one\n" +
			"can be watched: with --record every request is written to a file as it arrived, keys as digests.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			return serveOffline(ctx, cmd.OutOrStdout(), listen, script, record)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8001", "address to listen on")
	cmd.Flags().StringVar(&script, "script", "", "script file (default: the built-in script)")
	cmd.Flags().StringVar(&record, "record", "", "file to append every request to, one JSON object a line")
	return cmd
}

func serveOffline(ctx context.Context, out io.Writer, listen, path, record string) (err error) {
	script, err := offline.Default()
	if path != "" {
		script, err = offline.Load(path)
	}
	if err != nil {
		return err
	}
	log, flush, err := telemetry.New(telemetry.Config{Level: "info", Format: "auto", Out: os.Stderr})
	if err != nil {
		return err
	}
	defer flush()
	var to io.Writer
	if record != "" {
		f, err := os.OpenFile(record, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return fmt.Errorf("opening --record: %w", err)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		to = f
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	server := &http.Server{Handler: offline.New(script, to, log), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		if err := server.Close(); err != nil {
			log.Warn("closing", zap.Error(err))
		}
	})
	defer stop()
	if _, err := fmt.Fprintf(out, "offline model: http://%s\n", l.Addr()); err != nil {
		return err
	}
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}
