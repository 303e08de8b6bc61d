package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseOptions(t *testing.T) {
	tests := []struct{ name, raw, want string }{
		{"none", ``, ""},
		{"empty", `{}`, ""},
		{"all", `{"agent_dir":"/a","bubblewrap":"/b","uid":5,"gid":6,"extra_ro_binds":["/srv/models"],"tmp_bytes":1048576,"cgroup":"off","pids":8,"memory_bytes":16777216,"milli_cpu":10}`, ""},
		{"unknown key", `{"uidd":1}`, `unknown field "uidd"`},
		{"not an object", `[]`, "cannot unmarshal"},
		{"two values", `{}{}`, "more than one JSON value"},
		{"root", `{"uid":0}`, "uid 0 is outside 1..2147483646"},
		{"root's group", `{"gid":0}`, "gid 0 is outside"},
		{"relative agent_dir", `{"agent_dir":"x"}`, `agent_dir "x" is not an absolute path`},
		{"relative bubblewrap", `{"bubblewrap":"x"}`, `bubblewrap "x" is not an absolute path`},
		{"cgroup", `{"cgroup":"maybe"}`, `cgroup "maybe" is neither`},
		{"small tmp", `{"tmp_bytes":1}`, "tmp_bytes 1 is below 1048576"},
		{"few pids", `{"pids":1}`, "pids 1 is below 8"},
		{"little memory", `{"memory_bytes":1}`, "memory_bytes 1 is below 16777216"},
		{"little cpu", `{"milli_cpu":1}`, "milli_cpu 1 is below 10"},
		{"bind of the root", `{"extra_ro_binds":["/"]}`, `extra_ro_binds[0]: "/" is not a clean absolute path below /`},
		{"bind with dots", `{"extra_ro_binds":["/srv/../etc"]}`, "not a clean absolute path"},
		{"bind over the workspace", `{"extra_ro_binds":["/srv","/workspace/x"]}`, "extra_ro_binds[1]: \"/workspace/x\" overlaps /workspace"},
		{"bind above the agent", `{"extra_ro_binds":["/opt"]}`, "overlaps /opt/agent"},
		{"many binds", `{"extra_ro_binds":["` + strings.Repeat(`/a","`, 64) + `/a"]}`, "65 entries, more than 64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opts, err := parseOptions(json.RawMessage(tt.raw), "/prefix/lib/agcluster/plugins")
			if tt.want == "" {
				if err != nil || opts.AgentDir == "" {
					t.Errorf("got %+v, %v", opts, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAgentDirIsBesideThePlugins(t *testing.T) {
	opts, err := parseOptions(nil, "/prefix/lib/agcluster/plugins")
	if err != nil || opts.AgentDir != "/prefix/lib/agcluster/agent" {
		t.Errorf("got %q, %v", opts.AgentDir, err)
	}
}

// TestSchemaAndOptionsNameTheSameKeys keeps the published schema and the parser together.
func TestSchemaAndOptionsNameTheSameKeys(t *testing.T) {
	var schema struct {
		Properties map[string]struct {
			Default any `json:"default"`
		} `json:"properties"`
	}
	if err := json.Unmarshal([]byte(optionsSchema), &schema); err != nil {
		t.Fatal(err)
	}
	opts, err := parseOptions(nil, "/x")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(opts)
	if err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(raw, &keys); err != nil {
		t.Fatal(err)
	}
	if len(keys) != len(schema.Properties) {
		t.Errorf("schema has %d keys, options %d", len(schema.Properties), len(keys))
	}
	for key, property := range schema.Properties {
		got, ok := keys[key]
		if !ok {
			t.Errorf("%s is not an option", key)
		}
		if want, isNumber := property.Default.(float64); isNumber && got != want {
			t.Errorf("%s: default %v in the schema, %v in the code", key, want, got)
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	f.Add([]byte(`{"uid":5,"extra_ro_binds":["/srv"]}`))
	f.Add([]byte(`{"extra_ro_binds":["/opt/../usr"],"pids":-1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		opts, err := parseOptions(raw, "/p")
		if err != nil {
			return
		}
		if opts.UID < 1 || opts.GID < 1 || opts.PIDs < minPIDs || opts.MemoryBytes < minMemoryBytes {
			t.Errorf("accepted %+v", opts)
		}
		for _, path := range opts.ExtraROBinds {
			if !strings.HasPrefix(path, "/") || strings.Contains(path, "..") && strings.Contains(path, "/../") {
				t.Errorf("accepted bind %q", path)
			}
		}
	})
}
