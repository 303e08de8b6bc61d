package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// filesRig is a host with a session whose workspace the benchmark fills, and whose export may be as large as a figure wants it.
func filesRig(b *testing.B) (*rig, string, string) {
	b.Helper()
	r := newFeatherRig(b)
	id := r.launch(inline(func(c map[string]any) {
		c["policies"] = []map[string]any{
			{"name": "tools"}, {"name": "path"}, {"name": "archive", "params": map[string]any{"max_entries": 100_000, "max_bytes": 4 << 30}},
		}
		c["filters"] = []string{}
	}))
	return r, id, r.workspace()
}

// BenchmarkTree lists a workspace of 10,000 files in a hundred folders.
func BenchmarkTree(b *testing.B) {
	r, id, dir := filesRig(b)
	fill(b, dir, 10_000, 100)
	var took samples
	used := r.cpu()
	for b.Loop() {
		began := time.Now()
		a := r.request(http.MethodGet, "/api/files/"+id, nil)
		took = append(took, milliseconds(time.Since(began)))
		var tree struct {
			TotalFiles int `json:"total_files"`
		}
		if err := json.Unmarshal(a.body, &tree); err != nil || tree.TotalFiles != 10_000 {
			b.Fatalf("%d %d files %v", a.status, tree.TotalFiles, err)
		}
	}
	b.ReportMetric(took.median(), "tree_10k_ms")
	b.ReportMetric(milliseconds(r.cpu()-used)/float64(b.N), "tree_10k_host_cpu_ms")
}

// BenchmarkDownload reads a file of 1 GiB.
func BenchmarkDownload(b *testing.B) {
	const size = 1 << 30
	r, id, dir := filesRig(b)
	fill(b, dir, 1, size)
	before := memory(b, r.cmd.Process.Pid, "VmRSS")
	r.forgetPeak()
	var first, whole samples
	for b.Loop() {
		began := time.Now()
		res := r.open(context.Background(), key, http.MethodGet, "/api/files/"+id+"/d00/f00000.txt/download", nil)
		one := make([]byte, 1)
		if _, err := io.ReadFull(res.Body, one); err != nil || res.StatusCode != http.StatusOK {
			b.Fatal(res.Status, err)
		}
		first = append(first, milliseconds(time.Since(began)))
		n, err := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if err != nil || n != size-1 {
			b.Fatal(n, err)
		}
		whole = append(whole, time.Since(began).Seconds())
	}
	b.ReportMetric(first.median(), "download_first_byte_ms")
	b.ReportMetric(size/1e6/whole.median(), "download_mb_per_s")
	b.ReportMetric(float64(memory(b, r.cmd.Process.Pid, "VmHWM")-before)/1024, "download_rss_growth_mib")
}

// BenchmarkExport exports 1 GiB in 20,000 files as zip and, in turns with it, has zip pack the same tree.
func BenchmarkExport(b *testing.B) {
	const files, size = 20_000, 1 << 30
	r, id, dir := filesRig(b)
	fill(b, dir, files, size/files)
	r.request(http.MethodPost, "/api/files/"+id+"/download", map[string]any{"paths": []string{"d00"}}).into(b, http.StatusOK, nil)
	before := memory(b, r.cmd.Process.Pid, "VmRSS")
	r.forgetPeak()
	var ours, theirs samples
	var share float64
	for b.Loop() {
		began := time.Now()
		res := r.open(context.Background(), key, http.MethodPost, "/api/files/"+id+"/download", map[string]any{})
		product := filepath.Join(b.TempDir(), "ours.zip")
		out, err := os.Create(product)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(out, res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			b.Fatal(res.Status, err)
		}
		_, _ = res.Body.Close(), out.Close()
		ours = append(ours, time.Since(began).Seconds())
		if list, err := exec.Command("unzip", "-Z", "-t", product).CombinedOutput(); err != nil || !strings.HasPrefix(string(list), fmt.Sprint(files+folders)) {
			b.Fatalf("unzip: %v %s", err, list)
		}
		began = time.Now()
		cmd := exec.Command("zip", "-1", "-r", "-q", filepath.Join(b.TempDir(), "theirs.zip"), ".")
		cmd.Dir = dir
		if text, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("zip: %v %s; apt-get install zip", err, text)
		}
		theirs = append(theirs, time.Since(began).Seconds())
		info, err := os.Stat(filepath.Join(cmd.Args[len(cmd.Args)-2]))
		if err != nil {
			b.Fatal(err)
		}
		share = float64(n) / float64(info.Size())
	}
	b.ReportMetric(theirs.median()/ours.median(), "export_zip_ratio")
	b.ReportMetric(size/1e6/ours.median(), "export_mb_per_s")
	b.ReportMetric(size/1e6/theirs.median(), "zip_mb_per_s")
	b.ReportMetric(share, "export_size_ratio")
	b.ReportMetric(float64(memory(b, r.cmd.Process.Pid, "VmHWM")-before)/1024, "export_rss_growth_mib")
}

const folders = 100

// fill makes files of a size in a hundred folders: three of four are like source text, one is like what is packed already.
func fill(b *testing.B, dir string, files, size int) {
	b.Helper()
	random := rand.NewChaCha8([32]byte{})
	words := strings.Fields("func return if err nil context package import the of a workspace session host event string int range make append for")
	rng := rand.New(random)
	for i := range files {
		folder := filepath.Join(dir, fmt.Sprintf("d%02d", i%folders))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			b.Fatal(err)
		}
		f, err := os.Create(filepath.Join(folder, fmt.Sprintf("f%05d.txt", i)))
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 0, min(size, 1<<20)+64)
		for left := size; left > 0; {
			buf = buf[:0]
			if i%4 == 3 {
				buf = buf[:min(left, 1<<20)]
				_, _ = random.Read(buf) // it never fails
			} else {
				for len(buf) < min(left, 1<<20) {
					buf = fmt.Appendf(buf, "%s %x ", words[rng.IntN(len(words))], rng.Uint32()>>rng.UintN(32))
				}
				buf = buf[:min(left, 1<<20)]
			}
			if _, err := f.Write(buf); err != nil {
				b.Fatal(err)
			}
			left -= len(buf)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
