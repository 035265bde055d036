package http1

// trailers takes bytes of the trailer section and says how many of them belong to it. Bodies are read through a buffer that
// is used again and again, so the section is copied out; nearly always it is empty.
func (c *Chunks) trailers(buf []byte) (int, *Error) {
	had := len(c.section)
	if had == 0 && len(buf) >= 2 && buf[0] == '\r' && buf[1] == '\n' {
		c.state = chunksDone
		return 2, nil
	}
	take := min(len(buf), maxTrailerSection-had)
	c.section = append(c.section, buf[:take]...)
	fs, n, err := c.cur.fields(c.section, c.Trailers, maxTrailers, false)
	c.Trailers = fs
	switch {
	case err != nil:
		return 0, err
	case n == 0 && len(c.section) == maxTrailerSection:
		return 0, errTrailerLong
	case n == 0:
		return take, nil
	}
	c.state = chunksDone
	kept := c.Trailers[:0]
	for _, f := range c.Trailers {
		if !forbiddenTrailer(f) {
			kept = append(kept, f)
		}
	}
	c.Trailers = kept
	return n - had, nil
}

// forbiddenTrailer names what must not arrive after the body: who merges trailers into the head would let the sender of a
// body change the framing, the route, the identity or the conditions of a message that has been judged already (RFC 9110
// section 6.5.1).
func forbiddenTrailer(f Field) bool {
	switch f.ID {
	case ETag, Via, Server: // harmless, and ETag is the RFC's own example of a useful trailer
		return false
	case Other:
	default:
		return true
	}
	if f.Underscore { // CGI cannot tell it from one of the names below
		return true
	}
	for _, p := range forbiddenPrefixes {
		if len(f.Name) >= len(p) && fold(f.Name[:len(p)], p) {
			return true
		}
	}
	for _, n := range forbiddenNames {
		if fold(f.Name, n) {
			return true
		}
	}
	return false
}

// Beside the known fields: those that frame or describe the content, route, authenticate, set conditions or direct caches.
var (
	forbiddenPrefixes = [...]string{"content-", "x-forwarded-", "proxy-", "if-", "sec-", "access-control-"}
	forbiddenNames    = [...]string{
		"age", "allow", "cache-control", "expires", "max-forwards", "pragma", "range", "warning", "www-authenticate",
		"authentication-info", "strict-transport-security", "origin", "accept", "x-http-method-override", "x-original-url",
		"x-rewrite-url",
	}
)
