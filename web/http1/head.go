package http1

// A head is read in one pass, line by line, without looking for its end first. Where the bytes run out, cursor keeps the
// place, down to the byte inside a line:
//
//	GET / HTTP/1.1 CR LF  Host: exam
//	                      ^line     ^scanned
//	                          ^colon
//
// so a client that sends one byte at a time costs no more than one that sends all, and every wrong byte is seen when it
// arrives. Slices cannot be kept over a move of the buffer: then the head is read from its beginning again.
type cursor struct {
	base    *byte // first byte of the buffer of the last call; nil when nothing is kept
	line    int   // start of the current line
	scanned int   // bytes before this one have been judged
	name    int   // end of the name in the current field line; 0 if it is not yet found
	colon   int   // index of its colon; 0 if it is not yet found
	value   int   // start of the last finished field's value, before trimming; for folds
	started bool  // the start line is done
	folding bool  // the current line continues the last field
	classes uint8 // classes of the bytes in the current name
}

// kept says whether buf begins with what was read before.
func (c *cursor) kept(buf []byte) bool {
	return c.base != nil && c.base == &buf[0] && c.scanned <= len(buf)
}

// next moves to the line that begins at i.
func (c *cursor) next(i int) {
	c.line, c.scanned = i, i
	c.name, c.colon, c.classes, c.folding = 0, 0, 0, false
}

// fields reads field lines up to and with the empty line that ends them, and appends them to fs. It returns the index after
// that line, 0 if more bytes are needed. An origin is granted two old habits that nobody can misread once they are undone:
// white space before a colon and folded lines.
func (c *cursor) fields(buf []byte, fs []Field, limit int, origin bool) ([]Field, int, *Error) {
	for {
		i := c.scanned
		if i >= len(buf) {
			return fs, 0, nil
		}
		if i == c.line {
			switch buf[i] {
			case '\r':
				if i+1 == len(buf) {
					return fs, 0, nil
				}
				if buf[i+1] != '\n' {
					return fs, 0, errBareCR
				}
				return fs, i + 2, nil
			case ' ', '\t':
				if !origin || len(fs) == 0 {
					return fs, 0, errFold
				}
				if id := fs[len(fs)-1].ID; id == ContentLength || id == TransferEncoding {
					return fs, 0, errFoldFraming
				}
				c.folding, c.colon = true, i
			default:
				if limit > 0 && len(fs) >= limit {
					return fs, 0, errFieldCount
				}
			}
		}
		if c.colon == 0 {
			j, err := c.fieldName(buf, i, origin)
			if err != nil || j == 0 {
				return fs, 0, err
			}
			c.colon = j
			i = j + 1
		}
		i = textEnd(buf, i)
		c.scanned = i
		if i == len(buf) || i+1 == len(buf) && buf[i] == '\r' {
			return fs, 0, nil
		}
		if buf[i] != '\r' || buf[i+1] != '\n' {
			return fs, 0, badByte(buf[i])
		}
		if c.folding {
			// RFC 9112 section 5.2: a proxy replaces each fold in an answer with spaces. Two for the CR LF keep every index.
			buf[c.line-2], buf[c.line-1] = ' ', ' '
			fs[len(fs)-1].Value = trim(buf[c.value:i:i])
		} else {
			c.value = c.colon + 1
			name := buf[c.line:c.name:c.name]
			fs = append(fs, Field{
				Name:       name,
				Value:      trim(buf[c.value:i:i]),
				ID:         Lookup(name),
				Underscore: c.classes&underscore != 0,
			})
		}
		c.next(i + 2)
	}
}

// fieldName goes on with the name of the current line and returns the index of its colon, 0 if more bytes are needed.
func (c *cursor) fieldName(buf []byte, i int, origin bool) (int, *Error) {
	if c.name == 0 {
		classes := c.classes
		for i < len(buf) && class[buf[i]]&tchar != 0 {
			classes |= class[buf[i]]
			i++
		}
		c.classes = classes
		if i == len(buf) {
			c.scanned = i
			return 0, nil
		}
		if i == c.line {
			if buf[i] == ':' {
				return 0, errNoName
			}
			return 0, badNameByte(buf[i])
		}
		c.name = i
	}
	if origin {
		for i < len(buf) && (buf[i] == ' ' || buf[i] == '\t') {
			i++
		}
		if i == len(buf) {
			c.scanned = i
			return 0, nil
		}
	}
	if buf[i] != ':' {
		return 0, badNameByte(buf[i])
	}
	return i, nil
}

func badByte(b byte) *Error {
	switch b {
	case '\r':
		return errBareCR
	case '\n':
		return errBareLF
	}
	return errControl
}

func badNameByte(b byte) *Error {
	switch b {
	case ' ', '\t':
		return errSpaceColon
	case '\n':
		return errBareLF
	}
	return errName
}
