package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// Values of options, and bounds of what a request may ask for.
const (
	endpointAuto   = "auto"
	endpointSocket = "socket"
	endpointExec   = "exec"
	pullNever      = "never"
	pullMissing    = "missing"
	minMemoryBytes = 16 << 20
	minMilliCPU    = 10
	maxMilliCPU    = 1_000_000
	minPIDs        = 8
	minTmpBytes    = 1 << 20
	minLogBytes    = 64 << 10
	minNoFile      = 256
)

// optionsSchema is what Describe publishes; parseOptions enforces it.
const optionsSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "host": {"type": "string", "pattern": "^(unix|tcp|ssh)://.", "default": "unix:///var/run/docker.sock", "description": "The engine, in the form of DOCKER_HOST: unix:///path, tcp://host:port or ssh://user@host:port."},
    "cert_path": {"type": "string", "default": "", "description": "Folder with ca.pem, cert.pem and key.pem for a tcp host. Without it only a loopback address is accepted."},
    "tls_verify": {"type": "boolean", "default": true, "description": "Whether the engine's certificate is checked against ca.pem and the host's name."},
    "runtime": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$|^$", "default": "", "description": "Container runtime as the engine names it: runc, runsc (gVisor), kata-runtime; empty is the engine's default."},
    "endpoint": {"enum": ["auto", "socket", "exec"], "default": "auto", "description": "How the host reaches an agent server: by a shared unix socket, or through an exec; auto takes the socket where it works."},
    "pull": {"enum": ["never", "missing"], "default": "never", "description": "Whether an image that is missing may be pulled from its registry."},
    "prefix": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,31}$", "default": "agcluster", "description": "What the names of containers and volumes begin with."},
    "tmp_bytes": {"type": "integer", "minimum": 1048576, "default": 536870912, "description": "Size of /tmp; at most a quarter of the sandbox's memory, which it counts as."},
    "home_bytes": {"type": "integer", "minimum": 1048576, "default": 268435456, "description": "Size of /home/agent without .claude; at most a quarter of the sandbox's memory."},
    "shm_bytes": {"type": "integer", "minimum": 1048576, "default": 67108864, "description": "Size of /dev/shm; at most a quarter of the sandbox's memory."},
    "log_bytes": {"type": "integer", "minimum": 65536, "default": 10485760, "description": "How much of what the agent server writes is kept per sandbox."},
    "nofile": {"type": "integer", "minimum": 256, "maximum": 1048576, "default": 16384, "description": "Open files per process; an engine without CAP_SYS_RESOURCE can give no more than it has itself."},
    "pids": {"type": "integer", "minimum": 8, "default": 512, "description": "Processes and threads when the launch names no limit."},
    "memory_bytes": {"type": "integer", "minimum": 16777216, "default": 4294967296, "description": "Memory when the launch names no limit."},
    "milli_cpu": {"type": "integer", "minimum": 10, "default": 2000, "description": "Thousandths of a CPU when the launch names no limit."}
  }
}`

// options are the provider's own settings, see optionsSchema.
type options struct {
	Host        string `json:"host"`
	CertPath    string `json:"cert_path"`
	TLSVerify   bool   `json:"tls_verify"`
	Runtime     string `json:"runtime"`
	Endpoint    string `json:"endpoint"`
	Pull        string `json:"pull"`
	Prefix      string `json:"prefix"`
	TmpBytes    int64  `json:"tmp_bytes"`
	HomeBytes   int64  `json:"home_bytes"`
	ShmBytes    int64  `json:"shm_bytes"`
	LogBytes    int64  `json:"log_bytes"`
	NoFile      int64  `json:"nofile"`
	PIDs        int64  `json:"pids"`
	MemoryBytes int64  `json:"memory_bytes"`
	MilliCPU    int64  `json:"milli_cpu"`
}

func defaultOptions() options {
	return options{
		Host: "unix:///var/run/docker.sock", TLSVerify: true, Endpoint: endpointAuto, Pull: pullNever, Prefix: "agcluster",
		TmpBytes: 512 << 20, HomeBytes: 256 << 20, ShmBytes: 64 << 20, LogBytes: 10 << 20, NoFile: 16384,
		PIDs: 512, MemoryBytes: 4 << 30, MilliCPU: 2000,
	}
}

// parseOptions reads raw (empty means none) over the defaults. Its errors are Permanent.
func parseOptions(raw json.RawMessage) (options, error) {
	opts := defaultOptions()
	if err := sdk.DecodeOptions(raw, &opts); err != nil {
		return options{}, fmt.Errorf("provider docker: %w", err)
	}
	if err := opts.validate(); err != nil {
		return options{}, sdk.Permanent(fmt.Errorf("checking the options of provider docker: %w", err))
	}
	return opts, nil
}

func (o *options) validate() error {
	if err := o.validateHost(); err != nil {
		return err
	}
	switch {
	case !regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)?$`).MatchString(o.Runtime):
		return fmt.Errorf("runtime %q is no name of a container runtime", o.Runtime)
	case o.Endpoint != endpointAuto && o.Endpoint != endpointSocket && o.Endpoint != endpointExec:
		return fmt.Errorf("endpoint %q is none of auto, socket and exec", o.Endpoint)
	case o.Pull != pullNever && o.Pull != pullMissing:
		return fmt.Errorf("pull %q is neither never nor missing", o.Pull)
	case !regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`).MatchString(o.Prefix):
		return fmt.Errorf("prefix %q is not 1 to 32 characters of a-z, 0-9 and -", o.Prefix)
	case o.NoFile > 1<<20:
		return fmt.Errorf("nofile %d is above %d", o.NoFile, 1<<20)
	}
	for _, bound := range []struct {
		name       string
		value, min int64
	}{
		{"tmp_bytes", o.TmpBytes, minTmpBytes},
		{"home_bytes", o.HomeBytes, minTmpBytes},
		{"shm_bytes", o.ShmBytes, minTmpBytes},
		{"log_bytes", o.LogBytes, minLogBytes},
		{"nofile", o.NoFile, minNoFile},
		{"pids", o.PIDs, minPIDs},
		{"memory_bytes", o.MemoryBytes, minMemoryBytes},
		{"milli_cpu", o.MilliCPU, minMilliCPU},
	} {
		if bound.value < bound.min {
			return fmt.Errorf("%s %d is below %d", bound.name, bound.value, bound.min)
		}
	}
	return nil
}

func (o *options) validateHost() error {
	u, err := url.Parse(o.Host)
	if err != nil {
		return errors.New("host is no URL") // Its text may hold a password.
	}
	if o.CertPath != "" && !filepath.IsAbs(o.CertPath) {
		return fmt.Errorf("cert_path %q is not an absolute path", o.CertPath)
	}
	switch u.Scheme {
	case "unix":
		if !filepath.IsAbs(u.Path) || u.Host != "" {
			return fmt.Errorf("host %q names no absolute path: unix:///var/run/docker.sock is one", o.Host)
		}
		return nil
	case "tcp":
		if _, _, err := net.SplitHostPort(u.Host); err != nil || u.Path != "" {
			return fmt.Errorf("host %q is not of the form tcp://host:port", u.Redacted())
		}
		if ip := net.ParseIP(u.Hostname()); o.CertPath == "" && u.Hostname() != "localhost" && !ip.IsLoopback() {
			return errors.New("host is reached over a network without TLS, where anybody may read tokens and become root; fix: set cert_path, or use ssh://")
		}
	case "ssh":
		if _, password := u.User.Password(); password || u.Hostname() == "" || u.Path != "" || u.Hostname()[0] == '-' {
			return errors.New("host is not of the form ssh://user@host:port (a password has no place in it)")
		}
	default:
		return errors.New("host is none of unix://, tcp:// and ssh://")
	}
	if o.Endpoint == endpointSocket {
		return errors.New("endpoint socket needs an engine on this machine (host unix://…); fix: endpoint auto or exec")
	}
	return nil
}
