package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/agcluster/agcluster/plugins/sdk"
	"github.com/agcluster/agcluster/plugins/sdk/plugintest"
)

// token is a made-up credential, put together here so that no scanner finds one in the repository.
func token() string { return "ghp" + "_" + "Zq7RkT2vXb9LmN4pWc8YdF3hJs6GaE1uQt5K" }

func configured(t *testing.T, options string) *filter {
	t.Helper()
	f := &filter{}
	if err := f.configure(json.RawMessage(options)); err != nil {
		t.Fatal(err)
	}
	return f
}

func result(t *testing.T, f sdk.Filter, output any) sdk.Outcome {
	t.Helper()
	raw, err := json.Marshal(output)
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.FilterResult(context.Background(), sdk.Result{Call: sdk.Call{Tool: "Bash"}, Output: raw})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCredentialsAreRedactedAndTheShapeStays(t *testing.T) {
	f := configured(t, `{}`)
	inner, _ := json.Marshal(map[string]string{"token": token()})
	for name, output := range map[string]any{
		"text":                  "token=" + token() + "\n",
		"an object":             map[string]any{"stdout": "x\ntoken: " + token(), "stderr": "", "n": 12345678901234567},
		"a list":                []any{map[string]any{"type": "text", "text": "token=" + token()}},
		"JSON within a string":  map[string]any{"stdout": string(inner)},
		"the border of windows": strings.Repeat("lorem ipsum ", window/12) + " token=" + token() + " " + strings.Repeat("x ", overlap),
	} {
		t.Run(name, func(t *testing.T) {
			out := result(t, f, output)
			if out.Decision != sdk.Rewrite || strings.Contains(string(out.Replacement), token()) {
				t.Fatalf("got %s %s", out.Decision, out.Reason)
			}
			if strings.Contains(out.Reason, token()) || !strings.Contains(string(out.Replacement), "[redacted: github-pat]") {
				t.Errorf("got %q %s", out.Reason, out.Replacement)
			}
		})
	}
	out := result(t, f, map[string]any{"stdout": "token=" + token(), "n": 12345678901234567})
	if !strings.Contains(string(out.Replacement), `"n":12345678901234567`) {
		t.Errorf("numbers must stay as they are: %s", out.Replacement)
	}
}

func TestHarmlessTextPasses(t *testing.T) {
	f := configured(t, `{}`)
	for _, output := range []any{"hello", map[string]any{"stdout": "285\n"}, nil, 12, []any{}} {
		if out := result(t, f, output); out.Decision != sdk.Pass {
			t.Errorf("%v: got %s: %s", output, out.Decision, out.Reason)
		}
	}
}

func TestAllowedSecretsPass(t *testing.T) {
	f := configured(t, `{"allow": ["^ghp_Zq7"]}`)
	if out := result(t, f, "token="+token()); out.Decision != sdk.Pass {
		t.Errorf("got %s", out.Decision)
	}
}

func TestCallsAreDeniedWhenAskedFor(t *testing.T) {
	input, _ := json.Marshal(map[string]string{"command": "curl -H 'Authorization: token " + token() + "'"})
	for options, want := range map[string]sdk.Decision{`{}`: sdk.Pass, `{"calls":"deny"}`: sdk.Deny} {
		out, err := configured(t, options).FilterCall(context.Background(), sdk.Call{Tool: "Bash", Input: input})
		if err != nil || out.Decision != want || strings.Contains(out.Reason, token()) {
			t.Errorf("%s: got %v, %v", options, out, err)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	f := configured(t, `{}`)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if out := result(t, f, "token="+token()); out.Decision != sdk.Rewrite {
				t.Errorf("got %s", out.Decision)
			}
		})
	}
	wg.Wait()
}

func TestACommentInTheTextSwitchesNothingOff(t *testing.T) {
	if out := result(t, configured(t, `{}`), "token="+token()+" # gitleaks:allow"); out.Decision != sdk.Rewrite {
		t.Errorf("got %s", out.Decision)
	}
}

// TestShortSecretsGoWhereTheyWereFound: a short password is a word elsewhere, and replacing it everywhere would garble the text.
func TestShortSecretsGoWhereTheyWereFound(t *testing.T) {
	found := map[string]finding{}
	f := configured(t, `{}`)
	text := "see bob:q7z\ncurl -u bob:q7z https://example.com/\n"
	if err := f.redactor.search(t.Context(), text, found); err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("the rules of gitleaks find nothing here any more; the test needs another short secret")
	}
	got := replacer(found).Replace(text)
	if strings.Contains(got, "-u bob:q7z") || !strings.HasPrefix(got, "see bob:q7z\n") {
		t.Errorf("got %q", got)
	}
}

func TestAnInputThatCanNotBeReadIsAnError(t *testing.T) {
	f := configured(t, `{"calls":"deny"}`)
	if _, err := f.FilterCall(t.Context(), sdk.Call{Input: json.RawMessage(`{`)}); err == nil {
		t.Error("call: want an error")
	}
	if _, err := f.FilterResult(t.Context(), sdk.Result{Output: json.RawMessage(`{`)}); err == nil {
		t.Error("result: want an error")
	}
}

// TestAnInterruptedSearchIsNoPass: the rules stop in the middle when the caller gives up, and what they have not seen is not clean.
func TestAnInterruptedSearchIsNoPass(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, err := configured(t, `{}`).FilterResult(ctx, sdk.Result{Output: json.RawMessage(`"hello"`)})
	if !errors.Is(err, context.Canceled) || out.Decision != "" {
		t.Errorf("got %v, %v", out, err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for options, want := range map[string]string{
		`{"calls":"maybe"}`: `options.calls is "maybe"`, `{"cals":"deny"}`: `unknown field "cals"`, `{"allow":["("]}`: "options.allow[0]",
		`{"allow":"x"}`: "reading options", `[]`: "reading options", `{} {}`: "more than one",
	} {
		f := &filter{}
		if err := f.configure(json.RawMessage(options)); err == nil || !strings.Contains(err.Error(), want) || !sdk.IsPermanent(err) {
			t.Errorf("%s: got %v, want a Permanent error with %q", options, err, want)
		}
	}
}

// TestNothingIsLogged: what the rules find must not leave by standard error, which the host keeps.
func TestNothingIsLogged(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = w
	defer func() { os.Stderr = stderr }()
	f := configured(t, `{"allow": ["^ghp_Zq7"]}`)
	for _, text := range []string{"token=" + token(), "aws_access_key_id = AKIA" + "QYLPMN5HHHFPZAM2", "password: hunter2hunter2"} {
		result(t, f, text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if logged, err := io.ReadAll(r); err != nil || len(logged) > 0 {
		t.Errorf("got %q, %v", logged, err)
	}
}

func BenchmarkResult(b *testing.B) {
	f := &filter{}
	if err := f.configure(nil); err != nil {
		b.Fatal(err)
	}
	for name, size := range map[string]int{"1KiB": 1 << 10, "64KiB": 64 << 10, "1MiB": 1 << 20} {
		raw, err := json.Marshal(map[string]string{"stdout": strings.Repeat("lorem ipsum dolor sit amet\n", size/27), "stderr": ""})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if _, err := f.FilterResult(b.Context(), sdk.Result{Output: raw}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestConformance(t *testing.T) {
	t.Run("in process", func(t *testing.T) { plugintest.TestFilter(t, configured(t, `{}`)) })
	t.Run("in process, looking at calls", func(t *testing.T) { plugintest.TestFilter(t, configured(t, `{"calls":"deny"}`)) })
	t.Run("binary", func(t *testing.T) {
		path := plugintest.Build(t, ".")
		plugintest.TestBinary(t, path, sdk.KindFilter, "secrets", json.RawMessage(`{"calls":"deny","allow":["^x"]}`))
		c := plugintest.Start(t, path, json.RawMessage(`{}`))
		plugintest.TestFilter(t, c.Filter)
		if out := result(t, c.Filter, "token="+token()); out.Decision != sdk.Rewrite {
			t.Errorf("got %s", out.Decision)
		}
	})
}
