package web

import (
	"bytes"

	"skein/web/http1"
)

// encoding is a content coding that answers can be compressed with (RFC 9110 section 8.4.1).
type encoding uint8

const (
	asIs encoding = iota // not compressed
	gzipped
	brotlied
	zstded
	encodings
)

func (e encoding) String() string { return [encodings]string{"identity", "gzip", "br", "zstd"}[e] }

// encodingOf finds a coding by its name; false if we do not have it. x-gzip is gzip (RFC 9110 section 8.4.1.3).
func encodingOf(name []byte) (encoding, bool) {
	switch {
	case equalFold("gzip", name), equalFold("x-gzip", name):
		return gzipped, true
	case equalFold("br", name):
		return brotlied, true
	case equalFold("zstd", name):
		return zstded, true
	case equalFold("identity", name):
		return asIs, true
	}
	return asIs, false
}

// unnamed is the weight of what Accept-Encoding does not mention.
const unnamed = -1

// wishes are the weights that a client gives to encodings, in thousandths.
type wishes struct {
	of  [encodings]int
	any int // "*": whatever is not mentioned
}

// wishesOf reads all Accept-Encoding lines. An element that is not well formed counts as refused: who gets an answer that is
// not compressed can always read it. Of two weights for one coding the lower one counts, for the same reason.
func wishesOf(fields []Field) wishes {
	w := wishes{any: unnamed}
	for e := range w.of {
		w.of[e] = unnamed
	}
	for i := range fields {
		if fields[i].ID != http1.AcceptEncoding {
			continue
		}
		rest, more := fields[i].Value, true
		for more {
			var element []byte
			element, rest, more = bytes.Cut(rest, []byte{','})
			name, parameters, _ := bytes.Cut(element, []byte{';'})
			name = bytes.Trim(name, " \t")
			if len(name) == 1 && name[0] == '*' {
				lower(&w.any, weight(parameters))
			} else if e, ok := encodingOf(name); ok {
				lower(&w.of[e], weight(parameters))
			}
		}
	}
	return w
}

func lower(to *int, q int) {
	if *to == unnamed || q < *to {
		*to = q
	}
}

// weight reads the q of "gzip;q=0.8", in thousandths: 1 without one, 0 for one that is not a qvalue (RFC 9110 section 12.4.2).
func weight(parameters []byte) int {
	for len(parameters) > 0 {
		var p []byte
		p, parameters, _ = bytes.Cut(parameters, []byte{';'})
		p = bytes.Trim(p, " \t")
		if len(p) < 2 || p[0]|0x20 != 'q' || p[1] != '=' {
			continue
		}
		v := p[2:]
		if len(v) == 0 || len(v) > len("0.123") || v[0] != '0' && v[0] != '1' || len(v) > 1 && v[1] != '.' {
			return 0
		}
		q, unit := int(v[0]-'0')*1000, 100
		for _, d := range v[min(2, len(v)):] {
			if d < '0' || d > '9' {
				return 0
			}
			q += int(d-'0') * unit
			unit /= 10
		}
		if q > 1000 {
			return 0
		}
		return q
	}
	return 1000
}

// choose returns what the client likes best of offer, which is the best first: among equals the order of offer decides. What
// it returns is asIs if the client takes none, or says that it prefers the answer as it is.
//
// A client that sends no Accept-Encoding would have to take anything (RFC 9110 section 12.5.3). Those are old or simple
// programs, which cannot decode anything: they get the answer as it is, as from every other server.
func (w *wishes) choose(offer []string) encoding {
	best, most := asIs, 0
	for _, name := range offer {
		e, ok := encodingOf([]byte(name))
		if !ok || e == asIs {
			continue
		}
		q := w.of[e]
		if q == unnamed {
			q = w.any
		}
		if q > most {
			best, most = e, q
		}
	}
	if w.of[asIs] > most {
		return asIs
	}
	return best
}

// refuse reports whether the client does not take an answer as it is: "identity;q=0", or "*;q=0" without naming identity. If it
// takes nothing that we have either, it gets the answer as it is all the same (RFC 9110 section 12.5.3).
func (w *wishes) refuse() bool {
	return w.of[asIs] == 0 || w.of[asIs] == unnamed && w.any == 0
}
