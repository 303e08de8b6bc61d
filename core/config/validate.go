package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/agcluster/agcluster/core/config/strict"
	"github.com/agcluster/agcluster/core/egress/rule"
	"github.com/agcluster/agcluster/core/preset"
)

var (
	partForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	pluginForm = regexp.MustCompile(`^(provider|filter|exporter)-[a-z0-9][a-z0-9_-]{0,63}$`)
	digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	imageForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}$`)
	hostForm   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)
)

// validate checks what the types and the file's shape don't say. It touches nothing outside: whether a folder is there is for those
// to say who use it.
func (l *loading) validate(c Config) {
	for _, k := range l.keys {
		if message := k.check(k.of(c)); message != "" {
			l.wrong(k.Name, "%s", message)
		}
	}
	l.addresses(c)
	l.paths(c)
	l.names(c)
	l.presets(c)
	l.egress(c.Egress)
}

// wrong adds an error with the source of the key that field is part of.
func (l *loading) wrong(field, format string, args ...any) {
	e := strict.Error{Field: field, Message: fmt.Sprintf(format, args...)}
	source := Source{Kind: KindDefault}
	for _, k := range l.keys {
		if rest, ok := strings.CutPrefix(field, k.Name); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			source = l.sources[k.Name]
		}
	}
	if source.Kind == KindFile {
		if line := l.doc.At(e).Line; line > 0 {
			source.Line = line
		}
	}
	l.add(source, "", e)
}

func (l *loading) addresses(c Config) {
	if net.ParseIP(c.API.Host) == nil && !hostForm.MatchString(c.API.Host) {
		l.wrong("api.host", "must be an IP address or a host's name without a port, got %.80q", c.API.Host)
	}
	u, err := url.Parse(c.Gateway.Upstream)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		l.wrong("gateway.upstream", "must be an http or https URL")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		l.wrong("gateway.upstream", "must have no user, query or fragment")
	}
}

func (l *loading) paths(c Config) {
	for _, p := range []struct {
		key, path string
		optional  bool
	}{
		{"data_dir", c.DataDir, false},
		{"run_dir", c.RunDir, false},
		{"plugins.dir", c.Plugins.Dir, false},
		{"policies_dir", c.PoliciesDir, false},
		{"presets_dir", c.PresetsDir, true},
		{"offline.script", c.Offline.Script, true},
	} {
		switch {
		case p.path == "" && !p.optional:
			l.wrong(p.key, "must not be empty")
		case strings.ContainsFunc(p.path, unicode.IsControl):
			l.wrong(p.key, "must have no control characters")
		case p.path == "/":
			l.wrong(p.key, "must not be /")
		}
	}
	if len(c.RunDir) > maxRunDir {
		l.wrong("run_dir", "%s has %d bytes, more than %d: unix sockets are made below it", c.RunDir, len(c.RunDir), maxRunDir)
	}
}

func (l *loading) names(c Config) {
	if !partForm.MatchString(c.Provider) {
		l.wrong("provider", "must be 1 to 64 characters of a-z, 0-9, _ and -, got %.80q", c.Provider)
	}
	if !imageForm.MatchString(c.AgentImage) {
		l.wrong("agent_image", "must be an image's name such as agcluster-agent:latest, got %.80q", c.AgentImage)
	}
	for _, name := range sorted(c.Policy.Pins) {
		at := strict.Join("policy.pins", name)
		if !partForm.MatchString(name) {
			l.wrong(at, "a policy's name must be 1 to 64 characters of a-z, 0-9, _ and -")
		}
		l.digest(at, c.Policy.Pins[name])
	}
	for _, name := range sorted(c.Plugins.Pins) {
		at := strict.Join("plugins.pins", name)
		l.plugin(at, name)
		l.digest(at, c.Plugins.Pins[name])
	}
	for _, name := range sorted(c.Plugins.Options) {
		l.plugin(strict.Join("plugins.options", name), name)
	}
}

func (l *loading) plugin(field, name string) {
	if !pluginForm.MatchString(name) {
		l.wrong(field, "a plugin is called provider-NAME, filter-NAME or exporter-NAME")
	}
}

func (l *loading) digest(field, digest string) {
	if !digestForm.MatchString(digest) {
		l.wrong(field, "must be sha256: and 64 digits of 0-9 and a-f")
	}
}

// presets has core/preset check what ends up in presets; numbers, sizes and modes have the same bounds in the tags. Which policies
// and filters there are is known when the host has loaded them.
func (l *loading) presets(c Config) {
	sample := c.PresetDefaults().Fill(preset.Config{Policies: c.Guard.Policies, Filters: c.Guard.Filters})
	found, _ := errors.AsType[preset.Errors](preset.Validate(sample, preset.Known{}))
	for _, e := range found {
		group, _, _ := strings.Cut(e.Field, delimiter)
		group, _, _ = strings.Cut(group, "[")
		switch group {
		case "policies", "filters":
			l.wrong("guard."+e.Field, "%s", e.Message)
		case "system_prompt", "allowed_tools":
			l.wrong("defaults."+e.Field, "%s", e.Message)
		}
	}
}

func (l *loading) egress(e Egress) {
	switch {
	case e.Mode != rule.Allowlist && len(e.Allow) > 0:
		l.wrong("egress.allow", "needs egress.mode allowlist")
	case e.Mode == rule.Allowlist && len(e.Allow) == 0:
		l.wrong("egress.allow", "must name a host; egress.mode none allows nothing")
	}
	for i, text := range e.Allow {
		if _, err := rule.ParsePattern(text); err != nil {
			l.wrong(strict.Index("egress.allow", i), "%s, got %.80q", err, text)
		}
	}
	for i, text := range e.Private {
		if err := rule.CheckPrivate(text); err != nil {
			l.wrong(strict.Index("egress.private", i), "%s, got %.80q", err, text)
		}
	}
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
