package web

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// compressMemory bounds the memory of all encoders that work at the same time, in bytes. When it is used up, further answers go
// out as they are: nobody waits for an encoder. Only answers that take their time hold one for long, because their origin or
// their client is slow: a short one has given its encoder back before it is sent.
const compressMemory = 128 << 20

// compressShort is up to which length, in bytes, an answer may take the last encoders. All others together get half of the
// memory, so that event streams, which hold an encoder for hours, leave some for pages.
const compressShort = 128 << 10

// How each encoder is set, by what real pages, scripts and JSON of 15 to 150 KiB came to. Gzip's level 6 saves 1% more and costs
// 8% more time; zstd's fastest level is 5% worse than this one; brotli below 5 hardly gains on gzip for three times its time,
// and above it nothing. Larger windows gain nothing at such sizes, and memory is held for each answer that is under way.
const (
	gzipLevel     = 5
	brotliQuality = 5
	brotliWindow  = 16        // bits: 64 KiB
	zstdWindow    = 256 << 10 // bytes; browsers take up to 8 MiB (RFC 9659 section 3)
)

// encoderMemory is what one encoder takes once it has seen a long answer, rounded up; TestCompressMemoryOfEncoders measures it.
func encoderMemory(e encoding) int64 {
	switch e {
	case brotlied:
		return 1920 << 10
	case gzipped:
		return 1152 << 10
	}
	return 2304 << 10 // zstd
}

// encoder compresses what is written to it. All of them keep their memory when they are reset.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(to io.Writer)
}

// newEncoder makes an encoder. It starts no goroutine.
func newEncoder(e encoding) encoder {
	switch e {
	case gzipped:
		z, err := gzip.NewWriterLevel(io.Discard, gzipLevel)
		if err != nil {
			panic(err) // the level is a constant
		}
		return z
	case brotlied:
		return brotli.NewWriterOptions(io.Discard, brotli.WriterOptions{Quality: brotliQuality, LGWin: brotliWindow})
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(zstdWindow),
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return z
}

// compressor lends out encoders. The zero value is ready.
type compressor struct {
	used    atomic.Int64 // bytes of the encoders that are lent out
	brotlis atomic.Int32 // goroutines that run a brotli encoder right now
	idle    [encodings]sync.Pool
	answers sync.Pool // *compressed
}

// reserve takes the memory of one encoder for an answer of that length, -1 if unknown; false if there is no more.
func (c *compressor) reserve(e encoding, length int64) bool {
	limit := int64(compressMemory)
	if length < 0 || length > compressShort {
		limit /= 2
	}
	n := encoderMemory(e)
	if c.used.Add(n) > limit {
		c.used.Add(-n)
		return false
	}
	return true
}

// busy reports whether all other processors run brotli right now. It costs several times what gzip and zstd do: then a client who
// takes one of those gets it, so that small requests do not wait behind brotli.
func (c *compressor) busy() bool {
	return c.brotlis.Load() >= int32(max(1, runtime.GOMAXPROCS(0)-1))
}

// lend returns an encoder that writes to w. Its memory was reserved.
func (c *compressor) lend(e encoding, w io.Writer) encoder {
	z, ok := c.idle[e].Get().(encoder)
	if !ok {
		z = newEncoder(e)
	}
	z.Reset(w)
	return z
}

// give takes back what lend returned; nil for an encoder in a state that nobody knows, which is dropped. An idle encoder still
// points to where it wrote, but does not write there before the next Reset.
func (c *compressor) give(e encoding, z encoder) {
	c.used.Add(-encoderMemory(e))
	if z != nil {
		c.idle[e].Put(z)
	}
}
