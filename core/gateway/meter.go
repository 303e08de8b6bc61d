package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"sync"

	"github.com/agcluster/agcluster/core/event"
)

// maxLine bounds what the meter keeps of one line of a stream, maxBody of a JSON answer. Lines that carry usage are short, and in
// a JSON answer it is at the end, so a longer body is counted as nothing rather than held.
const (
	maxLine = 64 << 10
	maxBody = 8 << 20
)

// meter reads usage off an answer as it passes, without delaying a byte.
type meter struct {
	io.ReadCloser
	stream bool
	report func(event.Usage)
	once   sync.Once

	line     []byte
	overlong bool
	body     bytes.Buffer
	usage    event.Usage
}

func newMeter(body io.ReadCloser, stream bool, report func(event.Usage)) *meter {
	return &meter{ReadCloser: body, stream: stream, report: report}
}

type usage struct {
	Input      int64 `json:"input_tokens"`
	Output     int64 `json:"output_tokens"`
	CacheRead  int64 `json:"cache_read_input_tokens"`
	CacheWrite int64 `json:"cache_creation_input_tokens"`
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.look(p[:n])
	if err != nil {
		m.finish()
	}
	return n, err
}

// Close implements io.Closer; a broken answer counts as far as it came.
func (m *meter) Close() error {
	m.finish()
	return m.ReadCloser.Close()
}

func (m *meter) look(p []byte) {
	if !m.stream {
		if m.body.Len()+len(p) <= maxBody {
			m.body.Write(p)
		} else {
			m.overlong = true
		}
		return
	}
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		chunk := p
		if i >= 0 {
			chunk = p[:i]
		}
		if len(m.line)+len(chunk) <= maxLine {
			m.line = append(m.line, chunk...)
		} else {
			m.overlong = true
		}
		if i < 0 {
			return
		}
		if !m.overlong {
			m.event(m.line)
		}
		m.line, m.overlong = m.line[:0], false
		p = p[i+1:]
	}
}

func (m *meter) event(line []byte) {
	data, ok := bytes.CutPrefix(line, []byte("data:"))
	if !ok || !bytes.Contains(data, []byte(`"usage"`)) {
		return
	}
	var e struct {
		Message struct {
			Usage usage `json:"usage"`
		} `json:"message"`
		Usage usage `json:"usage"`
	}
	if json.Unmarshal(data, &e) != nil {
		return
	}
	// message_start has the input, message_delta the running total of the output (and, from newer models, the input again).
	for _, u := range []usage{e.Message.Usage, e.Usage} {
		m.usage.InputTokens = max(m.usage.InputTokens, u.Input)
		m.usage.OutputTokens = max(m.usage.OutputTokens, u.Output)
		m.usage.CacheReadTokens = max(m.usage.CacheReadTokens, u.CacheRead)
		m.usage.CacheWriteTokens = max(m.usage.CacheWriteTokens, u.CacheWrite)
	}
}

func (m *meter) finish() {
	m.once.Do(func() {
		var answer struct {
			Usage usage `json:"usage"`
		}
		if !m.stream && !m.overlong && json.Unmarshal(m.body.Bytes(), &answer) == nil {
			u := answer.Usage
			m.usage = event.Usage{
				InputTokens: u.Input, OutputTokens: u.Output, CacheReadTokens: u.CacheRead, CacheWriteTokens: u.CacheWrite,
			}
		}
		if m.report != nil && m.usage != (event.Usage{}) {
			m.report(m.usage)
		}
	})
}
