package preset

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/agcluster/agcluster/core/egress/rule"
)

// Catalog holds the configurations that can be launched by their id. It does not change and is safe for concurrent use; what it
// returns must not be changed.
type Catalog struct {
	known    Known
	defaults Defaults
	byID     map[string]Config
	// builtin are the ids of those that ship with the host, unless the operator's takes its place.
	builtin map[string]bool
}

// NewCatalog loads the built-in configurations and then those of the operator's folder (nil for none). One with the id of a
// built-in one takes its place: that is how an operator changes it. What a configuration leaves out is filled in.
func NewCatalog(builtin, own fs.FS, known Known, defaults Defaults) (*Catalog, error) {
	c := &Catalog{known: known, defaults: defaults, byID: map[string]Config{}, builtin: map[string]bool{}}
	var errs []error
	for i, fsys := range []fs.FS{builtin, own} {
		if fsys == nil {
			continue
		}
		configs, err := Load(fsys, known)
		errs = append(errs, err)
		for _, config := range configs {
			if reservedID(config.ID) {
				errs = append(errs, fmt.Errorf("preset %s: id: %s", config.ID, reservedWords))
			}
			c.byID[config.ID], c.builtin[config.ID] = defaults.Fill(config), i == 0
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// List returns all configurations, sorted by id.
func (c *Catalog) List() []Config {
	return slices.SortedFunc(maps.Values(c.byID), func(a, b Config) int { return strings.Compare(a.ID, b.ID) })
}

// Get returns the configuration with this id.
func (c *Catalog) Get(id string) (Config, bool) {
	config, ok := c.byID[id]
	return config, ok
}

// Validate checks a configuration against what this host knows; the error is Errors.
func (c *Catalog) Validate(config Config) error { return Validate(config, c.known) }

// Complete fills in what an inline configuration leaves out and validates the result; the error is Errors. A Hidden value is one: nobody
// knows what it stands for.
func (c *Catalog) Complete(config Config) (Config, error) {
	config = c.defaults.Fill(config)
	err := c.Validate(config)
	found, ok := errors.AsType[Errors](err)
	if err != nil && !ok {
		return Config{}, err
	}
	if found = append(found, hiddenValues(config)...); len(found) > 0 {
		return Config{}, found
	}
	return config, nil
}

// Defaults are what a configuration gets where it gives nothing.
type Defaults struct {
	// SystemPrompt replaces Claude Code's own; empty keeps that.
	SystemPrompt   string
	AllowedTools   []string
	PermissionMode string
	MaxTurns       int
	ResourceLimits ResourceLimits
}

// Fill returns c with its empty fields filled in. A list that is given but empty stays so.
func (d Defaults) Fill(c Config) Config {
	if c.ID == "" {
		c.ID = "inline"
	}
	if c.Name == "" {
		c.Name = c.ID
	}
	if c.SystemPrompt.IsZero() {
		c.SystemPrompt.Text = d.SystemPrompt
	}
	if c.AllowedTools == nil {
		c.AllowedTools = slices.Clone(d.AllowedTools)
	}
	if c.PermissionMode == "" {
		c.PermissionMode = d.PermissionMode
	}
	if c.MaxTurns == 0 {
		c.MaxTurns = d.MaxTurns
	}
	if c.ResourceLimits.CPUQuota == 0 {
		c.ResourceLimits.CPUQuota = d.ResourceLimits.CPUQuota
	}
	if c.ResourceLimits.MemoryLimit == "" {
		c.ResourceLimits.MemoryLimit = d.ResourceLimits.MemoryLimit
	}
	if c.ResourceLimits.StorageLimit == "" {
		c.ResourceLimits.StorageLimit = d.ResourceLimits.StorageLimit
	}
	if c.Network.Egress == "" {
		c.Network.Egress = rule.Open
	}
	return c
}

// Summary is what a list of configurations shows of one.
type Summary struct {
	ID             string   `json:"id"`
	Name           string   `json:"name"`
	Description    string   `json:"description"`
	Version        string   `json:"version"`
	AllowedTools   []string `json:"allowed_tools"`
	HasMCPServers  bool     `json:"has_mcp_servers"`
	HasSubAgents   bool     `json:"has_sub_agents"`
	PermissionMode string   `json:"permission_mode"`
	Custom         bool     `json:"custom" doc:"True for one that was made with POST /api/configs/custom."`
}

// Summary returns the configuration's summary.
func (c Config) Summary() Summary {
	return Summary{
		ID: c.ID, Name: c.Name, Description: c.Description, Version: c.Version, AllowedTools: c.AllowedTools,
		HasMCPServers: len(c.MCPServers) > 0, HasSubAgents: len(c.Agents) > 0, PermissionMode: c.PermissionMode,
	}
}
