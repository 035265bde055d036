package fastcgi

import "encoding/binary"

// Kind is what a piece of an answer is.
type Kind uint8

// The kinds.
const (
	None   Kind = iota // everything that was given has been read
	Stdout             // of the answer: a CGI head and the body
	Stderr             // for the log
	End                // the answer is complete
)

// Piece is what Next found.
type Piece struct {
	Kind Kind
	Data []byte // of Stdout and Stderr, never empty: a slice of what was given
}

// Every way in which an answer can be wrong.
var (
	errVersion    = &Error{"record of another version", "FastCGI 1.0 section 3.3"}
	errID         = &Error{"record of a request that was never sent", "FastCGI 1.0 section 3.3"}
	errType       = &Error{"record of a type that no application sends", "FastCGI 1.0 section 3.3"}
	errEndLength  = &Error{"END_REQUEST without its eight bytes", "FastCGI 1.0 section 5.5"}
	errEndStatus  = &Error{"unknown protocol status", "FastCGI 1.0 section 5.5"}
	errAfterEnd   = &Error{"bytes behind the end of the answer", "FastCGI 1.0 section 5.5"}
	errStreamOver = &Error{"data behind the end of its stream", "FastCGI 1.0 section 3.3"}
	errChatter    = &Error{"too many records that belong to no request", "FastCGI 1.0 section 4"}
)

// maxManagement is how many records about the connection itself an answer may hold. We ask for none; a few are skipped.
const maxManagement = 16

// Parser takes the records of one answer apart, wherever the bytes of a record are cut by receiving.
type Parser struct {
	App    uint32 // exit status of the script, after End
	Status Status // after End

	state   parserState
	kind    byte
	mine    bool // the record belongs to the request
	small   [headerSize]byte
	have    int // bytes in small
	content int // bytes of the record's content still to come
	padding int
	out     bool // the end of STDOUT was seen
	errs    bool // the end of STDERR was seen
	chatter int
}

type parserState uint8

const (
	inHeader parserState = iota
	inContent
	inPadding
	ended
)

// Reset makes the parser ready for the next answer.
func (p *Parser) Reset() { *p = Parser{} }

// Next reads from the beginning of buf: n is how much of it is done with, whatever it found. Call it again with what is
// behind that until it returns None: then n is all of buf, and more must be received. Behind [End] nothing may come; the
// padding of the last record is a part of it.
func (p *Parser) Next(buf []byte) (piece Piece, n int, err error) {
	for {
		switch p.state {
		case inHeader:
			took := copy(p.small[p.have:], buf[n:])
			p.have += took
			n += took
			if p.have < headerSize {
				return Piece{}, n, nil
			}
			p.have = 0
			if err := p.header(); err != nil {
				return Piece{}, n, err
			}
			p.state = inContent
		case inContent:
			took := min(p.content, len(buf)-n)
			data := buf[n : n+took]
			n += took
			p.content -= took
			if p.kind == typeEnd && took > 0 {
				p.have += copy(p.small[p.have:], data)
			}
			if p.content == 0 {
				p.state = inPadding
			}
			if took > 0 && p.mine {
				switch p.kind {
				case typeStdout:
					return Piece{Stdout, data}, n, nil
				case typeStderr:
					return Piece{Stderr, data}, n, nil
				}
			}
			if p.content > 0 {
				return Piece{}, n, nil
			}
		case inPadding:
			took := min(p.padding, len(buf)-n)
			n += took
			p.padding -= took
			if p.padding > 0 {
				return Piece{}, n, nil
			}
			if p.kind != typeEnd {
				p.state = inHeader
				continue
			}
			if err := p.end(); err != nil {
				return Piece{}, n, err
			}
			p.state = ended
			return Piece{Kind: End}, n, nil
		case ended:
			if n < len(buf) {
				return Piece{}, n, errAfterEnd
			}
			return Piece{}, n, nil
		}
	}
}

// header judges the record that begins.
func (p *Parser) header() error {
	h := &p.small
	if h[0] != version {
		return errVersion
	}
	id := binary.BigEndian.Uint16(h[2:])
	p.kind = h[1]
	p.content = int(binary.BigEndian.Uint16(h[4:]))
	p.padding = int(h[6])
	p.mine = id == requestID
	if id == 0 {
		if p.kind != typeValues && p.kind != typeUnknown {
			return errType
		}
		if p.chatter++; p.chatter > maxManagement {
			return errChatter
		}
		return nil
	}
	if !p.mine {
		return errID
	}
	switch p.kind {
	case typeStdout:
		return over(&p.out, p.content)
	case typeStderr:
		return over(&p.errs, p.content)
	case typeEnd:
		if p.content != 8 {
			return errEndLength
		}
		return nil
	}
	return errType
}

// over notes the end of a stream, which an empty record is, and refuses what comes behind it.
func over(done *bool, content int) error {
	if *done {
		return errStreamOver
	}
	*done = content == 0
	return nil
}

// end reads END_REQUEST.
func (p *Parser) end() error {
	p.App = binary.BigEndian.Uint32(p.small[:])
	p.Status = Status(p.small[4])
	if p.Status > UnknownRole {
		return errEndStatus
	}
	return nil
}
