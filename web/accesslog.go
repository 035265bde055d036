package web

import (
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"skein/web/http1"
)

// Bounds of the access log's memory. What comes faster than the disk takes it is dropped and counted: a full disk must not
// stop the site.
const (
	logFlush = 64 << 10
	logMax   = 4 << 20
)

// accessLog writes one line for each exchange, many at a time.
type accessLog struct {
	format  string // json, combined, off
	path    string // "" is standard output
	dropped atomic.Uint64

	mu   sync.Mutex // guards what follows
	buf  []byte
	wake chan struct{}

	out sync.Mutex // guards to; held while writing
	to  io.Writer
}

func openAccessLog(format, path string, stdout io.Writer) (*accessLog, error) {
	l := &accessLog{format: format, path: path, to: stdout, wake: make(chan struct{}, 1)}
	if format == "off" || path == "" {
		return l, nil
	}
	f, err := openAppend(path)
	if err != nil {
		return nil, err
	}
	l.to = f
	return l, nil
}

func openAppend(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
}

// reopen opens the file anew, after it was moved away.
func (l *accessLog) reopen() error {
	if l.path == "" || l.format == "off" {
		return nil
	}
	f, err := openAppend(l.path)
	if err != nil {
		return err
	}
	l.flush(nil)
	l.out.Lock()
	defer l.out.Unlock()
	old := l.to
	l.to = f
	return old.(*os.File).Close()
}

func (l *accessLog) close() {
	l.flush(nil)
	l.out.Lock()
	defer l.out.Unlock()
	if f, ok := l.to.(*os.File); ok && l.path != "" {
		_ = f.Close()
	}
	l.to = io.Discard
}

// flush writes what has gathered.
func (l *accessLog) flush(log *slog.Logger) {
	l.out.Lock()
	defer l.out.Unlock()
	l.mu.Lock()
	b := l.buf
	l.buf = nil
	l.mu.Unlock()
	if len(b) == 0 {
		return
	}
	if _, err := l.to.Write(b); err != nil && log != nil {
		l.dropped.Add(1)
		log.Error("access log was not written", "file", l.path, "error", err)
	}
	l.mu.Lock()
	if l.buf == nil && cap(b) <= 4*logFlush {
		l.buf = b[:0]
	}
	l.mu.Unlock()
}

// add appends the exchange's line.
func (l *accessLog) add(x *exchange, total time.Duration) {
	l.mu.Lock()
	if len(l.buf) > logMax {
		l.mu.Unlock()
		l.dropped.Add(1)
		return
	}
	if l.format == "json" {
		l.buf = appendJSONLine(l.buf, x, total)
	} else {
		l.buf = appendCombined(l.buf, x, total)
	}
	full := len(l.buf) >= logFlush
	l.mu.Unlock()
	if full {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// appendCombined writes nginx's combined format, and behind it what a balancer knows:
//
//	10.1.2.3 - - [22/Nov/2026:20:14:47 +0000] "GET / HTTP/1.1" 200 612 "-" "curl/7.88.1" site pool server address queue/connect/first/total retries cause
func appendCombined(b []byte, x *exchange, total time.Duration) []byte {
	r := &x.line
	b = r.visitor.AppendTo(b)
	b = append(b, " - - ["...)
	b = r.start.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	if x.method != "" {
		b = appendEscaped(b, x.method)
		b = append(b, ' ')
		b = appendEscaped(b, x.target())
		b = append(b, ' ')
		b = append(b, x.proto...)
	} else {
		b = append(b, '-')
	}
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(r.status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, r.sent, 10)
	for _, id := range []http1.ID{http1.Referer, http1.UserAgent} {
		b = append(b, ` "`...)
		if v := x.field(id); v != nil {
			b = appendEscaped(b, v)
		} else {
			b = append(b, '-')
		}
		b = append(b, '"')
	}
	b = append(b, ' ')
	b = append(b, x.siteName()...)
	if m := r.member; m != nil {
		b = append(b, ' ')
		b = append(b, m.Pool...)
		b = append(b, ' ')
		b = append(b, m.Server...)
		b = append(b, ' ')
		b = append(b, m.Address...)
	} else {
		b = append(b, " - - -"...)
	}
	b = append(b, ' ')
	for i, d := range []time.Duration{r.queued, r.connected, r.first, total} {
		if i > 0 {
			b = append(b, '/')
		}
		b = appendSeconds(b, d)
	}
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(r.retries), 10)
	b = append(b, ' ')
	b = append(b, r.cause.String()...)
	return append(b, '\n')
}

// appendJSONLine writes one JSON object.
func appendJSONLine(b []byte, x *exchange, total time.Duration) []byte {
	r := &x.line
	text := func(key string, v []byte) {
		b = append(b, `,"`...)
		b = append(b, key...)
		b = append(b, `":"`...)
		b = appendEscaped(b, v)
		b = append(b, '"')
	}
	number := func(key string, n int64) {
		b = append(b, `,"`...)
		b = append(b, key...)
		b = append(b, `":`...)
		b = strconv.AppendInt(b, n, 10)
	}
	seconds := func(key string, d time.Duration) {
		b = append(b, `,"`...)
		b = append(b, key...)
		b = append(b, `":`...)
		b = appendSeconds(b, d)
	}
	b = append(b, `{"time":"`...)
	b = r.start.AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, `","client":"`...)
	b = r.visitor.AppendTo(b)
	b = append(b, '"')
	text("method", []byte(x.method))
	text("host", x.authority)
	text("target", x.target())
	text("proto", []byte(x.proto))
	number("status", int64(r.status))
	number("sent", r.sent)
	number("received", r.received)
	if v := x.field(http1.Referer); v != nil {
		text("referer", v)
	}
	if v := x.field(http1.UserAgent); v != nil {
		text("agent", v)
	}
	text("site", []byte(x.siteName()))
	if m := r.member; m != nil {
		text("pool", []byte(m.Pool))
		text("server", []byte(m.Server))
		text("address", []byte(m.Address))
	}
	seconds("queue", r.queued)
	seconds("connect", r.connected)
	seconds("first_byte", r.first)
	seconds("total", total)
	number("retries", int64(r.retries))
	text("cause", []byte(r.cause.String()))
	return append(b, '}', '\n')
}

// target is what was asked for, in its normal form.
func (x *exchange) target() []byte {
	if x.query == nil {
		return x.path
	}
	t := append([]byte(nil), x.path...)
	t = append(t, '?')
	return append(t, x.query...)
}

func (x *exchange) siteName() string {
	if x.site == nil {
		return "-"
	}
	return x.site.cfg.Name
}

// appendSeconds writes seconds with microseconds.
func appendSeconds(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, float64(d.Microseconds())/1e6, 'f', 6, 64)
}

// appendEscaped writes v so that it can neither end its quotes nor begin a line, in both formats: JSON's escapes.
func appendEscaped[T ~string | ~[]byte](b []byte, v T) []byte {
	for i := 0; i < len(v); {
		c := v[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c == 0x7f:
			b = append(b, `\u00`...)
			b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, n := utf8.DecodeRuneInString(string(v[i:min(len(v), i+utf8.UTFMax)]))
			if r == utf8.RuneError && n <= 1 {
				b = append(b, "\ufffd"...)
			} else {
				b = append(b, v[i:i+n]...)
			}
			i += n
			continue
		}
		i++
	}
	return b
}
