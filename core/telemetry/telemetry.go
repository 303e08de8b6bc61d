// Package telemetry is what the host tells of itself: for now its log. It knows nothing of what is logged, but it is the last gate
// before it: a secret that a bug puts into a log entry does not come out of here. Metrics and traces will live here too; what is
// measured, and where, belongs to the packages that do the work.
package telemetry

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// Config says what to log and how.
type Config struct {
	// Level is debug, info, warn or error.
	Level string
	// Format is console, json or auto: console when Out is a terminal, else json.
	Format string
	// Out gets one write for each entry, one at a time.
	Out io.Writer
	// Redactor removes secrets from every entry; nil removes Anthropic keys only.
	Redactor *Redactor
}

// New returns a logger and a function that flushes it, to be called at the end. It fails for an unknown level or format.
func New(cfg Config) (*zap.Logger, func(), error) {
	if cfg.Out == nil {
		return nil, nil, errors.New("making the logger: it has nowhere to write")
	}
	level, err := zapcore.ParseLevel(cfg.Level)
	if err != nil {
		return nil, nil, fmt.Errorf("log.level: must be one of debug, info, warn, error, got %.40q", cfg.Level)
	}
	terminal := isTerminal(cfg.Out)
	var encoder zapcore.Encoder
	switch {
	case cfg.Format == "console", cfg.Format == "auto" && terminal:
		encoder = zapcore.NewConsoleEncoder(consoleConfig(terminal))
	case cfg.Format == "json", cfg.Format == "auto":
		encoder = zapcore.NewJSONEncoder(jsonConfig())
	default:
		return nil, nil, fmt.Errorf("log.format: must be one of auto, console, json, got %.40q", cfg.Format)
	}
	redactor := cfg.Redactor
	if redactor == nil {
		redactor = NewRedactor()
	}
	out := zapcore.Lock(redactor.Sink(zapcore.AddSync(cfg.Out)))
	logger := zap.New(zapcore.NewCore(encoder, out, level), zap.ErrorOutput(out))
	// Terminals and pipes can't be flushed and say so; a log that can't be written has nowhere to tell it either.
	return logger, func() { _ = logger.Sync() }, nil
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func jsonConfig() zapcore.EncoderConfig {
	c := zap.NewProductionEncoderConfig()
	c.TimeKey, c.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	c.EncodeDuration = zapcore.StringDurationEncoder
	return c
}

func consoleConfig(colour bool) zapcore.EncoderConfig {
	c := zap.NewDevelopmentEncoderConfig()
	c.EncodeTime = func(t time.Time, enc zapcore.PrimitiveArrayEncoder) { enc.AppendString(t.Format("15:04:05.000")) }
	c.EncodeLevel, c.EncodeDuration = zapcore.CapitalLevelEncoder, zapcore.StringDurationEncoder
	if colour {
		c.EncodeLevel = zapcore.CapitalColorLevelEncoder
	}
	return c
}
