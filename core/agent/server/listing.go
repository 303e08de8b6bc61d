package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"

	"go.uber.org/zap"

	"github.com/agcluster/agcluster/core/agent"
)

const (
	listingBuffer = 32 << 10
	archiveBuffer = 256 << 10
)

// tree streams entries as JSON lines.
func (s *Server) tree(w http.ResponseWriter, r *http.Request) error {
	out := &started{ResponseWriter: w, kind: "application/jsonl"}
	buf := bufio.NewWriterSize(out, listingBuffer)
	enc := json.NewEncoder(buf)
	err := s.files.Tree(r.Context(), r.URL.Query().Get("path"), func(e agent.Entry) error {
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("sending an entry: %w", err)
		}
		return nil
	})
	return s.finish(out, r, buf, err)
}

// archive streams a tar.
func (s *Server) archive(w http.ResponseWriter, r *http.Request) error {
	var req agent.ArchiveRequest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	paths := make([]string, len(req.Paths))
	for i, p := range req.Paths {
		paths[i] = string(p)
	}
	write, err := s.files.Archive(paths)
	if err != nil {
		return err
	}
	out := &started{ResponseWriter: w, kind: "application/x-tar"}
	buf := bufio.NewWriterSize(out, archiveBuffer)
	return s.finish(out, r, buf, write(r.Context(), buf))
}

// finish ends a streamed answer: cleanly, with an error when nothing was sent yet, else by breaking it off.
func (s *Server) finish(out *started, r *http.Request, buf *bufio.Writer, err error) error {
	if err != nil && !out.began {
		return err
	}
	if err == nil {
		err = buf.Flush()
	}
	if err == nil {
		out.begin()
		return nil
	}
	if r.Context().Err() == nil {
		s.log.Warn("breaking off an answer", zap.String("path", r.URL.Path), zap.Error(err))
	}
	breakOff(out.ResponseWriter)
	return nil
}

// started notes whether anything of an answer was sent.
type started struct {
	http.ResponseWriter
	kind  string
	began bool
}

func (o *started) begin() {
	if !o.began {
		o.began = true
		o.Header().Set("Content-Type", o.kind)
		o.WriteHeader(http.StatusOK)
	}
}

// Write implements io.Writer.
func (o *started) Write(b []byte) (int, error) {
	o.begin()
	return o.ResponseWriter.Write(b)
}
