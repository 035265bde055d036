package http1

import "math"

// Framing says how the body of a message ends.
type Framing uint8

// The four ways (RFC 9112 section 6.3).
const (
	NoBody     Framing = iota // nothing follows the head
	ByLength                  // Length bytes follow, at least one
	ByChunks                  // chunks follow: read them with [Chunks]
	UntilClose                // answers only: all bytes until the origin closes
)

// framing collects the fields of one head that decide over its body and its connection.
type framing struct {
	lengths, codings int    // number of Content-Length and Transfer-Encoding lines
	length           int64  // the last Content-Length
	coding           []byte // the last Transfer-Encoding
	close, keepAlive bool   // connection options
	upgrade          bool   // connection option
	upgrades         int    // number of Upgrade lines
	protocol         []byte // the last Upgrade
}

// parseLength reads 1*DIGIT that fits an int64: no sign, no white space, no list.
func parseLength(v []byte) (int64, bool) {
	var n int64
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		d := int64(c - '0')
		if n > (math.MaxInt64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, len(v) > 0
}

// option takes one connection option. The strict reader refuses what is not a token.
//
// To name Host, Content-Length or Transfer-Encoding there asks a proxy to remove the field that the next one needs to find
// the end of the message or its addressee. No honest sender does (RFC 9110 section 7.6.1).
func (f *framing) option(o []byte, strict bool) *Error {
	switch {
	case fold(o, "close"):
		f.close = true
	case fold(o, "keep-alive"):
		f.keepAlive = true
	case fold(o, "upgrade"):
		f.upgrade = true
	case fold(o, "host"), fold(o, "content-length"), fold(o, "transfer-encoding"):
		return errOptionFrames
	case strict && !ValidToken(o):
		return errOption
	}
	return nil
}

// transferEncoding judges the Transfer-Encoding of a head, if there is one. Anything but a lone "chunked" is an error: 501 for
// a well-formed list of codings that ends in chunked, 400 for all that is there to be misread.
func (f *framing) transferEncoding(minor uint8) *Error {
	switch {
	case f.codings == 0:
		return nil
	case f.lengths > 0:
		return errBoth
	case minor == 0:
		return errCodingOld
	case f.codings > 1:
		return errCoding
	case fold(f.coding, "chunked"):
		return nil
	}
	return otherCoding(f.coding)
}

func otherCoding(value []byte) *Error {
	last, rest := false, value
	for more := true; more; {
		var coding []byte
		coding, rest, more = cutComma(rest)
		if last || !ValidToken(coding) { // a coding after chunked, an empty element, a parameter, a quote, a stray byte
			return errCoding
		}
		last = fold(coding, "chunked")
	}
	if !last {
		return errCoding // RFC 9112 section 6.3: the length of such a request cannot be known
	}
	return errCodingKind
}

func cutComma(b []byte) (element, rest []byte, more bool) {
	for i, c := range b {
		if c == ',' {
			return trim(b[:i]), b[i+1:], true
		}
	}
	return trim(b), nil, false
}

// protocol returns the one protocol that Upgrade offers, nil if it is not exactly one. h2c never is: it is the classic way
// to smuggle requests past a proxy, and RFC 9113 section 3.1 has withdrawn it.
func protocol(value []byte) []byte {
	name := value
	for i, c := range value {
		if c == '/' {
			if !ValidToken(value[i+1:]) {
				return nil
			}
			name = value[:i]
			break
		}
	}
	if !ValidToken(name) || fold(name, "h2c") || fold(name, "h2") {
		return nil
	}
	return value
}
