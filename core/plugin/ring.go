package plugin

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// keptLines bounds how many log lines of a plugin are kept, maxLine each of them, in bytes.
	keptLines = 500
	maxLine   = 2 << 10
)

// LogLine is what a plugin logged or printed, or what the host has to say of it.
type LogLine struct {
	Time time.Time
	// Level is debug, info, warn or error.
	Level string
	// Message is one line: the message and its fields, as name=value.
	Message string
}

// ring keeps the newest log lines of one plugin, of every level, in memory.
type ring struct {
	// redact takes secrets out.
	redact func(string) string

	mu    sync.Mutex
	lines []LogLine
	// next is where the next line goes once all places are taken.
	next int
}

func (r *ring) add(l LogLine) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) < keptLines {
		r.lines = append(r.lines, l)
		return
	}
	r.lines[r.next] = l
	r.next = (r.next + 1) % keptLines
}

// newest returns the newest n lines, the oldest of them first, and how many are kept.
func (r *ring) newest(n int) ([]LogLine, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Concat(r.lines[r.next:], r.lines[:r.next])
	return all[max(0, len(all)-n):], len(all)
}

// over is log with all that it gets in the ring, too, whatever its level.
func (r *ring) over(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return zapcore.NewTee(c, &ringCore{ring: r}) }))
}

// ringCore writes into a ring.
type ringCore struct {
	ring   *ring
	fields []zapcore.Field
}

var _ zapcore.Core = (*ringCore)(nil)

// Enabled implements zapcore.Core.
func (*ringCore) Enabled(zapcore.Level) bool { return true }

// With implements zapcore.Core.
func (c *ringCore) With(fields []zapcore.Field) zapcore.Core {
	return &ringCore{c.ring, slices.Concat(c.fields, fields)}
}

// Check implements zapcore.Core.
func (c *ringCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return checked.AddCore(e, c)
}

// Sync implements zapcore.Core.
func (*ringCore) Sync() error { return nil }

// Write implements zapcore.Core.
func (c *ringCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range slices.Concat(c.fields, fields) {
		f.AddTo(enc)
	}
	var b strings.Builder
	b.WriteString(e.Message)
	for _, name := range slices.Sorted(maps.Keys(enc.Fields)) {
		fmt.Fprintf(&b, " %s=%s", name, worded(enc.Fields[name]))
	}
	c.ring.write(e.Time, e.Level.String(), b.String())
	return nil
}

// write adds a line: one line, without secrets, bounded.
func (r *ring) write(at time.Time, level, text string) {
	// Before it is cut: half a secret would not be found.
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(r.redact(text), "?"))
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	r.add(LogLine{Time: at.UTC(), Level: level, Message: text})
}

// worded is a field's value as people write it: quotes only where they are needed.
func worded(v any) string {
	if s, ok := v.(string); ok && s != "" && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == '"' || r == '=' }) {
		return s
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}
