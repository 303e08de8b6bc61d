package host_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// BenchmarkWeb is what a person at the dashboard feels, measured in Chromium by web/e2e/*.bench.ts against this host: the production build,
// embedded in the binary. The sessions are made here.
func BenchmarkWeb(b *testing.B) {
	r := newFeatherRig(b)
	long := r.launch(inline(func(c map[string]any) { c["filters"] = []string{} }))
	files := r.workspace()
	for i := range 10_000 {
		if err := os.WriteFile(filepath.Join(files, fmt.Sprintf("file-%05d.txt", i)), []byte("x\n"), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	const events = 5_000
	r.chat(long, fmt.Sprintf("emit %d work", events), "text")
	busy := r.launch(inline(func(c map[string]any) { c["filters"] = []string{} }))
	for b.Loop() {
		for name, value := range r.browse(b, map[string]string{"AGCLUSTER_BENCH_LONG": long, "AGCLUSTER_BENCH_BUSY": busy}) {
			b.ReportMetric(value, name)
		}
	}
}

// browse runs the browser's part and reads its figures: lines of "figure NAME VALUE".
func (r *rig) browse(b *testing.B, env map[string]string) map[string]float64 {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../../.ci/web", "bench")
	cmd.Env = append(os.Environ(), "AGCLUSTER_URL="+r.url, "AGCLUSTER_BENCH_KEY="+key)
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		b.Fatalf("the browser's part: %v\n%s", err, said.String())
	}
	figures, err := readFigures(&said)
	if err != nil || len(figures) == 0 {
		b.Fatalf("the browser's part gave %d figures: %v\n%s", len(figures), err, said.String())
	}
	return figures
}

func readFigures(from io.Reader) (map[string]float64, error) {
	figures := map[string]float64{}
	lines := bufio.NewScanner(from)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 || fields[0] != "figure" {
			continue
		}
		value, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return nil, fmt.Errorf("the figure %s: %w", fields[1], err)
		}
		figures[fields[1]] = value
	}
	return figures, lines.Err()
}
