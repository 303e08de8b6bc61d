package session

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/core/event"
)

// recorder is a Log that notes what is done with it.
type recorder struct {
	Log
	did  []string
	fail error
}

func (r *recorder) Append(_ context.Context, _ string, turn int64, data ...event.Data) ([]event.Event, error) {
	r.did = append(r.did, fmt.Sprint("keep ", turn, data))
	return nil, r.fail
}

func (r *recorder) Preview(_ string, turn int64, data ...event.Data) {
	r.did = append(r.did, fmt.Sprint("show ", turn, data))
}

func TestIntakeKeepsTheOrderAndWhatIsTogether(t *testing.T) {
	text := func(s string) event.Data { return event.Text{Content: s} }
	delta := func(s string) event.Data { return event.TextDelta{Content: s} }
	for name, c := range map[string]struct {
		frames []event.Data
		alone  bool
		want   []string
	}{
		"together":      {frames: []event.Data{text("a"), text("b")}, want: []string{"keep 3 [{a } {b }]"}},
		"one at a time": {frames: []event.Data{text("a"), text("b")}, alone: true, want: []string{"keep 3 [{a }]", "keep 3 [{b }]"}},
		"previews between": {
			frames: []event.Data{delta("1"), delta("2"), text("12"), text("x"), delta("3")},
			want:   []string{"show 3 [{1 } {2 }]", "keep 3 [{12 } {x }]", "show 3 [{3 }]"},
		},
		"before the end": {frames: []event.Data{text("a"), event.Complete{}}, want: []string{"keep 3 [{a }]"}},
		"a lie between":  {frames: []event.Data{text("a"), event.User{Content: "x"}, text("b")}, want: []string{"keep 3 [{a } {b }]"}},
	} {
		t.Run(name, func(t *testing.T) {
			log := &recorder{}
			in := &intake{s: &Service{log: log, zap: zap.NewNop()}, l: &live{id: "s"}, t: &turn{number: 3}, ctx: t.Context()}
			for i, d := range c.frames {
				if err := in.take(agent.Frame{Event: &event.Event{Data: d}}, !c.alone && i < len(c.frames)-1); err != nil {
					t.Fatal(err)
				}
			}
			if fmt.Sprint(log.did) != fmt.Sprint(c.want) {
				t.Errorf("got %q, want %q", log.did, c.want)
			}
		})
	}
}

func TestIntakeSaysWhatCouldNotBeKept(t *testing.T) {
	log := &recorder{fail: errors.New("the disk is full")}
	in := &intake{s: &Service{log: log, zap: zap.NewNop()}, l: &live{id: "s"}, t: &turn{number: 3}, ctx: t.Context()}
	if err := in.take(agent.Frame{Event: &event.Event{Data: event.Text{}}}, true); err != nil {
		t.Fatal(err)
	}
	for _, f := range []agent.Frame{{Ask: &agent.Ask{}}, {Event: &event.Event{Data: event.TextDelta{}}}, {Event: &event.Event{Data: event.Text{}}}} {
		in.kept = []event.Data{event.Text{}}
		if err := in.take(f, false); !errors.Is(err, errNotKept) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
