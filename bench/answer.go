package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// The origin knows two answers. Both are made once; the driver compares what arrives with the same bytes.
const (
	smallSize = 100
	largeSize = 1 << 20
	largePath = "/1m"
)

// body returns n bytes that look like text and differ from line to line, so that a body cut or shifted is noticed.
func body(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%07d the quick brown fox jumps over the lazy dog\n", i)
	}
	return b.Bytes()[:n]
}

// answer returns a whole answer with the fields that a small PHP or Rails page would carry.
func answer(size int) []byte {
	return append([]byte("HTTP/1.1 200 OK\r\n"+
		"Server: origin\r\n"+
		"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"+
		"Content-Type: text/html; charset=utf-8\r\n"+
		"Content-Length: "+strconv.Itoa(size)+"\r\n"+
		"Cache-Control: private, max-age=0\r\n"+
		"X-Request-Id: 0b7e7dee-8f2f-4c5e-9f5e-1f1d1cbb5d6e\r\n"+
		"\r\n"), body(size)...)
}

// request returns the request that every client sends: the fields of a browser, about 300 bytes.
func request(path string, last bool) []byte {
	connection := ""
	if last {
		connection = "Connection: close\r\n"
	}
	return []byte("GET " + path + " HTTP/1.1\r\n" +
		"Host: bench.example\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
		"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n" +
		"Accept-Language: en-US,en;q=0.5\r\n" +
		"Cookie: session=6f1ed002ab5595859014ebf0951522d9\r\n" +
		connection +
		"\r\n")
}

var errNoLength = errors.New("answer without Content-Length")

// checkHead judges the head of an answer, without its empty line, and returns the length of the body. It is as lenient
// as a benchmark may be: it wants status 200 and a Content-Length, which every proxy here passes on.
func checkHead(head []byte) (int, error) {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		return 0, fmt.Errorf("answer %q", line)
	}
	const name = "content-length:"
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if len(line) > len(name) && line[0]|0x20 == 'c' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			n := 0
			for _, c := range bytes.TrimSpace(line[len(name):]) {
				if c < '0' || c > '9' || n > 1<<30 {
					return 0, fmt.Errorf("answer with %q", line)
				}
				n = n*10 + int(c-'0')
			}
			return n, nil
		}
	}
	return 0, errNoLength
}
