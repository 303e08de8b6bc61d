// Command network is the policy that says which hosts may be connected to. It judges the gate network.connect.
package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/agcluster/agcluster/policies/sdk"
)

func main() {} // a module is a library: the host calls its exports (wasm.go)

type params struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

// connection is what is asked. The host has put its name into lower case and ASCII.
type connection struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

func judge(in sdk.Input[params]) sdk.Verdict {
	var c connection
	if err := json.Unmarshal(in.Input, &c); err != nil || c.Host == "" || c.Port == 0 {
		return sdk.Denied("the connection can't be read (network policy)")
	}
	for _, rule := range in.Params.Deny {
		if c.matches(rule) {
			return sdk.Denied(fmt.Sprintf("it is denied by the rule %s (network policy)", rule))
		}
	}
	if in.Params.Allow == nil {
		return sdk.Allowed()
	}
	for _, rule := range in.Params.Allow {
		if c.matches(rule) {
			return sdk.Allowed()
		}
	}
	return sdk.Denied("it matches no rule that allows it (network policy)")
}

// matches understands HOST, *.DOMAIN and *, each with or without :PORT, and [IPv6].
func (c connection) matches(rule string) bool {
	host := rule
	if at := strings.LastIndexByte(rule, ':'); at >= 0 && !strings.HasSuffix(rule, "]") {
		if rule[at+1:] != strconv.Itoa(int(c.Port)) {
			return false
		}
		host = rule[:at]
	}
	if host == "*" {
		return true
	}
	if domain, wild := strings.CutPrefix(host, "*."); wild {
		return strings.HasSuffix(c.Host, "."+domain)
	}
	return strings.Trim(host, "[]") == c.Host
}
