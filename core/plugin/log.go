package plugin

import (
	"io"
	"log"
	"strings"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// hclogger passes what go-plugin and the plugins log on to zap.
func hclogger(z *zap.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Debug})
	l.RegisterSink(sink{z})
	return quiet{l}
}

type sink struct{ z *zap.Logger }

// Accept implements hclog.SinkAdapter.
func (s sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	fields := make([]zap.Field, 0, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		if name, ok := args[i].(string); ok {
			fields = append(fields, zap.Any(name, args[i+1]))
		}
	}
	to := zapcore.DebugLevel
	switch {
	case level >= hclog.Error:
		to = zapcore.ErrorLevel
	case level == hclog.Warn:
		to = zapcore.WarnLevel
	case level == hclog.Info:
		to = zapcore.InfoLevel
	}
	s.z.Log(to, msg, fields...)
}

// quiet keeps the intercepting logger when go-plugin derives one by name: a derived one would lose the sink.
type quiet struct{ hclog.InterceptLogger }

// Named implements hclog.Logger.
func (q quiet) Named(string) hclog.Logger { return q }

// ResetNamed implements hclog.Logger.
func (q quiet) ResetNamed(string) hclog.Logger { return q }

// StandardLogger implements hclog.Logger.
func (q quiet) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return zap.NewStdLog(zap.NewNop())
}

// printed passes what a plugin prints, on either of its streams, on to its log.
type printed struct{ z *zap.Logger }

// Write implements io.Writer.
func (p printed) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" {
			p.z.Debug(line)
		}
	}
	return len(b), nil
}
