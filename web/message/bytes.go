package message

import "unsafe"

// Every byte has a set of classes. Only read after it has been made, by this expression and not by an init function.
var class = func() (t [256]uint8) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
		t[c] |= nameByte | methodByte
	}
	for c := byte('A'); c <= 'Z'; c++ {
		t[c] |= methodByte
	}
	for c := 0x21; c <= 0x7e; c++ {
		t[c] |= pathByte
	}
	t['#'] &^= pathByte
	for c := 0x21; c <= 0x7e; c++ {
		t[c] |= hostByte
	}
	for _, c := range []byte("/?#@\\\"<>^`{|},") {
		t[c] &^= hostByte
	}
	for c := range 256 {
		if c >= 0x20 && c != 0x7f || c == '\t' {
			t[c] |= valueByte
		}
	}
	return t
}()

const (
	nameByte   = 1 << iota // a token without capitals (RFC 9113 section 8.2.1)
	methodByte             // a token
	pathByte               // visible, and no fragment
	hostByte               // may stand in an authority without userinfo
	valueByte              // no control byte but HTAB (RFC 9110 section 5.5)
)

func all(s string, c uint8) bool {
	for i := range len(s) {
		if class[s[i]]&c == 0 {
			return false
		}
	}
	return true
}

// bytesOf shows a string as bytes, which nobody may write to.
func bytesOf(s string) []byte {
	if s == "" {
		return []byte{}
	}
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
