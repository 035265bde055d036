package fastcgi

import "bytes"

// Field is one header field of a CGI answer; its slices point into what was parsed.
type Field struct {
	Name, Value []byte
}

// Head is what a script says before its body (RFC 3875 section 6): field lines and an empty line, each line ending in LF or
// CR LF (the latter is php-fpm's way), and no status line.
type Head struct {
	Status int    // what Status says; else 302 with a Location, 200 without
	Reason []byte // what Status says behind the number; nil without
	Length int64  // Content-Length; -1 without one
	Fields []Field

	line    int // where the line begins that is not known to be empty or not
	scanned int // bytes before this one hold no end of that line
}

// The ways in which a head can be wrong.
var (
	errNoField     = &Error{"a head without any field", "RFC 3875 section 6.2"}
	errName        = &Error{"a line that is no field: its name is not a token", "RFC 3875 section 6.3"}
	errControl     = &Error{"a control byte in a field value", "RFC 9110 section 5.5"}
	errManyFields  = &Error{"too many fields", "RFC 6585 section 5"}
	errStatus      = &Error{"Status is not a number from 200 to 999", "RFC 3875 section 6.3.3"}
	errManyStatus  = &Error{"more than one Status", "RFC 3875 section 6.3"}
	errLength      = &Error{"Content-Length is not one decimal number", "RFC 9110 section 8.6"}
	errManyLengths = &Error{"two lengths that differ", "RFC 9112 section 6.3"}
	errCoding      = &Error{"a transfer coding, which a script cannot have", "RFC 3875 section 6.3.4"}
)

// Reset forgets the head, half read or not, and keeps the capacity of its fields.
func (h *Head) Reset() { *h = Head{Fields: h.Fields[:0]} }

// Parse reads the head at the beginning of buf; n is its length with the empty line, 0 if more bytes are needed. Until then
// buf may only grow, and may move. At most limit fields are taken. The fields Status and Content-Length are not among Fields:
// they are read.
//
// A script that sends "Location: /path" wants the server to answer with that document itself (section 6.2.2). It is passed on
// as an ordinary redirect instead, as nginx and every PHP program expect.
func (h *Head) Parse(buf []byte, limit int) (n int, err error) {
	end := h.find(buf)
	if end == 0 {
		return 0, nil
	}
	h.Status, h.Length, h.Fields = 0, -1, h.Fields[:0]
	moved := false
	for rest := buf[:end]; ; {
		line, next, _ := bytes.Cut(rest, []byte{'\n'})
		line = bytes.TrimSuffix(line, []byte{'\r'})
		rest = next
		if len(line) == 0 {
			break
		}
		colon := tokenEnd(line)
		if colon == 0 || colon == len(line) || line[colon] != ':' {
			return 0, errName
		}
		f := Field{line[:colon:colon], trim(line[colon+1:])}
		for _, c := range f.Value {
			if c < 0x20 && c != '\t' || c == 0x7f {
				return 0, errControl
			}
		}
		switch {
		case fold("status", f.Name):
			if h.Status != 0 {
				return 0, errManyStatus
			}
			if !h.status(f.Value) {
				return 0, errStatus
			}
			continue
		case fold("content-length", f.Name):
			n, ok := number(f.Value)
			if !ok {
				return 0, errLength
			}
			if h.Length >= 0 && h.Length != n {
				return 0, errManyLengths
			}
			h.Length = n
			continue
		case fold("transfer-encoding", f.Name):
			return 0, errCoding
		case fold("location", f.Name):
			moved = true
		}
		if len(h.Fields) == limit {
			return 0, errManyFields
		}
		h.Fields = append(h.Fields, f)
	}
	if h.Status == 0 {
		if len(h.Fields) == 0 {
			return 0, errNoField
		}
		h.Status = 200
		if moved {
			h.Status = 302
		}
	}
	return end, nil
}

// find returns the index behind the empty line, 0 if it has not come. No byte is looked at twice, so that a script that sends
// its head in single bytes costs no more.
func (h *Head) find(buf []byte) int {
	for {
		rest := buf[h.line:]
		switch {
		case len(rest) > 0 && rest[0] == '\n':
			return h.line + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return h.line + 2
		}
		i := bytes.IndexByte(buf[h.scanned:], '\n')
		if i < 0 {
			h.scanned = len(buf)
			return 0
		}
		h.scanned += i + 1
		h.line = h.scanned
	}
}

// status reads "404" or "404 Not Found". An interim answer has no meaning here: a script sends one head.
func (h *Head) status(v []byte) bool {
	if len(v) < 3 || len(v) > 3 && v[3] != ' ' {
		return false
	}
	n, ok := number(v[:3])
	h.Status = int(n)
	if len(v) > 4 {
		h.Reason = trim(v[4:])
	}
	return ok && n >= 200
}

// number reads digits and nothing else, as many as 63 bits surely hold.
func number(v []byte) (int64, bool) {
	if len(v) == 0 || len(v) > 18 {
		return 0, false
	}
	n := int64(0)
	for _, c := range v {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

// tokenEnd returns the index of the first byte that cannot stand in a field name (RFC 9110 section 5.6.2).
func tokenEnd(b []byte) int {
	for i, c := range b {
		if ('a' > c || c > 'z') && ('A' > c || c > 'Z') && ('0' > c || c > '9') && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) < 0 {
			return i
		}
	}
	return len(b)
}

func trim(b []byte) []byte { return bytes.Trim(b, " \t") }

// fold compares a lower-case name with any.
func fold(low string, name []byte) bool {
	if len(low) != len(name) {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != low[i] {
			return false
		}
	}
	return true
}
