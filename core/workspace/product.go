package workspace

import (
	"errors"
	"io"
	"mime"
	"strings"
	"sync"

	"github.com/agcluster/agcluster/plugins/sdk"
)

// heldBack is how many bytes of a product are kept until the first goes out, so that what fails early, or small, can still be
// answered as a failure.
const heldBack = 1 << 20

// product is what an exporter makes. It is written by the exporter and asked by the filter.
type product struct {
	begin func(sdk.ExportHeader) error
	out   io.Writer

	mu     sync.Mutex
	header *sdk.ExportHeader
	held   []byte
	begun  bool
	count  int64
}

// head keeps what the exporter calls its product, as far as it is fit for a header.
func (p *product) head(h sdk.ExportHeader) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.header != nil {
		return errors.New("the exporter began twice")
	}
	if h.FileName == "" || len(h.FileName) > maxName || strings.ContainsFunc(h.FileName, notInName) || strings.Trim(h.FileName, ".") == "" {
		return errors.New("the exporter gave its product an impossible name")
	}
	if _, _, err := mime.ParseMediaType(h.MediaType); err != nil || strings.ContainsAny(h.MediaType, "\r\n") {
		h.MediaType = octetStream
	}
	p.header = &h
	return nil
}

// Write implements io.Writer.
func (p *product) Write(b []byte) (int, error) {
	p.mu.Lock()
	if p.header == nil {
		p.mu.Unlock()
		return 0, errors.New("the exporter wrote before it began")
	}
	p.count += int64(len(b))
	if !p.begun && len(p.held)+len(b) <= heldBack {
		p.held = append(p.held, b...)
		p.mu.Unlock()
		return len(b), nil
	}
	p.mu.Unlock()
	if err := p.flush(); err != nil {
		return 0, err
	}
	return p.out.Write(b)
}

// flush begins and writes what is held. Only the exporter's goroutine calls it, and after that finish.
func (p *product) flush() error {
	if p.begun {
		return nil
	}
	if err := p.begin(*p.header); err != nil {
		return err
	}
	p.begun = true
	_, err := p.out.Write(p.held)
	p.held = nil
	return err
}

// finish writes what is held when all of it is known to be good.
func (p *product) finish() error {
	if p.header == nil {
		return errors.New("the exporter produced nothing")
	}
	return p.flush()
}

func (p *product) bytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// packed says how many bytes the product has so far, and whether it is an archive at all: a receipt (JSON or text, as of an
// exporter that sends the workspace elsewhere) holds nothing that could be unpacked.
func (p *product) packed() (n int64, archive bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.header == nil {
		return 0, false
	}
	kind, _, _ := mime.ParseMediaType(p.header.MediaType)
	return p.count, kind != "application/json" && !strings.HasPrefix(kind, "text/")
}
