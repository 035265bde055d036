package web

import (
	"io"
	"net/http"
	"time"

	"skein/pool"
	"skein/web/fastcgi"
	"skein/web/http1"
)

// wireFCGI is FastCGI: one request at a time on a connection, which the member closes behind the answer unless the pool keeps
// idle connections. An answer is complete with its END_REQUEST and not before, whatever its length; a connection that ends
// earlier is a script that died.
type wireFCGI struct {
	parser fastcgi.Parser
	cgi    fastcgi.Head
	params []byte // of the request, before they are framed
	hold   []byte // a head that came in pieces, and what came with its end
	body   []byte // the first of the body, in hold or in the upstream's buffer
	date   []byte // of the answer, if the script gave none
	left   int64  // of the Content-Length; -1 without one
	keep   bool
	ended  bool
	errors errorText
}

// What a member may say instead of an answer, as errors.
var (
	errOverloaded = &wireError{"the application has no room for another request"}
	errUnwilling  = &wireError{"the application does not run scripts for us"}
	errHeadless   = &wireError{"the script ended before its answer began"}
)

// wireError is a member that understood the request and did not answer it.
type wireError struct{ text string }

func (e *wireError) Error() string { return e.text }

func (h *wireFCGI) request(b []byte, x *exchange) []byte {
	h.parser.Reset()
	h.cgi.Reset()
	if cap(h.hold) > bufferSize {
		h.hold = nil // one large head must not stay for good
	}
	h.hold, h.body, h.left, h.ended = h.hold[:0], nil, -1, false
	h.errors.reset()
	h.keep = x.route.pool.Config().KeepAlive > 0
	p := fastcgi.OpenParams(fastcgi.AppendBegin(b, h.keep))
	h.params = x.appendParams(&p, h.params[:0])
	b = fastcgi.AppendStdin(p.Close(), x.small)
	if x.body == nil {
		b = fastcgi.AppendStdinEnd(b)
	}
	return b
}

func (h *wireFCGI) piece(scratch *[]byte, data []byte, _ *exchange) []byte {
	*scratch = fastcgi.AppendStdin((*scratch)[:0], data)
	return *scratch
}

func (h *wireFCGI) last(scratch *[]byte, _ *exchange) []byte {
	*scratch = fastcgi.AppendStdinEnd((*scratch)[:0])
	return *scratch
}

// head reads records until the script's head is complete. Nearly always it lies whole in the first record and is read where it
// is; one that comes in pieces is put together.
func (h *wireFCGI) head(u *upstream) (done bool, err error) {
	for u.r < u.w {
		p, n, err := h.parser.Next(u.buf[u.r:u.w])
		u.r += n
		if err != nil {
			return false, err
		}
		switch p.Kind {
		case fastcgi.Stdout:
			data := p.Data
			if len(h.hold) > 0 {
				h.hold = append(h.hold, data...)
				data = h.hold
			}
			n, err := h.cgi.Parse(data, maxAnswerFields)
			switch {
			case err != nil:
				return false, err
			case n > 0 && n <= maxAnswerHead:
				h.take(u, data[n:])
				return true, nil
			case n > 0 || len(data) > maxAnswerHead:
				return false, errTooBig
			}
			if len(h.hold) == 0 {
				h.hold = append(h.hold, data...)
			}
		case fastcgi.Stderr:
			h.errors.add(p.Data)
		case fastcgi.End:
			h.ended = true
			switch h.parser.Status {
			case fastcgi.RequestComplete:
				return false, errHeadless
			case fastcgi.Overloaded:
				return false, errOverloaded
			}
			return false, errUnwilling
		}
	}
	u.r, u.w = 0, 0 // all of it has been read: the buffer need not grow
	return false, nil
}

// take makes the head the upstream's.
func (h *wireFCGI) take(u *upstream, body []byte) {
	u.resp.Status, u.resp.Reason, u.resp.Length = h.cgi.Status, h.cgi.Reason, h.cgi.Length
	u.resp.Fields = u.resp.Fields[:0]
	dated := false
	for _, f := range h.cgi.Fields {
		id := http1.Lookup(f.Name)
		dated = dated || id == http1.Date
		u.resp.Fields = append(u.resp.Fields, http1.Field{Name: f.Name, Value: f.Value, ID: id})
	}
	if !dated { // a script leaves that to its server, which we are (RFC 9110 section 6.6.1)
		h.date = time.Now().UTC().AppendFormat(h.date[:0], http.TimeFormat)
		u.resp.Fields = append(u.resp.Fields, http1.Field{Name: nameDate, Value: h.date, ID: http1.Date})
	}
	h.body = body
}

func (h *wireFCGI) framing(u *upstream, asked string) (length int64, none bool) {
	s := u.resp.Status
	return u.resp.Length, asked == http.MethodHead || s == http.StatusNoContent || s == http.StatusNotModified
}

func (h *wireFCGI) clean(*upstream, string) bool {
	return h.keep && h.ended && h.parser.Status == fastcgi.RequestComplete
}

// relay passes the script's output on, up to the length that it has promised, if any.
func (h *wireFCGI) relay(w *Web, x *exchange, u *upstream, idle time.Duration) error {
	defer h.tell(w, x, u.member)
	var none bool
	if h.left, none = h.framing(u, x.method); none {
		h.left = 0
	}
	if err := h.pass(x, u, h.body); err != nil {
		return w.clientFailed(x, err)
	}
	for {
		for u.r < u.w {
			p, n, err := h.parser.Next(u.buf[u.r:u.w])
			u.r += n
			if err != nil {
				return w.cut(x, errCut)
			}
			switch p.Kind {
			case fastcgi.Stdout:
				if err := h.pass(x, u, p.Data); err != nil {
					return w.clientFailed(x, err)
				}
			case fastcgi.Stderr:
				h.errors.add(p.Data)
			case fastcgi.End:
				h.ended = true
				if h.left > 0 {
					return w.cut(x, errCut)
				}
				return h.end(w, x)
			}
		}
		n, err := w.more(x, u, int64(len(u.buf)), idle)
		if err != nil {
			if _, client := err.(clientError); h.left == 0 && !client && !x.guard.hasLeft() {
				return h.end(w, x) // the client has all that was promised; only the connection is of no use any more
			}
			if err == io.EOF {
				err = errCut
			}
			return w.cut(x, err)
		}
		u.r, u.w = 0, n
		u.received -= int64(n) // data is counted as it is found
	}
}

func (h *wireFCGI) end(w *Web, x *exchange) error {
	if err := x.to.end(nil); err != nil {
		return w.clientFailed(x, err)
	}
	return nil
}

// pass gives the client a part of the body. What goes beyond the promised length cannot be sent: it would be read as the next
// answer.
func (h *wireFCGI) pass(x *exchange, u *upstream, data []byte) error {
	if h.left >= 0 {
		data = data[:min(int64(len(data)), h.left)]
		h.left -= int64(len(data))
	}
	if len(data) == 0 {
		return nil
	}
	u.received += int64(len(data))
	return x.to.write(data)
}

// tell logs what the script wrote to its standard error: one line for each request, bounded and without control characters.
func (h *wireFCGI) tell(w *Web, x *exchange, m *pool.Member) {
	if h.errors.total == 0 {
		return
	}
	w.stats.ScriptErrors.Add(1)
	w.log.Warn("a script wrote to its standard error", "pool", m.Pool, "server", m.Server, "script", string(x.script.name),
		"text", h.errors.text(), "bytes", h.errors.total)
	h.errors.reset()
}

// errorText collects the beginning of a script's standard error.
type errorText struct {
	kept  []byte
	total int64
}

// maxErrorText is how much of it goes to the log.
const maxErrorText = 2 << 10

func (e *errorText) reset() { e.kept, e.total = e.kept[:0], 0 }

func (e *errorText) add(p []byte) {
	e.total += int64(len(p))
	for _, c := range p[:min(len(p), maxErrorText-len(e.kept))] {
		if c < 0x20 || c == 0x7f {
			c = ' '
		}
		e.kept = append(e.kept, c)
	}
}

// text is what was kept, as UTF-8 and without the spaces at its ends.
func (e *errorText) text() string {
	return string([]rune(string(trimSpace(e.kept))))
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	return b
}
