package sdk

import "context"

// Provider makes and unmakes sandboxes and says where the agent server in each answers. It never sees a chat message or a file.
//
// Every method is safe for concurrent use. Create and Destroy are idempotent by id, so that a host which lost an answer may ask
// again. A sandbox gets no network of its own where the platform allows, and none outlives the provider's process unless the
// platform keeps it, in which case List still names it.
type Provider interface {
	// Create makes the sandbox called req.ID and returns once its agent server can be dialled. Asking again with the same ID
	// returns the sandbox that is there. It fails with a Permanent error when no repetition can help (missing image, missing
	// kernel feature) and names the fix.
	Create(ctx context.Context, req CreateRequest) (Sandbox, error)
	// Get returns one sandbox, or ErrNotFound.
	Get(ctx context.Context, req GetRequest) (Sandbox, error)
	// List returns the sandboxes whose labels contain every pair of req.Labels, also those that have exited.
	List(ctx context.Context, req ListRequest) (ListResponse, error)
	// Destroy removes a sandbox with every process, mount, cgroup and socket that belongs to it. An unknown ID is no error.
	Destroy(ctx context.Context, req DestroyRequest) error
}

// CreateRequest describes one sandbox.
type CreateRequest struct {
	// ID is chosen by the host: 1 to 63 characters of [a-z0-9-].
	ID string
	// Labels are kept with the sandbox and matched by List. The host always sets host, session and generation.
	Labels map[string]string
	// Volume names the storage that persists /workspace and /home/agent/.claude beyond the sandbox; it is created when absent.
	Volume string
	// Image is the platform's image reference. Providers that run no images ignore it.
	Image string
	// Env is the environment of the agent server. It never holds a credential of the user's.
	Env map[string]string
	// Token is the bearer token the agent server must demand. Providers hand it over so that no other process can read it
	// (not in argv).
	Token string
	// Resources are upper limits. Zero means the provider's default.
	Resources Resources
}

// Resources are the limits of one sandbox. A zero field means the provider's default.
type Resources struct {
	// MilliCPU is in thousandths of a CPU: 2000 is two CPUs.
	MilliCPU int64
	// MemoryBytes limits memory, without swap.
	MemoryBytes int64
	// DiskBytes limits what the volume may hold, where the platform can.
	DiskBytes int64
	// PIDs limits processes and threads.
	PIDs int64
}

// State says whether a sandbox runs.
type State string

// The states of a sandbox.
const (
	StateRunning State = "running"
	StateExited  State = "exited"
)

// Sandbox is what a provider tells of one sandbox.
type Sandbox struct {
	ID       string
	Labels   map[string]string
	State    State
	Endpoint Endpoint
	// Limits says per resource (memory, cpu, pids, disk) how it is enforced, in words a person reads, for example
	// "4.0 GiB by cgroup v1" or "not enforced: no cgroup access".
	Limits map[string]string
	// Detail is a readable line on why a sandbox is not running ("out of memory", "exit status 1").
	Detail string
}

// Endpoint is where the agent server of a sandbox answers.
type Endpoint struct {
	// URL is "unix:/path/to/socket" or "https://…" ("http://" only for loopback).
	URL string
	// Headers are sent with every request, for platforms whose ingress demands them.
	Headers map[string]string
}

// GetRequest names a sandbox.
type GetRequest struct{ ID string }

// ListRequest selects sandboxes by labels; no labels select all.
type ListRequest struct{ Labels map[string]string }

// Selects says whether a sandbox with these labels is asked for: it has all of the request's, with the same values.
func (r ListRequest) Selects(labels map[string]string) bool {
	for key, value := range r.Labels {
		if got, ok := labels[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// ListResponse holds the selected sandboxes, in no particular order.
type ListResponse struct{ Sandboxes []Sandbox }

// DestroyRequest names a sandbox and, when its storage shall go too, the volume.
type DestroyRequest struct {
	// ID of the sandbox; empty when only a volume is to be removed.
	ID string
	// Volume to remove with everything in it; empty keeps the storage.
	Volume string
}
