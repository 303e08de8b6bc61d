// Command provider-local is AgCluster's default provider: each agent in a bubblewrap sandbox on this machine. README.md beside this
// file says what a sandbox is made of and why.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/agcluster/agcluster/plugins/sdk"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == shimArg {
		// Reached only when the shim could not become bwrap.
		fmt.Fprintln(os.Stderr, "sandbox-shim:", runShim())
		os.Exit(1)
	}
	os.Exit(run())
}

func run() int {
	provider := New(sdk.Logger("provider-local"))
	err := sdk.Serve(sdk.ServeConfig{Description: description(), Configure: provider.Configure, Provider: provider})
	for _, err := range []error{err, provider.Close()} {
		if err != nil {
			fmt.Fprintln(os.Stderr, "provider-local:", err)
			return 1
		}
	}
	return 0
}

// description is what Describe answers.
func description() sdk.Description {
	return sdk.Description{
		Name: "local", Version: "0.1.0", Kind: sdk.KindProvider, OptionsSchema: json.RawMessage(optionsSchema),
		Capabilities: []string{sdk.CapabilityStats, sdk.CapabilityLogs},
	}
}
