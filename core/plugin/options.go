package plugin

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// checkOptions checks options by the plugin's own schema. An error names the option and what is wrong with it.
func checkOptions(schema, options []byte) error {
	if len(schema) == 0 {
		if string(options) != "{}" {
			return errors.New("it takes no options")
		}
		return nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return fmt.Errorf("reading its schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("options.json", doc); err != nil {
		return fmt.Errorf("reading its schema: %w", err)
	}
	s, err := c.Compile("options.json")
	if err != nil {
		return fmt.Errorf("reading its schema: %w", err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(options))
	if err != nil {
		return fmt.Errorf("reading the options: %w", err)
	}
	err = s.Validate(value)
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	for len(invalid.Causes) > 0 {
		invalid = invalid.Causes[0]
	}
	what := invalid.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	if len(invalid.InstanceLocation) == 0 {
		return errors.New(what)
	}
	return fmt.Errorf("%s: %s", strings.Join(invalid.InstanceLocation, "."), what)
}
