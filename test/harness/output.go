package harness

import (
	"bytes"
	"strings"
	"sync"
)

// output collects what a program writes, while tests read it.
type output struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// tail returns the last n lines.
func (o *output) tail(n int) string {
	lines := strings.SplitAfter(o.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// crash returns the first line that no healthy run of a Go program writes, "" without one.
func (o *output) crash() string {
	text := o.String()
	for _, sign := range []string{"DATA RACE", "panic: ", "fatal error: ", "panicked"} {
		if i := strings.Index(text, sign); i >= 0 {
			return text[i:min(len(text), i+4000)]
		}
	}
	return ""
}
