package workspace

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/agcluster/agcluster/core/agent"
	"github.com/agcluster/agcluster/plugins/sdk"
)

// client is who gets an export.
type client struct {
	bytes.Buffer
	began []sdk.ExportHeader
	err   error
}

func (c *client) begin(h sdk.ExportHeader) error {
	c.began = append(c.began, h)
	return nil
}

// Write implements io.Writer.
func (c *client) Write(p []byte) (int, error) {
	if len(c.began) == 0 {
		return 0, errors.New("a byte before begin")
	}
	if c.err != nil {
		return 0, c.err
	}
	return c.Buffer.Write(p)
}

func (r rig) export(req ExportRequest) (*client, Exported, error) {
	c := &client{}
	done, err := r.Export(context.Background(), r.id, req, c.begin, c)
	return c, done, err
}

func TestExportTakesAllThatMayLeave(t *testing.T) {
	long := strings.Repeat("long/", 40) + strings.Repeat("n", 200)
	r := start(t, newBox(map[string]string{
		"src/main.go": "package main\n", "src/a-b": "1", "src-b": "2", "empty/": "", "empty.txt": "", "link@": "src/main.go",
		"src/up@": "../src-b", "new\nline": "3", "bad\xff\xfe": "4", `q"uote'`: "5", "\u202Etxt.exe": "6", "a..b": "7", "日本": "8", long: "9",
		"pipe!": "", "out@": "/etc/passwd", "climb@": "../x", "ws@": "/workspace/src",
	}), Config{}, exporter(plain))
	c, done, err := r.export(ExportRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"src": "/", "src/main.go": "package main\n", "src/a-b": "1", "src-b": "2", "empty": "/", "empty.txt": "", "link": "-> src/main.go",
		"src/up": "-> ../src-b", "new\nline": "3", "bad\xff\xfe": "4", `q"uote'`: "5", "\u202Etxt.exe": "6", "a..b": "7", "日本": "8", long: "9",
	}
	for up := parent(long); up != ""; up = parent(up) {
		want[up] = "/"
	}
	if got := tarOf(t, c.Bytes()); !maps.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if len(c.began) != 1 || c.began[0] != tarHeader {
		t.Errorf("began with %+v", c.began)
	}
	wantDone := Exported{Entries: int64(len(want)), Bytes: 13 + 9 + 11 + 8, Dropped: 4, BytesOut: int64(c.Len())}
	wantDone.Bytes = 13 + 11 + 8 // main.go and two links
	for _, v := range want {
		if len(v) == 1 && v != "/" || len(v) == 3 {
			wantDone.Bytes += int64(len(v))
		}
	}
	if done != wantDone {
		t.Errorf("got %+v, want %+v", done, wantDone)
	}
	for p := range want {
		if !r.gates.asked("read", strings.ToValidUTF8(p, "\uFFFD")) {
			t.Errorf("the gate was not asked for %q", p)
		}
	}
}

func TestExportOfSomePaths(t *testing.T) {
	r := start(t, newBox(map[string]string{
		"a/b/c": "1", "a/d": "2", "a-b": "3", "e": "4", "to@": "a", "f/": "", "g@": "e",
	}), Config{}, exporter(plain))
	for _, c := range []struct {
		paths []string
		want  string
	}{
		{[]string{"a"}, "map[a:/ a/b:/ a/b/c:1 a/d:2]"},
		{[]string{"a/b/c", "a-b", "a/b", "a/b/"}, "map[a-b:3 a/b:/ a/b/c:1]"},
		{[]string{"/workspace/e", "f"}, "map[e:4 f:/]"},
		{[]string{"e", ""}, "map[a:/ a-b:3 a/b:/ a/b/c:1 a/d:2 e:4 f:/ g:-> e to:-> a]"},
		{[]string{"to"}, "map[to:-> a]"},
		{[]string{"to/b", "a/b/c"}, "map[a/b:/ a/b/c:1]"},
	} {
		out, _, err := r.export(ExportRequest{Paths: c.paths})
		if err != nil {
			t.Errorf("%q: %v", c.paths, err)
			continue
		}
		if got := fmt.Sprint(tarOf(t, out.Bytes())); got != c.want {
			t.Errorf("%q: got %s, want %s", c.paths, got, c.want)
		}
	}
}

func TestAnExportThatIsRefusedSendsNothing(t *testing.T) {
	many := make([]string, maxExportPaths+1)
	for name, c := range map[string]struct {
		req   ExportRequest
		gates func(*gates)
		want  func(error) bool
	}{
		"entries over the limit":  {ExportRequest{}, func(g *gates) { g.maxEntries = 3 }, isOverLimit("max_entries")},
		"bytes over the limit":    {ExportRequest{}, func(g *gates) { g.maxBytes = 13 }, isOverLimit("max_bytes")},
		"packed too far":          {ExportRequest{}, func(g *gates) { g.maxRatio = 0.0001 }, isOverLimit("max_ratio")},
		"a denied path":           {ExportRequest{}, func(g *gates) { g.denied["read d/.env"] = true }, isRefused},
		"a denied root":           {ExportRequest{Paths: []string{"d"}}, func(g *gates) { g.denied["read d"] = true }, isRefused},
		"a path that is not":      {ExportRequest{Paths: []string{"a", "none"}}, nil, is(ErrNotFound)},
		"a path that leaves":      {ExportRequest{Paths: []string{"out/passwd"}}, nil, is(ErrForbidden)},
		"a bad path":              {ExportRequest{Paths: []string{"../a"}}, nil, isInvalidPath},
		"too many paths":          {ExportRequest{Paths: many}, nil, tooLarge("paths", "", maxExportPaths, maxExportPaths+1)},
		"an unknown exporter":     {ExportRequest{Exporter: "rar"}, nil, isInvalid("exporter")},
		"a bad name":              {ExportRequest{Name: "a/b"}, nil, isInvalid("name")},
		"a name of dots":          {ExportRequest{Name: ".."}, nil, isInvalid("name")},
		"a long name":             {ExportRequest{Name: strings.Repeat("x", 101)}, nil, isInvalid("name")},
		"options of another kind": {ExportRequest{Options: json.RawMessage(`[]`)}, nil, isInvalid("options")},
		"null options":            {ExportRequest{Options: json.RawMessage(`null`)}, nil, isInvalid("options")},
		"broken options":          {ExportRequest{Options: json.RawMessage(`{"a"`)}, nil, isInvalid("options")},
		"large options":           {ExportRequest{Options: bytes.Repeat([]byte(" "), maxOptions+1)}, nil, tooLarge("options", "", maxOptions, maxOptions+1)},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, newBox(map[string]string{"a": "12345", "d/.env": "12345", "out@": "/etc"}), Config{}, exporter(plain))
			if c.gates != nil {
				c.gates(r.gates)
			}
			out, _, err := r.export(c.req)
			if !c.want(err) || strings.Contains(fmt.Sprint(err), "/secret/place") {
				t.Errorf("got %v", err)
			}
			if len(out.began) > 0 || out.Len() > 0 {
				t.Errorf("%d bytes left, began %v", out.Len(), out.began)
			}
		})
	}
	r := start(t, newBox(map[string]string{"a": "", "b": "", "c": ""}), Config{MaxExportEntries: 2}, exporter(plain))
	if out, _, err := r.export(ExportRequest{}); !tooLarge("entries", "", 2, 3)(err) || len(out.began) > 0 {
		t.Errorf("got %v", err)
	}
}

func isOverLimit(limit string) func(error) bool {
	return func(err error) bool {
		var large *TooLargeError
		return errors.As(err, &large) && large.What == "archive" && isRefused(err) && strings.Contains(err.Error(), limit)
	}
}

func TestTheGateHearsBatchesWithRunningTotals(t *testing.T) {
	b := newBox(nil)
	for i := range 125 {
		b.put(fmt.Sprintf("f%04d", i), "xy")
	}
	r := start(t, b, Config{}, exporter(plain))
	if _, _, err := r.export(ExportRequest{}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range r.gates.batches {
		got = append(got, fmt.Sprintf("%s %d %d %d %v", b.Op, len(b.Entries), b.EntriesBefore, b.BytesBefore, b.BytesOut > 0))
	}
	want := "[export 50 0 0 false export 50 50 100 false export 25 100 200 false export 0 125 250 true]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// zeros is an archive of one file of n zeros, never in memory.
func zeros(n int64) func() io.ReadCloser {
	return func() io.ReadCloser {
		var head bytes.Buffer
		w := tar.NewWriter(&head)
		if err := w.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: n, Mode: 0o644}); err != nil {
			return io.NopCloser(iotest.ErrReader(err))
		}
		return io.NopCloser(io.MultiReader(&head, io.LimitReader(zero{}, n+1024)))
	}
}

type zero struct{}

// Read implements io.Reader.
func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// packer writes one byte for n of its input, as a zip of zeros does.
func packer(n int, h sdk.ExportHeader) exporter {
	return func(in io.Reader, begin func(sdk.ExportHeader) error, out io.Writer) error {
		if err := begin(h); err != nil {
			return err
		}
		buf := make([]byte, n*1000)
		for {
			got, err := io.ReadFull(in, buf)
			if _, err := out.Write(buf[:got/n]); err != nil {
				return err
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
}

func TestTheRatioIsWatchedWhileItPacks(t *testing.T) {
	const size = 32 << 20
	for name, c := range map[string]struct {
		n      int
		header sdk.ExportHeader
		fails  bool
		// most is how many bytes may be read before the export ends.
		most int64
	}{
		"far over the limit":         {1000, sdk.ExportHeader{FileName: "w.zip", MediaType: "application/zip"}, true, 24 << 20},
		"over the limit at the end":  {21, sdk.ExportHeader{FileName: "w.zip", MediaType: "application/zip"}, true, size},
		"within the limit":           {19, sdk.ExportHeader{FileName: "w.zip", MediaType: "application/zip"}, false, size},
		"a receipt is no archive":    {1000, sdk.ExportHeader{FileName: "w.json", MediaType: "application/json; charset=utf-8"}, false, size},
		"an unknown type is watched": {1000, sdk.ExportHeader{FileName: "w.bin", MediaType: "%%%"}, true, 24 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(nil)
			b.listing = []agent.Entry{{Path: "zeros", Type: agent.EntryFile, Size: size}}
			b.archive = zeros(size)
			r := start(t, b, Config{}, packer(c.n, c.header))
			r.gates.maxRatio = 20
			out, done, err := r.export(ExportRequest{})
			if c.fails != isOverLimit("max_ratio")(err) || (err != nil) != c.fails || done.Bytes > c.most {
				t.Errorf("got %v after %d MiB", err, done.Bytes>>20)
			}
			// What is far over the limit ends before it has begun.
			if began := len(out.began) > 0; began == (c.n == 1000 && c.fails) {
				t.Errorf("began: %v", began)
			}
		})
	}
}

func TestABrokenTransferIsNeverACleanEnd(t *testing.T) {
	oops := errors.New("oops")
	whole := func() *box { return newBox(map[string]string{"a": strings.Repeat("x", 3<<20), "b": "y"}) }
	cutBox := func(n int64, err error) *box {
		b := whole()
		honest := whole()
		b.archive = func() io.ReadCloser {
			in, _ := honest.Archive(context.Background(), nil)
			return struct {
				io.Reader
				io.Closer
			}{io.MultiReader(io.LimitReader(in, n), iotest.ErrReader(err)), in}
		}
		return b
	}
	for name, c := range map[string]struct {
		box      *box
		exporter exporter
		client   client
		want     func(error) bool
		begins   bool
	}{
		"the sandbox breaks off early":  {cutBox(100, io.ErrUnexpectedEOF), plain, client{}, is(ErrGone), false},
		"the sandbox breaks off late":   {cutBox(2<<20, io.ErrUnexpectedEOF), plain, client{}, is(ErrGone), true},
		"the sandbox ends in a file":    {cutBox(2<<20, io.EOF), plain, client{}, is(ErrGone), true},
		"the client goes":               {whole(), plain, client{err: oops}, is(oops), true},
		"the exporter fails":            {whole(), func(io.Reader, func(sdk.ExportHeader) error, io.Writer) error { return oops }, client{}, is(oops), false},
		"the exporter hides an error":   {cutBox(100, io.ErrUnexpectedEOF), hiding, client{}, is(ErrGone), false},
		"the exporter stops early":      {whole(), lazy, client{}, isError("did not read the workspace to its end"), false},
		"the exporter makes nothing":    {whole(), silent, client{}, isError("produced nothing"), false},
		"the exporter writes too early": {whole(), early, client{}, isError("before it began"), false},
		"the exporter begins twice":     {whole(), twice, client{}, isError("began twice"), false},
		"the exporter names it badly": {whole(), func(_ io.Reader, begin func(sdk.ExportHeader) error, _ io.Writer) error {
			return begin(sdk.ExportHeader{FileName: "a\r\nb", MediaType: "x/y"})
		}, client{}, isError("impossible name"), false},
	} {
		t.Run(name, func(t *testing.T) {
			out := &c.client
			_, err := start(t, c.box, Config{}, c.exporter).Export(context.Background(), "s", ExportRequest{}, out.begin, out)
			if !c.want(err) || (len(out.began) > 0) != c.begins {
				t.Errorf("got %v, began %v", err, out.began)
			}
		})
	}
}

func isError(text string) func(error) bool {
	return func(err error) bool { return err != nil && strings.Contains(err.Error(), text) }
}

func hiding(in io.Reader, begin func(sdk.ExportHeader) error, out io.Writer) error {
	_ = plain(in, begin, out)
	return nil
}

func lazy(in io.Reader, begin func(sdk.ExportHeader) error, _ io.Writer) error {
	if err := begin(tarHeader); err != nil {
		return err
	}
	_, err := in.Read(make([]byte, 10))
	return err
}

func silent(in io.Reader, _ func(sdk.ExportHeader) error, _ io.Writer) error {
	_, err := io.Copy(io.Discard, in)
	return err
}

func early(_ io.Reader, _ func(sdk.ExportHeader) error, out io.Writer) error {
	_, err := out.Write([]byte("x"))
	return err
}

func twice(_ io.Reader, begin func(sdk.ExportHeader) error, _ io.Writer) error {
	return errors.Join(begin(tarHeader), begin(tarHeader))
}

func TestAnExportEndsWithItsCaller(t *testing.T) {
	b := newBox(map[string]string{"a": "x"})
	pr, pw := io.Pipe()
	b.archive = func() io.ReadCloser { return pr }
	ctx, cancel := context.WithCancel(context.Background())
	// The sandbox stalls; the agent client would fail its reads when ctx ends.
	stop := context.AfterFunc(ctx, func() { _ = pw.CloseWithError(context.Canceled) })
	defer stop()
	r := start(t, b, Config{}, exporter(func(in io.Reader, begin func(sdk.ExportHeader) error, out io.Writer) error {
		cancel()
		return plain(in, begin, out)
	}))
	out := &client{}
	if _, err := r.Export(ctx, "s", ExportRequest{}, out.begin, out); !errors.Is(err, context.Canceled) || len(out.began) > 0 {
		t.Errorf("got %v", err)
	}
}

func TestAnExportIsNotHeldInMemory(t *testing.T) {
	const size = 64 << 20
	b := newBox(nil)
	b.listing = []agent.Entry{{Path: "zeros", Type: agent.EntryFile, Size: size}}
	b.archive = zeros(size)
	r := start(t, b, Config{}, exporter(plain))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	done, err := r.Export(context.Background(), "s", ExportRequest{}, func(sdk.ExportHeader) error { return nil }, io.Discard)
	runtime.ReadMemStats(&after)
	if err != nil || done.Bytes != size {
		t.Fatalf("got %+v, %v", done, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
		t.Errorf("%d bytes were allocated on the way", used)
	}
}

func TestAnEmptyWorkspaceCanBeExported(t *testing.T) {
	c, done, err := start(t, newBox(nil), Config{}, exporter(plain)).export(ExportRequest{Name: "my-work_1.0", Options: json.RawMessage(`{"level":1}`)})
	if err != nil || done.Entries != 0 || len(c.began) != 1 || len(tarOf(t, c.Bytes())) != 0 {
		t.Errorf("got %+v, %v", done, err)
	}
}

func BenchmarkExport(b *testing.B) {
	for name, size := range map[string]int{"5000 x 1 KiB": 1 << 10, "50 x 4 MiB": 4 << 20} {
		b.Run(name, func(b *testing.B) {
			bx := newBox(nil)
			n := 5000
			if size > 1<<20 {
				n = 50
			}
			content := strings.Repeat("x", size)
			for i := range n {
				bx.put(fmt.Sprintf("d%d/f%d", i%50, i), content)
			}
			r := start(b, bx, Config{}, exporter(plain))
			b.SetBytes(int64(n * size))
			b.ReportAllocs()
			for b.Loop() {
				r.gates.paths, r.gates.batches = nil, nil
				_, err := r.Export(context.Background(), "s", ExportRequest{}, func(sdk.ExportHeader) error { return nil }, io.Discard)
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
