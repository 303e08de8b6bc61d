// Command filter-secrets redacts credentials in what tools return, before the model, the log and every stream see it. The rules
// are gitleaks'.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/agcluster/agcluster/plugins/sdk"
)

const optionsSchema = `{
  "type": "object", "additionalProperties": false,
  "properties": {
    "calls": {"enum": ["pass", "deny"], "default": "pass",
      "description": "What happens to a tool call whose input holds a credential."},
    "allow": {"type": "array", "maxItems": 100, "items": {"type": "string", "minLength": 1, "maxLength": 1000},
      "description": "Regular expressions (RE2) of secrets that are none, such as documented examples."}
  }
}`

func main() {
	f := &filter{}
	err := sdk.Serve(sdk.ServeConfig{
		Description: sdk.Description{
			Name: "secrets", Version: "1.0.0", Kind: sdk.KindFilter, OptionsSchema: json.RawMessage(optionsSchema),
		},
		Configure: func(_ context.Context, req sdk.ConfigureRequest) error { return f.configure(req.Options) },
		Filter:    f,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// filter is safe for concurrent use once it is configured.
type filter struct {
	redactor *redactor
	deny     bool
}

var _ sdk.Filter = (*filter)(nil)

func (f *filter) configure(raw json.RawMessage) error {
	options := struct {
		Calls string   `json:"calls"`
		Allow []string `json:"allow"`
	}{Calls: "pass"}
	if err := sdk.DecodeOptions(raw, &options); err != nil {
		return err
	}
	if options.Calls != "pass" && options.Calls != "deny" {
		return sdk.Permanent(fmt.Errorf("options.calls is %q, not pass or deny", options.Calls))
	}
	r, err := newRedactor(options.Allow)
	if err != nil {
		return err
	}
	f.redactor, f.deny = r, options.Calls == "deny"
	return nil
}

// FilterCall implements sdk.Filter.
func (f *filter) FilterCall(ctx context.Context, call sdk.Call) (sdk.Outcome, error) {
	if !f.deny {
		return sdk.Outcome{Decision: sdk.Pass}, nil
	}
	_, found, err := f.redactor.json(ctx, call.Input)
	if err != nil {
		return sdk.Outcome{}, err
	}
	if len(found) == 0 {
		return sdk.Outcome{Decision: sdk.Pass}, nil
	}
	return sdk.Outcome{Decision: sdk.Deny, Reason: "the call holds a credential: " + strings.Join(found, ", ")}, nil
}

// FilterResult implements sdk.Filter.
func (f *filter) FilterResult(ctx context.Context, result sdk.Result) (sdk.Outcome, error) {
	clean, found, err := f.redactor.json(ctx, result.Output)
	if err != nil {
		return sdk.Outcome{}, err
	}
	if len(found) == 0 {
		return sdk.Outcome{Decision: sdk.Pass}, nil
	}
	return sdk.Outcome{Decision: sdk.Rewrite, Reason: "redacted " + strings.Join(found, ", "), Replacement: clean}, nil
}
