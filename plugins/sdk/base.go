// Package sdk is what the author of an AgCluster plugin imports: the interfaces Provider, Filter and Exporter, and Serve, which
// turns one of them into a plugin binary. See README.md beside this file.
package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Kind is what a plugin is.
type Kind string

// The kinds of plugin. A binary is one of them.
const (
	KindProvider Kind = "provider"
	KindFilter   Kind = "filter"
	KindExporter Kind = "exporter"
)

// Description is what a plugin says of itself.
type Description struct {
	// Name is unique per kind: [a-z][a-z0-9-]{0,31}.
	Name    string
	Version string
	Kind    Kind
	// Capabilities names optional abilities, for people and feature switches.
	Capabilities []string
	// OptionsSchema is the JSON Schema of the options that Configure takes; empty means none.
	OptionsSchema json.RawMessage
}

// Base is served by every plugin. The host calls Describe, then Configure once, before anything else.
type Base interface {
	Describe(ctx context.Context) (Description, error)
	Configure(ctx context.Context, req ConfigureRequest) error
}

// ConfigureRequest is what the host tells a plugin once after its start.
type ConfigureRequest struct {
	// HostID identifies the host across restarts.
	HostID string
	// DataDir is the plugin's own folder for what must persist. It exists.
	DataDir string
	// RunDir is the plugin's own folder for sockets and other things of this run; its path is short enough for unix sockets
	// (at most 60 bytes). It exists and is emptied by the host before a start.
	RunDir string
	// Options is the plugin's configuration, valid JSON by OptionsSchema.
	Options json.RawMessage
}

// DecodeOptions reads a plugin's options, or an exporter's, over the defaults that into holds; nothing at all leaves them. Unknown
// names and values of another type are Permanent errors: a mistyped option must not pass for none.
func DecodeOptions(options json.RawMessage, into any) error {
	if empty(options) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(options))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return Permanent(fmt.Errorf("reading options: %w", err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Permanent(errors.New("reading options: more than one JSON value"))
	}
	return nil
}
