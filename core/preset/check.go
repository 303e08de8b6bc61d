package preset

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/agcluster/agcluster/core/config/strict"
)

// Checked is what Check found in a text that is still being written.
type Checked struct {
	// Config holds what could be understood, with nothing filled in; Readable says that there is something.
	Config   Config
	Readable bool
	// Errors have lines and columns when the text was YAML.
	Errors Errors
}

// Format is a language that configurations are written in.
type Format string

// The formats.
const (
	FormatYAML Format = "yaml"
	FormatJSON Format = "json"
)

// Check reads and validates a configuration as a launch would and, other than that, keeps what is good of one that is not. It may
// lack an id, which is only needed to keep it.
func (c *Catalog) Check(text []byte, format Format) Checked {
	return c.checkText(text, format, func(string) Config { return Config{} })
}

// checkText is Check; kept has what is kept under an id, whose values a Hidden one stands for.
func (c *Catalog) checkText(text []byte, format Format, kept func(id string) Config) Checked {
	read := strict.YAML
	if format == FormatJSON {
		read = strict.JSON
	}
	d, err := read(text)
	if err != nil {
		found, ok := errors.AsType[Errors](asErrors(err))
		if !ok {
			found = Errors{{Message: err.Error()}}
		}
		return Checked{Errors: found}
	}
	if d.Data == nil {
		return Checked{Errors: Errors{{Message: "is empty"}}}
	}
	out := Checked{Errors: schema().Check(d)}
	data, ok := schema().Known(d).(map[string]any)
	if !ok {
		return out
	}
	known, err := json.Marshal(data)
	if err == nil {
		err = json.Unmarshal(known, &out.Config)
	}
	if err != nil {
		out.Errors = append(out.Errors, FieldError{Message: fmt.Sprintf("can't be read: %s", err)})
		return out
	}
	out.Readable = true
	// What was left out has been told already; what is around it is told now.
	found, _ := errors.AsType[Errors](c.Validate(c.defaults.Fill(out.Config)))
	found = append(found, hiddenValues(restored(out.Config, kept(out.Config.ID)))...)
	told := map[string]bool{}
	for _, e := range out.Errors {
		told[e.Field] = true
	}
	for _, e := range found {
		if !told[e.Field] {
			out.Errors = append(out.Errors, d.At(e))
		}
	}
	return out
}
