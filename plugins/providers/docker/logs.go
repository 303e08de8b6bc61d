package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"

	"github.com/agcluster/agcluster/plugins/sdk"
)

const (
	// maxLine is the longest line that is passed on, in bytes; longer ones arrive in pieces.
	maxLine = 16 << 10
	// maxFrame bounds what the engine may send at once.
	maxFrame = 1 << 20
)

// Logs implements sdk.LogsProvider.
func (p *Provider) Logs(ctx context.Context, req sdk.LogsRequest, fn func(sdk.LogLine) error) error {
	st, err := p.enter()
	if err != nil {
		return err
	}
	defer p.work.Done()
	ctx, leave := p.begin(ctx, "logs "+req.ID) // Close must not wait for a follower.
	defer leave()
	f, err := st.known(ctx, req.ID)
	if err != nil {
		return err
	}
	err = st.logs(ctx, f.container, req, fn)
	if err != nil {
		return fmt.Errorf("reading the log of sandbox %s: %w", req.ID, err)
	}
	return nil
}

// known is a sandbox that must be there.
func (st *settings) known(ctx context.Context, id string) (*found, error) {
	var f *found
	var err error
	if sdk.CheckID(id) == nil {
		f, err = st.inspect(ctx, id)
	}
	if err == nil && f == nil {
		err = sdk.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("sandbox %q: %w", id, err)
	}
	return f, nil
}

func (st *settings) logs(ctx context.Context, id string, req sdk.LogsRequest, fn func(sdk.LogLine) error) error {
	tail := "all"
	if req.Tail > 0 {
		tail = strconv.Itoa(req.Tail)
	}
	body, err := st.engine.api.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: req.Follow, Tail: tail})
	if errdefs.IsNotFound(err) {
		return nil // It went meanwhile.
	}
	if err != nil {
		return st.engine.explain(err)
	}
	defer body.Close() //nolint:errcheck // only read
	err = readFrames(bufio.NewReaderSize(body, 64<<10), fn)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// readFrames reads the engine's multiplexed log: a header of stream and length, then a line, or a piece of a long one, with its time
// before it.
func readFrames(r io.Reader, fn func(sdk.LogLine) error) error {
	var header [8]byte
	for {
		if _, err := io.ReadFull(r, header[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("reading a header: %w", err)
		}
		stream := "stdout"
		if header[0] == 2 {
			stream = "stderr"
		}
		size := binary.BigEndian.Uint32(header[4:])
		if header[0] > 3 || size > maxFrame {
			return errors.New("reading a header: this is no log")
		}
		frame := make([]byte, size)
		if _, err := io.ReadFull(r, frame); err != nil {
			return fmt.Errorf("reading a line: %w", err)
		}
		for line := range strings.Lines(string(frame)) {
			if err := emit(stream, line, fn); err != nil {
				return err
			}
		}
	}
}

func emit(stream, line string, fn func(sdk.LogLine) error) error {
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	var at time.Time
	if stamp, rest, ok := strings.Cut(line, " "); ok {
		if parsed, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
			at, line = parsed, rest
		}
	}
	for {
		piece := line[:min(len(line), maxLine)]
		if err := fn(sdk.LogLine{Time: at, Stream: stream, Text: piece}); err != nil {
			return err
		}
		if line = line[len(piece):]; line == "" {
			return nil
		}
	}
}

// lastWords is the last line that a container wrote, fit for a message, or nothing.
func (st *settings) lastWords(ctx context.Context, id string) string {
	last := ""
	err := st.logs(ctx, id, sdk.LogsRequest{Tail: 1}, func(line sdk.LogLine) error {
		last = line.Text
		return nil
	})
	if err != nil {
		return "" // What is told does not depend on it.
	}
	return lastLine(last)
}

// lastLine returns the last line of a text that says something, at most 300 characters, without control characters: it comes out of
// a sandbox.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(text, "?")), "\n")
	last := []rune(strings.TrimSpace(lines[len(lines)-1]))
	last = last[:min(len(last), 300)]
	for i, r := range last {
		if !unicode.IsPrint(r) {
			last[i] = '?'
		}
	}
	return string(last)
}
