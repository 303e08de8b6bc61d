package preset

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agcluster/agcluster/core/config/strict"
)

var envForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// reserved says why an environment variable may not be set by a configuration; empty means that it may. What a tool call could
// do by itself (export FOO=…) is no concern here: these would reach Claude Code or the agent server, whose place is outside the
// agent's say. They change which code is loaded (LD_*, BUN_*, NODE_*, shell start-up files), whom the CLI talks to and with what
// key (ANTHROPIC_*, CLAUDE*, proxies, certificates), or where the host put things (PATH, HOME, …).
func reserved(name string) string {
	upper := strings.ToUpper(name)
	for _, prefix := range []string{"ANTHROPIC_", "CLAUDE", "AGCLUSTER_", "LD_", "DYLD_", "BUN_", "NODE_", "BASH_FUNC_", "SSL_CERT_", "GLIBC_"} {
		if strings.HasPrefix(upper, prefix) {
			return "names that begin with " + prefix + " are the host's"
		}
	}
	if strings.HasSuffix(upper, "_PROXY") {
		return "the way to the network is the host's"
	}
	if slices.Contains([]string{
		"BASHOPTS", "BASH_ENV", "DISABLE_AUTOUPDATER", "ENV", "HOME", "IFS", "IS_SANDBOX", "LOGNAME", "MALLOC_CHECK_", "PATH", "PWD",
		"SHELL", "SHELLOPTS", "TMPDIR", "USER", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR",
	}, upper) {
		return "the name is the host's"
	}
	return ""
}

// env checks variables. The error never holds a value: it may be a credential.
func (v *validation) env(field string, vars map[string]string) {
	if len(vars) > maxVars {
		v.add(field, "has %d variables, more than %d", len(vars), maxVars)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		at, value := strict.Join(field, name), vars[name]
		if !envForm.MatchString(name) {
			v.add(at, "a variable's name must be 1 to 128 characters of A-Z, a-z, 0-9 and _, not beginning with a digit")
			continue
		}
		if why := reserved(name); why != "" {
			v.add(at, "may not be set: %s", why)
		}
		switch {
		case len(value) > maxValue:
			v.add(at, "its value has %d bytes, more than %d", len(value), maxValue)
		case strings.ContainsRune(value, 0) || !utf8.ValidString(value):
			v.add(at, "its value must be UTF-8 without NUL")
		}
	}
}
