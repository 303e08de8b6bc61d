package sdk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// The capabilities that a provider may have besides Provider. One that implements an interface below names it in
// Description.Capabilities; to the host, an absent one answers ErrUnimplemented.
const (
	CapabilityStats = "stats"
	CapabilityLogs  = "logs"
	CapabilityPull  = "pull"
)

// ErrImageMissing says that the image of a CreateRequest is not there. A host that knows a provider with Pull tries that, and asks
// again. It survives gRPC.
var ErrImageMissing = errors.New("the image is missing")

// ErrPlatformDown says that the platform behind the provider (a container engine, a cloud's API) can't be reached now; the text says
// which and why. The same request may succeed later. It survives gRPC.
var ErrPlatformDown = errors.New("the platform can't be reached")

// StatsProvider measures sandboxes from outside.
type StatsProvider interface {
	// Stats calls fn at once and then at every req.Interval, until ctx ends, fn fails or the sandbox is gone (ErrNotFound). An
	// Interval of 0 calls fn once and returns nil.
	Stats(ctx context.Context, req StatsRequest, fn func(Stats) error) error
}

// StatsRequest says what to measure, and how often. Providers may bound the interval from below, at most at 1 s.
type StatsRequest struct {
	ID       string
	Interval time.Duration
}

// Stats is what a sandbox uses at one moment. A field that the platform can't measure is -1; a limit of 0 is none.
type Stats struct {
	Time time.Time
	// CPUMicros is the processor time used since the sandbox began, in µs; MilliCPU is the limit in thousandths of a CPU.
	CPUMicros int64
	MilliCPU  int64
	// MemoryBytes does not count what the kernel can drop at once (inactive file pages).
	MemoryBytes      int64
	MemoryLimitBytes int64
	PIDs             int64
	PIDsLimit        int64
	DiskBytes        int64
	DiskLimitBytes   int64
	// NetworkRxBytes and NetworkTxBytes count the sandbox's own interfaces, which are none where the tunnel is the only way out.
	NetworkRxBytes int64
	NetworkTxBytes int64
	// OOMKills is how many processes the kernel killed because the sandbox was out of memory.
	OOMKills int64
}

// LogsProvider tells what a sandbox's own processes wrote to standard output and error: the agent server's messages, not the agent's.
type LogsProvider interface {
	// Logs calls fn for each line in order and, with req.Follow, goes on until ctx ends, fn fails or the sandbox is gone, which is
	// no error then.
	Logs(ctx context.Context, req LogsRequest, fn func(LogLine) error) error
}

// LogsRequest says which lines.
type LogsRequest struct {
	ID string
	// Tail is how many of the last lines; 0 is all that are kept.
	Tail   int
	Follow bool
}

// LogLine is one line of a sandbox, at most 16 KiB, without its end.
type LogLine struct {
	// Time may be zero when it is not known.
	Time   time.Time
	Stream string // stdout or stderr
	Text   string
}

// PullProvider fetches images.
type PullProvider interface {
	// Pull makes the image available and calls fn now and then with how far it is. It fails with a Permanent error that names the
	// command which builds or fetches the image when there is none to pull.
	Pull(ctx context.Context, req PullRequest, fn func(PullProgress) error) error
}

// PullRequest names an image.
type PullRequest struct{ Image string }

// PullProgress says how far a pull is. Total is 0 while it is unknown.
type PullProgress struct {
	Status       string
	CurrentBytes int64
	TotalBytes   int64
}

// checkCapabilities says where what is named differs from what p implements. Names that this SDK does not know are the author's own.
func checkCapabilities(named []string, p Provider) error {
	_, stats := p.(StatsProvider)
	_, logs := p.(LogsProvider)
	_, pull := p.(PullProvider)
	for _, c := range []struct {
		name, method string
		has          bool
	}{{CapabilityStats, "Stats", stats}, {CapabilityLogs, "Logs", logs}, {CapabilityPull, "Pull", pull}} {
		switch names := slices.Contains(named, c.name); {
		case names && !c.has:
			return fmt.Errorf("the description names the capability %q, but what is served is no sdk.%sProvider", c.name, c.method)
		case c.has && !names:
			return fmt.Errorf("the provider is an sdk.%sProvider, but the description's capabilities do not name %q", c.method, c.name)
		}
	}
	return nil
}
