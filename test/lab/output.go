package lab

import (
	"bufio"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Line is a line of a program's output.
type Line struct {
	Time time.Time // when it came
	Text string    // without the end of the line
}

// Output is what a program has written. Of a program that writes without end it keeps the last lines.
type Output struct {
	mu    sync.Mutex // guards the rest
	lines []Line     // never changed, so that readers may hold a part of it
	size  int
}

// outputLimit is how many bytes are kept, at least; up to twice as many are held.
const outputLimit = 16 << 20

// from reads until the end.
func (o *Output) from(r io.Reader) {
	b := bufio.NewReaderSize(r, 64<<10)
	for {
		text, err := b.ReadString('\n')
		if text != "" {
			o.add(Line{time.Now(), strings.TrimSuffix(text, "\n")})
		}
		if err != nil {
			return
		}
	}
}

func (o *Output) add(l Line) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lines = append(o.lines, l)
	if o.size += len(l.Text); o.size < 2*outputLimit {
		return
	}
	drop := 0
	for ; o.size > outputLimit; drop++ {
		o.size -= len(o.lines[drop].Text)
	}
	o.lines = slices.Clone(o.lines[drop:])
}

// Lines are all lines so far.
func (o *Output) Lines() []Line {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lines[:len(o.lines):len(o.lines)]
}

// String implements [fmt.Stringer].
func (o *Output) String() string { return o.tail(len(o.Lines())) }

// tail returns the last n lines.
func (o *Output) tail(n int) string {
	lines := o.Lines()
	var b strings.Builder
	for _, l := range lines[max(0, len(lines)-n):] {
		b.WriteString(l.Text)
		b.WriteByte('\n')
	}
	return b.String()
}
