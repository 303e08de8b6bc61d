// Command provider-docker runs each agent in a container of a Docker engine, on this machine or another. README.md beside this file
// says what a sandbox is made of and why.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/agcluster/agcluster/plugins/sdk"
)

func main() { os.Exit(run()) }

func run() int {
	provider := New(sdk.Logger("provider-docker"))
	err := sdk.Serve(sdk.ServeConfig{Description: description(), Configure: provider.Configure, Provider: provider})
	for _, err := range []error{err, provider.Close()} {
		if err != nil {
			fmt.Fprintln(os.Stderr, "provider-docker:", err)
			return 1
		}
	}
	return 0
}

// description is what Describe answers.
func description() sdk.Description {
	return sdk.Description{
		Name: "docker", Version: "0.1.0", Kind: sdk.KindProvider, OptionsSchema: json.RawMessage(optionsSchema),
		Capabilities: []string{sdk.CapabilityStats, sdk.CapabilityLogs, sdk.CapabilityPull},
	}
}
