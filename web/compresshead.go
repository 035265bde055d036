package web

import (
	"bytes"
	"iter"
	"slices"

	"skein/web/http1"
)

const contentEncoding = "Content-Encoding"

// each yields the fields that a client gets, after the route's edits. Fields of the hop before are not among them.
func (a *answer) each() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for i := range a.fields {
			f := &a.fields[i]
			if !a.passes(f) {
				continue
			}
			if !yield(*f) {
				return
			}
		}
		if a.edits != nil && !eachLine(a.edits.append, yield) {
			return
		}
		eachLine(a.extra, yield)
	}
}

// eachLine yields the fields of complete lines that appendField has written.
func eachLine(lines []byte, yield func(Field) bool) bool {
	for len(lines) > 0 {
		var line []byte
		line, lines, _ = bytes.Cut(lines, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(": "))
		if !yield(Field{Name: name, Value: value, ID: http1.Lookup(name)}) {
			return false
		}
	}
	return true
}

// headCopy is memory for a head that outlives the buffer it was received into.
type headCopy struct {
	fields []Field
	text   []byte
}

func (h *headCopy) reset() {
	clear(h.fields)
	h.fields, h.text = h.fields[:0], h.text[:0]
	if cap(h.text) > maxAnswerHead {
		h.text = nil
	}
}

// keep copies bytes. When text has no room left it moves, and what was kept before stays where it is.
func (h *headCopy) keep(parts ...[]byte) []byte {
	at := len(h.text)
	for _, p := range parts {
		h.text = append(h.text, p...)
	}
	return h.text[at:len(h.text):len(h.text)]
}

func (h *headCopy) add(f Field) { h.fields = append(h.fields, f) }

// rewrite makes a the head of the answer in that encoding, in memory of h: it is another representation than the member's, and
// what was said of the bytes of that one does not hold (RFC 9110 section 7.7).
func (h *headCopy) rewrite(a *answer, e encoding) {
	var vary []byte
	for f := range a.each() {
		switch said(&f) {
		case saysVary:
			vary = appendList(vary, f.Value)
		case saysCoding, saysBytes: // of a coding only identity can be there, which is not a coding to name
		case saysTag:
			// The bytes are not the member's any more, so its tag may be a weak one at most (RFC 9110 section 8.8.1).
			if tag, ok := weak(f.Value); ok {
				h.add(Field{Name: h.keep(f.Name), Value: h.keep([]byte(tag), f.Value), ID: f.ID})
			}
		default:
			h.add(Field{Name: h.keep(f.Name), Value: h.keep(f.Value), ID: f.ID, Underscore: f.Underscore})
		}
	}
	h.add(Field{Name: []byte(contentEncoding), Value: []byte(e.String()), ID: http1.ContentEncoding})
	h.add(Field{Name: []byte("Vary"), Value: variesBy(vary), ID: http1.Vary})
	a.fields, a.edits, a.hops, a.extra = h.fields, nil, nil, nil
	if a.reason != nil {
		a.reason = h.keep(a.reason)
	}
	a.length = -1
}

// vary says in the head that another client may get this answer compressed: a cache must not give it to all.
func (a *answer) vary() {
	var now []byte
	for f := range a.each() {
		if f.ID == http1.Vary {
			now = appendList(now, f.Value)
		}
	}
	if now == nil {
		a.extra = appendField(a.extra, "Vary", "Accept-Encoding")
		return
	}
	then := variesBy(now)
	if len(then) == len(now) {
		return
	}
	// One line for all of it, as there are caches that read only the first. Where the configuration writes it, a line of
	// our own has to do.
	at := slices.IndexFunc(a.fields, func(f Field) bool { return f.ID == http1.Vary })
	if at < 0 || a.edits != nil && a.edits.drops("vary") {
		a.extra = appendField(a.extra, "Vary", "Accept-Encoding")
		return
	}
	fields := slices.Clone(a.fields)
	fields[at].Value = then
	a.fields = slices.DeleteFunc(fields, func(f Field) bool { return f.ID == http1.Vary && !bytes.Equal(f.Value, then) })
}

// appendList adds the elements of another line to those of a list.
func appendList(list, line []byte) []byte {
	if len(list) > 0 {
		list = append(list, ", "...)
	}
	return append(list, line...)
}

// variesBy adds Accept-Encoding to the value of Vary, unless it says so already, or "*".
func variesBy(list []byte) []byte {
	for v := range bytes.SplitSeq(list, []byte{','}) {
		if v = bytes.Trim(v, " \t"); equalFold("accept-encoding", v) || string(v) == "*" {
			return list
		}
	}
	return appendList(list, []byte("Accept-Encoding"))
}

// weak returns what to write before an entity tag to make it a weak one; false if it is none.
func weak(tag []byte) (before string, ok bool) {
	if bytes.HasPrefix(tag, []byte("W/")) {
		tag = tag[2:]
	} else {
		before = "W/"
	}
	return before, len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"'
}

// saying is what a field says that matters to compression.
type saying uint8

const (
	saysNothing saying = iota
	saysVary
	saysTag
	saysCoding
	saysType
	saysCache
	saysRange // part of a representation
	saysBytes // something about the very bytes: their ranges, their sum
)

func said(f *Field) saying {
	switch f.ID {
	case http1.Vary:
		return saysVary
	case http1.ETag:
		return saysTag
	case http1.ContentEncoding:
		return saysCoding
	case http1.ContentType:
		return saysType
	case http1.Other:
		return saidByName(f.Name)
	}
	return saysNothing
}

func saidByName(name []byte) saying {
	switch len(name) {
	case len("digest"):
		if equalFold("digest", name) { // RFC 3230
			return saysBytes
		}
	case len("content-md5"): // also repr-digest, RFC 9530
		if equalFold("content-md5", name) || equalFold("repr-digest", name) {
			return saysBytes
		}
	case len("accept-ranges"): // also content-range, cache-control
		switch {
		case equalFold("accept-ranges", name):
			return saysBytes
		case equalFold("content-range", name):
			return saysRange
		case equalFold("cache-control", name):
			return saysCache
		}
	case len("content-digest"):
		if equalFold("content-digest", name) { // RFC 9530
			return saysBytes
		}
	}
	return saysNothing
}
