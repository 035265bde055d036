package engine

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"

	"skein/config"
)

// logs is the handler behind every logger of the process. Level and format follow the configuration, so a logger that was
// handed out at the start obeys a later reload.
type logs struct {
	level *slog.LevelVar
	json  *atomic.Bool
	// The same handler in both formats, so that attributes of With are in both.
	asText, asJSON slog.Handler
}

func newLogs(w io.Writer) (*logs, *slog.Logger) {
	l := &logs{level: new(slog.LevelVar), json: new(atomic.Bool)}
	o := &slog.HandlerOptions{Level: l.level}
	l.asText, l.asJSON = slog.NewTextHandler(w, o), slog.NewJSONHandler(w, o)
	return l, slog.New(l)
}

func (l *logs) apply(c config.Log) {
	var level slog.Level
	// The configuration has checked the word; an unknown one keeps info.
	_ = level.UnmarshalText([]byte(c.Level))
	l.level.Set(level)
	l.json.Store(c.Format == "json")
}

// Enabled implements [slog.Handler].
func (l *logs) Enabled(_ context.Context, level slog.Level) bool { return level >= l.level.Level() }

// Handle implements [slog.Handler].
func (l *logs) Handle(ctx context.Context, r slog.Record) error {
	if l.json.Load() {
		return l.asJSON.Handle(ctx, r)
	}
	return l.asText.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (l *logs) WithAttrs(a []slog.Attr) slog.Handler {
	return &logs{l.level, l.json, l.asText.WithAttrs(a), l.asJSON.WithAttrs(a)}
}

// WithGroup implements [slog.Handler].
func (l *logs) WithGroup(name string) slog.Handler {
	return &logs{l.level, l.json, l.asText.WithGroup(name), l.asJSON.WithGroup(name)}
}
