package config

import (
	"strings"

	"github.com/spf13/pflag"
)

// RegisterFlags adds a flag for every key, --api.port for api.port, and the short ones beside some.
func RegisterFlags(fs *pflag.FlagSet) {
	for _, k := range Describe() {
		// Both names share the value, so that the one given last counts.
		value := &flagValue{key: k}
		for _, name := range k.Flags {
			f := &pflag.Flag{Name: strings.TrimPrefix(name, "--"), Usage: k.Doc, Value: value, DefValue: k.Default}
			if k.Type == "bool" {
				f.NoOptDefVal = "true"
			}
			fs.AddFlag(f)
		}
	}
}

// flagValue holds the text; Set refuses what the key can't take, so that a wrong flag is an error of the command line.
type flagValue struct {
	key  Key
	text string
}

var _ pflag.Value = (*flagValue)(nil)

// String implements pflag.Value.
func (v *flagValue) String() string { return v.text }

// Set implements pflag.Value.
func (v *flagValue) Set(text string) error {
	if _, wrong := v.key.parse(text); len(wrong) > 0 {
		return wrong[0]
	}
	v.text = text
	return nil
}

// Type implements pflag.Value.
func (v *flagValue) Type() string { return v.key.Type }
