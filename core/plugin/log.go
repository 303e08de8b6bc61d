package plugin

import (
	"io"
	"log"

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
