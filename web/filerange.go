package web

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"skein/web/http1"
)

// The fields of an answer with a file. They are only read.
var (
	nameDate            = []byte("Date")
	nameLastModified    = []byte("Last-Modified")
	nameETag            = []byte("ETag")
	nameVary            = []byte("Vary")
	nameContentType     = []byte("Content-Type")
	nameContentRange    = []byte("Content-Range")
	nameContentEncoding = []byte("Content-Encoding")
	nameAcceptRanges    = []byte("Accept-Ranges")
	valueBytes          = []byte("bytes")
)

// maxRanges is how many parts of a file one request may ask for; one that wants more gets all of it (RFC 9110 section 14.2
// lets a server ignore Range, and section 17.15 says why it should).
const maxRanges = 16

// span is a part of a file.
type span struct{ at, n int64 }

// appendRange writes a part as Content-Range does.
func (s span) appendRange(b []byte, size int64) []byte {
	b = strconv.AppendInt(append(b, "bytes "...), s.at, 10)
	b = strconv.AppendInt(append(b, '-'), s.at+s.n-1, 10)
	return strconv.AppendInt(append(b, '/'), size, 10)
}

// conditions are the fields of a request that make its answer depend on the file's state.
type conditions struct {
	match, noneMatch        bool   // the fields are there
	matches, noneMatches    bool   // and one of their tags is the file's
	modified, unmodified    []byte // If-Modified-Since and If-Unmodified-Since; nil without one
	rangeOf                 []byte // If-Range
	ranges                  []byte // Range
	manyRanges, manyRangeOf bool
}

// read finds them. None has an [http1.ID]: a proxy has nothing to do with them.
func (c *conditions) read(fields []Field, tag []byte) {
	for i := range fields {
		f := &fields[i]
		if f.ID != http1.Other || len(f.Name) < len("range") {
			continue
		}
		switch f.Name[0] | 0x20 {
		case 'i':
		case 'r':
			if equalFold("range", f.Name) {
				c.manyRanges = c.ranges != nil
				c.ranges = f.Value
			}
			continue
		default:
			continue
		}
		switch {
		case equalFold("if-match", f.Name):
			c.match = true
			c.matches = c.matches || hasTag(f.Value, tag, true)
		case equalFold("if-none-match", f.Name):
			c.noneMatch = true
			c.noneMatches = c.noneMatches || hasTag(f.Value, tag, false)
		case equalFold("if-modified-since", f.Name):
			c.modified = f.Value
		case equalFold("if-unmodified-since", f.Name):
			c.unmodified = f.Value
		case equalFold("if-range", f.Name):
			c.manyRangeOf = c.rangeOf != nil
			c.rangeOf = f.Value
		}
	}
}

// judge says what of the file is wanted: 412, 304, 416, 206 with k.ranges, or 200. The order is that of RFC 9110 section
// 13.2.2.
func (o *file) judge(x *exchange, k *fileWork) int {
	var c conditions
	c.read(x.fields, o.tag)
	switch {
	case c.match && !c.matches:
		return http.StatusPreconditionFailed
	case !c.match && c.unmodified != nil && !o.notAfter(c.unmodified, true):
		return http.StatusPreconditionFailed
	}
	switch {
	case c.noneMatch && c.noneMatches:
		return http.StatusNotModified
	case !c.noneMatch && c.modified != nil && o.notAfter(c.modified, false):
		return http.StatusNotModified
	}
	if x.method != http.MethodGet || c.ranges == nil || c.manyRanges || c.rangeOf != nil && (c.manyRangeOf || !o.same(c.rangeOf)) {
		return http.StatusOK
	}
	var ok bool
	k.ranges, ok = parseRanges(k.ranges[:0], c.ranges, o.size)
	switch {
	case !ok:
		return http.StatusOK
	case len(k.ranges) == 0:
		return http.StatusRequestedRangeNotSatisfiable
	}
	return http.StatusPartialContent
}

// notAfter reports whether the file has not changed since the date, which has whole seconds only. A date that is none counts
// as otherwise says: its field is to be ignored.
func (o *file) notAfter(date []byte, otherwise bool) bool {
	if bytes.Equal(date, o.since) {
		return true
	}
	t, err := http.ParseTime(string(date))
	if err != nil {
		return otherwise
	}
	return !o.mtime.Truncate(time.Second).After(t)
}

// same reports whether If-Range names this very file: by its strong tag, or by exactly its time (RFC 9110 section 13.1.5).
func (o *file) same(v []byte) bool {
	if len(v) > 0 && v[0] == '"' {
		return bytes.Equal(v, o.tag)
	}
	return bytes.Equal(v, o.since)
}

// hasTag reports whether a list of entity tags, or a star, holds ours. A strong comparison knows no weak tags (RFC 9110
// section 8.8.3.2). What is no list is read up to its mistake.
func hasTag(list, tag []byte, strong bool) bool {
	for {
		list = bytes.TrimLeft(list, " \t,")
		if len(list) == 0 {
			return false
		}
		if list[0] == '*' {
			return true
		}
		weak := bytes.HasPrefix(list, []byte("W/"))
		if weak {
			list = list[2:]
		}
		if len(list) < 2 || list[0] != '"' {
			return false
		}
		end := bytes.IndexByte(list[1:], '"')
		if end < 0 {
			return false
		}
		if bytes.Equal(list[:end+2], tag) && !(weak && strong) {
			return true
		}
		list = list[end+2:]
	}
}

// parseRanges reads a Range of bytes (RFC 9110 section 14.1.2). It returns false to send the whole file instead: another unit,
// a mistake, too many parts, or more than the file has. No part at all is one that the file does not reach.
func parseRanges(dst []span, v []byte, size int64) ([]span, bool) {
	list, ok := bytes.CutPrefix(v, []byte("bytes="))
	if !ok || size == 0 { // of an empty file there is no part, but some clients ask always
		return dst, false
	}
	count, sum := 0, int64(0)
	for t := range http1.Tokens(list) {
		if count++; count > maxRanges {
			return dst, false
		}
		first, last, ok := bytes.Cut(t, []byte{'-'})
		if !ok {
			return dst, false
		}
		from, hasFrom := rangeNumber(first)
		to, hasTo := rangeNumber(last)
		if len(first) > 0 && !hasFrom || len(last) > 0 && !hasTo {
			return dst, false
		}
		switch {
		case hasFrom && hasTo && to < from, !hasFrom && !hasTo:
			return dst, false
		case !hasFrom: // the last bytes
			from, to = max(0, size-to), size-1
			if from == size {
				continue
			}
		case from >= size:
			continue
		case !hasTo || to >= size:
			to = size - 1
		}
		dst = append(dst, span{from, to - from + 1})
		sum += to - from + 1
	}
	if count == 0 || sum > size && len(dst) > 1 {
		return dst, false // overlapping parts would make a small request a large answer
	}
	return dst, true
}

// rangeNumber reads digits; a number that is too large for a file is as good as its end.
func rangeNumber(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n < 1<<58 {
			n = 10*n + int64(c-'0')
		}
	}
	return n, len(b) > 0
}

// byteranges is an answer of several parts (RFC 9110 section 14.6).
type byteranges struct {
	kind   []byte
	heads  [][]byte // before each part
	tail   []byte
	length int64
}

func newByteranges(o *file, parts []span) byteranges {
	var random [16]byte
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	boundary := hex.EncodeToString(random[:]) // which no file can hold but by chance
	m := byteranges{
		kind: []byte("multipart/byteranges; boundary=" + boundary),
		tail: []byte("\r\n--" + boundary + "--\r\n"),
	}
	m.length = int64(len(m.tail))
	for i, p := range parts {
		h := []byte("\r\n--" + boundary + "\r\n")
		if i == 0 {
			h = h[2:]
		}
		h = appendField(h, "Content-Type", o.kind)
		h = append(h, "Content-Range: "...)
		h = append(p.appendRange(h, o.size), "\r\n\r\n"...)
		m.heads = append(m.heads, h)
		m.length += int64(len(h)) + p.n
	}
	return m
}
