package preset

import (
	"maps"
	"regexp"
	"slices"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/config/strict"
)

// Hidden stands for a value that is not shown because it may be a credential.
const Hidden = "***"

// placeholder is ${VAR} and ${VAR:-}: Claude Code puts the variable in its place. One with a default is none here: the default may be a
// credential, too.
var placeholder = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_]*(:-)?\}$`)

// Masked hides what may be a credential in a configuration. An empty value and one that only names a variable are none: they say what is
// to be given at the launch.
func Masked(c Config) Config {
	c.Env = masked(c.Env)
	servers := maps.Clone(c.MCPServers)
	for name, s := range servers {
		s.Env, s.Headers = masked(s.Env), masked(s.Headers)
		servers[name] = s
	}
	c.MCPServers = servers
	return c
}

func masked(values map[string]string) map[string]string {
	out := maps.Clone(values)
	for name, value := range out {
		if value != "" && !placeholder.MatchString(value) {
			out[name] = Hidden
		}
	}
	return out
}

// restored puts the values back that were shown as Hidden.
func restored(c, before Config) Config {
	c.Env = unhidden(c.Env, before.Env)
	servers := make(map[string]agent.MCPServer, len(c.MCPServers))
	for name, s := range c.MCPServers {
		s.Env = unhidden(s.Env, before.MCPServers[name].Env)
		s.Headers = unhidden(s.Headers, before.MCPServers[name].Headers)
		servers[name] = s
	}
	if c.MCPServers != nil {
		c.MCPServers = servers
	}
	return c
}

func unhidden(values, before map[string]string) map[string]string {
	out := maps.Clone(values)
	for name, value := range out {
		if was, ok := before[name]; ok && value == Hidden {
			out[name] = was
		}
	}
	return out
}

// hiddenValues finds values that nobody has told: to keep three stars, or to launch with them, would lose what they stood for.
func hiddenValues(c Config) Errors {
	found := hiddenIn("env", c.Env)
	for _, name := range slices.Sorted(maps.Keys(c.MCPServers)) {
		at := strict.Join("mcp_servers", name)
		found = append(found, hiddenIn(at+".env", c.MCPServers[name].Env)...)
		found = append(found, hiddenIn(at+".headers", c.MCPServers[name].Headers)...)
	}
	return found
}

func hiddenIn(field string, values map[string]string) Errors {
	var found Errors
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] == Hidden {
			found = append(found, FieldError{
				Field: strict.Join(field, name), Message: Hidden + " stands for a value that is not shown; give the value itself, or launch by config_id",
			})
		}
	}
	return found
}
