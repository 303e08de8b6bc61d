package policy_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/agcluster/agcluster/core/policy"
	"github.com/agcluster/agcluster/policies/sdk/sdktest"
)

func TestFuelAndDeadlineGiveTheSameVerdicts(t *testing.T) {
	for _, name := range shippedNames(t) {
		m := module(t, name)
		if !m.Metered() {
			t.Errorf("%s can't be metered", name)
		}
		cases, err := sdktest.Load(filepath.Join("../../policies", name, "cases.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		// Two of them: an engine with a deadline is slow to wake.
		for _, c := range cases[:2] {
			raw, err := c.JSON()
			if err != nil {
				t.Fatal(err)
			}
			var in policy.Input
			if err := json.Unmarshal(raw, &in); err != nil {
				t.Fatal(err)
			}
			fast, slow := m.Evaluate(context.Background(), in), m.Watched().Evaluate(context.Background(), in)
			if diff := cmp.Diff(slow, fast); diff != "" {
				t.Errorf("%s/%s (-deadline +fuel):\n%s", name, c.Name, diff)
			}
		}
	}
}

func TestWhatRunsOutOfFuelMeetsTheDeadline(t *testing.T) {
	loop := func(body []byte) *wasm {
		return good(cat(0x03, 0x40, body, 0x0c, 0, 0x0b), packed(atFirst, answerFirst))
	}
	for name, w := range map[string]*wasm{
		"an empty loop": loop(nil),
		// Each round costs little but for what it fills: 64 KiB.
		"a loop of memory.fill": loop(cat(0x41, 0, 0x41, 0, 0x41, sleb(65536), 0xfc, 11, 0)),
		"a loop of memory.copy": loop(cat(0x41, 0, 0x41, 0, 0x41, sleb(65536), 0xfc, 10, 0, 0)),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRuntime(t, policy.Config{Timeout: 100 * time.Millisecond})
			// The first evaluation is that of Load.
			err := r.Load(t.Context(), []byte(tinyManifest), w.bytes())
			if err == nil || !strings.Contains(err.Error(), "no answer within 100ms") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAModuleCanNotFillItsOwnTank(t *testing.T) {
	// global.set 0 in a module without globals is not valid; after meter has added one, it would be.
	w := good(cat(0x42, 0, 0x24, 0), packed(atFirst, answerFirst))
	err := newRuntime(t, policy.Config{}).Load(t.Context(), []byte(tinyManifest), w.bytes())
	if err == nil {
		t.Error("it was loaded")
	}
}
