package preset

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/agcluster/agcluster/core/egress/rule"
)

// PolicySchema describes a policy module to people who choose.
type PolicySchema struct {
	Name, Description string
	// Params is the JSON Schema of its parameters.
	Params json.RawMessage
}

// object is a part of a JSON Schema.
type object = map[string]any

// Schema is the JSON Schema (2020-12) of a configuration: for editors and forms. Validate says more than a schema can, such as that a
// tool's MCP server is configured; what it accepts, the schema does. The parameters of each policy are in $defs, by policy:NAME.
func Schema(policies []PolicySchema, filters []string) map[string]any {
	defs := object{}
	for _, p := range policies {
		params := object{"type": "object"}
		var given object
		if json.Unmarshal(p.Params, &given) == nil {
			params = given
		}
		params["title"] = p.Name
		if p.Description != "" {
			params["description"] = p.Description
		}
		defs["policy:"+p.Name] = params
	}
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Agent configuration",
		"type": "object", "additionalProperties": false, "$defs": defs,
		"properties": object{
			"id": object{
				"type": "string", "pattern": "^([a-z0-9_-]{1,64})?$", "title": "Id",
				"description": "1 to 64 characters of a-z, 0-9, _ and -. Needed to keep the configuration; a launch can do without.",
			},
			"name":            words("Name", "What people call it; the id otherwise.", maxName),
			"description":     words("Description", "What it is for, in a sentence.", maxDescription),
			"version":         words("Version", "Its own version, such as 1.0.0.", maxVersion),
			"allowed_tools":   toolList("Tools", "Tools that the agent may use: names of Claude Code's tools, or mcp__server__tool."),
			"system_prompt":   promptSchema(),
			"mcp_servers":     named("MCP servers", "Servers that give the agent further tools, by name. Configuring one allows all its tools.", serverForm.String(), maxServers, serverSchema()),
			"permission_mode": choice("Permission mode", "What Claude Code asks for before it does it.", "default", "acceptEdits", "plan", "bypassPermissions"),
			"agents":          named("Sub-agents", "Sub-agents by name; the agent calls them with the tool Task, which must be allowed.", agentForm.String(), maxAgents, subAgentSchema()),
			"resource_limits": limitsSchema(),
			"max_turns": object{
				"type": "integer", "minimum": 0, "maximum": maxTurns, "title": "Turns",
				"description": "Model round trips of one turn at most; 0 is the host's default.",
			},
			"model": modelSchema("The model: sonnet, opus, haiku or a full name. Claude Code's default otherwise."),
			"cwd": object{
				"type": "string", "pattern": "^(/workspace(/.*)?)?$", "maxLength": 4096, "title": "Working folder",
				"description": "Where the agent works: /workspace or a folder in it.",
			},
			"env": variables("Environment", "Variables of the agent's commands. Names that reach Claude Code or the host (PATH, ANTHROPIC_…, proxies) are refused."),
			"setting_sources": object{
				"type": "array", "uniqueItems": true, "title": "Setting sources",
				"items":       object{"type": "string", "enum": []string{"user", "project", "local"}},
				"description": "Where Claude Code reads further settings from: the agent's home (user), or the workspace (project, local).",
			},
			"network": networkSchema(),
			"policies": object{
				"type": "array", "maxItems": maxPolicies, "items": policySchema(policies), "title": "Policies",
				"description": "Policies that are asked in this order at each gate they know, after the operator's. Parameters can only narrow those.",
			},
			"filters": object{
				"type": "array", "maxItems": maxPolicies, "uniqueItems": true, "title": "Filters", "items": oneOf(filters),
				"description": "Filter plugins that see each tool call and its result, in this order, after the operator's.",
			},
		},
	}
}

func words(title, description string, limit int) object {
	return object{"type": "string", "maxLength": limit, "title": title, "description": description}
}

func choice(title, description string, of ...string) object {
	return object{"type": "string", "enum": append([]string{""}, of...), "title": title, "description": description}
}

// oneOf is a string; known names are suggested, and the only ones where there are any.
func oneOf(known []string) object {
	if known == nil {
		return object{"type": "string", "pattern": partForm.String()}
	}
	return object{"type": "string", "enum": known}
}

func named(title, description, form string, limit int, of object) object {
	return object{
		"type": "object", "maxProperties": limit, "propertyNames": object{"pattern": form, "maxLength": 64}, "additionalProperties": of,
		"title": title, "description": description,
	}
}

func toolList(title, description string) object {
	return object{
		"type": "array", "maxItems": maxTools, "uniqueItems": true, "title": title, "description": description,
		"items": object{"type": "string", "anyOf": []object{{"enum": tools()}, {"pattern": "^mcp__"}}},
	}
}

func variables(title, description string) object {
	return object{
		"type": "object", "maxProperties": maxVars, "propertyNames": object{"pattern": envForm.String()},
		"additionalProperties": object{"type": "string", "maxLength": maxValue}, "title": title, "description": description,
	}
}

func modelSchema(description string) object {
	return object{
		"type": "string", "maxLength": 132, "title": "Model", "description": description, "examples": []string{"sonnet", "opus", "haiku"},
	}
}

func promptSchema() object {
	return object{
		"title": "System prompt", "description": "A text replaces Claude Code's own prompt; the object keeps it and adds to it.",
		"oneOf": []object{
			{"type": "string", "maxLength": maxPrompt, "title": "Own prompt"},
			{
				"type": "object", "additionalProperties": false, "required": []string{"type", "preset"}, "title": "Claude Code's prompt",
				"properties": object{
					"type":   object{"const": promptType, "description": "Always preset."},
					"preset": object{"const": promptPreset, "description": "Always claude_code."},
					"append": words("Append", "Added to Claude Code's own prompt.", maxPrompt),
				},
			},
		},
	}
}

func subAgentSchema() object {
	return object{
		"type": "object", "additionalProperties": false, "required": []string{"description", "prompt"},
		"properties": object{
			"description": words("Description", "When the agent is to call it.", maxDescription),
			"prompt":      words("Prompt", "What it is told to be and do.", maxPrompt),
			"tools":       toolList("Tools", "Tools that it may use; those of the agent if there are none."),
			"model":       modelSchema("Its model: sonnet, opus, haiku, a full name, or inherit."),
		},
	}
}

func serverSchema() object {
	return object{
		"type": "object", "additionalProperties": false,
		"properties": object{
			"type":    choice("Type", "stdio runs a command in the sandbox; sse and http reach a URL.", "stdio", "sse", "http"),
			"command": words("Command", "The program to run. Only with stdio.", maxArg),
			"args": object{
				"type": "array", "maxItems": maxArgs, "items": object{"type": "string", "maxLength": maxArg}, "title": "Arguments",
				"description": "Its arguments. Only with stdio.",
			},
			"env":     variables("Environment", "Its environment. Only with stdio; credentials are better given at the launch (mcp_env)."),
			"url":     words("URL", "Where the server is, http or https. Only with sse and http.", maxArg),
			"headers": object{"type": "object", "maxProperties": maxVars, "additionalProperties": object{"type": "string", "maxLength": maxValue}, "title": "Headers", "description": "Headers of each request. Only with sse and http."},
		},
	}
}

func limitsSchema() object {
	size := func(title, description string, least, most int64) object {
		return object{
			"type": "string", "pattern": `^\s*([0-9]+(\.[0-9]+)?([bBkKmMgGtT])?([iI]?[bB])?)?\s*$`, "title": title, "examples": []string{"512m", "4g"},
			"description": description + " " + FormatSize(least) + " to " + FormatSize(most) + ", as 512m or 4g.",
		}
	}
	return object{
		"type": "object", "additionalProperties": false, "title": "Limits", "description": "What the sandbox may use; the host's defaults otherwise.",
		"properties": object{
			"cpu_quota": object{
				"type": "integer", "anyOf": []object{{"const": 0}, {"minimum": MinCPU, "maximum": MaxCPU}}, "title": "Processor",
				"description": "Processor time; 100000 is one CPU.",
			},
			"memory_limit":  size("Memory", "Memory:", MinMemory, MaxMemory),
			"storage_limit": size("Storage", "All files of the session together:", MinStorage, MaxStorage),
		},
	}
}

func networkSchema() object {
	return object{
		"type": "object", "additionalProperties": false, "title": "Network", "description": "Where the agent may connect to; the operator's rule must allow it, too.",
		"properties": object{
			"egress": choice("Connections", "none, allowlist (the hosts of allow) or open, which is what nothing means.", rule.Modes()...),
			"allow": object{
				"type": "array", "maxItems": maxHosts, "uniqueItems": true, "items": object{"type": "string"}, "title": "Hosts",
				"description": "With allowlist: git.example.org, *.example.org (every name below it) or either with a port.",
			},
		},
	}
}

// policySchema ties the parameters of a policy to its name.
func policySchema(policies []PolicySchema) object {
	names := []string{}
	rules := []object{}
	for _, p := range slices.SortedFunc(slices.Values(policies), func(a, b PolicySchema) int { return strings.Compare(a.Name, b.Name) }) {
		names = append(names, p.Name)
		rules = append(rules, object{
			"if":   object{"properties": object{"name": object{"const": p.Name}}, "required": []string{"name"}},
			"then": object{"properties": object{"params": object{"$ref": "#/$defs/policy:" + p.Name}}},
		})
	}
	name := oneOf(names)
	maps.Copy(name, object{"title": "Policy", "description": "Name of a policy of GET /api/policies."})
	out := object{
		"type": "object", "additionalProperties": false, "required": []string{"name"},
		"properties": object{
			"name":   name,
			"params": object{"type": "object", "title": "Parameters", "description": "Its parameters; what is left out does not constrain."},
		},
	}
	if len(rules) > 0 {
		out["allOf"] = rules
	}
	return out
}
