package web

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"skein/config"
	"skein/internal/sock"
	"skein/web/http1"
)

// file is an open file that is being served.
type file struct {
	fd    int
	size  int64
	mtime time.Time
	kind  []byte // media type
	tag   []byte // entity tag, with its quotes
	since []byte // mtime as HTTP writes it
	code  string // content coding of a compressed sibling; "" is the file itself
	vary  bool   // there are compressed siblings
}

// openFile opens a regular file; what is none is ENOENT.
func openFile(disk []byte, st *unix.Stat_t) (int, error) {
	fd := -1
	var err error
	for {
		// Without waiting: opening a named pipe would wait for somebody to write.
		fd, err = unix.Open(unsafe.String(unsafe.SliceData(disk), len(disk)), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return -1, err
	}
	if err := unix.Fstat(fd, st); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		_ = unix.Close(fd)
		return -1, unix.ENOENT
	}
	return fd, nil
}

// stat is unix.Stat without the conversion of the name.
func stat(disk []byte, st *unix.Stat_t) error {
	for {
		err := unix.Stat(unsafe.String(unsafe.SliceData(disk), len(disk)), st)
		if err != unix.EINTR {
			return err
		}
	}
}

// serveFile answers with a file, if there is one of that name.
func (w *Web) serveFile(x *exchange, f *files, k *fileWork, name []byte) outcome {
	k.disk = append(append(k.disk[:0], f.cfg.Root...), name...)
	var st unix.Stat_t
	fd, err := openFile(k.disk, &st)
	switch {
	case err == nil:
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENAMETOOLONG),
		errors.Is(err, unix.ENXIO), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL):
		return missing
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		w.fail(x, http.StatusForbidden, "this file may not be read")
		return answered
	default:
		w.complain(f, name, err)
		w.fail(x, http.StatusInternalServerError, "")
		return answered
	}
	if x.method != http.MethodGet && x.method != http.MethodHead {
		_ = unix.Close(fd)
		if x.route.pool != nil && !f.runs {
			return passed
		}
		x.line.allow = "GET, HEAD"
		w.fail(x, http.StatusMethodNotAllowed, "a file can only be read")
		return answered
	}
	o := &file{fd: fd, kind: f.typeOf(name)}
	defer func() { _ = unix.Close(o.fd) }()
	if c := x.route.cfg.Compress; c != nil {
		o.sibling(x, c, k, &st)
	}
	w.answerFile(x, f, k, o, &st)
	return answered
}

// sibling looks for the file's compressed form beside it (style.css.br), made when the site was built, and takes the best one
// that the client understands. One that is older than the file is not its form any more.
func (o *file) sibling(x *exchange, c *config.Compress, k *fileWork, st *unix.Stat_t) {
	if !compressible(c.Types, o.kind) {
		return
	}
	n := len(k.disk)
	k.codes = k.codes[:0]
	for _, code := range c.Encodings {
		k.disk = append(k.disk[:n], siblingEnding(code)...)
		var other unix.Stat_t
		if stat(k.disk, &other) == nil && other.Mode&unix.S_IFMT == unix.S_IFREG && other.Mtim.Nano() >= st.Mtim.Nano() {
			k.codes = append(k.codes, code)
		}
	}
	if len(k.codes) == 0 {
		return
	}
	o.vary = true
	wishes := wishesOf(x.fields)
	e := wishes.choose(k.codes)
	if e == asIs || x.forbidsTransform() {
		return
	}
	k.disk = append(k.disk[:n], siblingEnding(e.String())...)
	var other unix.Stat_t
	fd, err := openFile(k.disk, &other)
	if err != nil {
		return // a deploy has just taken it away
	}
	_ = unix.Close(o.fd)
	o.fd, o.code, *st = fd, e.String(), other
}

// siblingEnding is what the name of a compressed form ends in.
func siblingEnding(code string) string {
	switch code {
	case "br":
		return ".br"
	case "zstd":
		return ".zst"
	}
	return ".gz"
}

// answerFile decides what of the file is wanted, and sends that.
func (w *Web) answerFile(x *exchange, f *files, k *fileWork, o *file, st *unix.Stat_t) {
	o.size, o.mtime = st.Size, time.Unix(st.Mtim.Unix())
	b := k.text[:0]
	// The tag is strong: a file that changes gets another time, in nanoseconds, or another size.
	b = append(b, '"')
	b = strconv.AppendInt(b, st.Mtim.Nano(), 36)
	b = append(b, '-')
	b = strconv.AppendInt(b, o.size, 36)
	if o.code != "" {
		b = append(append(b, '-'), o.code...)
	}
	b = append(b, '"')
	tag := len(b)
	b = o.mtime.UTC().AppendFormat(b, http.TimeFormat)
	since := len(b)
	b = time.Now().UTC().AppendFormat(b, http.TimeFormat)
	date := len(b)
	k.text = b // from here on it must not grow before the head is handed over, but for parts at its end
	o.tag, o.since = b[:tag:tag], b[tag:since:since]
	k.fields = append(k.fields[:0],
		Field{Name: nameDate, Value: b[since:date:date], ID: http1.Date},
		Field{Name: nameLastModified, Value: o.since},
		Field{Name: nameETag, Value: o.tag, ID: http1.ETag},
	)
	if o.vary {
		k.fields = append(k.fields, Field{Name: nameVary, Value: []byte("Accept-Encoding"), ID: http1.Vary})
	}
	x.line.cause = causeLocal
	switch status := o.judge(x, k); status {
	case http.StatusPreconditionFailed:
		w.fail(x, status, "the file is another one")
	case http.StatusNotModified:
		w.sendFile(x, f, k, o, status, nil)
	case http.StatusRequestedRangeNotSatisfiable:
		v := append(strconv.AppendInt([]byte("bytes */"), o.size, 10), k.text[:0]...)
		w.local(x, status, []byte("the file ends before that\n"),
			Field{Name: nameContentRange, Value: v}, Field{Name: nameContentType, Value: []byte("text/plain; charset=utf-8"), ID: http1.ContentType})
	case http.StatusPartialContent:
		w.sendFile(x, f, k, o, status, k.ranges)
	default:
		w.sendFile(x, f, k, o, status, nil)
	}
}

// sendFile sends the answer: all of the file, or the parts of it.
func (w *Web) sendFile(x *exchange, f *files, k *fileWork, o *file, status int, parts []span) {
	a := &x.answer
	*a = answer{status: status, length: o.size, none: x.method == http.MethodHead, edits: &x.route.response}
	m := byteranges{}
	switch {
	case status == http.StatusNotModified:
		a.length, a.none = -1, true
	case len(parts) > 1:
		m = newByteranges(o, parts)
		a.length = m.length
		k.fields = append(k.fields, Field{Name: nameContentType, Value: m.kind, ID: http1.ContentType})
	case len(parts) == 1:
		a.length = parts[0].n
		k.fields = append(k.fields, Field{Name: nameContentRange, Value: parts[0].appendRange(nil, o.size)})
		fallthrough
	default:
		k.fields = append(k.fields, Field{Name: nameContentType, Value: o.kind, ID: http1.ContentType})
		if len(parts) == 0 {
			k.fields = append(k.fields, Field{Name: nameAcceptRanges, Value: valueBytes})
			parts = append(parts, span{0, o.size})
		}
	}
	if o.code != "" && !a.none || o.code != "" && x.method == http.MethodHead && status != http.StatusNotModified {
		k.fields = append(k.fields, Field{Name: nameContentEncoding, Value: []byte(o.code), ID: http1.ContentEncoding})
	}
	a.fields = k.fields
	w.compress(x, a)
	if err := x.to.begin(a); err != nil {
		_ = w.clientFailed(x, err)
		return
	}
	if !a.none {
		for i, p := range parts {
			if m.kind != nil {
				if err := x.to.write(m.heads[i]); err != nil {
					_ = w.clientFailed(x, err)
					return
				}
			}
			if !w.sendSpan(x, f, o, p) {
				return
			}
		}
		if m.kind != nil {
			if err := x.to.write(m.tail); err != nil {
				_ = w.clientFailed(x, err)
				return
			}
		}
	}
	if err := x.to.end(nil); err != nil {
		_ = w.clientFailed(x, err)
	}
}

// sendSpan sends one part: its beginning along with the head, in one call, and the rest by the kernel alone if it can. It
// reports false if the answer is broken off.
func (w *Web) sendSpan(x *exchange, f *files, o *file, p span) bool {
	buf := x.work.ans[:flushAt-1<<10] // a head and this much are one write
	for p.n > 0 {
		n, err := unix.Pread(o.fd, buf[:min(p.n, int64(len(buf)))], p.at)
		switch {
		case err == unix.EINTR:
			continue
		case n == 0 && err == nil:
			err = io.ErrUnexpectedEOF // it was cut short meanwhile
			fallthrough
		case err != nil:
			return w.fileFailed(x, f, err)
		}
		if err := x.to.write(buf[:n]); err != nil {
			_ = w.clientFailed(x, err)
			return false
		}
		p.at, p.n = p.at+int64(n), p.n-int64(n)
		if to, ok := x.to.(*answerer1); ok && p.n > 0 && sock.CanSendFile(to.c.sock) {
			return w.sendRest(x, f, o, p, to)
		}
	}
	return true
}

// sendRest lets the kernel send the rest of a part.
func (w *Web) sendRest(x *exchange, f *files, o *file, p span, to *answerer1) bool {
	if err := to.flush(); err != nil {
		_ = w.clientFailed(x, err)
		return false
	}
	sent := x.line.sent
	n, from, err := sock.SendFile(to.c.sock, o.fd, p.at, p.n, func(n int64) bool {
		x.line.sent = sent + n
		return to.fastEnough()
	})
	x.line.sent = sent + n
	to.left -= n
	switch {
	case err == nil:
		return true
	case from:
		return w.fileFailed(x, f, err)
	}
	to.failed, to.keep = true, false
	_ = w.clientFailed(x, err)
	return false
}

// fileFailed breaks an answer off whose head has been sent.
func (w *Web) fileFailed(x *exchange, f *files, err error) bool {
	w.complain(f, x.path, err)
	x.line.cause = causeOriginCut
	x.to.abort()
	return false
}
