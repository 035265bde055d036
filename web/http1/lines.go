package http1

import (
	"bytes"
	"iter"
)

// Lines reads field lines that we wrote ourselves, "name: value" and CR LF each.
func Lines(b []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for len(b) > 0 {
			line, rest, _ := bytes.Cut(b, []byte("\r\n"))
			name, value, ok := bytes.Cut(line, []byte(": "))
			if ok && !yield(name, value) {
				return
			}
			b = rest
		}
	}
}
