package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
)

// FastCGI records (FastCGI 1.0 section 3.3), as far as the origin needs them:
//
//	version 1 | type | request id (16) | content length (16) | padding length | reserved | content | padding
const (
	recordHead   = 8
	beginRequest = 1
	endRequest   = 3
	stdin        = 5
	stdout       = 6
	keepConn     = 1 // flag of beginRequest
)

// scriptAnswer is what a script would say: the small answer, with a CGI head.
func scriptAnswer(size int) []byte {
	content := append([]byte("Content-Type: text/html; charset=utf-8\r\n"+
		"Content-Length: "+strconv.Itoa(size)+"\r\n"+
		"Cache-Control: private, max-age=0\r\n"+
		"X-Request-Id: 0b7e7dee-8f2f-4c5e-9f5e-1f1d1cbb5d6e\r\n\r\n"), body(size)...)
	b := append(record(stdout, len(content)), content...)
	b = append(b, record(stdout, 0)...)
	return append(append(b, record(endRequest, 8)...), make([]byte, 8)...)
}

func record(kind, length int) []byte {
	b := []byte{1, byte(kind), 0, 1, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(b[4:], uint16(length))
	return b
}

// script answers a FastCGI request once all of it is there.
func (o *origin) script(c *originConn, in []byte) error {
	keep := false
	for rest := in; len(rest) >= recordHead; {
		if rest[0] != 1 {
			return errors.New("record of another version of FastCGI")
		}
		length := int(binary.BigEndian.Uint16(rest[4:]))
		size := recordHead + length + int(rest[6])
		if len(rest) < size {
			break
		}
		switch {
		case rest[1] == beginRequest:
			keep = length == 8 && rest[recordHead+2]&keepConn != 0
		case rest[1] == stdin && length == 0:
			if size != len(rest) {
				return errors.New("bytes behind a FastCGI request")
			}
			c.out, c.last, c.head = o.scripted, !keep, nil
			return nil
		}
		rest = rest[size:]
	}
	if len(in) > maxHead {
		return errors.New("FastCGI request too long")
	}
	if len(c.head) == 0 {
		c.head = bytes.Clone(in)
	}
	return nil
}
