package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
)

// Health answers GET /health.
type Health struct {
	Status     string         `json:"status" enum:"healthy"`
	AgentImage string         `json:"agent_image" doc:"Image of the agents, for providers that run images."`
	Version    string         `json:"version"`
	Provider   string         `json:"provider" doc:"The default provider."`
	Offline    bool           `json:"offline" doc:"True when the host's own scripted model answers: any key works."`
	Sandboxes  int            `json:"sandboxes" doc:"Sandboxes that run now."`
	Pool       PoolHealth     `json:"pool"`
	Plugins    []PluginHealth `json:"plugins"`
	Policies   []PolicyInfo   `json:"policies"`
}

// PoolHealth is how the warm pool and the queue of starts are.
type PoolHealth struct {
	Ready       int   `json:"ready" doc:"Spares: sandboxes whose Claude Code waits for a session."`
	Starting    int   `json:"starting" doc:"Spares that are being started."`
	MemoryBytes int64 `json:"memory_bytes" doc:"What the spares used when they became ready."`
	Warm        int64 `json:"warm" doc:"Starts since the host began that took a spare."`
	Cold        int64 `json:"cold" doc:"Starts since the host began that did not."`
	Slots       int   `json:"slots" doc:"Starts that go on at the same time at most."`
	Waiting     int   `json:"waiting" doc:"Starts that wait for a slot."`
	Queue       int   `json:"queue" doc:"Starts that may wait."`
}

// PluginHealth is how a plugin is.
type PluginHealth struct {
	Name     string `json:"name"`
	Kind     string `json:"kind" enum:"provider,filter,exporter"`
	Version  string `json:"version,omitempty" doc:"Empty until it was used."`
	State    string `json:"state" enum:"stopped,running,restarting,failed" doc:"Stopped: it starts at its first use. Restarting: it died and starts at its next. Failed: it could not be started and is tried again."`
	Restarts int    `json:"restarts"`
}

// PolicyInfo describes a loaded policy module.
type PolicyInfo struct {
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	Description string   `json:"description"`
	Digest      string   `json:"digest" doc:"sha256: and the digest of the module's bytes."`
	Gates       []string `json:"gates"`
}

// metrics has the host's numbers in the form that Prometheus reads.
func (a *API) metrics(context.Context, *struct{}) (*huma.StreamResponse, error) {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humachi.Unwrap(hc)
		a.Metrics.ServeHTTP(w, r)
	}}, nil
}

type healthOutput struct{ Body Health }

func (a *API) health(context.Context, *struct{}) (*healthOutput, error) {
	pool := a.Status.Pool()
	h := Health{
		Status: "healthy", AgentImage: a.cfg.AgentImage, Version: a.cfg.Version, Provider: a.cfg.Provider, Offline: a.cfg.Offline,
		Sandboxes: pool.Sandboxes, Pool: poolHealth(pool), Plugins: []PluginHealth{}, Policies: []PolicyInfo{},
	}
	for _, p := range a.Status.Plugins() {
		h.Plugins = append(h.Plugins, pluginHealth(p))
	}
	for _, p := range a.Status.Policies() {
		h.Policies = append(h.Policies, policyInfo(p))
	}
	return &healthOutput{Body: h}, nil
}
