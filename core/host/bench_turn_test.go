package host_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent/offline"
)

// BenchmarkTurn takes turns between an agent of the host and a CLI that is driven directly, with the same model and the same messages.
func BenchmarkTurn(b *testing.B) {
	for _, c := range []struct {
		name, message string
		metrics       bool
	}{{"text", "hello", true}, {"tool", "run: echo hello", false}} {
		b.Run(c.name, func(b *testing.B) {
			r := newAgentRig(b)
			id := r.started(agentConfig()).SessionID
			direct := newDirect(b)
			// What of the host's overhead is the CLI's own, because a turn that has ended must be on the disk (core/agent/claude).
			flushing := newDirect(b, "CLAUDE_CODE_EAGER_FLUSH=1")
			r.chat(id, "hello", "text")
			direct.turn("hello")
			flushing.turn("hello")
			var host, bare, flushed turnTimes
			for i := 0; b.Loop(); i++ {
				// Whoever is first after a pause pays for it: they take turns at that, too.
				if i%2 == 0 {
					bare.add(direct.turn(c.message))
				}
				began, h := r.chat(id, c.message, "text")
				host.add(h.first.Sub(began), h.last.Sub(began))
				flushed.add(flushing.turn(c.message))
				if i%2 == 1 {
					bare.add(direct.turn(c.message))
				}
			}
			prefix := ""
			if !c.metrics {
				prefix = "tool_"
			}
			b.ReportMetric(host.first.median()-bare.first.median(), prefix+"turn_overhead_first_text_ms")
			b.ReportMetric(host.done.median()-bare.done.median(), prefix+"turn_overhead_done_ms")
			b.ReportMetric(host.first.median(), prefix+"turn_first_text_p50_ms")
			b.ReportMetric(host.done.median(), prefix+"turn_done_p50_ms")
			b.ReportMetric(bare.first.median(), prefix+"bare_first_text_p50_ms")
			b.ReportMetric(bare.done.median(), prefix+"bare_done_p50_ms")
			b.ReportMetric(flushed.first.median()-bare.first.median(), prefix+"turn_flush_first_text_ms")
		})
	}
}

type turnTimes struct{ first, done samples }

func (t *turnTimes) add(first, done time.Duration) {
	t.first, t.done = append(t.first, milliseconds(first)), append(t.done, milliseconds(done))
}

// direct is a CLI without anything of ours around it but the model.
type direct struct{ *cli }

func newDirect(b *testing.B, env ...string) direct {
	b.Helper()
	parsed, err := offline.Parse(strings.NewReader(script))
	if err != nil {
		b.Fatal(err)
	}
	upstream := httptest.NewServer(offline.New(parsed, nil, zap.NewNop()))
	b.Cleanup(upstream.Close)
	ctx, cancel := context.WithCancel(context.Background())
	b.Cleanup(cancel)
	home := b.TempDir()
	cmd := exec.CommandContext(ctx, built(b, "agent/claude"), bareArgs()...)
	cmd.Env = append(append(bareEnv(upstream.URL), "HOME="+home, "CLAUDE_CONFIG_DIR="+home), env...)
	cmd.Dir = b.TempDir()
	c := startCLI(b, cmd)
	b.Cleanup(c.end)
	c.initialise()
	return direct{c}
}

// turn says something and returns when the first text and when the result came.
func (d direct) turn(message string) (first, done time.Duration) {
	d.b.Helper()
	began := time.Now()
	d.send(map[string]any{
		"type": "user", "message": map[string]any{"role": "user", "content": message}, "parent_tool_use_id": nil, "session_id": "",
	})
	d.until(`"stream_event"`, `"text_delta"`)
	first = time.Since(began)
	d.until(`"type":"result"`, `"subtype"`)
	return first, time.Since(began)
}

// BenchmarkThirty has thirty agents at once do a turn with tools each, and counts those who did, with nobody else's answer.
func BenchmarkThirty(b *testing.B) {
	const agents = 30
	r := newAgentRig(b, "AGCLUSTER_START_QUEUE=64", "AGCLUSTER_SESSION_LAUNCH_TIMEOUT=5m")
	good := 0
	began := time.Now()
	for b.Loop() {
		results := make(chan bool, agents)
		for i := range agents {
			go func() { results <- r.works(fmt.Sprintf("agent-%03d", i)) }()
		}
		for range agents {
			if <-results {
				good++
			}
		}
	}
	b.ReportMetric(float64(good)/float64(agents*b.N), "concurrent_30_success")
	b.ReportMetric(time.Since(began).Seconds()/float64(b.N), "concurrent_30_s")
}
