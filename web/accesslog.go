package web

import (
	"bytes"
	"fmt"
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

	wake chan struct{}

	mu  sync.Mutex // guards buf
	buf []byte

	out    sync.Mutex // guards what follows; held while writing
	to     io.Writer
	spare  []byte // the other buffer: one gathers lines while the other is written
	torn   bool   // the last write ended inside a line
	failed bool   // the last write did not succeed
	closed bool
	before *accessLog // that this one has taken the place of; closed at the first flush, when nobody adds to it any more
}

func openAccessLog(format, path string, stdout io.Writer) (*accessLog, error) {
	l := &accessLog{format: format, path: path, to: stdout, wake: make(chan struct{}, 1)}
	if format == "off" || path == "" {
		return l, nil
	}
	f, err := openAppend(path)
	if err != nil {
		return nil, fmt.Errorf("access_file: %w\nhint: make its directory, and let this user write there", err)
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
	l.out.Lock()
	defer l.out.Unlock()
	if l.closed {
		return f.Close()
	}
	_ = l.write(l.take())
	old := l.to.(*os.File)
	l.to, l.torn = f, false
	return old.Close()
}

// close writes what has gathered and takes nothing more.
func (l *accessLog) close() {
	l.out.Lock()
	defer l.out.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	l.closeBefore()
	_ = l.write(l.take())
	if f, ok := l.to.(*os.File); ok && l.path != "" {
		_ = f.Close()
	}
	l.to = io.Discard
}

func (l *accessLog) closeBefore() {
	if l.before != nil {
		l.before.close()
		l.before = nil
	}
}

// flush writes what has gathered. A disk that fills up, and its recovery, are worth one line each.
func (l *accessLog) flush(log *slog.Logger) {
	l.out.Lock()
	defer l.out.Unlock()
	l.closeBefore()
	b := l.take()
	if len(b) == 0 {
		return
	}
	err := l.write(b)
	if l.failed == (err != nil) {
		return
	}
	l.failed = err != nil
	if err != nil {
		log.Error("access log is not written: lines are dropped", "file", l.path, "error", err)
	} else {
		log.Info("access log is written again", "file", l.path, "dropped", l.dropped.Load())
	}
}

// take takes the lines that have gathered; out is held.
func (l *accessLog) take() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buf
	l.buf, l.spare = l.spare[:0], nil
	return b
}

// write writes lines and keeps their buffer for the next ones; out is held. A line that was written in part is ended before
// the next: only one is lost.
func (l *accessLog) write(b []byte) error {
	n, err := 0, error(nil)
	if l.torn && len(b) > 0 {
		_, err = l.to.Write([]byte{'\n'})
		l.torn = err != nil
	}
	if err == nil {
		n, err = l.to.Write(b)
		l.torn = n > 0 && b[n-1] != '\n'
	}
	if err != nil {
		l.dropped.Add(uint64(bytes.Count(b[n:], []byte{'\n'})))
	}
	if cap(b) <= 4*logFlush {
		l.spare = b[:0]
	}
	return err
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
		b = x.appendTarget(b)
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
	b = append(b, `,"target":"`...)
	b = x.appendTarget(b)
	b = append(b, '"')
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

// appendTarget writes what was asked for, the path in its normal form.
func (x *exchange) appendTarget(b []byte) []byte {
	b = appendEscaped(b, x.path)
	if x.query != nil {
		b = append(b, '?')
		b = appendEscaped(b, x.query)
	}
	return b
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
