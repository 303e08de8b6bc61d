package sdk_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/plugins/sdk"
	"github.com/agcluster/agcluster/plugins/sdk/plugintest"
)

// TestTheProgramsOfTheREADMEArePlugins builds each of them as it stands there.
func TestTheProgramsOfTheREADMEArePlugins(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	programs := map[string]string{}
	for i, block := range strings.Split(string(readme), "```") {
		if code, ok := strings.CutPrefix(block, "go\n"); ok && i%2 == 1 {
			_, name, _ := strings.Cut(code, "// Command ")
			name, _, _ = strings.Cut(name, " ")
			programs[name] = code
		}
	}
	for name, options := range map[string]string{"filter-quiet": `{"server":"x"}`, "exporter-list": ``, "provider-somewhere": ``} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			main, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, name)
			if err := os.WriteFile(main, []byte(programs[name]), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"vet", main}, {"build", "-o", binary, main}} {
				if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
					t.Fatalf("go %s: %v\n%s", args[0], err, out)
				}
			}
			kind, short, _ := strings.Cut(name, "-")
			plugintest.TestBinary(t, binary, sdk.Kind(kind), short, json.RawMessage(options))
			if kind == "filter" {
				plugintest.TestFilter(t, plugintest.Start(t, binary, nil).Filter)
			}
		})
		delete(programs, name)
	}
	if len(programs) > 0 {
		t.Errorf("the README has programs that are not tested: %v", programs)
	}
}
