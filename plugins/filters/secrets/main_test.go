package main

import (
	"context"
	"encoding/json"
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

func TestConformance(t *testing.T) {
	t.Run("in process", func(t *testing.T) { plugintest.TestFilter(t, configured(t, `{}`)) })
	t.Run("binary", func(t *testing.T) {
		c := plugintest.Start(t, plugintest.Build(t, "."), json.RawMessage(`{}`))
		plugintest.TestFilter(t, c.Filter)
		if out := result(t, c.Filter, "token="+token()); out.Decision != sdk.Rewrite {
			t.Errorf("got %s", out.Decision)
		}
	})
}
