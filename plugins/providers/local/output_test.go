package main

import (
	"fmt"
	"strings"
	"testing"
)

func texts(o *output, tail int) []string {
	lines, _, _ := o.after(o.from(tail))
	var all []string
	for _, l := range lines {
		all = append(all, l.Stream+":"+l.Text)
	}
	return all
}

func TestOutputIsKeptAsLines(t *testing.T) {
	o := newOutput()
	out, err := &pipe{to: o, name: "stdout"}, &pipe{to: o, name: "stderr"}
	for _, w := range []struct {
		to   *pipe
		text string
	}{{out, "one\ntw"}, {err, "INFO\tx\x1b[31m\xff\r\n"}, {out, "o\n\nth"}, {out, "ree"}} {
		if n, failure := w.to.Write([]byte(w.text)); n != len(w.text) || failure != nil {
			t.Errorf("%d, %v", n, failure)
		}
	}
	if got := strings.Join(texts(o, 0), "|"); got != "stdout:one|stderr:INFO\tx?[31m?|stdout:two|stdout:" {
		t.Errorf("got %q", got)
	}
	out.close()
	err.close()
	if got := texts(o, 1); len(got) != 1 || got[0] != "stdout:three" {
		t.Errorf("the last: %q", got)
	}
	if got := o.lastLine(); got != "three" {
		t.Errorf("the last line: %q", got)
	}
}

func TestOutputIsBounded(t *testing.T) {
	o := newOutput()
	p := &pipe{to: o, name: "stdout"}
	write := func(s string) {
		if _, err := p.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		write(strings.Repeat("é", maxLineBytes))
	}
	write("\n")
	if got := texts(o, 0); len(got) != 1 || len(got[0]) > maxLineBytes+len("stdout:") || len(p.part) > 0 {
		t.Errorf("%d lines, the first of %d bytes", len(got), len(got[0]))
	}
	for i := range 3 * keptLines {
		write(fmt.Sprintf("%d\n", i))
	}
	lines, next, _ := o.after(0)
	if len(lines) != keptLines || lines[0].Text != fmt.Sprint(2*keptLines) || next != 3*keptLines+1 {
		t.Errorf("%d lines from %q, next %d", len(lines), lines[0].Text, next)
	}
	for range 100 {
		write(strings.Repeat("x", maxLineBytes) + "\n")
	}
	if lines, _, _ := o.after(0); len(lines) != keptBytes/maxLineBytes || o.bytes > keptBytes {
		t.Errorf("%d lines of %d bytes", len(lines), o.bytes)
	}
	if lines, _, _ := o.after(1 << 30); len(lines) != 0 {
		t.Errorf("%d lines of the future", len(lines))
	}
}
