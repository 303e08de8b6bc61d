package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// dialVar makes the test's binary act as `docker system dial-stdio`; it names the engine's socket.
const dialVar = "AGCLUSTER_TEST_DIAL"

func dialStdio(socket string) error {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.CloseWrite()
	}()
	_, err = io.Copy(os.Stdout, conn)
	return err
}

// exposeEngine carries what a listener accepts to the engine of the tests, until the test ends.
func exposeEngine(t testing.TB, l net.Listener) {
	t.Helper()
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { exposeConn(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		work.Wait()
	})
}

func exposeConn(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // a test's
	engine, err := net.Dial("unix", strings.TrimPrefix(rig.host, "unix://"))
	if err != nil {
		return
	}
	defer engine.Close() //nolint:errcheck // a test's
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{conn, engine}, {engine, conn}} {
		both.Go(func() {
			_, err := io.Copy(way[0], way[1])
			if half, ok := way[0].(interface{ CloseWrite() error }); ok && err == nil {
				_ = half.CloseWrite()
				return
			}
			_ = way[0].Close()
		})
	}
	both.Wait()
}

func needUnixEngine(t testing.TB) {
	t.Helper()
	needEngine(t)
	if !strings.HasPrefix(rig.host, "unix://") {
		t.Skip("the engine of this run is elsewhere itself")
	}
}

// tryRemote runs one sandbox through an engine that is reached by options.
func tryRemote(t *testing.T, options map[string]any) {
	t.Helper()
	p := newProvider(t, newPlace(t), options)
	box := create(t, p, request("remote"))
	if got := inside(t, box, "ls /sys/class/net; id -u"); got != "lo\n10001" || strings.HasSuffix(box.Endpoint.URL, "/"+socketName) {
		t.Errorf("got %q at %+v", got, box.Endpoint)
	}
	if err := p.Stats(t.Context(), sdk.StatsRequest{ID: "remote"}, func(s sdk.Stats) error {
		if s.OOMKills != 0 || s.PIDs < 2 {
			t.Errorf("got %+v", s)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestARemoteEngineByTCP(t *testing.T) {
	needUnixEngine(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	exposeEngine(t, l)
	tryRemote(t, map[string]any{"host": "tcp://" + l.Addr().String()})
}

func TestARemoteEngineByTLS(t *testing.T) {
	needUnixEngine(t)
	dir := t.TempDir()
	config := writeCertificates(t, dir)
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	exposeEngine(t, l)
	host := "tcp://" + l.Addr().String()
	tryRemote(t, map[string]any{"host": host, "cert_path": dir})
	t.Run("an engine with another certificate is refused", func(t *testing.T) {
		other := t.TempDir()
		writeCertificates(t, other)
		p := newProvider(t, newPlace(t), map[string]any{"host": host, "cert_path": other})
		if _, err := p.List(t.Context(), sdk.ListRequest{}); !errors.Is(err, sdk.ErrPlatformDown) || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("certificates that are missing are named at once", func(t *testing.T) {
		p := New(zaptest.NewLogger(t))
		err := p.Configure(t.Context(), newPlace(t).configure(t, map[string]any{"host": host, "cert_path": "/nonexistent"}))
		if !sdk.IsPermanent(err) || !strings.Contains(err.Error(), "cert_path") {
			t.Errorf("got %v", err)
		}
	})
}

// writeCertificates makes an authority and one certificate that serves both ends, in the files that Docker names.
func writeCertificates(t testing.TB, dir string) *tls.Config {
	t.Helper()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	certDER, err := x509.CreateCertificate(rand.Reader, cert, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var caPEM, certPEM, keyPEM bytes.Buffer
	for file, block := range map[*bytes.Buffer]*pem.Block{&caPEM: {Type: "CERTIFICATE", Bytes: caDER}, &certPEM: {Type: "CERTIFICATE", Bytes: certDER}, &keyPEM: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := pem.Encode(file, block); err != nil {
			t.Fatal(err)
		}
	}
	for name, file := range map[string]*bytes.Buffer{"ca.pem": &caPEM, "cert.pem": &certPEM, "key.pem": &keyPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), file.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(certPEM.Bytes(), keyPEM.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(caPEM.Bytes())
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
}

// TestARemoteEngineBySSH with a stand-in for ssh that runs what would run there.
func TestARemoteEngineBySSH(t *testing.T) {
	needUnixEngine(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script := fmt.Sprintf(`#!/bin/sh
case "$*" in
*"-l me -p 2222 -- box docker system dial-stdio") %s=%s exec %s ;;
*) echo "me@box: Permission denied (publickey)." >&2; exit 255 ;;
esac
`, dialVar, strings.TrimPrefix(rig.host, "unix://"), exe)
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	tryRemote(t, map[string]any{"host": "ssh://me@box:2222"})
	t.Run("what ssh says is told", func(t *testing.T) {
		p := newProvider(t, newPlace(t), map[string]any{"host": "ssh://box"})
		if _, err := p.List(t.Context(), sdk.ListRequest{}); !errors.Is(err, sdk.ErrPlatformDown) || !strings.Contains(err.Error(), "Permission denied (publickey)") {
			t.Errorf("got %v", err)
		}
	})
}

// TestAnEngineThatSeesOtherFolders, such as that of a host which runs in a container itself: auto takes the exec.
func TestAnEngineThatSeesOtherFolders(t *testing.T) {
	needUnixEngine(t)
	if os.Geteuid() != 0 {
		t.Skip("only root tries a socket")
	}
	dir, err := os.MkdirTemp("", "agc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "e"))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", strings.TrimPrefix(rig.host, "unix://"))
	}}
	proxy := &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = "http", "engine"
	}}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/containers/create") {
			body, err := io.ReadAll(r.Body)
			if err != nil || bytes.Contains(body, []byte(`"Type":"bind"`)) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusBadRequest)
				_ = json.NewEncoder(w).Encode(map[string]string{"message": `invalid mount config for type "bind": bind source path does not exist: /x`})
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		proxy.ServeHTTP(w, r)
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
		transport.CloseIdleConnections()
	})
	tryRemote(t, map[string]any{"host": "unix://" + l.Addr().String()})
}
