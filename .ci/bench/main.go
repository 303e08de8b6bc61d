// Command bench measures what AgCluster promises. It runs the Go benchmarks that report the figures, writes a table to its output,
// build/bench.json for programs and build/bench.txt, the raw output, for benchstat. With a name it measures that figure only.
//
// A goal that is missed is no failure: the table and the JSON say so. A figure that could not be measured is.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	only := ""
	if len(os.Args) > 1 {
		only = os.Args[1]
	}
	if err := measure(ctx, only, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// result is a figure as build/bench.json has it.
type result struct {
	Value  float64    `json:"value"`
	Unit   string     `json:"unit"`
	Goal   float64    `json:"goal,omitempty"`
	Better string     `json:"better"`
	Met    *bool      `json:"met,omitempty"`
	Spread [2]float64 `json:"spread"`
}

func measure(ctx context.Context, only string, out, log io.Writer) error {
	wanted := figures()
	if only != "" {
		wanted = slices.DeleteFunc(wanted, func(f figure) bool { return f.name != only })
	}
	if len(wanted) == 0 {
		return fmt.Errorf("there is no figure %q; the names are in .ci/bench/figures.go", only)
	}
	raw := &bytes.Buffer{}
	values := map[string][]float64{}
	var missing []string
	done := map[*run]bool{}
	for _, f := range wanted {
		if done[f.run] || ctx.Err() != nil {
			continue
		}
		done[f.run] = true
		fmt.Fprintf(log, "bench: %s %s\n", f.run.pkg, f.run.bench)
		text, err := goTest(ctx, *f.run)
		raw.Write(text)
		if err != nil {
			fmt.Fprintf(log, "%s\nbench: %v\n", text, err)
		}
		collect(text, values)
	}
	results := map[string]result{}
	for _, f := range wanted {
		if len(values[f.name]) == 0 {
			missing = append(missing, f.name)
			continue
		}
		results[f.name] = f.result(values[f.name])
	}
	about := describeMachine(ctx)
	if err := write(about, results, raw.Bytes()); err != nil {
		return err
	}
	table(out, about, wanted, results)
	if len(missing) > 0 {
		return fmt.Errorf("could not be measured: %s", strings.Join(missing, ", "))
	}
	return nil
}

func goTest(ctx context.Context, r run) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", r.bench, "-benchtime", r.time, "-count", strconv.Itoa(r.count),
		"-timeout", "60m", r.pkg)
	text, err := cmd.CombinedOutput()
	if err != nil {
		return text, fmt.Errorf("go test -bench %s %s: %w", r.bench, r.pkg, err)
	}
	return text, nil
}

// collect reads the metrics of `go test -bench`: lines of a name, the number of iterations, and pairs of value and unit.
func collect(text []byte, into map[string][]float64) {
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		for i := 2; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				into[fields[i+1]] = append(into[fields[i+1]], v)
			}
		}
	}
}

func (f figure) result(values []float64) result {
	sorted := slices.Sorted(slices.Values(values))
	r := result{Unit: f.unit, Goal: f.goal, Better: f.better, Spread: [2]float64{sorted[0], sorted[len(sorted)-1]}}
	if n := len(sorted); n%2 == 1 {
		r.Value = sorted[n/2]
	} else {
		r.Value = (sorted[n/2-1] + sorted[n/2]) / 2
	}
	if f.goal != 0 {
		met := r.Value <= f.goal
		if f.better == higher {
			met = r.Value >= f.goal
		}
		r.Met = &met
	}
	return r
}

func write(about machine, results map[string]result, raw []byte) error {
	b, err := json.MarshalIndent(struct {
		Machine machine           `json:"machine"`
		Figures map[string]result `json:"figures"`
	}{about, results}, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the figures: %w", err)
	}
	if err := errors.Join(os.MkdirAll("build", 0o750), os.WriteFile("build/bench.json", append(b, '\n'), 0o600), os.WriteFile("build/bench.txt", raw, 0o600)); err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	return nil
}

func table(out io.Writer, about machine, wanted []figure, results map[string]result) {
	fmt.Fprintf(out, "%s\n\n", about)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "figure\tmedian\tspread\tunit\tgoal\t")
	missed := 0
	for _, f := range wanted {
		r, ok := results[f.name]
		if !ok {
			fmt.Fprintf(t, "%s\tnot measured\t\t\t\t\n", f.name)
			continue
		}
		goal := ""
		if r.Met != nil {
			sign := map[string]string{lower: "≤", higher: "≥"}[f.better]
			verdict := "met"
			if !*r.Met {
				verdict = "MISSED"
				missed++
			}
			goal = fmt.Sprintf("%s %.4g %s", sign, r.Goal, verdict)
		}
		fmt.Fprintf(t, "%s\t%.4g\t%.4g – %.4g\t%s\t%s\t\n", f.name, r.Value, r.Spread[0], r.Spread[1], r.Unit, goal)
	}
	_ = t.Flush() // the terminal has gone; there is nobody to tell
	if missed > 0 {
		fmt.Fprintf(out, "\n%d goals are missed.\n", missed)
	}
}
