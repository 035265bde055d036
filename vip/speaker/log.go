package speaker

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// log says something to the parent, who logs it, or to standard error when there is none any more. fields are names and values.
func (s *Speaker) log(level slog.Level, message string, fields ...any) {
	if !s.orphan {
		l := Line{Level: levelName(level), Message: message}
		for i := 0; i+1 < len(fields); i += 2 {
			if l.Fields == nil {
				l.Fields = make(map[string]any)
			}
			l.Fields[fields[i].(string)] = plain(fields[i+1])
		}
		s.reports.send(Report{Log: &l})
		return
	}
	r := slog.NewRecord(time.Now(), level, message, 0)
	r.Add(fields...)
	_ = slog.NewTextHandler(s.o.Err, nil).Handle(context.Background(), r)
}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warn"
	}
	return "error"
}

// plain is a value that JSON keeps as a reader expects it: an error's fields are not what it says.
func plain(v any) any {
	switch v := v.(type) {
	case error:
		return v.Error()
	case time.Duration:
		return v.String()
	case fmt.Stringer:
		return v.String()
	}
	return v
}
