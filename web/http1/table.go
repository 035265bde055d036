package http1

import (
	"encoding/binary"
	"math/bits"
)

// Every byte has a set of classes, so that one load answers any question about it.
const (
	tchar      = 1 << iota // token (RFC 9110 section 5.6.2)
	underscore             // "_", which CGI cannot tell from "-"
	pchar                  // may stand in a path: see target.go
	vchar                  // 0x21 to 0x7e
	hostchar               // may stand in a host name: see host.go
	text                   // may stand in a field value: SP, HTAB, VCHAR, obs-text (RFC 9110 section 5.5)
	hexdig
)

// Only read after it has been made, by this expression and not by an init function.
var class = func() (t [256]uint8) {
	each := func(set string, c uint8) {
		for i := range len(set) {
			t[set[i]] |= c
		}
	}
	const alnum = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	each(alnum, tchar|pchar|hostchar)
	each("!#$%&'*+-.^_`|~", tchar)
	each("_", underscore)
	each("-._~!$&'()*+,;=:@/%"+"[]|^", pchar)
	each("-._~", hostchar)
	each("0123456789abcdefABCDEF", hexdig)
	for c := 0x21; c <= 0x7e; c++ {
		t[c] |= vchar
	}
	for c := range 256 {
		if c >= 0x20 && c != 0x7f || c == '\t' {
			t[c] |= text
		}
	}
	return t
}()

// all says whether every byte of b has one of the classes in c.
func all(b []byte, c uint8) bool {
	for _, x := range b {
		if class[x]&c == 0 {
			return false
		}
	}
	return true
}

// textEnd returns the index of the first byte at or after i that may not stand in a field value, len(b) if there is none.
// Eight bytes are looked at together: heads are mostly values, and this is where a parser spends its time.
func textEnd(b []byte, i int) int {
	const ones = 0x0101010101010101
	for len(b)-i >= 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		d := x ^ 0x7f*ones
		// The top bit of a byte is set where x < 0x20, or where d == 0. A borrow can only set bits above a true hit, so the
		// lowest one is exact.
		hit := ((x-0x20*ones)&^x | (d-ones)&^d) & (0x80 * ones)
		if hit == 0 {
			i += 8
			continue
		}
		i += bits.TrailingZeros64(hit) >> 3
		if b[i] != '\t' {
			return i
		}
		i++
	}
	for i < len(b) && class[b[i]]&text != 0 {
		i++
	}
	return i
}

// trim removes the optional white space around a value (OWS, RFC 9110 section 5.6.3: SP and HTAB, nothing else).
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// fold says whether b equals s without case. s is given in lower case; only ASCII letters have case.
func fold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i := range len(s) {
		if lower(b[i]) != s[i] {
			return false
		}
	}
	return true
}
