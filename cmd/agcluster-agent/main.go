// Command agcluster-agent is the agent server that runs inside every sandbox (core/agent/server). It is told everything by its
// environment, and is nobody's init: it waits for no process but the one it started.
//
//	AGCLUSTER_LISTEN       unix:/path/of/socket, or tcp:host:port
//	AGCLUSTER_TOKEN_FD     an open descriptor from which the token is read, to its end; 0 is standard input
//	AGCLUSTER_WORKSPACE    the folder the agent works in; /workspace
//	AGCLUSTER_CLAUDE       the Claude Code executable; /opt/agent/claude
//	AGCLUSTER_ASK_TIMEOUT  how long an ask waits for the host before it is denied; 1h
//	AGCLUSTER_ORPHAN_TIMEOUT  how long it goes on without hearing from the host; 15m
//	AGCLUSTER_DISK_LIMIT   how many bytes the workspace and Claude Code's folder may hold together; no limit
//	AGCLUSTER_TUNNEL_WAIT  how long a connection waits for the host to dial the tunnel (again); 30s
//
// All else in it but AGCLUSTER_* is passed on to Claude Code.
//
// `agcluster-agent connect` is the way to a running agent server for a provider that reaches its sandboxes by nothing but an exec, see
// connect.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/claude"
	"github.com/agcluster/agcluster/core/agent/server"
)

// version is set by the linker.
var version = "dev"

// maxToken bounds the token, in bytes.
const maxToken = 4096

func main() {
	if len(os.Args) == 2 && (os.Args[1] == "--version" || os.Args[1] == "version") {
		fmt.Fprintln(os.Stdout, "agcluster-agent", version)
		return
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "agcluster-agent:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	// The agent's tools run as the same user: this keeps them from reading the token out of our memory or /proc.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hiding from other processes: %w", err)
	}
	switch {
	case len(args) == 0:
		return serve()
	case len(args) == 1 && args[0] == "connect":
		return connect(os.Getenv("AGCLUSTER_LISTEN"), stdio{})
	default:
		return fmt.Errorf("unknown arguments %q: only connect and --version are some", args)
	}
}

// serve is the agent server, until it is told to end.
func serve() (err error) {
	token, err := readToken()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log, err := newLog()
	if err != nil {
		return err
	}
	files, err := server.OpenWorkspace(env("AGCLUSTER_WORKSPACE", "/workspace"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	srv, err := build(token, files, log)
	if err != nil {
		return err
	}
	defer srv.Close()
	l, err := listen(ctx, os.Getenv("AGCLUSTER_LISTEN"))
	if err != nil {
		return err
	}
	limit, err := duration("AGCLUSTER_ORPHAN_TIMEOUT")
	if err != nil {
		return err
	}
	if limit == 0 {
		limit = 15 * time.Minute
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	abandoned := make(chan struct{})
	go func() {
		if srv.Abandoned(ctx, limit) {
			close(abandoned)
		}
	}()
	select {
	case err := <-done:
		return err
	case <-abandoned:
		log.Warn("closing: no host was here", zap.Duration("for", limit))
	case <-ctx.Done():
		log.Info("closing: told to")
	}
	srv.Close()
	return <-done
}

// build puts the parts together.
func build(token string, files *server.Workspace, log *zap.Logger) (*server.Server, error) {
	ask, err := duration("AGCLUSTER_ASK_TIMEOUT")
	if err != nil {
		return nil, err
	}
	wait, err := duration("AGCLUSTER_TUNNEL_WAIT")
	if err != nil {
		return nil, err
	}
	limit, err := diskLimit(os.Getenv("AGCLUSTER_DISK_LIMIT"))
	if err != nil {
		return nil, err
	}
	tunnel := server.NewTunnel(wait, log.Named("tunnel"))
	gateway, err := tunnel.Listen(agent.TunnelGateway)
	if err != nil {
		return nil, err
	}
	egress, err := tunnel.Listen(agent.TunnelEgress)
	if err != nil {
		tunnel.Close()
		return nil, err
	}
	driver := claude.New(claude.Config{
		Binary: env("AGCLUSTER_CLAUDE", "/opt/agent/claude"), Env: passed(os.Environ()),
		GatewayURL: "http://" + gateway, ProxyURL: "http://" + egress,
	}, log.Named("claude"))
	srv, err := server.New(server.Config{
		Token: token, Version: version, AskTimeout: ask, DiskLimit: limit,
		Folders:  []string{env("AGCLUSTER_WORKSPACE", "/workspace"), kept(os.Getenv("HOME"), os.Getenv("CLAUDE_CONFIG_DIR"))},
		StateDir: filepath.Join(cliDir(os.Getenv("HOME"), os.Getenv("CLAUDE_CONFIG_DIR")), "agcluster", "baseline"),
	}, driver, files, tunnel, log)
	if err != nil {
		tunnel.Close()
		return nil, err
	}
	return srv, nil
}

// readToken reads the token from the descriptor that the environment names, and closes that.
func readToken() (string, error) {
	fd, err := strconv.Atoi(os.Getenv("AGCLUSTER_TOKEN_FD"))
	if err != nil || fd < 0 || fd == 1 || fd == 2 {
		return "", errors.New("AGCLUSTER_TOKEN_FD must be the number of an open descriptor: 0, or one from 3")
	}
	f := os.NewFile(uintptr(fd), "token")
	b, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if fd == 0 {
		err = errors.Join(err, emptyStdin())
	} else {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return "", fmt.Errorf("reading the token from AGCLUSTER_TOKEN_FD: %w", err)
	}
	if len(b) == 0 || len(b) > maxToken {
		return "", fmt.Errorf("the token from AGCLUSTER_TOKEN_FD has %d bytes: 1 to %d are allowed", len(b), maxToken)
	}
	return string(b), nil
}

// emptyStdin puts /dev/null in the place of standard input, so that no child inherits what the token came through.
func emptyStdin() error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("replacing standard input: %w", err)
	}
	err = unix.Dup3(int(null.Fd()), 0, 0)
	if err := errors.Join(err, null.Close()); err != nil {
		return fmt.Errorf("replacing standard input: %w", err)
	}
	return nil
}

// newLog writes to stderr, where the provider keeps the end of it.
func newLog() (*zap.Logger, error) {
	cfg := zap.NewProductionConfig()
	cfg.Encoding = "console"
	cfg.EncoderConfig.ConsoleSeparator = " " // a line ends up in error messages
	cfg.EncoderConfig.TimeKey = ""           // whoever keeps the lines stamps them
	cfg.DisableStacktrace, cfg.DisableCaller = true, true
	log, err := cfg.Build()
	if err != nil {
		return nil, fmt.Errorf("making the log: %w", err)
	}
	return log, nil
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	network, where, ok := strings.Cut(address, ":")
	if !ok || where == "" || (network != "unix" && network != "tcp") {
		return nil, fmt.Errorf("AGCLUSTER_LISTEN=%q must be unix:/path/of/socket or tcp:host:port", address)
	}
	if network == "unix" {
		// One that an agent server before us left.
		//nolint:gosec // whoever started us names it
		if err := os.Remove(where); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("removing an old socket: %w", err)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, network, where)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	return l, nil
}

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func duration(name string) (time.Duration, error) {
	text := os.Getenv(name)
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s=%q must be a duration above 0, like 90s or 1h", name, text)
	}
	return d, nil
}

func diskLimit(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("AGCLUSTER_DISK_LIMIT=%q must be a number of bytes above 0", text)
	}
	return n, nil
}

// kept is the folder that is counted besides the workspace: the CLI's, or all of home where that is kept on the same disk.
func kept(home, cli string) string {
	cli = cliDir(home, cli)
	var all, own unix.Stat_t
	if home == "" || !strings.HasPrefix(cli, home+"/") || unix.Stat(home, &all) != nil {
		return cli
	}
	// One that is not there yet is going to be made in home.
	if unix.Stat(cli, &own) == nil && own.Dev != all.Dev {
		return cli
	}
	return home
}

// cliDir is the CLI's folder, which every provider keeps when a sandbox ends: the transcripts are in it.
func cliDir(home, cli string) string {
	if cli != "" {
		return cli
	}
	return filepath.Join(home, ".claude")
}

// passed is the environment of the agent: ours without what was meant for us.
func passed(environ []string) map[string]string {
	m := map[string]string{}
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok && !strings.HasPrefix(k, "AGCLUSTER_") {
			m[k] = v
		}
	}
	return m
}
