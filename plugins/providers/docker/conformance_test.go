package main

import (
	"context"
	"net"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/agcluster/agcluster/plugins/sdk"
	"github.com/agcluster/agcluster/plugins/sdk/plugintest"
)

// harness dials as the host does: a connection alone says nothing of an endpoint that a forwarder answers, a request does.
func harness(p sdk.Provider) plugintest.ProviderHarness {
	return plugintest.ProviderHarness{
		Provider: p, NewRequest: request,
		Dial: func(ctx context.Context, ep sdk.Endpoint) error {
			_, err := runScript(ctx, ep, "true")
			return err
		},
		Run: runScript, Capabilities: description().Capabilities, MissingImage: "agcluster-no-such-image:latest",
		Say: func(ctx context.Context, ep sdk.Endpoint, line string) error {
			_, _, err := callAgent(ctx, ep, "/say", testToken, strings.NewReader(line))
			return err
		},
	}
}

func TestConformance(t *testing.T) {
	needEngine(t)
	for _, endpoint := range []string{endpointAuto, endpointExec} {
		t.Run("in process, endpoint "+endpoint, func(t *testing.T) {
			plugintest.TestProvider(t, harness(newProvider(t, newPlace(t), map[string]any{"endpoint": endpoint})))
		})
	}
	t.Run("binary", func(t *testing.T) {
		path := plugintest.Build(t, ".")
		plugintest.TestBinary(t, path, sdk.KindProvider, "docker", testOptions(t, nil))
		for _, endpoint := range []string{endpointAuto, endpointExec} {
			t.Run("endpoint "+endpoint, func(t *testing.T) {
				p := plugintest.Start(t, path, testOptions(t, map[string]any{"endpoint": endpoint}))
				plugintest.TestProvider(t, harness(p.Provider))
			})
		}
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
	if err := p.Configure(t.Context(), newPlace(t).configure(t, nil)); err == nil {
		t.Error("Configure after Close: want an error")
	}
}

// TestManyConnections: a forwarder carries many at a time, large ones whole.
func TestManyConnections(t *testing.T) {
	for _, endpoint := range []string{endpointSocket, endpointExec} {
		t.Run(endpoint, func(t *testing.T) {
			p := newProvider(t, newPlace(t), map[string]any{"endpoint": endpoint})
			box := create(t, p, request("many"))
			payload := strings.Repeat("0123456789abcdef", 1<<18)
			errs := make(chan error, 16)
			for range cap(errs) {
				go func() {
					_, answer, err := callAgent(t.Context(), box.Endpoint, "/echo", testToken, strings.NewReader(payload))
					if err == nil && string(answer) != payload {
						err = net.ErrClosed
					}
					errs <- err
				}()
			}
			for range cap(errs) {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
		})
	}
}
