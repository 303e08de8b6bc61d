// Command tools is the policy that says which tool calls run, which are refused and which a person decides (tool.call), and with
// which permission modes a session may be launched (agent.launch).
package main

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/agcluster/agcluster/policies/sdk"
)

func main() {} // a module is a library: the host calls its exports (wasm.go)

type params struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
	Ask   []string `json:"ask"`
	Modes []string `json:"permission_modes"`
}

type launch struct {
	PermissionMode string `json:"permission_mode"`
}

type call struct {
	Tool     string         `json:"tool"`
	Input    map[string]any `json:"input"`
	Commands []string       `json:"commands"`
	Unparsed bool           `json:"unparsed"`

	workspace string
}

func judge(in sdk.Input[params]) sdk.Verdict {
	if in.Gate == "agent.launch" {
		return judgeLaunch(in)
	}
	var c call
	if err := json.Unmarshal(in.Input, &c); err != nil || c.Tool == "" {
		return sdk.Denied("the call can't be read (tools policy)")
	}
	if c.Unparsed && mentionsCommands(in.Params) {
		return sdk.Denied("the command can't be read as Bash, and rules on commands apply (tools policy)")
	}
	c.workspace = in.Session.Workspace
	if rule, ok := first(in.Params.Deny, c, false); ok {
		return sdk.Denied(fmt.Sprintf("%s is denied by the rule %s (tools policy)", c.Tool, rule))
	}
	if rule, ok := first(in.Params.Ask, c, false); ok {
		return sdk.Verdict{Decision: sdk.Ask, Reason: fmt.Sprintf("the rule %s wants a person to decide (tools policy)", rule)}
	}
	if in.Params.Allow != nil {
		if _, ok := first(in.Params.Allow, c, true); !ok {
			return sdk.Denied(c.Tool + " matches no rule that allows it (tools policy)")
		}
	}
	return sdk.Allowed()
}

// judgeLaunch holds the CLI to modes that are listed: one that is new to us is not.
func judgeLaunch(in sdk.Input[params]) sdk.Verdict {
	var l launch
	if err := json.Unmarshal(in.Input, &l); err != nil || l.PermissionMode == "" {
		return sdk.Denied("the launch can't be read (tools policy)")
	}
	if in.Params.Modes == nil || slices.Contains(in.Params.Modes, l.PermissionMode) {
		return sdk.Allowed()
	}
	allowed := "none"
	if len(in.Params.Modes) > 0 {
		allowed = strings.Join(in.Params.Modes, ", ")
	}
	return sdk.Denied(fmt.Sprintf("the permission mode %q is not allowed here; %s are (tools policy)", l.PermissionMode, allowed))
}

func mentionsCommands(p params) bool {
	for _, list := range [][]string{p.Allow, p.Deny, p.Ask} {
		for _, rule := range list {
			if strings.HasPrefix(rule, "Bash(") {
				return true
			}
		}
	}
	return false
}

// first finds the rule that a call matches. A Bash call is several commands: to be allowed, each must match some rule; to be
// denied or asked for, one is enough.
func first(rules []string, c call, all bool) (string, bool) {
	if !all || c.Tool != "Bash" || len(c.Commands) == 0 {
		for _, rule := range rules {
			if matches(rule, c, c.Commands) {
				return rule, true
			}
		}
		return "", false
	}
	for _, command := range c.Commands {
		ok := false
		for _, rule := range rules {
			ok = ok || matches(rule, c, []string{command})
		}
		if !ok {
			return "", false
		}
	}
	return "", true
}

// matches understands Name and Name(argument), each with * for anything.
func matches(rule string, c call, commands []string) bool {
	name, argument, has := strings.Cut(rule, "(")
	if !sdk.MatchText(name, c.Tool) {
		return false
	}
	if !has {
		return true
	}
	argument = strings.TrimSuffix(argument, ")")
	if c.Tool == "Bash" {
		for _, command := range commands {
			if matchCommand(argument, command) {
				return true
			}
		}
		return false
	}
	for _, field := range []string{"file_path", "notebook_path", "path"} {
		if s, ok := c.Input[field].(string); ok && c.matchFile(argument, s) {
			return true
		}
	}
	for _, field := range []string{"url", "pattern", "query", "subagent_type"} {
		if s, ok := c.Input[field].(string); ok && sdk.MatchText(argument, s) {
			return true
		}
	}
	return false
}

// matchFile compares what the path means, not how it is written, with a pattern that is absolute or relative to the workspace.
func (c call) matchFile(pattern, file string) bool {
	if !path.IsAbs(file) {
		file = path.Join(c.workspace, file)
	}
	file = path.Clean(file)
	if sdk.MatchPath(pattern, file) {
		return true
	}
	below, ok := strings.CutPrefix(file, c.workspace+"/")
	return ok && c.workspace != "" && sdk.MatchPath(pattern, below)
}

// matchCommand lets "git push *" also match "git push" itself.
func matchCommand(pattern, command string) bool {
	if bare, ok := strings.CutSuffix(pattern, " *"); ok && command == bare {
		return true
	}
	return sdk.MatchText(pattern, command)
}
