package http1

import (
	"bytes"
	"iter"
)

// Tokens yields the elements of a comma-separated list (RFC 9110 section 5.6.1) without the white space around them. Empty
// elements are skipped. Elements are not checked: use [ValidToken] where it matters. Quoted strings are not understood, so
// this is for lists of tokens, as Connection is.
func Tokens(value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(value) > 0 {
			element := value
			if i := bytes.IndexByte(value, ','); i >= 0 {
				element, value = value[:i], value[i+1:]
			} else {
				value = nil
			}
			if element = trim(element); len(element) > 0 && !yield(element) {
				return
			}
		}
	}
}

// ValidToken says whether b is a token (RFC 9110 section 5.6.2), as methods, field names and connection options are.
func ValidToken(b []byte) bool { return len(b) > 0 && all(b, tchar) }

// ValidValue says whether b may be written as a field value: no CR, LF, NUL or other control but HTAB, which is what keeps
// an answer from being split. White space at the ends is allowed; a reader will not see it.
func ValidValue(b []byte) bool { return textEnd(b, 0) == len(b) }
