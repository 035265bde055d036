package http3

import "golang.org/x/net/http2/hpack"

// A header block of QPACK without a dynamic table (RFC 9204 section 4.5) is a prefix of two zeros and then field lines:
//
//	1 1 index(6)                       a line of the static table (appendix A)
//	0 1 N 1 index(4)   | value         a name of the static table; N: never to be indexed by anybody on the way
//	0 0 1 N H length(3) name | value   a name of our own
//	value: H length(7) bytes           H: Huffman coded
//
// We keep no table for what we send, as its state would bind every answer of a connection to the ones before.

// Huffman coding saves a quarter of long values and costs more than writing them. Between these lengths it is tried.
const (
	huffmanFrom = 48
	huffmanTo   = 512
)

// AppendStatus begins the block of an answer. status has three digits.
func AppendStatus(b []byte, status int) []byte {
	b = appendPrefix(b)
	index := 0
	switch status {
	case 100:
		index = 63
	case 103:
		index = 24
	case 200:
		index = 25
	case 204:
		index = 64
	case 206:
		index = 65
	case 302:
		index = 66
	case 304:
		index = 26
	case 400:
		index = 67
	case 403:
		index = 68
	case 404:
		index = 27
	case 421:
		index = 69
	case 500:
		index = 71
	case 503:
		index = 28
	}
	if index > 0 {
		return appendInt(b, 0xc0, 6, uint64(index))
	}
	b = appendInt(b, 0x50, 4, 24) // the first line of the table whose name is :status
	return append(b, 3, byte('0'+status/100%10), byte('0'+status/10%10), byte('0'+status%10))
}

// AppendTrailers begins a block of trailers.
func AppendTrailers(b []byte) []byte { return appendPrefix(b) }

func appendPrefix(b []byte) []byte { return append(b, 0, 0) }

// AppendField appends a field line, with the name in lower case. Those that carry secrets are marked as never to be indexed
// (RFC 9204 section 7.1.3).
func AppendField(b, name, value []byte) []byte {
	var room [64]byte
	n := lower(room[:0], name)
	index, secret := staticName(n)
	never := byte(0)
	if index < 0 {
		b = appendInt(b, 0x20, 3, uint64(len(n)))
		b = append(b, n...)
	} else {
		if secret {
			never = 0x20
		}
		b = appendInt(b, 0x50|never, 4, uint64(index))
	}
	if len(value) >= huffmanFrom && len(value) <= huffmanTo {
		s := string(value)
		if n := hpack.HuffmanEncodeLength(s); n <= uint64(len(value)-len(value)/8) {
			return hpack.AppendHuffmanString(appendInt(b, 0x80, 7, n), s)
		}
	}
	return append(appendInt(b, 0, 7, uint64(len(value))), value...)
}

func lower(dst, name []byte) []byte {
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst
}

// appendInt appends an integer with a prefix of so many bits; high is what stands before them (RFC 7541 section 5.1).
func appendInt(b []byte, high byte, bits uint, n uint64) []byte {
	most := uint64(1)<<bits - 1
	if n < most {
		return append(b, high|byte(n))
	}
	b = append(b, high|byte(most))
	for n -= most; n >= 0x80; n >>= 7 {
		b = append(b, 0x80|byte(n))
	}
	return append(b, byte(n))
}

// staticName is the first line of the static table that has the name, -1 if none has, and whether its values are secret.
func staticName(name []byte) (index int, secret bool) {
	switch string(name) {
	case "age":
		return 2, false
	case "content-disposition":
		return 3, false
	case "content-length":
		return 4, false
	case "date":
		return 6, false
	case "etag":
		return 7, false
	case "last-modified":
		return 10, false
	case "link":
		return 11, false
	case "location":
		return 12, false
	case "set-cookie":
		return 14, true
	case "accept-ranges":
		return 32, false
	case "access-control-allow-headers":
		return 33, false
	case "access-control-allow-origin":
		return 35, false
	case "cache-control":
		return 36, false
	case "content-encoding":
		return 42, false
	case "content-type":
		return 44, false
	case "strict-transport-security":
		return 56, false
	case "vary":
		return 59, false
	case "x-content-type-options":
		return 61, false
	case "x-xss-protection":
		return 62, false
	case "access-control-allow-credentials":
		return 73, false
	case "access-control-allow-methods":
		return 76, false
	case "access-control-expose-headers":
		return 79, false
	case "alt-svc":
		return 83, false
	case "content-security-policy":
		return 85, false
	case "expect-ct":
		return 87, false
	case "server":
		return 92, false
	case "timing-allow-origin":
		return 93, false
	case "x-frame-options":
		return 97, false
	}
	return -1, false
}
