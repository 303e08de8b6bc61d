package plugintest

import (
	"context"
	"encoding/json"
	"sync"
	"testing"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// TestFilter checks what every filter must do: answer harmless calls and results of any shape with a valid outcome, also many at
// a time.
func TestFilter(t *testing.T, f sdk.Filter) {
	t.Helper()
	ctx := context.Background()
	outputs := map[string]string{
		"null": `null`, "text": `"hello"`, "number": `1e3`, "list": `[1,"a",{}]`, "object": `{"stdout":"hi","stderr":""}`,
		"unicode": `"\u0000 \ud83d\ude00 é"`, "empty": `""`,
	}
	for name, output := range outputs {
		t.Run("result "+name, func(t *testing.T) {
			out, err := f.FilterResult(ctx, sdk.Result{
				Call: sdk.Call{SessionID: "s", ToolUseID: "t", Tool: "Bash", Input: json.RawMessage(`{}`)}, Output: json.RawMessage(output),
			})
			if err != nil {
				t.Fatal(err)
			}
			valid(t, out)
			if out.Decision == sdk.Ask {
				t.Error("a result can't be asked for")
			}
		})
	}
	t.Run("call", func(t *testing.T) {
		out, err := f.FilterCall(ctx, sdk.Call{SessionID: "s", ToolUseID: "t", Tool: "Bash", Input: json.RawMessage(`{"command":"ls"}`)})
		if err != nil {
			t.Fatal(err)
		}
		valid(t, out)
	})
	t.Run("many at a time", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				if _, err := f.FilterCall(ctx, sdk.Call{Tool: "Read", Input: json.RawMessage(`{"file_path":"a"}`)}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func valid(t *testing.T, out sdk.Outcome) {
	t.Helper()
	switch out.Decision {
	case sdk.Pass, sdk.Ask, sdk.Deny:
	case sdk.Rewrite:
		if !json.Valid(out.Replacement) {
			t.Errorf("a rewrite needs a valid replacement, got %q", out.Replacement)
		}
	default:
		t.Errorf("%q is no decision", out.Decision)
	}
	if (out.Decision == sdk.Deny || out.Decision == sdk.Ask) && out.Reason == "" {
		t.Errorf("%s needs a reason", out.Decision)
	}
}
