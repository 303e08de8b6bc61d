package preset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"strings"

	"github.com/agcluster/agcluster/core/config/strict"
)

// FieldError is one thing that is wrong with a configuration: Field (such as agents.frontend.tools[2]), Message and, for YAML, Line.
type FieldError = strict.Error

// Errors is everything that is wrong with a configuration.
type Errors []FieldError

// Error implements error.
func (e Errors) Error() string {
	list := make([]string, len(e))
	for i, f := range e {
		list[i] = f.Error()
	}
	return strings.Join(list, "; ")
}

func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

func schema() strict.Schema {
	return strict.Schema{
		Type: reflect.TypeFor[Config](), Tag: "json",
		Shapes: map[reflect.Type]strict.Shape{reflect.TypeFor[SystemPrompt](): promptShape},
	}
}

// ParseYAML reads one configuration. Unknown keys, keys given twice and values of the wrong type are Errors with key and line. It
// does not validate: see Validate.
func ParseYAML(text []byte) (Config, error) {
	d, err := strict.YAML(text)
	if err != nil {
		return Config{}, asErrors(err)
	}
	return decode(d)
}

// ParseJSON reads one configuration as strictly as ParseYAML does.
func ParseJSON(text []byte) (Config, error) {
	d, err := strict.JSON(text)
	if err != nil {
		return Config{}, asErrors(err)
	}
	return decode(d)
}

func asErrors(err error) error {
	if e, ok := errors.AsType[strict.Error](err); ok {
		return Errors{e}
	}
	return err
}

func decode(d strict.Document) (Config, error) {
	if d.Data == nil {
		return Config{}, Errors{{Message: "is empty"}}
	}
	if found := schema().Check(d); len(found) > 0 {
		return Config{}, Errors(found)
	}
	// The check has seen every key and type; JSON carries the values over, the same way for both languages.
	text, err := json.Marshal(d.Data)
	if err != nil {
		return Config{}, fmt.Errorf("reading a configuration: %w", err)
	}
	var c Config
	if err := json.Unmarshal(text, &c); err != nil {
		return Config{}, fmt.Errorf("reading a configuration: %w", err)
	}
	return c, nil
}

// Load reads every *.yaml and *.yml file in the top folder of fsys and validates it. A missing folder is an error, two files with
// the same id as well. The error names files, keys and lines of everything that is wrong.
func Load(fsys fs.FS, known Known) ([]Config, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("reading presets: %w", err)
	}
	var (
		configs []Config
		errs    []error
	)
	from := map[string]string{}
	for _, entry := range entries {
		name := entry.Name()
		if ext := path.Ext(name); (ext != ".yaml" && ext != ".yml") || entry.IsDir() {
			continue
		}
		c, err := loadFile(fsys, name, known)
		if err == nil && from[c.ID] != "" {
			err = Errors{{Field: "id", Message: fmt.Sprintf("%q is also the id of %s", c.ID, from[c.ID])}}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("preset %s: %w", name, err))
			continue
		}
		from[c.ID] = name
		configs = append(configs, c)
	}
	return configs, errors.Join(errs...)
}

func loadFile(fsys fs.FS, name string, known Known) (Config, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return Config{}, err
	}
	if info.Size() > strict.MaxBytes {
		return Config{}, Errors{{Message: fmt.Sprintf("has %d bytes, more than %d", info.Size(), strict.MaxBytes)}}
	}
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return Config{}, err
	}
	d, err := strict.YAML(text)
	if err != nil {
		return Config{}, asErrors(err)
	}
	c, err := decode(d)
	if err != nil {
		return Config{}, err
	}
	if found, ok := errors.AsType[Errors](Validate(c, known)); ok {
		for i, e := range found {
			found[i] = d.At(e)
		}
		return Config{}, found
	}
	return c, nil
}
