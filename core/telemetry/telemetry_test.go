package telemetry_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/agcluster/agcluster/core/telemetry"
)

func logger(t *testing.T, format string, r *telemetry.Redactor) (*zap.Logger, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	log, flush, err := telemetry.New(telemetry.Config{Level: "debug", Format: format, Out: &out, Redactor: r})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(flush)
	return log, &out
}

func TestFormat(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(read.Close(), write.Close()); err != nil {
			t.Error(err)
		}
	})
	log, flush, err := telemetry.New(telemetry.Config{Level: "info", Format: "auto", Out: write})
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("not shown")
	log.Named("part").Info("shown", zap.Int("n", 1))
	flush()
	flush()
	line := make([]byte, 4096)
	n, err := read.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	var entry struct {
		Level, Time, Logger, Msg string
		N                        int
	}
	if err := json.Unmarshal(line[:n], &entry); err != nil {
		t.Fatalf("a pipe gets JSON, got %s", line[:n])
	}
	if entry.Level != "info" || entry.Msg != "shown" || entry.Logger != "part" || entry.N != 1 || entry.Time == "" {
		t.Errorf("got %s", line[:n])
	}
	console, out := logger(t, "console", nil)
	console.Info("shown", zap.Int("n", 1))
	if text := out.String(); !strings.Contains(text, "INFO\tshown\t{\"n\": 1}\n") || strings.Contains(text, "\x1b") {
		t.Errorf("console: %q", text)
	}
}

func TestBadConfig(t *testing.T) {
	for _, tt := range []struct {
		cfg  telemetry.Config
		want string
	}{
		{telemetry.Config{Level: "info", Format: "auto"}, "nowhere to write"},
		{telemetry.Config{Level: "loud", Format: "auto", Out: os.Stderr}, `log.level: must be one of debug, info, warn, error, got "loud"`},
		{telemetry.Config{Level: "info", Format: "xml", Out: os.Stderr}, `log.format: must be one of auto, console, json, got "xml"`},
	} {
		if _, _, err := telemetry.New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}

// key is made up, and put together so that no scanner finds one in this repository.
const key = "sk-" + "ant-api03-Zq7RkT2vXb9LmN4pWc8YdF3hJs6GaE1uQt5K-_AA"

type object struct{ text string }

func (o object) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("text", o.text)
	enc.AddBinary("binary", []byte("x"+o.text))
	return enc.AddReflected("deep", map[string]any{"a": []string{o.text}})
}

type stringer struct{ text string }

func (s stringer) String() string { return "<" + s.text + ">" }

func TestSecretsDoNotReachTheLog(t *testing.T) {
	for _, secret := range []string{
		key,
		"hunter2-hunter2",
		`p"ss\w<o>rd&é` + "\n\t\b\f\x01end",
		"not\xffutf8-secret",
		"separator\u2028secret",
		strings.Repeat("long", 5000),
		"12345678",
	} {
		for _, format := range []string{"json", "console"} {
			r := telemetry.NewRedactor()
			log, out := logger(t, format, r)
			// A logger that was made with the secret before anyone knew it for one.
			early := log.With(zap.String("early", secret))
			r.Add(secret)
			err := fmt.Errorf("outer: %w", errors.Join(errors.New("inner "+secret), errors.New("x")))
			for _, field := range []zap.Field{
				zap.String("a", secret), zap.String("a", "Bearer "+secret+", and more"), zap.ByteString("a", []byte("x="+secret)),
				zap.Error(err), zap.Any("a", err), zap.Strings("a", []string{"x", secret}), zap.Any("a", map[string]string{"k": secret}),
				zap.Any("a", struct{ B any }{secret}), zap.Any("a", json.RawMessage(`{"k":"v"}`)), zap.Reflect("a", []any{secret}),
				zap.Object("a", object{secret}), zap.Inline(object{secret}), zap.Stringer("a", stringer{secret}), zap.Any(secret, 1),
				zap.Binary("a", []byte(secret)), zap.Binary("a", []byte("1"+secret+"1")), zap.Any("a", []byte("12"+secret+"12")),
				zap.Any("a", struct{ B []byte }{[]byte(secret)}), zap.Namespace(secret), zap.Errors("a", []error{err}),
			} {
				log.Info("field", field)
			}
			log.Info("message " + secret + " goes on")
			log.Named(secret).Info("name")
			early.Info("context")
			check(t, out.String(), secret)
			if n := strings.Count(out.String(), "***"); n < 23 {
				t.Errorf("%s: %d replacements in\n%s", format, n, out)
			}
			if format != "json" {
				continue
			}
			for line := range strings.Lines(out.String()) {
				if !json.Valid([]byte(line)) {
					t.Errorf("no JSON any more: %s", line)
				}
			}
		}
	}
}

// check looks for the secret in the log as it is and in what the log's JSON stands for.
func check(t *testing.T, log, secret string) {
	t.Helper()
	if strings.Contains(log, secret) || strings.Contains(log, strings.ToValidUTF8(secret, "\uFFFD")) {
		t.Errorf("the log holds %q:\n%s", secret, log)
	}
	for offset := range 3 {
		whole := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("1", offset) + secret))
		// The last group may depend on what follows.
		if core := whole[4 : len(whole)-4]; offset < 2 && len(core) > 8 && strings.Contains(log, core) {
			t.Errorf("the log holds %q in base64:\n%s", secret, log)
		}
	}
	for line := range strings.Lines(log) {
		var decoded any
		if i := strings.IndexByte(line, '{'); i < 0 || json.Unmarshal([]byte(line[i:]), &decoded) != nil {
			continue
		}
		if text := fmt.Sprint(decoded); strings.Contains(text, strings.ToValidUTF8(secret, "\uFFFD")) {
			t.Errorf("the log stands for %q: %s", secret, line)
		}
	}
}

func TestAnthropicKeysNeedNoRegistration(t *testing.T) {
	log, out := logger(t, "json", nil)
	log.Info("a key "+key+".", zap.String("b", "x-api-key: "+key+"\r\n"), zap.Binary("c", []byte(key)), zap.Binary("d", []byte("1"+key)),
		zap.Binary("e", []byte("12"+key)), zap.String("truncated", key[:20]))
	check(t, out.String(), key)
	if strings.Contains(out.String(), "Zq7R") || strings.Count(out.String(), "***") != 6 {
		t.Errorf("got %s", out)
	}
	if !strings.Contains(out.String(), `"msg":"a key ***."`) || !strings.Contains(out.String(), `"x-api-key: ***\r\n"`) {
		t.Errorf("too much or too little is gone: %s", out)
	}
}

func TestOtherTextStays(t *testing.T) {
	r := telemetry.NewRedactor()
	r.Add("short")
	r.Add("")
	r.Add("secret-secret")
	log, out := logger(t, "json", r)
	const text = "short; a key begins with sk-ant- or sk-ant-api03-; secret-secre, ecret-secret; c2stYW50"
	log.Info(text)
	if !strings.Contains(out.String(), text) {
		t.Errorf("got %s", out)
	}
}

func TestRemoveCounts(t *testing.T) {
	const secret = "hunter2-hunter2"
	r := telemetry.NewRedactor()
	log, out := logger(t, "json", r)
	shown := func() bool {
		out.Reset()
		log.Info(secret)
		return strings.Contains(out.String(), secret)
	}
	r.Add(secret)
	r.Add(secret)
	r.Add(secret + "-longer")
	r.Remove(secret)
	if shown() {
		t.Error("shown while one still holds it")
	}
	r.Remove(secret)
	if !shown() {
		t.Error("hidden after all are gone")
	}
	r.Remove(secret)
	r.Remove("never added")
	r.Add(secret)
	if shown() {
		t.Error("a Remove too many counts against a later Add")
	}
	r.Add(secret + "-longer-still")
	log.Info(secret + "-longer! " + secret + "-longer-still!")
	if !strings.Contains(out.String(), `"msg":"***! ***!"`) {
		t.Errorf("the longest secret must go: %s", out)
	}
}

func TestConcurrentUse(t *testing.T) {
	r := telemetry.NewRedactor()
	var out bytes.Buffer
	log, _, err := telemetry.New(telemetry.Config{Level: "info", Format: "json", Out: &out, Redactor: r})
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			secret := fmt.Sprintf("secret-number-%d!", i)
			for range 100 {
				r.Add(secret)
				log.Info(secret, zap.Int("i", i))
				r.Remove(secret)
			}
		})
	}
	work.Wait()
	if strings.Contains(out.String(), "secret-number") || strings.Count(out.String(), "\n") != 800 {
		t.Error("a secret was shown or a line lost")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestAWriterThatFailsHarmsNobody(t *testing.T) {
	log, flush, err := telemetry.New(telemetry.Config{Level: "info", Format: "json", Out: failing{}})
	if err != nil {
		t.Fatal(err)
	}
	log.Info("x")
	flush()
}

func FuzzRedact(f *testing.F) {
	f.Add("hunter2-hunter2", "before ", " after")
	f.Add(key, "sk-ant-", "sk-ant-")
	f.Add("aaaaaaaa", "aaa", "aaaaaaaaaaaaaaaaaaa")
	f.Add("\"\\\"\\\"\\\"\\", "\\", "\"")
	f.Fuzz(func(t *testing.T, secret, before, after string) {
		// What *** is part of can't be told from the replacement.
		if len(secret) < 8 || strings.Contains(secret, "*") || strings.Contains(before+after, secret) {
			return
		}
		r := telemetry.NewRedactor()
		r.Add(secret)
		var out bytes.Buffer
		n, err := r.Sink(zapcore.AddSync(&out)).Write([]byte(before + secret + after))
		if err != nil || n != len(before+secret+after) {
			t.Fatalf("wrote %d, %v", n, err)
		}
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q stayed in %q", secret, out.String())
		}
	})
}

func BenchmarkLog(b *testing.B) {
	for _, secrets := range []int{0, 10, 10_000} {
		for _, hit := range []bool{false, true} {
			b.Run(fmt.Sprintf("secrets=%d/hit=%t", secrets, hit), func(b *testing.B) {
				r := telemetry.NewRedactor()
				for i := range secrets {
					r.Add(fmt.Sprintf("%d-secret-of-an-mcp-server", i*7919))
				}
				log, _, err := telemetry.New(telemetry.Config{Level: "info", Format: "json", Out: discard{}, Redactor: r})
				if err != nil {
					b.Fatal(err)
				}
				text := "a turn has ended, and this is about how long a message and its fields are together"
				if hit {
					text += key
				}
				b.ReportAllocs()
				for b.Loop() {
					log.Info("turn", zap.String("session", "conv-0123456789abcdef"), zap.Int("turn", 7), zap.String("text", text))
				}
			})
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestRedactHidesWhatIsRegistered(t *testing.T) {
	r := telemetry.NewRedactor()
	r.Add("hunter2hunter2")
	const want = "a *** b *** c"
	if got := r.Redact("a hunter2hunter2 b sk-ant-api03-abcdefghij c"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
