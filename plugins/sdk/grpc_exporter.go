package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	pluginv1 "github.com/agcluster/agcluster/plugins/proto/agcluster/plugin/v1"
)

// chunk is how many bytes one message of an export carries.
const chunk = 512 << 10

type exporterServer struct {
	pluginv1.UnimplementedExporterServiceServer
	impl Exporter
}

// Export implements ExporterServiceServer.
func (s *exporterServer) Export(stream grpc.BidiStreamingServer[pluginv1.ExportRequest, pluginv1.ExportResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return toStatus(Permanent(errors.New("an export begins with its start message")))
	}
	tar := &chunkReader{next: func() ([]byte, error) {
		m, err := stream.Recv()
		return m.GetChunk(), err
	}}
	begun := false
	out := &chunkWriter{send: func(p []byte) error {
		if !begun {
			return errors.New("the exporter wrote before it began")
		}
		return stream.Send(&pluginv1.ExportResponse{Part: &pluginv1.ExportResponse_Chunk{Chunk: p}})
	}}
	begin := func(h ExportHeader) error {
		if begun {
			return errors.New("begin was called twice")
		}
		if len(out.buf) > 0 {
			return errors.New("the exporter wrote before it began")
		}
		begun = true
		return stream.Send(&pluginv1.ExportResponse{Part: &pluginv1.ExportResponse_Header{
			Header: &pluginv1.ExportHeader{FileName: h.FileName, MediaType: h.MediaType},
		}})
	}
	req := ExportRequest{SessionID: start.GetSessionId(), Name: start.GetName(), Options: start.GetOptions()}
	if err := s.impl.Export(stream.Context(), req, tar, begin, out); err != nil {
		return toStatus(err)
	}
	if !begun {
		return toStatus(errors.New("the exporter produced nothing"))
	}
	// A product counts only when the tar came to its clean end: the host says so by closing its side, and breaks the call off when
	// its own reader failed. An exporter may have stopped at the archive's end mark, so what follows it is read here.
	if _, err := io.Copy(io.Discard, tar); err != nil {
		return toStatus(fmt.Errorf("reading the workspace: %w", err))
	}
	return toStatus(out.flush())
}

type exporterClient struct {
	c pluginv1.ExporterServiceClient
}

var _ Exporter = (*exporterClient)(nil)

// Export implements Exporter. It returns only when nothing of it reads tar or writes to out any more.
func (e *exporterClient) Export(
	ctx context.Context, req ExportRequest, tar io.Reader, begin func(ExportHeader) error, out io.Writer,
) error {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := e.c.Export(ctx)
	if err != nil {
		cancel()
		return fromStatus(ctx, err)
	}
	sent := make(chan error, 1)
	go func() { sent <- send(stream, req, tar, cancel) }()
	err = receive(ctx, stream, begin, out)
	cancel()
	// A reader that blocks on tar is its owner's to end; it ends with the request.
	sendErr := <-sent
	switch {
	case errors.Is(sendErr, errUnread) && err == nil:
		return errUnread
	case sendErr != nil && !errors.Is(sendErr, errUnread) && (err == nil || errors.Is(err, context.Canceled)):
		return sendErr
	}
	return err
}

// errUnread says that the exporter ended well before it had the whole tar: its product lacks something.
var errUnread = errors.New("the exporter ended before it had read the workspace")

// send passes tar on. It returns errUnread when the other side has ended first; the receiving side then has the reason, if any.
func send(
	stream grpc.BidiStreamingClient[pluginv1.ExportRequest, pluginv1.ExportResponse], req ExportRequest, tar io.Reader, abort func(),
) error {
	err := stream.Send(&pluginv1.ExportRequest{Part: &pluginv1.ExportRequest_Start{
		Start: &pluginv1.ExportStart{SessionId: req.SessionID, Name: req.Name, Options: req.Options},
	}})
	for err == nil {
		// gRPC may keep a message until it is sent, so every chunk has a buffer of its own.
		buf := make([]byte, chunk)
		n, readErr := fill(tar, buf)
		if n > 0 {
			err = stream.Send(&pluginv1.ExportRequest{Part: &pluginv1.ExportRequest_Chunk{Chunk: buf[:n]}})
		}
		if errors.Is(readErr, io.EOF) {
			break
		}
		if readErr != nil {
			// Without this the plugin would take what it has for the whole.
			abort()
			return fmt.Errorf("reading the workspace: %w", readErr)
		}
	}
	if err != nil {
		return errUnread
	}
	_ = stream.CloseSend() // it never fails for a stream that is open
	return nil
}

// fill reads until buf is full. Unlike io.ReadFull it does not hide an io.ErrUnexpectedEOF of r, which means that r was cut off.
func fill(r io.Reader, buf []byte) (int, error) {
	n := 0
	for n < len(buf) {
		m, err := r.Read(buf[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func receive(
	ctx context.Context, stream grpc.BidiStreamingClient[pluginv1.ExportRequest, pluginv1.ExportResponse],
	begin func(ExportHeader) error, out io.Writer,
) error {
	begun := false
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			if !begun {
				return errors.New("the exporter produced nothing")
			}
			return nil
		}
		if err != nil {
			return fromStatus(ctx, err)
		}
		if h := m.GetHeader(); h != nil {
			if begun {
				return errors.New("the exporter began twice")
			}
			begun = true
			if err := begin(ExportHeader{FileName: h.GetFileName(), MediaType: h.GetMediaType()}); err != nil {
				return err
			}
			continue
		}
		if !begun {
			return errors.New("the exporter wrote before it began")
		}
		if _, err := out.Write(m.GetChunk()); err != nil {
			return err
		}
	}
}

// chunkReader is a reader over messages.
type chunkReader struct {
	next func() ([]byte, error)
	rest []byte
	err  error
}

// Read implements io.Reader.
func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.rest, r.err = r.next()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// chunkWriter gathers small writes into messages.
type chunkWriter struct {
	send func([]byte) error
	buf  []byte
}

// Write implements io.Writer.
func (w *chunkWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if w.buf == nil {
			w.buf = make([]byte, 0, chunk)
		}
		take := min(len(p), chunk-len(w.buf))
		w.buf = append(w.buf, p[:take]...)
		p = p[take:]
		if len(w.buf) == chunk {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (w *chunkWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	p := w.buf
	w.buf = nil
	return w.send(p)
}
