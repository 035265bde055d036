package http2

import "golang.org/x/net/http2/hpack"

// Answers are encoded without the dynamic table, as nginx does: its state would have to be kept for each connection, and every
// answer would have to wait its turn to be encoded. What is in the static table (RFC 7541 appendix A) is a byte or two; the
// rest are literals.

// Huffman coding saves a quarter of long values and costs more than writing them. Between these lengths it is tried.
const (
	huffmanFrom = 48
	huffmanTo   = 512
)

// AppendStatus appends :status, which comes first in the block of an answer. status has three digits.
func AppendStatus(b []byte, status int) []byte {
	switch status {
	case 200:
		return append(b, 0x80|8)
	case 204:
		return append(b, 0x80|9)
	case 206:
		return append(b, 0x80|10)
	case 304:
		return append(b, 0x80|11)
	case 400:
		return append(b, 0x80|12)
	case 404:
		return append(b, 0x80|13)
	case 500:
		return append(b, 0x80|14)
	}
	return append(b, 0x08, 3, byte('0'+status/100%10), byte('0'+status/10%10), byte('0'+status%10))
}

// AppendField appends a field as a literal without indexing, with the name in lower case. Those that carry secrets are marked
// as never to be indexed, by nobody on the way (RFC 7541 section 7.1.3).
func AppendField(b, name, value []byte) []byte {
	var room [64]byte
	n := lower(room[:0], name)
	index, secret := staticName(n)
	pattern := byte(0)
	if secret {
		pattern = 0x10
	}
	switch {
	case index >= 15:
		b = append(b, pattern|15, index-15)
	case index > 0:
		b = append(b, pattern|index)
	default:
		b = appendLiteral(append(b, pattern), n)
	}
	return appendString(b, value)
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

func appendString(b, v []byte) []byte {
	if len(v) >= huffmanFrom && len(v) <= huffmanTo {
		s := string(v)
		if n := hpack.HuffmanEncodeLength(s); n <= uint64(len(v)-len(v)/8) {
			return hpack.AppendHuffmanString(appendInt(b, 0x80, n), s)
		}
	}
	return appendLiteral(b, v)
}

func appendLiteral(b, v []byte) []byte { return append(appendInt(b, 0, uint64(len(v))), v...) }

// appendInt appends an integer with a prefix of seven bits (RFC 7541 section 5.1).
func appendInt(b []byte, high byte, n uint64) []byte {
	if n < 0x7f {
		return append(b, high|byte(n))
	}
	b = append(b, high|0x7f)
	for n -= 0x7f; n >= 0x80; n >>= 7 {
		b = append(b, 0x80|byte(n))
	}
	return append(b, byte(n))
}

// staticName is the index of a name in the static table, 0 if it has none, and whether its values are secret.
func staticName(name []byte) (index byte, secret bool) {
	switch string(name) {
	case "accept-charset":
		return 15, false
	case "accept-encoding":
		return 16, false
	case "accept-language":
		return 17, false
	case "accept-ranges":
		return 18, false
	case "accept":
		return 19, false
	case "access-control-allow-origin":
		return 20, false
	case "age":
		return 21, false
	case "allow":
		return 22, false
	case "authorization":
		return 23, true
	case "cache-control":
		return 24, false
	case "content-disposition":
		return 25, false
	case "content-encoding":
		return 26, false
	case "content-language":
		return 27, false
	case "content-length":
		return 28, false
	case "content-location":
		return 29, false
	case "content-range":
		return 30, false
	case "content-type":
		return 31, false
	case "cookie":
		return 32, true
	case "date":
		return 33, false
	case "etag":
		return 34, false
	case "expect":
		return 35, false
	case "expires":
		return 36, false
	case "from":
		return 37, false
	case "host":
		return 38, false
	case "if-match":
		return 39, false
	case "if-modified-since":
		return 40, false
	case "if-none-match":
		return 41, false
	case "if-range":
		return 42, false
	case "if-unmodified-since":
		return 43, false
	case "last-modified":
		return 44, false
	case "link":
		return 45, false
	case "location":
		return 46, false
	case "max-forwards":
		return 47, false
	case "proxy-authenticate":
		return 48, true
	case "proxy-authorization":
		return 49, true
	case "range":
		return 50, false
	case "referer":
		return 51, false
	case "refresh":
		return 52, false
	case "retry-after":
		return 53, false
	case "server":
		return 54, false
	case "set-cookie":
		return 55, true
	case "strict-transport-security":
		return 56, false
	case "transfer-encoding":
		return 57, false
	case "user-agent":
		return 58, false
	case "vary":
		return 59, false
	case "via":
		return 60, false
	case "www-authenticate":
		return 61, true
	}
	return 0, false
}
