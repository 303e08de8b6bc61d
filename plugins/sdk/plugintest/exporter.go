package plugintest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"regexp"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/agcluster/agcluster/plugins/sdk"
)

const (
	// bigExport is how many bytes the tar has that must pass at constant memory; memoryBound is what may be in use meanwhile, on top
	// of what was before.
	bigExport   = 300 << 20
	memoryBound = 64 << 20
	// aheadBound is how far an exporter may read ahead of a writer that takes nothing, and stall how long it is given to do so.
	aheadBound = 16 << 20
	stall      = 300 * time.Millisecond
)

// ExporterHarness is what the exporter kit needs of an exporter.
type ExporterHarness struct {
	Exporter sdk.Exporter
	// PID is the process whose memory is watched during a big export; 0 watches this one's heap.
	PID int
	// Options are what every export is asked for with.
	Options []byte
}

// Tar makes the workspace that the exporter kit exports: folders (one of them empty), files (one of them empty), a symlink, and
// names with spaces, newlines and other alphabets.
func Tar(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	mtime := time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC)
	for _, h := range []tar.Header{
		{Name: "src/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "src/main.go", Typeflag: tar.TypeReg, Mode: 0o644, Size: 13},
		{Name: "src/run.sh", Typeflag: tar.TypeReg, Mode: 0o755, Size: 13},
		{Name: "empty/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "empty.txt", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "src/main.go", Mode: 0o777},
		{Name: "with space.txt", Typeflag: tar.TypeReg, Mode: 0o644, Size: 13},
		{Name: "naïve-日本.txt", Typeflag: tar.TypeReg, Mode: 0o644, Size: 13},
		{Name: "new\nline.txt", Typeflag: tar.TypeReg, Mode: 0o644, Size: 13},
	} {
		h.ModTime, h.Format = mtime, tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, "hello, world\n"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// bigTar is a tar with one file of size bytes that no compression makes smaller, without holding it in memory.
func bigTar(t testing.TB, size int64) io.Reader {
	t.Helper()
	var head bytes.Buffer
	w := tar.NewWriter(&head)
	if err := w.WriteHeader(&tar.Header{Name: "big.bin", Typeflag: tar.TypeReg, Mode: 0o644, Size: size, Format: tar.FormatPAX}); err != nil {
		t.Fatal(err)
	}
	return io.MultiReader(&head, io.LimitReader(&noise{block: randomBlock()}, size), bytes.NewReader(make([]byte, 1024)))
}

func randomBlock() []byte {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // noise is no secret
	block := make([]byte, 1<<20)
	for i := range block {
		block[i] = byte(r.Uint32()) //nolint:gosec // any eight bits will do
	}
	return block
}

// noise repeats a block that is longer than any compressor's window here.
type noise struct {
	block []byte
	at    int
}

// Read implements io.Reader.
func (n *noise) Read(p []byte) (int, error) {
	m := copy(p, n.block[n.at:])
	n.at = (n.at + m) % len(n.block)
	return m, nil
}

// TestExporter checks what every exporter must do: begin once and before it writes, make the same of any way the stream is cut into
// reads, run many at a time, work at constant memory and no faster than its writer, fail on a broken stream, and end when its
// reader, its writer or its caller does. It returns the product of Tar for the exporter's own tests to look into.
func TestExporter(t *testing.T, h ExporterHarness) (sdk.ExportHeader, []byte) {
	t.Helper()
	whole := Tar(t)
	var product bytes.Buffer
	header, err := h.export(t, context.Background(), bytes.NewReader(whole), &product)
	if err != nil {
		t.Fatalf("exporting: %v", err)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`).MatchString(header.FileName) || header.MediaType == "" || product.Len() == 0 {
		t.Errorf("got %+v and %d bytes; want a plain file name, a media type and a product", header, product.Len())
	}
	t.Run("one byte at a time", func(t *testing.T) {
		var again bytes.Buffer
		if _, err := h.export(t, context.Background(), iotest.OneByteReader(bytes.NewReader(whole)), &again); err != nil || !bytes.Equal(again.Bytes(), product.Bytes()) {
			t.Errorf("got %d bytes, %v; want the same product", again.Len(), err)
		}
	})
	t.Run("an empty workspace", func(t *testing.T) {
		if _, err := h.export(t, context.Background(), bytes.NewReader(make([]byte, 1024)), io.Discard); err != nil {
			t.Errorf("got %v", err)
		}
	})
	t.Run("many at a time", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				var one bytes.Buffer
				if _, err := h.export(t, context.Background(), bytes.NewReader(whole), &one); err != nil || !bytes.Equal(one.Bytes(), product.Bytes()) {
					t.Errorf("got %d bytes, %v; want the same product", one.Len(), err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("what breaks", h.testBreakage)
	t.Run("a caller that gives up", h.testCancel)
	t.Run("a writer that takes nothing", h.testBackpressure)
	t.Run("a big export", h.testMemory)
	return header, product.Bytes()
}

func (h ExporterHarness) export(t *testing.T, ctx context.Context, in io.Reader, out io.Writer) (sdk.ExportHeader, error) { //nolint:revive // t goes first in tests
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var header sdk.ExportHeader
	begun := 0
	req := sdk.ExportRequest{SessionID: "conv-1", Name: "workspace", Options: h.Options}
	err := h.Exporter.Export(ctx, req, in, func(h sdk.ExportHeader) error {
		begun++
		header = h
		return nil
	}, writerFunc(func(p []byte) (int, error) {
		if begun == 0 {
			t.Error("it writes before it has begun")
		}
		return out.Write(p)
	}))
	if begun > 1 || (err == nil && begun != 1) {
		t.Errorf("begin was called %d times", begun)
	}
	return header, err
}

func (h ExporterHarness) testBreakage(t *testing.T) {
	whole := Tar(t)
	gone := errors.New("gone")
	for name, in := range map[string]io.Reader{
		// The archive ends with a block of content and two of zeros.
		"a stream that is cut off in a file":   bytes.NewReader(whole[:len(whole)-3*512+5]),
		"a stream that is cut off in a header": bytes.NewReader(whole[:700]),
		"a stream that is no tar":              bytes.NewReader(bytes.Repeat([]byte("x"), 4096)),
		"a reader that fails early":            iotest.ErrReader(gone),
		"a reader that fails":                  io.MultiReader(bytes.NewReader(whole[:1024]), iotest.ErrReader(gone)),
		"a reader that fails at the very end":  io.MultiReader(bytes.NewReader(whole), iotest.ErrReader(gone)),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := h.export(t, context.Background(), in, io.Discard); err == nil {
				t.Error("it must fail")
			}
		})
	}
	t.Run("a writer that fails", func(t *testing.T) {
		var calls int
		_, err := h.export(t, context.Background(), bigTar(t, 8<<20), writerFunc(func([]byte) (int, error) {
			calls++
			return 0, gone
		}))
		if err == nil || calls > 1 {
			t.Errorf("got %v after %d writes; it must fail at the first", err, calls)
		}
	})
	t.Run("a host that does not want it", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		err := h.Exporter.Export(ctx, sdk.ExportRequest{Name: "x", Options: h.Options}, bytes.NewReader(whole),
			func(sdk.ExportHeader) error { return gone }, writerFunc(func(p []byte) (int, error) {
				t.Error("it writes after begin has failed")
				return len(p), nil
			}))
		if err == nil {
			t.Error("it must fail")
		}
	})
}

func (h ExporterHarness) testCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	// Who does not look at the context gets all of it, and an answer that is not the context's error.
	_, err := h.export(t, ctx, bigTar(t, 4*aheadBound), writerFunc(func(p []byte) (int, error) {
		if n += len(p); n > 1<<20 {
			cancel()
		}
		return len(p), nil
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func (h ExporterHarness) testBackpressure(t *testing.T) {
	var read atomic.Int64
	tooFar := make(chan struct{})
	var once sync.Once
	in := io.TeeReader(bigTar(t, 4*aheadBound), writerFunc(func(p []byte) (int, error) {
		if read.Add(int64(len(p))) > aheadBound {
			once.Do(func() { close(tooFar) })
		}
		return len(p), nil
	}))
	first := true
	_, err := h.export(t, context.Background(), in, writerFunc(func(p []byte) (int, error) {
		if first {
			first = false
			// Nothing can be waited for when nothing should happen, so it gets a while to happen in.
			select {
			case <-tooFar:
				t.Errorf("more than %d bytes were read while nothing was taken", aheadBound)
			case <-time.After(stall):
			}
		}
		return len(p), nil
	}))
	if err != nil {
		t.Error(err)
	}
}

func (h ExporterHarness) testMemory(t *testing.T) {
	inUse := func() int64 {
		if h.PID != 0 {
			return memory(t, h.PID)
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse) //nolint:gosec // far below 2^63
	}
	before, most, next, n := inUse(), int64(0), int64(0), int64(0)
	_, err := h.export(t, context.Background(), bigTar(t, bigExport), writerFunc(func(p []byte) (int, error) {
		if n += int64(len(p)); n > next {
			next += bigExport / 10
			most = max(most, inUse())
		}
		return len(p), nil
	}))
	if err != nil || n < bigExport {
		t.Fatalf("got %d bytes, %v; what can't be packed must come out whole", n, err)
	}
	if more := most - before; more > memoryBound {
		t.Errorf("a tar of %d MiB took %d MiB of memory", bigExport>>20, more>>20)
	}
}

type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
