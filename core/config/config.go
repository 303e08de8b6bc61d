// Package config reads the host's configuration: defaults < agcluster.yaml < environment < flags. One struct holds it and its tags
// say everything about a key: type, default, bounds, documentation and environment name. The file reader, the flags, the
// validation, the reference in README.md and `agcluster config` all come from them.
//
// It decides nothing and starts nothing: core/host hands each package what it needs of it.
package config

import (
	"time"

	"github.com/agcluster/agcluster/core/preset"
)

// Config is the whole configuration, checked. Every path in it is absolute. The tags are: json (the key), default (as the
// environment would give it), derived (how the default comes about where it is no constant), doc, min, max, oneof, env (the
// documented name next to AGCLUSTER_…) and short (a flag next to --the.key).
type Config struct {
	API         API      `json:"api"`
	DataDir     string   `json:"data_dir" default:"./agcluster-data" doc:"Folder of the database, workspaces and transcripts. Relative to where the host is started."`
	RunDir      string   `json:"run_dir" derived:"agcluster-<hash of data_dir> in $XDG_RUNTIME_DIR, else (and for root) in /tmp" doc:"Folder of unix sockets. Its absolute path has at most 40 bytes, because a socket's path has at most 107."`
	Log         Log      `json:"log"`
	Gateway     Gateway  `json:"gateway"`
	Egress      Egress   `json:"egress"`
	Provider    string   `json:"provider" default:"local" env:"CONTAINER_PROVIDER" doc:"Plugin that makes the sandboxes of launches that name none."`
	AgentImage  string   `json:"agent_image" default:"agcluster-agent:latest" env:"AGENT_IMAGE" doc:"Image of sandboxes, for providers that run images."`
	Limits      Limits   `json:"limits"`
	Defaults    Defaults `json:"defaults"`
	Session     Session  `json:"session"`
	Terminal    Terminal `json:"terminal"`
	Start       Start    `json:"start"`
	Pool        Pool     `json:"pool"`
	Guard       Guard    `json:"guard"`
	Policy      Policy   `json:"policy"`
	Plugins     Plugins  `json:"plugins"`
	PoliciesDir string   `json:"policies_dir" derived:"<folder of the executable>/../policies" doc:"Folder of the policy modules, NAME.wasm with NAME.yaml beside it."`
	PresetsDir  string   `json:"presets_dir" default:"" doc:"Folder of your own presets; one with the id of a built-in preset replaces it. Empty is none."`
	Offline     Offline  `json:"offline"`
}

// API is the HTTP server.
type API struct {
	Host              string        `json:"host" default:"127.0.0.1" env:"API_HOST" short:"host" doc:"Address or name to listen on; 0.0.0.0 is every address of the machine."`
	Port              int           `json:"port" default:"8000" min:"0" max:"65535" env:"API_PORT" short:"port" doc:"Port to listen on; 0 is any free one."`
	HeartbeatInterval time.Duration `json:"heartbeat_interval" default:"10s" min:"10ms" max:"10m" doc:"Silence after which a stream gets a comment line."`
	ShutdownTimeout   time.Duration `json:"shutdown_timeout" default:"30s" min:"10ms" max:"1h" doc:"How long running turns may take to end when the host stops."`
}

// Log is what the host tells of itself.
type Log struct {
	Level  string `json:"level" default:"info" oneof:"debug info warn error" doc:"The least severe messages to show."`
	Format string `json:"format" default:"auto" oneof:"auto console json" doc:"auto is console on a terminal, else json."`
}

// Gateway is the way to the model.
type Gateway struct {
	Upstream string `json:"upstream" default:"https://api.anthropic.com" doc:"Where model calls go: an http or https URL. offline.enabled takes its place."`
}

// Egress is the operator's rule for connections out of sandboxes: a preset can only narrow it.
type Egress struct {
	Mode        string        `json:"mode" default:"open" oneof:"none allowlist open" doc:"Where sandboxes may connect to; a configuration's network can only narrow it."`
	Allow       []string      `json:"allow" default:"" doc:"Hosts for mode allowlist: git.example.org, *.example.org (every name below it) or either with :443."`
	Private     []string      `json:"private" default:"" doc:"Addresses that are not public (private, loopback, this machine's own, …) and may be dialled all the same: 10.0.0.0/8, 10.0.0.0/8:443, 10.1.2.3 or host:port."`
	DialTimeout time.Duration `json:"dial_timeout" default:"10s" min:"10ms" max:"5m" doc:"How long resolving and dialling a host may take."`
	IdleTimeout time.Duration `json:"idle_timeout" default:"10m" min:"10ms" max:"24h" doc:"Silence after which a connection is ended."`
	Connections int           `json:"connections" default:"128" min:"1" max:"256" doc:"Open connections of one session; more are refused."`
}

// Limits are the resources of a sandbox whose configuration names none.
type Limits struct {
	CPUQuota     int64 `json:"cpu_quota" default:"200000" min:"1000" max:"25600000" env:"CONTAINER_CPU_QUOTA" doc:"Processor time; 100000 is one CPU."`
	MemoryLimit  Size  `json:"memory_limit" default:"4g" min:"256m" max:"1t" env:"CONTAINER_MEMORY_LIMIT" doc:"Memory."`
	StorageLimit Size  `json:"storage_limit" default:"10g" min:"16m" max:"16t" env:"CONTAINER_STORAGE_LIMIT" doc:"Disk space of the workspace."`
	PIDs         int64 `json:"pids" default:"512" min:"64" max:"65536" doc:"Processes and threads. Presets have no say in it."`
}

// Defaults are what a configuration gets where it gives nothing.
type Defaults struct {
	SystemPrompt   string   `json:"system_prompt" default:"" env:"DEFAULT_SYSTEM_PROMPT" doc:"Replaces Claude Code's own prompt; empty keeps that."`
	AllowedTools   []string `json:"allowed_tools" default:"Bash,Read,Write,Edit,Grep,Glob,TodoWrite" env:"DEFAULT_ALLOWED_TOOLS" doc:"Tools of a configuration that names none."`
	PermissionMode string   `json:"permission_mode" default:"acceptEdits" oneof:"default acceptEdits plan bypassPermissions" env:"DEFAULT_PERMISSION_MODE" doc:"What Claude Code asks for before it does it."`
	MaxTurns       int      `json:"max_turns" default:"100" min:"1" max:"1000" env:"DEFAULT_MAX_TURNS" doc:"Model round trips of one turn."`
}

// Session bounds what sessions may do.
type Session struct {
	IdleTimeout      time.Duration `json:"idle_timeout" default:"30m" min:"0s" max:"720h" env:"SESSION_IDLE_TIMEOUT" doc:"Idle time after which a sandbox is freed; the session wakes at its next message. 0 is never."`
	CleanupInterval  time.Duration `json:"cleanup_interval" default:"5m" min:"10ms" max:"24h" env:"SESSION_CLEANUP_INTERVAL" doc:"How often idle sandboxes are looked for."`
	LaunchTimeout    time.Duration `json:"launch_timeout" default:"60s" min:"10ms" max:"1h" doc:"How long a sandbox may take until its agent is ready."`
	ApprovalTimeout  time.Duration `json:"approval_timeout" default:"5m" min:"10ms" max:"24h" doc:"How long an approval stays open before it becomes deny."`
	InterruptTimeout time.Duration `json:"interrupt_timeout" default:"10s" min:"10ms" max:"10m" doc:"How long an interrupted turn may take to end before its sandbox is removed."`
}

// Terminal is the way by which people get a shell in their sandboxes.
type Terminal struct {
	Enabled bool `json:"enabled" default:"true" doc:"Owners of sessions may open terminals. A shell has what the agent's Bash tool has, but no policy or filter sees what is typed."`
}

// Start bounds how many sandboxes are started at the same time.
type Start struct {
	Slots int `json:"slots" default:"0" min:"0" max:"1024" doc:"Starts that go on at the same time; others wait in a queue. 0 is the number of cores."`
	Queue int `json:"queue" default:"64" min:"0" max:"100000" doc:"Starts that may wait; one more launch is answered with 503 and Retry-After."`
}

// Pool is the warm pool: sandboxes whose Claude Code waits for a session.
type Pool struct {
	Size        int           `json:"size" default:"2" min:"0" max:"1024" doc:"Spares of one configuration that are kept at most, as launches ask for them; 0 keeps none."`
	Max         int           `json:"max" default:"8" min:"0" max:"10000" doc:"Spares of all configurations together."`
	MemoryLimit Size          `json:"memory_limit" default:"2g" min:"256m" max:"16t" doc:"Memory of all spares together, as measured when each is ready."`
	MaxAge      time.Duration `json:"max_age" default:"30m" min:"10ms" max:"720h" doc:"Age at which a spare is replaced, and how long a configuration that nobody launches keeps its spares."`
	Presets     []string      `json:"presets" default:"" doc:"Configurations that have a spare with the default provider from the start, whether or not one was launched."`
}

// Guard is the operator's layer of the gates: it comes before what a preset names, and a preset can only narrow it.
type Guard struct {
	Policies      []preset.Policy `json:"policies" default:"[]" doc:"Policies of every session, as a list of {name, params}."`
	Filters       []string        `json:"filters" default:"" doc:"Filter plugins of every session, in order."`
	FilterTimeout time.Duration   `json:"filter_timeout" default:"30s" min:"10ms" max:"10m" doc:"How long one answer of one filter may take; then the call is denied."`
}

// Policy bounds the runtime of policy modules.
type Policy struct {
	Timeout     time.Duration     `json:"timeout" default:"1s" min:"1ms" max:"1m" doc:"How long one evaluation may take; then its verdict is deny."`
	MemoryLimit Size              `json:"memory_limit" default:"32m" min:"1m" max:"4g" doc:"Memory of one instance of a module."`
	Instances   int               `json:"instances" default:"4" min:"1" max:"256" doc:"How many evaluations of one module run at the same time; more wait."`
	Pins        map[string]string `json:"pins" default:"{}" doc:"The only digest (sha256:…) that is accepted for a module, by its name."`
}

// Plugins says where plugin binaries are and what they get.
type Plugins struct {
	Dir     string                    `json:"dir" derived:"<folder of the executable>/../plugins" doc:"Folder of the plugin binaries, called KIND-NAME."`
	Pins    map[string]string         `json:"pins" default:"{}" doc:"The only digest (sha256:…) that is accepted for a binary, by KIND-NAME."`
	Options map[string]map[string]any `json:"options" default:"{}" doc:"Options of plugins, by KIND-NAME. Each plugin documents its own."`
}

// Offline is the scripted model, for trying the product without a key.
type Offline struct {
	Enabled bool   `json:"enabled" default:"false" short:"offline" doc:"Serve a scripted model in the host and use it instead of gateway.upstream."`
	Script  string `json:"script" default:"" doc:"File with the model's script; empty is the built-in one."`
}

// MemoryPages is the memory of an instance in WASM's pages of 64 KiB.
func (p Policy) MemoryPages() uint32 {
	return uint32(int64(p.MemoryLimit) / (64 << 10)) //nolint:gosec // at most 4g
}

// Resources are the limits in the form that presets have them.
func (l Limits) Resources() preset.ResourceLimits {
	return preset.ResourceLimits{CPUQuota: l.CPUQuota, MemoryLimit: l.MemoryLimit.String(), StorageLimit: l.StorageLimit.String()}
}

// PresetDefaults are Defaults and Limits in the form that presets have them.
func (c Config) PresetDefaults() preset.Defaults {
	return preset.Defaults{
		SystemPrompt: c.Defaults.SystemPrompt, AllowedTools: c.Defaults.AllowedTools, PermissionMode: c.Defaults.PermissionMode,
		MaxTurns: c.Defaults.MaxTurns, ResourceLimits: c.Limits.Resources(),
	}
}
