package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/agcluster/agcluster/core/agent"
)

// piped is a command's standard input and output as one connection.
type piped struct {
	io.Reader
	io.WriteCloser
}

// connectTo starts `agcluster-agent connect` and returns the multiplexing over it, and what waits for its end.
func connectTo(t *testing.T, socket string) (*yamux.Session, func() error) {
	t.Helper()
	cmd := exec.Command(binary, "connect")
	cmd.Env = []string{"AGCLUSTER_LISTEN=unix:" + socket}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	mux, err := yamux.Client(piped{out, in}, agent.TunnelConfig())
	if err != nil {
		t.Fatal(err)
	}
	return mux, func() error {
		if err := mux.Close(); err != nil {
			t.Error(err)
		}
		return cmd.Wait()
	}
}

// serveByStdin starts the agent server as Docker does: the token comes by standard input.
func serveByStdin(t *testing.T, dir, socket string) {
	t.Helper()
	cmd := exec.Command(binary)
	cmd.Env = []string{"AGCLUSTER_TOKEN_FD=0", "AGCLUSTER_LISTEN=unix:" + socket, "AGCLUSTER_WORKSPACE=" + filepath.Join(dir, "workspace"), "HOME=" + dir}
	cmd.Stdin = strings.NewReader(token)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it has not ended
		cmd.Wait()         //nolint:errcheck // it was killed
	})
}

// TestConnect: many connections through one stream of bytes, the first of them before the agent server listens.
func TestConnect(t *testing.T) {
	dir := shortDir(t)
	socket := filepath.Join(dir, "run", "s")
	mux, end := connectTo(t, socket)
	early, err := mux.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	serveByStdin(t, dir, socket)
	if err := early.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(early, first); err != nil || first[0] != connected {
		t.Fatalf("%v %v", first, err)
	}
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		stream, err := mux.OpenStream()
		if err != nil {
			return nil, err
		}
		_, err = io.ReadFull(stream, make([]byte, 1))
		return stream, err
	}}
	defer transport.CloseIdleConnections()
	answers := make(chan error, 32)
	for range cap(answers) {
		go func() {
			answers <- func() error {
				req, err := http.NewRequestWithContext(within(t), http.MethodGet, "http://sandbox/v1/health", nil)
				if err != nil {
					return err
				}
				req.Header.Set("Authorization", "Bearer "+token)
				res, err := transport.RoundTrip(req)
				if err != nil {
					return err
				}
				body, err := io.ReadAll(res.Body)
				if res.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("v-test")) {
					err = errors.Join(err, errors.New(string(body)))
				}
				return errors.Join(err, res.Body.Close())
			}()
		}()
	}
	for range cap(answers) {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if err := early.Close(); err != nil {
		t.Error(err)
	}
	transport.CloseIdleConnections()
	if err := end(); err != nil {
		t.Errorf("it must end with its standard input: %v", err)
	}
}

func TestConnectNeedsASocket(t *testing.T) {
	cmd := exec.Command(binary, "connect")
	cmd.Env = []string{"AGCLUSTER_LISTEN=tcp:127.0.0.1:1"}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "AGCLUSTER_LISTEN") {
		t.Errorf("%s %v", out, err)
	}
	if out, err := exec.Command(binary, "disconnect").CombinedOutput(); err == nil || !strings.Contains(string(out), "disconnect") {
		t.Errorf("%s %v", out, err)
	}
}
