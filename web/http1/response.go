package http1

// Reset forgets the answer, half read or not, and keeps the capacity of its fields.
func (r *Response) Reset() { *r = Response{Fields: r.Fields[:0]} }

// Parse reads an answer's head at the beginning of buf, by the same rules as [Request.Parse]: n is its length, 0 if more bytes
// are needed. Interim answers (1xx) are heads of their own. buf is changed where an origin folded a line: the fold becomes
// spaces.
func (r *Response) Parse(buf []byte, lim Limits) (n int, err error) {
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
		return 0, e.fromOrigin()
	}
	if n > 0 {
		r.cur.base = nil
	}
	return n, nil
}

// Body says how the body of this answer ends; head is whether it answers a HEAD. After UntilClose the connection cannot be
// used again, whatever Close says.
func (r *Response) Body(head bool) Framing {
	switch {
	case head, r.Status < 200, r.Status == 204, r.Status == 304, r.Length == 0:
		return NoBody
	case r.Chunked:
		return ByChunks
	case r.Length > 0:
		return ByLength
	}
	return UntilClose
}

func (r *Response) parse(buf []byte, lim Limits) (int, *Error) {
	c := &r.cur
	if !c.started {
		n, err := r.statusLine(buf)
		if err != nil || n == 0 {
			return 0, err
		}
		c.started = true
		c.next(n)
	}
	fs, n, err := c.fields(buf, r.Fields, lim.Fields, true)
	r.Fields = fs
	if err != nil || n == 0 {
		return 0, err
	}
	return n, r.finish()
}

// statusLine reads "HTTP/1.x SP status [SP [reason]] CR LF" and returns the index after it, 0 if more bytes are needed. The
// space after the status is required by RFC 9112 section 4, but many origins without a reason leave it out.
func (r *Response) statusLine(buf []byte) (int, *Error) {
	const want = "HTTP/1.x ddd"
	for i := r.cur.scanned; i < len(want); i++ {
		r.cur.scanned = i
		if i == len(buf) {
			return 0, nil
		}
		b := buf[i]
		switch want[i] {
		case 'x':
			if b != '0' && b != '1' {
				return 0, errUnsupported
			}
		case 'd':
			if b < '0' || b > '9' || b == '0' && i == len(want)-3 {
				return 0, errStatus
			}
		default:
			if b != want[i] {
				return 0, errStatusLine
			}
		}
	}
	i := textEnd(buf, max(r.cur.scanned, len(want)))
	r.cur.scanned = i
	if len(buf) > len(want) && i > len(want) && buf[len(want)] != ' ' {
		return 0, errStatus
	}
	if i == len(buf) || i+1 == len(buf) && buf[i] == '\r' {
		return 0, nil
	}
	if buf[i] != '\r' || buf[i+1] != '\n' {
		return 0, badByte(buf[i])
	}
	r.Minor = buf[len("HTTP/1.")] - '0'
	s := buf[len("HTTP/1.x "):]
	r.Status = int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	r.Reason = trim(buf[len(want):i:i])
	return i + 2, nil
}

// finish judges the fields together, once all of them are there.
func (r *Response) finish() *Error {
	var f framing
	r.Length = -1
	kept := r.Fields[:0]
	for i := range r.Fields {
		field := r.Fields[i]
		switch field.ID {
		case ContentLength:
			v, ok := sameLengths(field.Value)
			if !ok {
				return errLength
			}
			n, _ := parseLength(v)
			if f.lengths > 0 {
				if n != f.length {
					return errManyLengths
				}
				continue // RFC 9112 section 6.3: identical ones may count as one, and one is what we pass on
			}
			field.Value = v
			f.length = n
			f.lengths++
		case TransferEncoding:
			f.coding = field.Value
			f.codings++
		case Connection:
			for o := range Tokens(field.Value) {
				if err := f.option(o, false); err != nil {
					return err
				}
			}
		case Upgrade:
			f.protocol = field.Value
			f.upgrades++
		}
		kept = append(kept, field)
	}
	r.Fields = kept
	if err := f.transferEncoding(r.Minor); err != nil {
		return err
	}
	if f.lengths == 1 {
		r.Length = f.length
	}
	r.Chunked = f.codings == 1
	r.Close = f.close || r.Minor == 0 && !f.keepAlive
	interim := r.Status < 200
	switch {
	case (interim || r.Status == 204) && r.Chunked:
		return errCodingStatus
	case interim && r.Length > 0:
		return errLengthStatus // the next answer would be looked for inside it, or behind it
	case r.Status == 204 && r.Length > 0:
		r.Close = true // there is no body, but this origin may send one
	case r.Status == 101:
		if f.upgrades != 1 || protocol(f.protocol) == nil {
			return errSwitch
		}
		r.Upgrade = f.protocol
	}
	return nil
}

// sameLengths takes "5" or "5, 5" and returns the first number.
func sameLengths(v []byte) (first []byte, ok bool) {
	first, rest, more := cutComma(v)
	n, ok := parseLength(first)
	for ok && more {
		var next []byte
		next, rest, more = cutComma(rest)
		m, valid := parseLength(next)
		ok = valid && m == n
	}
	return first, ok
}
