package workspace

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/agent/server"
)

// serving is the Sandboxes of one real agent server.
type serving struct{ client *agent.Client }

// Open implements Sandboxes.
func (s serving) Open(context.Context, string) (Files, func(), error) {
	return s.client, func() {}, nil
}

func serve(t *testing.T, dir string) serving {
	t.Helper()
	log := zaptest.NewLogger(t)
	files, err := server.OpenWorkspace(dir)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Config{Token: "t"}, nil, files, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(srv)
	client, err := agent.NewClient(agent.Endpoint{URL: web.URL}, "t", log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		// The server has no agent and no tunnel that it could close.
		web.Close()
		if err := files.Close(); err != nil {
			t.Error(err)
		}
	})
	return serving{client}
}

// TestWithTheRealAgentServer has real files, links and names, as an agent leaves them.
func TestWithTheRealAgentServer(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	for p, content := range map[string]string{
		filepath.Join(outside, "secret"): "secret", filepath.Join(dir, "src/main.go"): "package main\n", filepath.Join(dir, "a..b"): "1",
		filepath.Join(dir, "new\nline"): "2", filepath.Join(dir, "bad\xff\xfe"): "3", filepath.Join(dir, "empty/.keep"): "",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(
		os.Remove(filepath.Join(dir, "empty/.keep")),
		os.Symlink("src/main.go", filepath.Join(dir, "link")),
		os.Symlink("/workspace/src", filepath.Join(dir, "absolute")),
		os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "out")),
		os.Symlink(outside, filepath.Join(dir, "outdir")),
		os.Symlink("../"+filepath.Base(outside)+"/secret", filepath.Join(dir, "climb")),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{SpoolDir: t.TempDir()}, serve(t, dir), &gates{denied: map[string]bool{}}, exporters{exporter(plain)}, zaptest.NewLogger(t))
	ctx := context.Background()

	if tree, err := s.Tree(ctx, "s", ""); err != nil || tree.TotalFiles != 10 || len(tree.Tree.Children) != 11 {
		t.Errorf("tree: %+v, %v", tree, err)
	}
	for path, want := range map[string]string{
		"src/main.go": "package main\n", "link": "package main\n", "absolute/main.go": "package main\n", "a..b": "1", "new\nline": "2", "bad\xff\xfe": "3",
	} {
		if p, err := s.Preview(ctx, "s", path); err != nil || p.Content == nil || *p.Content != want {
			t.Errorf("previewing %q: %+v, %v", path, p, err)
		}
		c, err := s.Open(ctx, "s", path)
		if err != nil {
			t.Errorf("opening %q: %v", path, err)
			continue
		}
		if _, err := c.Seek(1, io.SeekStart); err != nil {
			t.Error(err)
		}
		if got, err := io.ReadAll(c); err != nil || string(got) != want[1:] {
			t.Errorf("reading %q: %q, %v", path, got, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	for path, want := range map[string]error{
		"out": ErrForbidden, "climb": ErrForbidden, "outdir/secret": ErrForbidden, "pipe": ErrNotRegular, "src": ErrIsDirectory,
		"none": ErrNotFound, "src/main.go/x": ErrNotDirectory,
	} {
		if _, err := s.Preview(ctx, "s", path); !errors.Is(err, want) {
			t.Errorf("previewing %q: got %v, want %v", path, err, want)
		}
	}

	if _, err := s.Upload(ctx, "s", "outdir", true, parcels("evil", "x")); !errors.Is(err, ErrForbidden) {
		t.Errorf("uploading through a link: %v", err)
	}
	if up, err := s.Upload(ctx, "s", "in/deeper", false, parcels("up\n1", strings.Repeat("x", 1<<20), "up2", "")); err != nil || up.TotalSize != 1<<20 {
		t.Errorf("uploading: %+v, %v", up, err)
	}
	if _, err := s.Upload(ctx, "s", "in/deeper", false, parcels("new", "1", "up2", "2")); !errors.Is(err, ErrConflict) {
		t.Errorf("uploading again: %v", err)
	}
	// Overwriting a link replaces it; what it points to stays.
	if _, err := s.Upload(ctx, "s", "", true, parcels("out", "mine")); err != nil {
		t.Errorf("overwriting a link: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || string(got) != "secret" {
		t.Errorf("outside: %q, %v", got, err)
	}
	if err := errors.Join(s.Delete(ctx, "s", "outdir", true), s.Delete(ctx, "s", "in", true)); err != nil {
		t.Errorf("deleting: %v", err)
	}

	out := &client{}
	done, err := s.Export(ctx, "s", ExportRequest{}, out.begin, out)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"src": "/", "src/main.go": "package main\n", "a..b": "1", "new\nline": "2", "bad\xff\xfe": "3", "empty": "/", "link": "-> src/main.go", "out": "mine",
	}
	if got := tarOf(t, out.Bytes()); !maps.Equal(got, want) || done.Dropped != 2 {
		t.Errorf("exported %q (%+v), want %q", got, done, want)
	}
	out = &client{}
	if _, err := s.Export(ctx, "s", ExportRequest{Paths: []string{"absolute/main.go", "bad\xff\xfe"}}, out.begin, out); err != nil {
		t.Fatal(err)
	}
	if got := tarOf(t, out.Bytes()); !maps.Equal(got, map[string]string{"src/main.go": "package main\n", "bad\xff\xfe": "3"}) {
		t.Errorf("exported %q", got)
	}
}
