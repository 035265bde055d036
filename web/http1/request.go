package http1

// maxMethod bounds a method; the longest registered one is UPDATEREDIRECTREF with 17 bytes.
const maxMethod = 32

// Reset forgets the request, half read or not, and keeps the capacity of its fields.
func (r *Request) Reset() { *r = Request{Fields: r.Fields[:0]} }

// Parse reads a request head at the beginning of buf and returns its length with the empty line that ends it. n is 0 and err
// nil if buf does not hold all of it: call again with the same bytes and more. What was read is not read again while the
// bytes stay where they are; in another buffer it begins anew. After a whole head, the next call begins the next request.
//
// err is an [*Error], as soon as there is a byte that no good request can have.
func (r *Request) Parse(buf []byte, lim Limits) (n int, err error) {
	if len(buf) == 0 {
		return 0, nil
	}
	if !r.cur.kept(buf) {
		r.Reset()
		r.cur.base = &buf[0]
	}
	n, e := r.parse(buf, lim)
	if e != nil {
		r.cur.base = nil
		return 0, e
	}
	if n > 0 {
		r.cur.base = nil
	}
	return n, nil
}

func (r *Request) parse(buf []byte, lim Limits) (int, *Error) {
	c := &r.cur
	if !c.started {
		n, err := r.requestLine(buf, lim)
		if err != nil || n == 0 {
			return 0, err
		}
		c.started = true
		c.next(n)
	}
	fs, n, err := c.fields(buf, r.Fields, lim.Fields, false)
	r.Fields = fs
	if err != nil || n == 0 {
		return 0, err
	}
	return n, r.finish()
}

// requestLine reads "method SP target SP HTTP/1.x CR LF" and returns the index after it, 0 if more bytes are needed.
// cur.line is where the method begins and cur.name where it ends.
func (r *Request) requestLine(buf []byte, lim Limits) (int, *Error) {
	c := &r.cur
	if c.name == 0 {
		i := c.line
		// RFC 9112 section 2.2: an empty line before the request should be ignored (old browsers sent one after a POST's
		// body). One is; a second would let a sender fill our time with nothing.
		if buf[0] == '\r' {
			if len(buf) < 2 {
				return 0, nil
			}
			if buf[1] != '\n' {
				return 0, errBareCR
			}
			i = 2
			c.line = 2
		}
		for i < len(buf) && class[buf[i]]&tchar != 0 && i-c.line <= maxMethod {
			i++
		}
		if i-c.line > maxMethod {
			return 0, errMethod
		}
		if i == len(buf) {
			return 0, nil
		}
		if buf[i] != ' ' || i == c.line {
			return 0, badMethodByte(buf[i], i == 0)
		}
		c.name = i
		c.scanned = i + 1
	}
	start, i := c.name+1, c.scanned
	for i < len(buf) && class[buf[i]]&vchar != 0 {
		i++
	}
	c.scanned = i
	if lim.Target > 0 && i-start > lim.Target {
		return 0, errTargetLong
	}
	if i == len(buf) {
		return 0, nil
	}
	if buf[i] != ' ' {
		if buf[i] == '\r' && i > start {
			return 0, errVersionless
		}
		return 0, errTargetByte
	}
	if i == start {
		return 0, errNoTarget
	}
	minor, ok, err := version(buf[i+1:])
	if !ok || err != nil {
		return 0, err
	}
	r.Minor = minor
	r.Method = buf[c.line:c.name:c.name]
	return i + 1 + len("HTTP/1.1\r\n"), r.target(buf[start:i:i])
}

func badMethodByte(b byte, first bool) *Error {
	switch {
	case b == 0x16 && first: // the record type of a handshake: a client that speaks TLS to a port without
		return errTLS
	case b == '\n':
		return errBlankLine
	}
	return errMethod
}

// version reads "HTTP/1.x CR LF"; ok is false if more bytes are needed.
func version(b []byte) (minor uint8, ok bool, err *Error) {
	const want = "HTTP/d.d\r\n"
	if len(b) >= len(want) {
		switch string(b[:len(want)]) {
		case "HTTP/1.1\r\n":
			return 1, true, nil
		case "HTTP/1.0\r\n":
			return 0, true, nil
		}
	}
	for i := range len(want) {
		if i == len(b) {
			return 0, false, nil
		}
		if want[i] == 'd' && b[i] >= '0' && b[i] <= '9' {
			continue
		}
		if b[i] != want[i] || want[i] == 'd' {
			return 0, false, errVersion
		}
	}
	return 0, true, errUnsupported
}

// finish judges the fields together, once all of them are there.
func (r *Request) finish() *Error {
	var f framing
	var host []byte
	hosts := 0
	r.Length = -1
	for i := range r.Fields {
		v := r.Fields[i].Value
		switch r.Fields[i].ID {
		case Host:
			host = v
			hosts++
		case ContentLength:
			n, ok := parseLength(v)
			if !ok {
				return errLength
			}
			f.length = n
			f.lengths++
		case TransferEncoding:
			f.coding = v
			f.codings++
		case Connection:
			for o := range Tokens(v) {
				if err := f.option(o, true); err != nil {
					return err
				}
			}
		case Upgrade:
			f.protocol = v
			f.upgrades++
		case Expect:
			if r.Minor == 0 {
				continue // RFC 9110 section 10.1.1: ignore it
			}
			if !fold(v, "100-continue") {
				return errExpect
			}
			r.Expect = true
		case TE:
			for t := range Tokens(v) {
				if r.Minor > 0 && fold(t, "trailers") {
					r.Trailers = true
				}
			}
		}
	}
	switch {
	case hosts > 1:
		return errManyHosts
	case hosts == 1 && !ValidHost(host):
		return errHost
	case hosts == 0 && r.Minor > 0:
		return errNoHost
	case f.lengths > 1:
		return errManyLengths // identical ones too: the RFC lets us choose, and two parsers choose two ways
	}
	if err := f.transferEncoding(r.Minor); err != nil {
		return err
	}
	if r.Authority == nil { // RFC 9112 section 3.2.2: the authority of an absolute form takes the place of Host
		r.Authority = host
	}
	if f.lengths == 1 {
		r.Length = f.length
	}
	r.Chunked = f.codings == 1
	r.Close = f.close || r.Minor == 0 && !f.keepAlive
	if f.upgrade && f.upgrades == 1 && r.Minor > 0 && !r.Chunked && r.Length <= 0 && string(r.Method) == "GET" {
		r.Upgrade = protocol(f.protocol)
	}
	return nil
}
