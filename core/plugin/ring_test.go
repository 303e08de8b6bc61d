package plugin

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
)

func plain(s string) string { return s }

func TestARingKeepsTheNewestLines(t *testing.T) {
	r := &ring{redact: plain}
	log := r.over(zap.NewNop()).With(zap.String("plugin", "x"))
	for i := range keptLines + 10 {
		log.Debug("line", zap.Int("n", i))
	}
	lines, total := r.newest(3)
	if total != keptLines || len(lines) != 3 {
		t.Fatalf("got %d of %d", len(lines), total)
	}
	for i, l := range lines {
		if want := fmt.Sprintf("line n=%d plugin=x", keptLines+7+i); l.Message != want || l.Level != "debug" || time.Since(l.Time) > time.Minute {
			t.Errorf("got %+v, want %s", l, want)
		}
	}
	if lines, _ := r.newest(keptLines + 5); len(lines) != keptLines || lines[0].Message != "line n=10 plugin=x" {
		t.Errorf("got %d, the first %q", len(lines), lines[0].Message)
	}
	if lines, _ := r.newest(0); len(lines) != 0 {
		t.Errorf("got %v", lines)
	}
}

func TestALineIsOneBoundedLineWithoutSecrets(t *testing.T) {
	r := &ring{redact: func(s string) string { return strings.ReplaceAll(s, "hunter2", "***") }}
	log := r.over(zap.NewNop())
	log.Info("it is\nhunter2\x1b[0m", zap.Error(errors.New("with hunter2 in it")), zap.Strings("list", []string{"a b"}), zap.String("empty", ""))
	log.Warn(strings.Repeat("é", maxLine) + "hunter2")
	log.Warn(strings.Repeat("x", maxLine-3) + "hunter2")
	lines, _ := r.newest(3)
	if want := `it is *** [0m empty="" error="with *** in it" list=["a b"]`; lines[0].Message != want {
		t.Errorf("got %q, want %q", lines[0].Message, want)
	}
	if m := lines[1].Message; len(m) > maxLine+3 || !strings.HasSuffix(m, "é…") {
		t.Errorf("got %d bytes, ending %q", len(m), m[len(m)-8:])
	}
	if m := lines[2].Message; strings.Contains(m, "hun") {
		t.Errorf("half a secret: %q", m[len(m)-12:])
	}
}

func TestARingIsSafeForConcurrentUse(t *testing.T) {
	r := &ring{redact: plain}
	log := r.over(zap.NewNop())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range keptLines {
				log.Info("x")
				r.newest(10)
			}
		})
	}
	wg.Wait()
	if _, total := r.newest(0); total != keptLines {
		t.Errorf("got %d", total)
	}
}

func TestLogsOfAPluginAreKept(t *testing.T) {
	p := newPlace(t, "filter-test", "provider-test", "exporter-other")
	p.cfg.Redact = func(s string) string { return strings.ReplaceAll(s, "info", "***") }
	s, logged := p.open(t)
	f := s.mustFilter(t, "test")
	ask[string](t, f, "log")
	// What is logged and what is printed come by different ways, in any order.
	for first := logged.await(t, " line"); ; {
		other := map[bool]string{true: "an error line", false: "a plain line"}[first.Message == "a plain line"]
		if first.Message == "a plain line" || first.Message == "an error line" {
			logged.await(t, other)
			break
		}
		first = logged.await(t, " line")
	}
	var got []string
	lines, _, err := s.Logs("filter-test", 100)
	for _, l := range lines {
		if strings.HasSuffix(l.Message, " line") || strings.Contains(l.Message, " line ") {
			got = append(got, l.Level+" "+l.Message)
		}
	}
	for _, want := range []string{"warn a warn line", "error an error line", "debug a plain line"} {
		if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("no %q in %q, %v", want, got, err)
		}
	}
	if !slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "info an *** line") && strings.Contains(l, "s=x") }) {
		t.Errorf("got %q", got)
	}
	if lines, total, err := s.Logs("other", 100); err != nil || total != 0 || len(lines) != 0 {
		t.Errorf("one that nobody used: %v %d %v", lines, total, err)
	}
	for _, name := range []string{"test", "none", "", "filter-none"} {
		if _, _, err := s.Logs(name, 1); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

func TestStatusTellsOfThePluginThatRunsAndTheOneThatCanNot(t *testing.T) {
	p := newPlace(t, "filter-test", "filter-dead")
	p.cfg.Options["filter-test"] = map[string]any{"mood": "good"}
	s, _ := p.open(t)
	before := time.Now().Add(-time.Second)
	ask[string](t, s.mustFilter(t, "test"), "hello")
	if call(t.Context(), s.mustFilter(t, "dead"), "hello") == nil {
		t.Fatal("it lives")
	}
	dead, alive := s.Status()[0], s.Status()[1]
	if alive.State != StateRunning || alive.StartedAt.Before(before) || !strings.Contains(string(alive.OptionsSchema), `"mood"`) || alive.Options["mood"] != "good" {
		t.Errorf("got %+v", alive)
	}
	if dead.State != StateFailed || dead.LastError == "" || !dead.StartedAt.IsZero() || dead.PID != 0 {
		t.Errorf("got %+v", dead)
	}
	if lines, _, err := s.Logs("dead", 1); err != nil || len(lines) != 1 || lines[0].Level != "error" || !strings.Contains(lines[0].Message, "could not be started") {
		t.Errorf("got %+v, %v", lines, err)
	}
}
