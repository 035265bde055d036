package http3

import "sync"

// bufferSize is what a stream reads into and collects its answer in.
const bufferSize = 16 << 10

// Buffers are shared by connections. A stream has one to read from until its body has ended, and one for its answer until
// that has.
type Buffers struct{ pool sync.Pool }

// NewBuffers returns Buffers that hold nothing yet.
func NewBuffers() *Buffers {
	return &Buffers{sync.Pool{New: func() any { return new([bufferSize]byte) }}}
}

func (b *Buffers) get() []byte { return b.pool.Get().(*[bufferSize]byte)[:] }

// put takes a buffer back. One that had to grow is left to the collector.
func (b *Buffers) put(p []byte) {
	if cap(p) == bufferSize {
		b.pool.Put((*[bufferSize]byte)(p[:bufferSize]))
	}
}
