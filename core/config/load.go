package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/agcluster/agcluster/core/config/strict"
)

// FileName is the file that is read from the current folder when no other is named.
const FileName = "agcluster.yaml"

// LoadOptions say what a configuration is read from.
type LoadOptions struct {
	// File is agcluster.yaml. Empty takes ./agcluster.yaml if there is one; a path that is given must exist.
	File string
	// Environ holds NAME=value, as os.Environ gives it. An empty value counts as not given. A name that begins with AGCLUSTER_ and is
	// no key is an error, except those in Reserved, which the caller reads itself.
	Environ  []string
	Reserved []string
	// Flags have been registered by RegisterFlags and parsed; nil is none.
	Flags *pflag.FlagSet
	// Executable is the path of the running binary, for the folders that are found beside it.
	Executable string
}

// Load reads, merges and checks the configuration. The error is Errors with everything that is wrong, or that of reading the file.
func Load(opts LoadOptions) (Config, Sources, error) {
	l := &loading{opts: opts, keys: Describe(), merged: koanf.New(delimiter), sources: Sources{}}
	l.defaults()
	if err := l.file(); err != nil {
		return Config{}, nil, err
	}
	// The names of AgCluster Container first: AGCLUSTER_… is stronger.
	l.environment(func(name string) bool { return !strings.HasPrefix(name, envPrefix) })
	l.environment(func(name string) bool { return strings.HasPrefix(name, envPrefix) })
	l.flags()
	if len(l.found) > 0 {
		return Config{}, nil, l.found
	}
	var c Config
	err := l.merged.UnmarshalWithConf("", &c, koanf.UnmarshalConf{
		Tag: "json", DecoderConfig: &mapstructure.DecoderConfig{DecodeHook: convert, ErrorUnused: true},
	})
	if err != nil {
		return Config{}, nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if err := l.derive(&c); err != nil {
		return Config{}, nil, err
	}
	if l.validate(c); len(l.found) > 0 {
		return Config{}, nil, l.found
	}
	return c, l.sources, nil
}

type loading struct {
	opts    LoadOptions
	keys    []Key
	doc     strict.Document
	merged  *koanf.Koanf
	sources Sources
	found   Errors
}

func (l *loading) add(source Source, key string, wrong ...strict.Error) {
	for _, e := range wrong {
		l.found = append(l.found, Error{Key: within(key, e.Field), Source: source, Message: e.Message})
	}
}

// within is the path of what is wrong in a key's value.
func within(key, field string) string {
	if key == "" || field == "" || strings.HasPrefix(field, "[") {
		return key + field
	}
	return key + delimiter + field
}

// layer puts what a provider reads over what is there. A key is replaced as a whole: objects of two sources are not mixed, so that
// the source of a key is the source of all of it.
func (l *loading) layer(provider koanf.Provider) {
	err := l.merged.Load(provider, nil, koanf.WithMergeFunc(func(src, dest map[string]any) error {
		for _, k := range l.keys {
			if value, ok := lookup(src, k.path()); ok {
				put(dest, k.path(), value)
			}
		}
		return nil
	}))
	if err != nil {
		l.add(Source{Kind: KindDefault}, "", strict.Error{Message: err.Error()})
	}
}

func (k Key) path() []string { return strings.Split(k.Name, delimiter) }

func lookup(m map[string]any, path []string) (any, bool) {
	value, ok := m[path[0]]
	if !ok || len(path) == 1 {
		return value, ok
	}
	group, ok := value.(map[string]any)
	if !ok {
		return nil, false
	}
	return lookup(group, path[1:])
}

func put(m map[string]any, path []string, value any) {
	if len(path) == 1 {
		m[path[0]] = value
		return
	}
	group, ok := m[path[0]].(map[string]any)
	if !ok {
		group = map[string]any{}
		m[path[0]] = group
	}
	put(group, path[1:], value)
}

func (l *loading) defaults() {
	values := map[string]any{}
	for _, k := range l.keys {
		text := k.Default
		if k.derived {
			text = ""
		}
		value, wrong := k.parse(text)
		l.add(Source{Kind: KindDefault}, k.Name, wrong...)
		values[k.Name] = value
		l.sources[k.Name] = Source{Kind: KindDefault}
	}
	l.layer(confmap.Provider(values, delimiter))
}

// file reads agcluster.yaml. The error says that it can't be read at all; what is wrong in it is in l.found.
func (l *loading) file() error {
	name := l.opts.File
	if name == "" {
		name = FileName
	}
	text, err := readFile(name)
	if errors.Is(err, fs.ErrNotExist) && l.opts.File == "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	source := func(line int) Source { return Source{Kind: KindFile, Name: name, Line: line} }
	if l.doc, err = strict.YAML(text); err != nil {
		e, ok := errors.AsType[strict.Error](err)
		if !ok {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		l.add(source(e.Line), "", e)
		return nil
	}
	if l.doc.Data == nil {
		return nil
	}
	wrong := schema(reflect.TypeFor[Config]()).Check(l.doc)
	for _, e := range wrong {
		l.add(source(e.Line), "", e)
	}
	data, ok := l.doc.Data.(map[string]any)
	if !ok || len(wrong) > 0 {
		return nil
	}
	for _, k := range l.keys {
		if _, given := lookup(data, k.path()); given {
			l.sources[k.Name] = source(l.doc.Line(k.Name))
		}
	}
	l.layer(confmap.Provider(data, ""))
	return nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, strict.MaxBytes+1))
	if err != nil {
		return nil, err
	}
	return text, nil
}

// environment reads the variables whose name is mine.
func (l *loading) environment(mine func(name string) bool) {
	byName := map[string]Key{}
	for _, k := range l.keys {
		for _, name := range k.Env {
			byName[name] = k
		}
	}
	l.layer(env.Provider(delimiter, env.Opt{
		EnvironFunc: func() []string { return l.opts.Environ },
		TransformFunc: func(name, text string) (string, any) {
			if !mine(name) {
				return "", nil
			}
			source := Source{Kind: KindEnvironment, Name: name}
			k, known := byName[name]
			switch {
			case !known && strings.HasPrefix(name, envPrefix) && !slices.Contains(l.opts.Reserved, name):
				l.add(source, "", strict.Error{Message: l.unknown(name)})
				return "", nil
			case !known || text == "":
				return "", nil
			}
			return l.given(k, source, text)
		},
	}))
}

// unknown suggests the key that a variable may have been meant for.
func (l *loading) unknown(name string) string {
	var names []string
	byEnd := map[string]Key{}
	for _, k := range l.keys {
		end := strings.TrimPrefix(k.Env[0], envPrefix)
		names, byEnd[end] = append(names, end), k
	}
	near := strict.Nearest(strings.TrimPrefix(name, envPrefix), names)
	if near == "" {
		return "no key has this name; `agcluster config` lists all"
	}
	return fmt.Sprintf("no key has this name; did you mean %s%s (%s)?", envPrefix, near, byEnd[near].Name)
}

// given takes a value from outside of the file. An empty name tells koanf to leave it out.
func (l *loading) given(k Key, source Source, text string) (string, any) {
	value, wrong := k.parse(text)
	if len(wrong) > 0 {
		l.add(source, k.Name, wrong...)
		return "", nil
	}
	l.sources[k.Name] = source
	return k.Name, value
}

func (l *loading) flags() {
	if l.opts.Flags == nil {
		return
	}
	byName := map[string]Key{}
	for _, k := range l.keys {
		for _, name := range k.Flags {
			byName[strings.TrimPrefix(name, "--")] = k
		}
	}
	l.layer(posflag.ProviderWithFlag(l.opts.Flags, delimiter, l.merged, func(f *pflag.Flag) (string, any) {
		k, known := byName[f.Name]
		if _, ours := f.Value.(*flagValue); !known || !ours || !f.Changed {
			return "", nil
		}
		return l.given(k, Source{Kind: KindFlag, Name: "--" + f.Name}, f.Value.String())
	}))
}
