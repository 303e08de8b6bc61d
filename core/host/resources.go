package host

import (
	"context"
	"errors"
	"time"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/api"
	"github.com/agcluster/agcluster/core/egress"
	"github.com/agcluster/agcluster/core/sandbox"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// usageTimeout bounds one question to an agent server for what it uses.
const usageTimeout = 5 * time.Second

// observer lets the API look at sandboxes. It wakes none.
type observer struct{ pool *sandbox.Pool }

var _ api.Observer = observer{}

// Measure implements api.Observer: the provider measures if it can, else the sandbox itself; what is stored, only the agent server knows
// where the provider does not.
func (o observer) Measure(ctx context.Context, sessionID string, interval time.Duration, fn func(api.Measurement) error) error {
	client, ok := o.pool.Client(sessionID)
	if !ok {
		return api.ErrNoSandbox
	}
	passed := fn
	fn = func(m api.Measurement) error {
		// The tunnel is the only way to the network, so the proxy knows what a provider can't see.
		if h, ok := o.pool.Handler(sessionID, agent.TunnelEgress); ok {
			if e, ok := h.(*egress.Handler); ok {
				traffic := e.Stats()
				m.NetworkRxBytes, m.NetworkTxBytes = traffic.In, traffic.Out
			}
		}
		return passed(m)
	}
	err := o.pool.Stats(ctx, sessionID, interval, func(s sdk.Stats) error {
		if s.DiskBytes < 0 {
			if u, err := usage(ctx, client); err == nil {
				s.DiskBytes, s.DiskLimitBytes = u.DiskBytes, u.DiskLimit
			}
		}
		return fn(api.Measurement{Stats: s, Source: api.SourceProvider})
	})
	if errors.Is(err, sdk.ErrUnimplemented) {
		err = inside(ctx, client, interval, fn)
	}
	return absent(err)
}

// Logs implements api.Observer.
func (o observer) Logs(ctx context.Context, sessionID string, req sdk.LogsRequest, fn func(sdk.LogLine) error) error {
	return absent(o.pool.Logs(ctx, sessionID, req, fn))
}

// absent gives the ways in which a sandbox is not there one name.
func absent(err error) error {
	if errors.Is(err, sandbox.ErrNoSandbox) || errors.Is(err, sdk.ErrNotFound) || errors.Is(err, agent.ErrGone) {
		return errors.Join(api.ErrNoSandbox, err)
	}
	return err
}

// inside measures by the agent server.
func inside(ctx context.Context, client *agent.Client, interval time.Duration, fn func(api.Measurement) error) error {
	for {
		u, err := usage(ctx, client)
		if err != nil {
			return err
		}
		if err := fn(api.Measurement{Source: api.SourceAgentServer, Stats: sdk.Stats{
			Time: time.Now().UTC(), CPUMicros: u.CPUMicros, MilliCPU: u.MilliCPU, MemoryBytes: u.MemoryBytes, MemoryLimitBytes: u.MemoryLimit,
			PIDs: u.Processes, PIDsLimit: u.ProcessLimit, DiskBytes: u.DiskBytes, DiskLimitBytes: u.DiskLimit,
			NetworkRxBytes: -1, NetworkTxBytes: -1, OOMKills: u.OOMKills,
		}}); err != nil || interval <= 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(interval):
		}
	}
}

func usage(ctx context.Context, client *agent.Client) (agent.Usage, error) {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	return client.Usage(ctx)
}
