package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/plugins/sdk"
	"github.com/agcluster/agcluster/plugins/sdk/plugintest"
)

func harness(p sdk.Provider) plugintest.ProviderHarness {
	return plugintest.ProviderHarness{
		Provider: p, NewRequest: request, Capabilities: description().Capabilities,
		Say: func(ctx context.Context, ep sdk.Endpoint, line string) error {
			_, _, err := call(ctx, ep, "/say", testToken, line)
			return err
		},
		Dial: func(ctx context.Context, ep sdk.Endpoint) error {
			var dialer net.Dialer
			conn, err := dialer.DialContext(ctx, "unix", strings.TrimPrefix(ep.URL, "unix:"))
			if err != nil {
				return err
			}
			return conn.Close()
		},
		Run: func(ctx context.Context, ep sdk.Endpoint, script string) (string, error) {
			status, raw, err := call(ctx, ep, "/exec", testToken, script)
			if err != nil || status != 200 {
				return "", fmt.Errorf("status %d, %w", status, err)
			}
			var answer struct {
				Output string `json:"output"`
			}
			err = json.Unmarshal(raw, &answer)
			return answer.Output, err
		},
	}
}

func TestConformance(t *testing.T) {
	t.Run("in process", func(t *testing.T) {
		plugintest.TestProvider(t, harness(newProvider(t, newPlace(t), nil)))
	})
	t.Run("in process, without cgroups", func(t *testing.T) {
		plugintest.TestProvider(t, harness(newProvider(t, newPlace(t), map[string]any{"cgroup": "off"})))
	})
	t.Run("binary", func(t *testing.T) {
		path := plugintest.Build(t, ".")
		options, err := json.Marshal(map[string]any{"agent_dir": agentDir})
		if err != nil {
			t.Fatal(err)
		}
		plugintest.TestBinary(t, path, sdk.KindProvider, "local", options)
		p := plugintest.Start(t, path, options)
		plugintest.TestProvider(t, harness(p.Provider))
	})
}

func TestAnUnconfiguredProviderAnswersWithAnError(t *testing.T) {
	p := New(zaptest.NewLogger(t))
	if _, err := p.Create(t.Context(), request("early")); err == nil || !sdk.IsPermanent(err) {
		t.Errorf("Create: got %v", err)
	}
	if err := p.Destroy(t.Context(), sdk.DestroyRequest{ID: "early"}); err == nil {
		t.Error("Destroy: want an error")
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := p.Configure(t.Context(), newPlace(t).configure(nil)); err == nil {
		t.Error("Configure after Close: want an error")
	}
}
