package sdk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

type exporterFunc func(ctx context.Context, req ExportRequest, tar io.Reader, begin func(ExportHeader) error, out io.Writer) error

func (f exporterFunc) Export(ctx context.Context, req ExportRequest, tar io.Reader, begin func(ExportHeader) error, out io.Writer) error {
	return f(ctx, req, tar, begin, out)
}

// copying passes the tar on as it is.
func copying(_ context.Context, _ ExportRequest, tar io.Reader, begin func(ExportHeader) error, out io.Writer) error {
	if err := begin(ExportHeader{FileName: "a.tar", MediaType: "application/x-tar"}); err != nil {
		return err
	}
	_, err := io.Copy(out, tar)
	return err
}

func ignore(ExportHeader) error { return nil }

func TestAnExportPassesEverythingInOrder(t *testing.T) {
	in := bytes.Repeat([]byte("0123456789abcdef"), 200_000) // six chunks and a rest
	var seen ExportRequest
	e := configured(t, ServeConfig{Exporter: exporterFunc(
		func(ctx context.Context, req ExportRequest, tar io.Reader, begin func(ExportHeader) error, out io.Writer) error {
			seen = req
			return copying(ctx, req, tar, begin, out)
		})}).Exporter
	req := ExportRequest{SessionID: "s", Name: "n", Options: []byte(`{"a":1}`)}
	for name, reader := range map[string]io.Reader{
		"at once": bytes.NewReader(in), "with short reads": iotest.HalfReader(bytes.NewReader(in)),
		"with the end in the last read": iotest.DataErrReader(bytes.NewReader(in)),
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			var header ExportHeader
			err := e.Export(t.Context(), req, reader, func(h ExportHeader) error {
				if out.Len() > 0 {
					t.Error("written before begun")
				}
				header = h
				return nil
			}, &out)
			if err != nil || !bytes.Equal(out.Bytes(), in) || header.FileName != "a.tar" || header.MediaType != "application/x-tar" {
				t.Errorf("got %d bytes, %+v, %v", out.Len(), header, err)
			}
			if seen.SessionID != "s" || seen.Name != "n" || string(seen.Options) != `{"a":1}` {
				t.Errorf("the exporter saw %+v", seen)
			}
		})
	}
}

func TestExportersThatBreakTheContractFail(t *testing.T) {
	h := ExportHeader{FileName: "f", MediaType: "m"}
	for name, c := range map[string]struct {
		f    exporterFunc
		want string
	}{
		"never begins": {func(_ context.Context, _ ExportRequest, tar io.Reader, _ func(ExportHeader) error, _ io.Writer) error {
			_, err := io.Copy(io.Discard, tar)
			return err
		}, "produced nothing"},
		"begins twice": {func(_ context.Context, _ ExportRequest, _ io.Reader, begin func(ExportHeader) error, _ io.Writer) error {
			return errors.Join(begin(h), begin(h))
		}, "begin was called twice"},
		"writes a little first": {func(_ context.Context, _ ExportRequest, _ io.Reader, begin func(ExportHeader) error, out io.Writer) error {
			_, err := out.Write([]byte("x"))
			return errors.Join(err, begin(h))
		}, "wrote before it began"},
		"writes much first": {func(_ context.Context, _ ExportRequest, _ io.Reader, _ func(ExportHeader) error, out io.Writer) error {
			_, err := out.Write(make([]byte, 2*chunk))
			return err
		}, "wrote before it began"},
		"fails after all": {func(ctx context.Context, r ExportRequest, tar io.Reader, begin func(ExportHeader) error, out io.Writer) error {
			return errors.Join(copying(ctx, r, tar, begin, out), Permanent(errors.New("the bucket is gone")))
		}, "the bucket is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			e := configured(t, ServeConfig{Exporter: c.f}).Exporter
			err := e.Export(t.Context(), ExportRequest{}, bytes.NewReader(make([]byte, 3*chunk)), ignore, io.Discard)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestAnExporterThatStopsReadingEarlyStillSeesToTheEnd(t *testing.T) {
	lazy := exporterFunc(func(_ context.Context, _ ExportRequest, _ io.Reader, begin func(ExportHeader) error, out io.Writer) error {
		if err := begin(ExportHeader{FileName: "f", MediaType: "m"}); err != nil {
			return err
		}
		_, err := out.Write([]byte("all I need"))
		return err
	})
	e := configured(t, ServeConfig{Exporter: lazy}).Exporter
	var out bytes.Buffer
	if err := e.Export(t.Context(), ExportRequest{}, bytes.NewReader(make([]byte, 40*chunk)), ignore, &out); err != nil || out.String() != "all I need" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	// Its product is complete before the tar is, and yet a tar that breaks later is no success.
	broken := io.MultiReader(bytes.NewReader(make([]byte, 40*chunk)), iotest.ErrReader(errors.New("the sandbox is gone")))
	if err := e.Export(t.Context(), ExportRequest{}, broken, ignore, io.Discard); err == nil || !strings.Contains(err.Error(), "the sandbox is gone") {
		t.Errorf("got %v", err)
	}
}

func TestABrokenTarNeverEndsCleanlyForTheExporter(t *testing.T) {
	for name, tail := range map[string]io.Reader{
		"an error":          iotest.ErrReader(errors.New("the sandbox is gone")),
		"an unexpected end": iotest.ErrReader(io.ErrUnexpectedEOF),
	} {
		t.Run(name, func(t *testing.T) {
			var clean atomic.Bool
			ended := make(chan struct{})
			e := configured(t, ServeConfig{Exporter: exporterFunc(
				func(ctx context.Context, r ExportRequest, tar io.Reader, begin func(ExportHeader) error, out io.Writer) error {
					defer close(ended)
					err := copying(ctx, r, tar, begin, out)
					clean.Store(err == nil)
					return err
				})}).Exporter
			err := e.Export(t.Context(), ExportRequest{}, io.MultiReader(bytes.NewReader(make([]byte, chunk+7)), tail), ignore, io.Discard)
			if err == nil || !strings.HasPrefix(err.Error(), "reading the workspace: ") {
				t.Errorf("got %v", err)
			}
			<-ended
			if clean.Load() {
				t.Error("the exporter took a broken tar for a whole one")
			}
		})
	}
}

func TestWhoReceivesCanEndAnExport(t *testing.T) {
	endless := func() io.Reader { return iotest.HalfReader(zeros{}) }
	for name, export := range map[string]func(ctx context.Context, cancel func(), e Exporter) error{
		"begin fails": func(ctx context.Context, _ func(), e Exporter) error {
			return e.Export(ctx, ExportRequest{}, endless(), func(ExportHeader) error { return errors.New("stop") }, io.Discard)
		},
		"a write fails": func(ctx context.Context, _ func(), e Exporter) error {
			return e.Export(ctx, ExportRequest{}, endless(), ignore, writerFunc(func([]byte) (int, error) { return 0, errors.New("stop") }))
		},
		"the caller gives up": func(ctx context.Context, cancel func(), e Exporter) error {
			err := e.Export(ctx, ExportRequest{}, endless(), ignore, writerFunc(func(p []byte) (int, error) {
				cancel()
				return len(p), nil
			}))
			if errors.Is(err, context.Canceled) {
				return errors.New("stop")
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			e := configured(t, ServeConfig{Exporter: exporterFunc(
				func(ctx context.Context, r ExportRequest, tar io.Reader, begin func(ExportHeader) error, out io.Writer) error {
					defer close(ended)
					return copying(ctx, r, tar, begin, out)
				})}).Exporter
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if err := export(ctx, cancel, e); err == nil || err.Error() != "stop" {
				t.Errorf("got %v", err)
			}
			<-ended
		})
	}
}

// TestAReaderWaitsForItsWriter is the backpressure: while nobody takes the product, the tar is not read any further.
func TestAReaderWaitsForItsWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const total = 32 << 20
		e := configured(t, ServeConfig{Exporter: exporterFunc(copying)}).Exporter
		var read, written, ahead int64
		in := io.TeeReader(io.LimitReader(zeros{}, total), writerFunc(func(p []byte) (int, error) {
			atomic.AddInt64(&read, int64(len(p)))
			return len(p), nil
		}))
		err := e.Export(t.Context(), ExportRequest{}, in, ignore, writerFunc(func(p []byte) (int, error) {
			synctest.Wait() // until everybody else is stuck
			ahead = max(ahead, atomic.LoadInt64(&read)-written)
			written += int64(len(p))
			return len(p), nil
		}))
		if err != nil || written != total {
			t.Fatalf("got %d bytes, %v", written, err)
		}
		if ahead > 8<<20 {
			t.Errorf("the reader was %d bytes ahead", ahead)
		}
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
