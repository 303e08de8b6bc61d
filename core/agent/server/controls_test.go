package server

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/agcluster/agcluster/core/agent"
)

func TestSettingsOfASession(t *testing.T) {
	r := newRig(t, nil, nil)
	want := agent.Settings{Model: new("opus"), PermissionMode: new("plan")}
	if err := r.client.Set(within(t), want); !errors.Is(err, agent.ErrConflict) {
		t.Errorf("without a session: %v", err)
	}
	r.configure(t)
	for _, wrong := range []agent.Settings{{PermissionMode: new("dance")}, {PermissionMode: new("")}, {Model: new("unknown")}} {
		if err := r.client.Set(within(t), wrong); !errors.Is(err, agent.ErrInvalid) {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	if err := r.client.Set(within(t), want); err != nil {
		t.Fatal(err)
	}
	if told := r.driver.settings; len(told) != 1 || *told[0].Model != "opus" || *told[0].PermissionMode != "plan" {
		t.Errorf("the driver was told %v", told)
	}
	// The sandbox is the session's as it is now.
	if err := r.client.Configure(within(t), r.spec()); !errors.Is(err, agent.ErrConflict) {
		t.Errorf("the spec of before: %v", err)
	}
	spec := r.spec()
	spec.Model, spec.PermissionMode = "opus", "plan"
	if err := r.client.Configure(within(t), spec); err != nil {
		t.Errorf("the spec of now: %v", err)
	}
}

func TestCommands(t *testing.T) {
	r := newRig(t, nil, nil)
	if list, err := r.client.Commands(within(t)); err != nil || list == nil || len(list) != 0 {
		t.Errorf("before there are any: %v %v", list, err)
	}
	want := []agent.Command{{Name: "compact", Description: "Makes room", ArgumentHint: "[what to keep]"}}
	r.driver.offered = want
	if list, err := r.client.Commands(within(t)); err != nil || !slices.Equal(list, want) {
		t.Errorf("got %v %v", list, err)
	}
	r.driver.offered = []agent.Command{{Name: strings.Repeat("x", agent.MaxCommandText+1)}}
	if _, err := r.client.Commands(within(t)); !errors.Is(err, agent.ErrProtocol) {
		t.Errorf("a long name: %v", err)
	}
	r.driver.offered = make([]agent.Command, agent.MaxCommands+1)
	if _, err := r.client.Commands(within(t)); !errors.Is(err, agent.ErrProtocol) {
		t.Errorf("too many: %v", err)
	}
}
