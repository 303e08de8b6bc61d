package main

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/agcluster/agcluster/plugins/sdk"
)

const (
	// maxLineBytes bounds a line of a sandbox; what it has beyond that is dropped.
	maxLineBytes = 16 << 10
	// keptLines and keptBytes bound what is kept of a sandbox's output: the newest.
	keptLines = 2000
	keptBytes = 256 << 10
	// spokenLines is how many of the last lines are looked at for an error message.
	spokenLines = 64
)

// output keeps the last lines of a sandbox's standard output and error. What it holds comes out of a sandbox: trust nothing in it.
type output struct {
	mu    sync.Mutex
	lines []sdk.LogLine
	bytes int
	// dropped is how many lines came before the first that is kept.
	dropped int
	// changed is closed and replaced when there is a new line.
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

// pipe is one of the two streams of an output.
type pipe struct {
	to   *output
	name string
	// part is a line without its end yet.
	part []byte
}

var _ io.Writer = (*pipe)(nil)

// Write never fails. It is called from one goroutine at a time.
func (p *pipe) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		line, rest, ended := bytes.Cut(b, []byte("\n"))
		room := maxLineBytes - len(p.part)
		p.part = append(p.part, line[:min(room, len(line))]...)
		if b = rest; ended {
			p.flush()
		}
	}
	return n, nil
}

// flush keeps the line that was begun, also when it has no end.
func (p *pipe) flush() {
	p.to.add(sdk.LogLine{Time: time.Now().UTC(), Stream: p.name, Text: printable(p.part)})
	p.part = nil
}

// close keeps what stands after the last end of a line.
func (p *pipe) close() {
	if len(p.part) > 0 {
		p.flush()
	}
}

// printable replaces what a terminal would obey; a line may have tabs. It never becomes longer.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSuffix(string(b), "\r"), "?"))
}

func (o *output) add(line sdk.LogLine) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, line)
	o.bytes += len(line.Text)
	drop := 0
	for len(o.lines)-drop > keptLines || o.bytes > keptBytes {
		o.bytes -= len(o.lines[drop].Text)
		o.lines[drop] = sdk.LogLine{}
		drop++
	}
	o.lines = o.lines[drop:]
	o.dropped += drop
	close(o.changed)
	o.changed = make(chan struct{})
}

// after returns the lines from number from on, counted from 0, the number of the next, and what closes when there is one.
func (o *output) after(from int) ([]sdk.LogLine, int, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := o.dropped + len(o.lines)
	first := min(max(from, o.dropped), next)
	return append([]sdk.LogLine(nil), o.lines[first-o.dropped:]...), next, o.changed
}

// from is the number of the first of the last tail lines; 0 is all.
func (o *output) from(tail int) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if tail <= 0 {
		return 0
	}
	return o.dropped + max(0, len(o.lines)-tail)
}

// spoken is the end of the output as one text.
func (o *output) spoken() string {
	lines, _, _ := o.after(o.from(spokenLines))
	texts := make([]string, len(lines))
	for i, l := range lines {
		texts[i] = l.Text
	}
	return strings.Join(texts, "\n")
}

// lastLine returns the last line that says something, at most 300 characters.
func (o *output) lastLine() string {
	lines := strings.Split(strings.TrimSpace(o.spoken()), "\n")
	last := []rune(strings.ReplaceAll(strings.TrimSpace(lines[len(lines)-1]), "\t", " "))
	return string(last[:min(len(last), 300)])
}
