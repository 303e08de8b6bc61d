// Command slowfilter is a filter plugin of the end-to-end tests: it hangs on calls that say so, until it is killed.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/agcluster/agcluster/plugins/sdk"
)

type filter struct{}

func (filter) FilterCall(ctx context.Context, call sdk.Call) (sdk.Outcome, error) {
	switch {
	case bytes.Contains(call.Input, []byte("hang-in-filter")):
		<-ctx.Done()
		return sdk.Outcome{}, ctx.Err()
	case bytes.Contains(call.Input, []byte("rewrite-me")):
		return sdk.Outcome{
			Decision: sdk.Rewrite, Reason: "rewritten by the test",
			Replacement: bytes.ReplaceAll(call.Input, []byte("rewrite-me"), []byte("/etc/rewritten")),
		}, nil
	default:
		return sdk.Outcome{Decision: sdk.Pass}, nil
	}
}

func (filter) FilterResult(context.Context, sdk.Result) (sdk.Outcome, error) {
	return sdk.Outcome{Decision: sdk.Pass}, nil
}

func main() {
	err := sdk.Serve(sdk.ServeConfig{
		Description: sdk.Description{Name: "slow", Version: "1.0.0", Kind: sdk.KindFilter}, Filter: filter{},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
