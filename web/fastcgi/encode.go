package fastcgi

import "encoding/binary"

func appendHeader(dst []byte, kind byte, n int) []byte {
	return append(dst, version, kind, 0, requestID, byte(n>>8), byte(n), 0, 0)
}

// AppendBegin begins a request for an answer; with keep the application leaves the connection open behind it.
func AppendBegin(dst []byte, keep bool) []byte {
	dst = appendHeader(dst, typeBegin, 8)
	flags := byte(0)
	if keep {
		flags = keepConn
	}
	return append(dst, 0, roleResponder, flags, 0, 0, 0, 0, 0)
}

// AppendAbort asks the application to give the request up. php-fpm does not read it while a script runs, as no application
// with one thread can: closing the connection says the same.
func AppendAbort(dst []byte) []byte { return appendHeader(dst, typeAbort, 0) }

// Params writes the parameters behind what is in Buf already: room for a record's header first, then the pairs, and the
// headers of further records only at the end, if one cannot hold them all. A pair may lie across two records; that is what
// makes them a stream (section 3.3).
type Params struct {
	Buf []byte
	at  int // of the first record's header
}

// OpenParams begins the stream of parameters at the end of dst.
func OpenParams(dst []byte) Params {
	return Params{Buf: appendHeader(dst, typeParams, 0), at: len(dst)}
}

// Add adds one parameter.
func Add[N, V ~string | ~[]byte](p *Params, name N, value V) {
	p.Lengths(len(name), len(value))
	p.Buf = append(p.Buf, name...)
	p.Buf = append(p.Buf, value...)
}

// Lengths begins a parameter whose name and value, of these lengths, the caller appends to Buf.
func (p *Params) Lengths(name, value int) {
	p.Buf = appendLength(p.Buf, name)
	p.Buf = appendLength(p.Buf, value)
}

// appendLength writes a length in one byte, or in four with the highest bit set (section 3.4).
func appendLength(dst []byte, n int) []byte {
	if n <= 127 {
		return append(dst, byte(n))
	}
	return binary.BigEndian.AppendUint32(dst, uint32(n)|1<<31)
}

// Close ends the stream and returns all of the buffer.
func (p *Params) Close() []byte {
	b := p.Buf
	content := len(b) - p.at - headerSize
	if content <= MaxContent {
		setLength(b[p.at:], content)
		if content == 0 {
			return b // an empty record is the end already
		}
		return appendHeader(b, typeParams, 0)
	}
	// Make room for the other headers, and move the pieces apart from the last to the second.
	more := (content - 1) / MaxContent
	for range more {
		b = appendHeader(b, typeParams, 0)
	}
	for i := more; i > 0; i-- {
		from := p.at + headerSize + i*MaxContent
		n := min(MaxContent, content-i*MaxContent)
		to := from + i*headerSize
		copy(b[to:to+n], b[from:from+n])
		setHeader(b[to-headerSize:], typeParams, n)
	}
	setLength(b[p.at:], MaxContent)
	return appendHeader(b, typeParams, 0)
}

func setHeader(b []byte, kind byte, n int) {
	copy(b, []byte{version, kind, 0, requestID, byte(n >> 8), byte(n), 0, 0})
}

func setLength(b []byte, n int) { b[4], b[5] = byte(n>>8), byte(n) }

// AppendStdin adds a piece of the request's body, in as many records as it takes. Nothing is added for an empty piece: that
// would be the end.
func AppendStdin[T ~string | ~[]byte](dst []byte, p T) []byte {
	for len(p) > 0 {
		n := min(len(p), MaxContent)
		dst = AppendStdinHeader(dst, n)
		dst = append(dst, p[:n]...)
		p = p[n:]
	}
	return dst
}

// AppendStdinHeader is the header before n bytes of body that the caller sends himself; 0 ends the body.
func AppendStdinHeader(dst []byte, n int) []byte { return appendHeader(dst, typeStdin, n) }

// AppendStdinEnd ends the body.
func AppendStdinEnd(dst []byte) []byte { return AppendStdinHeader(dst, 0) }
