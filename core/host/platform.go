package host

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/agcluster/agcluster/core/api"
	"github.com/agcluster/agcluster/core/config"
	"github.com/agcluster/agcluster/core/plugin"
	"github.com/agcluster/agcluster/core/sandbox"
	image "github.com/agcluster/agcluster/docker/agent"
	"github.com/agcluster/agcluster/plugins/sdk"
)

const (
	// askTimeout bounds how long a provider may take to say that it is there, askAgain how long its answer holds.
	askTimeout = 5 * time.Second
	askAgain   = 30 * time.Second
)

// platform tells the API of the host.
type platform struct {
	h      *Host
	claude string
	mu     sync.Mutex
	asked  map[string]*presence
}

var _ api.Platform = (*platform)(nil)

func newPlatform(h *Host) (*platform, error) {
	claude, err := image.ClaudeCode()
	if err != nil {
		return nil, err
	}
	// What a plugin gets to keep to itself, it may print.
	for _, options := range h.cfg.Plugins.Options {
		for _, secret := range config.Credentials(options) {
			h.secrets.Add(secret)
			h.defers(func(context.Context) error { h.secrets.Remove(secret); return nil })
		}
	}
	return &platform{h: h, claude: claude, asked: map[string]*presence{}}, nil
}

// PluginLogs implements api.Platform.
func (p *platform) PluginLogs(name string, n int) ([]plugin.LogLine, int, error) {
	return p.h.plugins.Logs(name, n)
}

// Settings implements api.Platform.
func (p *platform) Settings() []config.Setting { return config.Effective(p.h.cfg, p.h.sources) }

// About implements api.Platform.
func (p *platform) About() api.About {
	a := api.About{
		Version: p.h.version, GoVersion: runtime.Version(), ClaudeCodeVersion: p.claude, StartedAt: p.h.started,
		Offline: p.h.cfg.Offline.Enabled, Provider: p.h.cfg.Provider, Docs: "/docs",
	}
	for _, s := range p.Settings() {
		if s.Key == "terminal.enabled" {
			a.Terminal = s.Value == true
		}
	}
	return a
}

// Unavailable implements api.Platform: a provider that can list its sandboxes is there.
func (p *platform) Unavailable(ctx context.Context, name string) string {
	p.mu.Lock()
	at, ok := p.asked[name]
	if !ok {
		at = &presence{}
		p.asked[name] = at
	}
	p.mu.Unlock()
	return at.ask(ctx, func(ctx context.Context) error {
		provider, err := p.h.plugins.Provider(ctx, name)
		if err != nil {
			return err
		}
		_, err = provider.List(ctx, sdk.ListRequest{Labels: map[string]string{sandbox.LabelHost: p.h.data.hostID}})
		return err
	}, p.h.secrets.Redact)
}

// presence is what a provider answered last.
type presence struct {
	mu     sync.Mutex
	at     time.Time
	reason string
}

// ask asks again when the last answer is old. Those who come meanwhile wait for the same answer.
func (p *presence) ask(ctx context.Context, list func(context.Context) error, redact func(string) string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.at.IsZero() && time.Since(p.at) < askAgain {
		return p.reason
	}
	// One client that goes away must not be an answer to the others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	err := list(ctx)
	p.at, p.reason = time.Now(), ""
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		p.reason = "it did not answer within " + askTimeout.String()
	case err != nil:
		p.reason = redact(err.Error())
	}
	return p.reason
}
