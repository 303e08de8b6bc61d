package plugin

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/agcluster/agcluster/plugins/sdk"
)

func TestPluginsAreFoundByTheirNames(t *testing.T) {
	p := newPlace(t, "filter-b", "filter-a", "provider-x", "exporter-y-2")
	for _, name := range []string{"README.md", "filter", "filter-", "filter-A", "filter-a.old", "policy-a", "-a", ".filter-a"} {
		p.put(t, name)
	}
	if err := os.Mkdir(filepath.Join(p.cfg.Dir, "filter-dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	s, _ := p.open(t)
	for kind, want := range map[sdk.Kind][]string{sdk.KindFilter: {"a", "b"}, sdk.KindProvider: {"x"}, sdk.KindExporter: {"y-2"}} {
		if got := s.Names(kind); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", kind, got, want)
		}
	}
	for _, st := range s.Status() {
		if st.State != StateStopped || st.PID != 0 {
			t.Errorf("nobody has used %s-%s, and yet it is %s", st.Kind, st.Name, st.State)
		}
	}
	if _, err := s.Filter(t.Context(), "c"); err == nil || !strings.Contains(err.Error(), "no plugin filter-c") || !strings.Contains(err.Error(), "filter-a, filter-b") {
		t.Errorf("got %v", err)
	}
	if _, err := s.Provider(t.Context(), "a"); err == nil {
		t.Error("a filter is no provider")
	}
}

func TestOpenRefusesWhatItCanNotHold(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no folder":              {func(c *Config) { c.Dir += "x" }, "looking for plugins"},
		"a pin of nobody":        {func(c *Config) { c.Pins["filter-tset"] = "00" }, "no plugin filter-tset"},
		"options of nobody":      {func(c *Config) { c.Options["filter-tset"] = nil }, "no plugin filter-tset"},
		"options that are none":  {func(c *Config) { c.Options["filter-test"] = map[string]any{"a": make(chan int)} }, "plugins.options.filter-test"},
		"a run folder that long": {func(c *Config) { c.RunDir += strings.Repeat("x", 60) }, "more than 67"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, "filter-test")
			c.change(&p.cfg)
			if s, err := Open(p.cfg, zap.NewNop()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want %q in it", s, err, c.want)
			}
		})
	}
}

func TestAllKindsAnswer(t *testing.T) {
	s, _ := newPlace(t, "filter-test", "provider-test", "exporter-test").open(t)
	f := s.mustFilter(t, "test")
	if got := ask[string](t, f, "hello"); got != "hello" {
		t.Errorf("got %q", got)
	}
	if out, err := f.FilterResult(t.Context(), sdk.Result{}); err != nil || out.Decision != sdk.Pass {
		t.Errorf("got %v, %v", out, err)
	}
	if err := call(t.Context(), f, "permanent"); !sdk.IsPermanent(err) || !strings.HasPrefix(err.Error(), "plugin filter-test: ") {
		t.Errorf("got %v", err)
	}
	p, err := s.Provider(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	if box, err := p.Create(t.Context(), sdk.CreateRequest{ID: "a"}); err != nil || box.ID != "a" {
		t.Errorf("Create: got %+v, %v", box, err)
	}
	if _, err := p.Get(t.Context(), sdk.GetRequest{ID: "a"}); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("Get: got %v", err)
	}
	if list, err := p.List(t.Context(), sdk.ListRequest{}); err != nil || len(list.Sandboxes) != 1 {
		t.Errorf("List: got %+v, %v", list, err)
	}
	if err := p.Destroy(t.Context(), sdk.DestroyRequest{ID: "a"}); err != nil {
		t.Errorf("Destroy: got %v", err)
	}
	e, err := s.Exporter(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := e.Export(t.Context(), sdk.ExportRequest{}, strings.NewReader("tar"), func(sdk.ExportHeader) error { return nil }, &out); err != nil || out.String() != "tar" {
		t.Errorf("Export: got %q, %v", out.String(), err)
	}
	for _, st := range s.Status() {
		if st.State != StateRunning || st.PID == 0 || st.Version != "1.2.3" || !slices.Equal(st.Capabilities, []string{"testing"}) || st.Restarts != 0 || st.LastError != "" {
			t.Errorf("got %+v", st)
		}
	}
}

func TestPins(t *testing.T) {
	b, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	right := hex.EncodeToString(sum[:])
	for name, c := range map[string]struct{ pin, want string }{
		"right":               {right, ""},
		"right with its name": {"sha256:" + right, ""},
		"in capitals":         {strings.ToUpper(right), ""},
		"wrong":               {strings.Repeat("00", 32), "the pinned one is"},
		"too short":           {"abcd", "plugins.pins.filter-test: a sha256 digest of 64 hex digits is needed"},
		"no digest":           {"latest", "a sha256 digest of 64 hex digits is needed"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, "filter-test")
			p.cfg.Pins["filter-test"] = c.pin
			s, _ := p.open(t)
			err := call(t.Context(), s.mustFilter(t, "test"), "hello")
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Run("a binary that is replaced is refused at the next start", func(t *testing.T) {
		p := newPlace(t, "filter-test")
		p.cfg.Pins["filter-test"] = right
		s, _ := p.open(t)
		f := s.mustFilter(t, "test")
		ask[string](t, f, "hello")
		path := filepath.Join(p.cfg.Dir, "filter-test")
		if err := os.WriteFile(path+".new", append(b, 'x'), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		if err := call(t.Context(), f, "crash"); !errors.Is(err, sdk.ErrPluginExited) {
			t.Fatalf("got %v", err)
		}
		if err := call(t.Context(), f, "hello"); err == nil || !strings.Contains(err.Error(), "the pinned one is") {
			t.Errorf("got %v", err)
		}
	})
}

func TestWhoIsNotWhatItsFileNameSaysIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		file    string
		options map[string]any
		want    string
	}{
		"another name":         {"filter-liar", nil, "it says that it is filter-somebody-else"},
		"another kind":         {"exporter-turncoat", nil, "it says that it is filter-turncoat"},
		"an option too many":   {"filter-test", map[string]any{"mod": "good"}, "plugins.options.filter-test: additional properties 'mod' not allowed"},
		"a wrong value":        {"filter-test", map[string]any{"mood": "so-so"}, "plugins.options.filter-test: mood: value must be one of"},
		"options without any":  {"filter-bare", map[string]any{"mood": "good"}, "plugins.options.filter-bare: it takes no options"},
		"a broken schema":      {"filter-broken", nil, "plugins.options.filter-broken: reading its schema"},
		"a bad mood":           {"filter-test", map[string]any{"mood": "bad"}, "configuring it: I am in a bad mood"},
		"death when asked":     {"filter-test", map[string]any{"crash": true}, "configuring it: the plugin's process has exited"},
		"death before the ask": {"filter-dead", nil, "starting it"},
		"no program":           {"filter-text", nil, "starting it"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, c.file)
			p.cfg.Options[c.file] = c.options
			if path := filepath.Join(p.cfg.Dir, c.file); c.file == "filter-text" {
				if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte("hello"), 0o755)); err != nil {
					t.Fatal(err)
				}
			}
			s, _ := p.open(t)
			var err error
			if strings.HasPrefix(c.file, "exporter-") {
				e, getErr := s.Exporter(t.Context(), strings.TrimPrefix(c.file, "exporter-"))
				if getErr != nil {
					t.Fatal(getErr)
				}
				err = e.Export(t.Context(), sdk.ExportRequest{}, strings.NewReader(""), func(sdk.ExportHeader) error { return nil }, &bytes.Buffer{})
			} else {
				err = call(t.Context(), s.mustFilter(t, strings.TrimPrefix(c.file, "filter-")), "hello")
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
			if st := s.Status()[0]; st.State != StateFailed || st.PID != 0 || !strings.Contains(st.LastError, c.want) {
				t.Errorf("got %+v", st)
			}
		})
	}
}

func TestNothingOfTheHostReachesThePlugin(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-secret-of-the-host")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	stdin := os.Stdin
	os.Stdin = r
	defer func() { os.Stdin = stdin }()
	if _, err := w.WriteString("words for the host"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	p := newPlace(t, "filter-test")
	s, _ := p.open(t)
	f := s.mustFilter(t, "test")
	var names []string
	for _, pair := range ask[[]string](t, f, "env") {
		name, value, _ := strings.Cut(pair, "=")
		names = append(names, name)
		if strings.Contains(value, "secret-of-the-host") {
			t.Errorf("%s holds the host's key", name)
		}
	}
	slices.Sort(names)
	want := []string{
		"AGCLUSTER_PLUGIN", "HOME", "LANG", "PATH", "PLUGIN_CLIENT_CERT", "PLUGIN_MAX_PORT", "PLUGIN_MIN_PORT", "PLUGIN_PROTOCOL_VERSIONS",
		"PLUGIN_UNIX_SOCKET_DIR", "TMPDIR",
	}
	if !slices.Equal(names, want) {
		t.Errorf("its environment is %v, want %v", names, want)
	}
	if got := ask[string](t, f, "stdin"); got != "" {
		t.Errorf("it reads the host's standard input: %q", got)
	}
	req := ask[sdk.ConfigureRequest](t, f, "request")
	if req.HostID != "test-host" || req.DataDir != filepath.Join(p.cfg.DataDir, "filter-test") || req.RunDir != filepath.Join(p.cfg.RunDir, "filter-test", "r") || string(req.Options) != "{}" {
		t.Errorf("it was configured with %+v", req)
	}
	for _, dir := range []string{req.DataDir, req.RunDir} {
		if st, err := os.Stat(dir); err != nil || !st.IsDir() {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestLogsArriveAtTheirLevel(t *testing.T) {
	s, logged := newPlace(t, "filter-test").open(t)
	ask[any](t, s.mustFilter(t, "test"), "log")
	seen := map[string]zapcore.Entry{}
	timeout := time.After(limit)
	for len(seen) < 5 {
		select {
		case e := <-logged:
			if strings.HasSuffix(e.Message, " line") {
				seen[e.Message] = e
			}
		case <-timeout:
			t.Fatalf("only these came: %v", seen)
		}
	}
	for message, level := range map[string]zapcore.Level{
		"a debug line": zapcore.DebugLevel, "an info line": zapcore.InfoLevel, "a warn line": zapcore.WarnLevel,
		"an error line": zapcore.ErrorLevel, "a plain line": zapcore.DebugLevel,
	} {
		if e := seen[message]; e.Level != level || e.LoggerName != "filter-test" {
			t.Errorf("%q came at %v by %q", message, e.Level, e.LoggerName)
		}
	}
}

// actAsHost runs a plugin until it is killed: the host of TestAPluginDiesWithItsHost.
func actAsHost(dir string) error {
	s, err := Open(Config{Dir: filepath.Join(dir, "p"), DataDir: filepath.Join(dir, "d"), RunDir: filepath.Join(dir, "r")}, zap.NewNop())
	if err != nil {
		return err
	}
	f, err := s.Filter(context.Background(), "test")
	if err != nil {
		return err
	}
	if err := call(context.Background(), f, "hello"); err != nil {
		return err
	}
	fmt.Println(s.Status()[0].PID)
	// A test that fails must not leave its host: this pipe ends with it.
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func TestAPluginDiesWithItsHost(t *testing.T) {
	p := newPlace(t, "filter-test")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := exec.Command(exe)
	host.Env = append(os.Environ(), helperVar+"="+filepath.Dir(p.cfg.Dir))
	host.Stderr = os.Stderr
	if _, err := host.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	fd := pidfd(t, pid)
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait() // it was killed
	gone(t, fd)
	// The next host finds what the killed one left and starts all the same.
	s, _ := p.open(t)
	ask[string](t, s.mustFilter(t, "test"), "hello")
}
