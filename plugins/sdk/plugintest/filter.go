package plugintest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// The largest messages that the host sends.
const (
	maxInput  = 1 << 20
	maxOutput = 8 << 20
)

// TestFilter checks what every filter must do: answer harmless calls and results of any shape and of the largest size with a valid
// outcome, also many at a time, leave what it was given as it was, and end when its caller gives up.
func TestFilter(t *testing.T, f sdk.Filter) {
	t.Helper()
	for name, output := range map[string]string{
		"null": `null`, "text": `"hello"`, "number": `1e3`, "list": `[1,"a",{}]`, "object": `{"stdout":"hi","stderr":""}`,
		"unicode": `"\u0000 \ud83d\ude00 é"`, "half a surrogate": `"\ud800"`, "empty": `""`, "a large number": `12345678901234567890`,
		"deep": strings.Repeat("[", 500) + strings.Repeat("]", 500),
	} {
		t.Run("result "+name, func(t *testing.T) { testResult(t, f, json.RawMessage(output)) })
	}
	t.Run("the largest result", func(t *testing.T) {
		testResult(t, f, json.RawMessage(`"`+strings.Repeat("lorem ipsum ", maxOutput/12-1)+`"`))
	})
	for name, call := range map[string]sdk.Call{
		"of a tool":          {SessionID: "s", ToolUseID: "t", Tool: "Bash", Input: json.RawMessage(`{"command":"ls"}`)},
		"of a sub-agent":     {SessionID: "s", ToolUseID: "t", Tool: "Read", Parent: "p", Input: json.RawMessage(`{"file_path":"a"}`)},
		"of an unknown tool": {SessionID: "s", ToolUseID: "t", Tool: "mcp__x__y", Input: json.RawMessage(`{"a":[{"b":null}]}`)},
		"without input":      {SessionID: "s", ToolUseID: "t", Tool: "Bash", Input: json.RawMessage(`{}`)},
		"of the largest size": {
			SessionID: "s", ToolUseID: "t", Tool: "Write",
			Input: json.RawMessage(`{"content":"` + strings.Repeat("lorem ipsum ", maxInput/12-4) + `"}`),
		},
	} {
		t.Run("call "+name, func(t *testing.T) { testCall(t, f, call) })
	}
	t.Run("many at a time", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() { testCall(t, f, sdk.Call{Tool: "Read", Input: json.RawMessage(`{"file_path":"a"}`)}) })
			wg.Go(func() { testResult(t, f, json.RawMessage(`"hello"`)) })
		}
		wg.Wait()
	})
	t.Run("a caller that has given up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		out, err := f.FilterResult(ctx, sdk.Result{Call: sdk.Call{Tool: "Bash", Input: json.RawMessage(`{}`)}, Output: json.RawMessage(`"hello"`)})
		if err == nil {
			valid(t, out, false) // it was quicker, or does not look
		} else if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the context's error", err)
		}
		testCall(t, f, sdk.Call{Tool: "Bash", Input: json.RawMessage(`{}`)})
	})
}

func testCall(t *testing.T, f sdk.Filter, call sdk.Call) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	before := bytes.Clone(call.Input)
	out, err := f.FilterCall(ctx, call)
	if err != nil {
		t.Errorf("FilterCall: %v", err)
		return
	}
	valid(t, out, true)
	if !bytes.Equal(before, call.Input) {
		t.Error("it has changed the input it was given")
	}
}

func testResult(t *testing.T, f sdk.Filter, output json.RawMessage) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	before := bytes.Clone(output)
	out, err := f.FilterResult(ctx, sdk.Result{
		Call: sdk.Call{SessionID: "s", ToolUseID: "t", Tool: "Bash", Input: json.RawMessage(`{}`)}, Output: output,
	})
	if err != nil {
		t.Errorf("FilterResult: %v", err)
		return
	}
	valid(t, out, false)
	if !bytes.Equal(before, output) {
		t.Error("it has changed the output it was given")
	}
}

// valid checks an outcome; ofCall says that it is a call's.
func valid(t *testing.T, out sdk.Outcome, ofCall bool) {
	t.Helper()
	switch out.Decision {
	case sdk.Pass, sdk.Deny:
	case sdk.Ask:
		if !ofCall {
			t.Error("a result can't be asked for")
		}
	case sdk.Rewrite:
		if !json.Valid(out.Replacement) {
			t.Errorf("a rewrite needs a valid replacement, got %.100q", out.Replacement)
		}
		var object map[string]json.RawMessage
		if ofCall && (json.Unmarshal(out.Replacement, &object) != nil || object == nil) {
			t.Errorf("the replacement of an input must be an object, got %.100q", out.Replacement)
		}
	default:
		t.Errorf("%q is no decision", out.Decision)
	}
	if out.Decision != sdk.Rewrite && out.Replacement != nil {
		t.Errorf("%s has a replacement", out.Decision)
	}
	if (out.Decision == sdk.Deny || out.Decision == sdk.Ask) && out.Reason == "" {
		t.Errorf("%s needs a reason", out.Decision)
	}
	if strings.ContainsAny(out.Reason, "\n\r\x00") {
		t.Errorf("the reason %q is not one line", out.Reason)
	}
}
