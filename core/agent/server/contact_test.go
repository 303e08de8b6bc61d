package server

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestASandboxWithoutAHostIsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContact()
		began := time.Now()
		end := c.begin()
		time.AfterFunc(time.Hour, end)
		if !c.lost(t.Context(), time.Minute) || time.Since(began) != time.Hour+time.Minute {
			t.Errorf("given up after %s", time.Since(began))
		}
	})
}

func TestARequestNowAndThenIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContact()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		go func() {
			for {
				c.begin()()
				select {
				case <-time.After(50 * time.Second):
				case <-ctx.Done():
					return
				}
			}
		}()
		if c.lost(ctx, time.Minute) {
			t.Error("given up")
		}
	})
}

// TestOnlyTheTokenCounts: what the agent's own tools ask of the agent server is no sign of a host.
func TestOnlyTheTokenCounts(t *testing.T) {
	r := newRig(t, nil, nil)
	before := r.server.contact.last
	r.raw(t, "GET", "/v1/health", "Bearer wrong", "")
	if r.server.contact.last != before {
		t.Error("a stranger counts")
	}
	if _, err := r.client.Health(within(t)); err != nil {
		t.Fatal(err)
	}
	if !r.server.Abandoned(within(t), 0) {
		t.Error("nobody is there")
	}
}
