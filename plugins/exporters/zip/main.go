// Command exporter-zip turns a workspace into a zip file.
package main

import (
	"fmt"
	"os"

	"github.com/agcluster/agcluster/plugins/sdk"
)

func main() {
	err := sdk.Serve(sdk.ServeConfig{
		Description: sdk.Description{Name: "zip", Version: "1.0.0", Kind: sdk.KindExporter},
		Exporter:    exporter{},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
