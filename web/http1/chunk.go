package http1

import (
	"math"
	"strconv"
)

// Bounds of what a chunked body may carry beside its data. All of it is read and thrown away, so it must be little.
const (
	maxSizeDigits     = 16       // of one chunk size, leading zeros included
	maxExtension      = 4 << 10  // bytes of extensions in one chunk line
	maxExtensions     = 16 << 10 // bytes of extensions in one body
	maxTrailerSection = 8 << 10  // bytes
	maxTrailers       = 64       // fields
)

// Chunks reads a chunked body (RFC 9112 section 7.1) as its bytes arrive, in pieces of any size:
//
//	1a;name="value" CR LF  26 bytes  CR LF   ...   0 CR LF  Trailer: x CR LF  CR LF
//
// The zero value is ready. Extensions are checked and dropped: they belong to one hop (section 7.1.1). Line ends are CR LF,
// nothing else. The same Chunks serves the next body after Reset.
type Chunks struct {
	Origin   bool    // the body comes from an origin: errors are 502, not 400
	Trailers []Field // once done; without those that must not come in trailers. Valid until Reset

	state      chunkState
	left       int64 // data bytes to come in this chunk; its size while that is read
	digits     int   // of the size
	line       int   // extension bytes in this line
	extensions int   // extension bytes in this body
	section    []byte
	cur        cursor // in section
}

// chunkState is what the next byte is judged by.
type chunkState uint8

const (
	inSize chunkState = iota
	beforeSemicolon
	beforeName
	inName
	afterName
	beforeValue
	inValue
	inQuotes
	inEscape
	afterQuotes
	sizeLF
	inData
	dataCR
	dataLF
	inTrailers
	chunksDone
)

// Reset prepares for the next body and keeps Origin.
func (c *Chunks) Reset() {
	*c = Chunks{Origin: c.Origin, Trailers: c.Trailers[:0], section: c.section[:0]}
}

// Next reads from buf and consumes n bytes of it: framing, and then at most one run of data, which is a part of buf. Without
// data, done or err all of buf has been consumed and more is needed. After done nothing is consumed: the rest of buf belongs
// to the next message. err is an [*Error]; after it the body must not be read on.
func (c *Chunks) Next(buf []byte) (data []byte, n int, done bool, err error) {
	for n < len(buf) && c.state != chunksDone {
		switch c.state {
		case inData:
			end := n + int(min(c.left, int64(len(buf)-n)))
			c.left -= int64(end - n)
			if c.left == 0 {
				c.state = dataCR
			}
			return buf[n:end:end], end, false, nil
		case inTrailers:
			k, e := c.trailers(buf[n:])
			if e != nil {
				return nil, 0, false, c.fail(e)
			}
			n += k
		default:
			if e := c.step(buf[n]); e != nil {
				return nil, 0, false, c.fail(e)
			}
			n++
		}
	}
	return nil, n, c.state == chunksDone, nil
}

func (c *Chunks) fail(e *Error) error {
	if c.Origin {
		return e.fromOrigin()
	}
	return e
}

// step takes one byte of a chunk line or of the line end after the data.
func (c *Chunks) step(b byte) *Error {
	switch c.state {
	case inSize:
		if class[b]&hexdig != 0 {
			return c.digit(b)
		}
		if c.digits == 0 {
			return errChunkSize
		}
		return c.after(b, beforeSemicolon, errChunkSize)
	case sizeLF:
		if b != '\n' {
			return errBareCR
		}
		c.state = inData
		if c.left == 0 {
			c.state = inTrailers
		}
		c.digits, c.line = 0, 0
		return nil
	case dataCR:
		if b != '\r' {
			return errChunkEnd
		}
		c.state = dataLF
		return nil
	case dataLF:
		if b != '\n' {
			return errChunkEnd
		}
		c.state = inSize
		return nil
	}
	return c.extension(b)
}

func (c *Chunks) digit(b byte) *Error {
	var d int64
	switch {
	case b <= '9':
		d = int64(b - '0')
	default:
		d = int64(lower(b)-'a') + 10
	}
	if c.digits == maxSizeDigits || c.left > math.MaxInt64>>4 {
		return errChunkLarge
	}
	c.left = c.left<<4 | d
	c.digits++
	return nil
}

// after handles the bytes that may follow a size, a name or a value; space is where white space leads. White space is BWS,
// which must be followed by a semicolon: "a CR LF" with a space before the CR is no chunk line.
func (c *Chunks) after(b byte, space chunkState, otherwise *Error) *Error {
	switch b {
	case ' ', '\t':
		c.state = space
	case ';':
		c.state = beforeName
	case '\r':
		c.state = sizeLF
		return nil
	case '\n':
		return errBareLF
	default:
		return otherwise
	}
	return c.count()
}

// count bounds the extension bytes.
func (c *Chunks) count() *Error {
	c.line++
	c.extensions++
	if c.line > maxExtension || c.extensions > maxExtensions {
		return errExtensionLong
	}
	return nil
}

// extension takes one byte of *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112 section 7.1.1.
func (c *Chunks) extension(b byte) *Error {
	blank := b == ' ' || b == '\t'
	token := class[b]&tchar != 0
	switch c.state {
	case beforeSemicolon:
		switch {
		case b == ';':
			c.state = beforeName
		case !blank:
			return errExtension
		}
	case beforeName:
		switch {
		case token:
			c.state = inName
		case !blank:
			return errExtension
		}
	case inName:
		switch {
		case token:
		case b == '=':
			c.state = beforeValue
		default:
			return c.after(b, afterName, errExtension)
		}
	case afterName:
		switch {
		case b == '=':
			c.state = beforeValue
		case b == ';':
			c.state = beforeName
		case !blank:
			return errExtension
		}
	case beforeValue:
		switch {
		case b == '"':
			c.state = inQuotes
		case token:
			c.state = inValue
		case !blank:
			return errExtension
		}
	case inValue:
		if !token {
			return c.after(b, beforeSemicolon, errExtension)
		}
	case inQuotes:
		switch {
		case b == '"':
			c.state = afterQuotes
		case b == '\\':
			c.state = inEscape
		case class[b]&text == 0:
			return errExtension
		}
	case inEscape:
		if class[b]&text == 0 {
			return errExtension
		}
		c.state = inQuotes
	case afterQuotes:
		return c.after(b, beforeSemicolon, errExtension)
	}
	return c.count()
}

// AppendChunkSize appends the line that goes before n bytes of data; CR LF must follow them. n must be positive: see
// [AppendLastChunk].
func AppendChunkSize(dst []byte, n int64) []byte {
	return append(strconv.AppendInt(dst, n, 16), '\r', '\n')
}

// AppendLastChunk appends the end of a chunked body, with the trailers.
func AppendLastChunk(dst []byte, trailers []Field) []byte {
	dst = append(dst, "0\r\n"...)
	for _, f := range trailers {
		dst = append(dst, f.Name...)
		dst = append(dst, ": "...)
		dst = append(dst, f.Value...)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "\r\n"...)
}
