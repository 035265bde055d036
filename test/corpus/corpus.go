// Package corpus is requests as bytes, good ones, doubtful ones and attacks, each with what skein must make of it. The cases
// follow the accept and reject rules of RFC 9112 and RFC 9110 and the classes of public probes (Http11Probe, http-garden).
//
// Start at [Requests]. Two tests read it: test/parser sends each case on a connection of its own, test/pairs mixes them.
package corpus

import (
	"slices"
	"strconv"
	"strings"
)

// Request is one case. The numbers in Want and the parts of Saw say what must happen to it.
//
// Want is what the client must see, word by word:
//
//	200      an answer of the origin, so the request was forwarded
//	400      an answer of skein with this status; the connection must end after it, unless "keep" follows
//	100?     an interim answer that may come
//	fin      the client closes its half now
//	none     no answer: the connection ends, with nothing or with a 400 or 408
//	close    the connection must end here
//	keep     the connection must still work; this is what is tried after a 200 at the end anyway
//
// Saw is what the origin must have seen, parts separated by "|":
//
//	GET /a HTTP/1.1   this line, exactly
//	!TE               no field of this name
//	body=hello        this body
//	trailer X=a       this trailer
//	next              the following parts are about the next request
type Request struct {
	Name, Section, Send, Want, Saw string
}

// Probe is a request that nobody can object to.
const Probe = "GET /probe HTTP/1.1\r\nHost: h\r\n\r\n"

// Evil is a request that must never reach an origin as one: it only stands in bodies and behind the end of connections.
const Evil = "GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n"

// Requests returns all cases.
func Requests() []Request {
	return slices.Concat(lineCases(), targetCases(), hostCases(), fieldCases(), framingCases(), chunkCases(), smuggleCases(),
		hopCases(), turnCases())
}

// Ends says whether the connection is at its end after this case.
func (r *Request) Ends() bool {
	words := strings.Fields(r.Want)
	last := words[len(words)-1]
	return last != "200" && last != "keep"
}

// Method returns the method of the i-th request in the case.
func (r *Request) Method(i int) string {
	if i > 0 {
		return "GET" // so are all the cases made: what follows has an answer with a body
	}
	m, _, _ := strings.Cut(strings.TrimLeft(r.Send, "\r\n"), " ")
	return m
}

// Answers counts the final answers that the client must see.
func (r *Request) Answers() int {
	n := 0
	for _, w := range strings.Fields(r.Want) {
		if _, err := strconv.Atoi(w); err == nil {
			n++
		}
	}
	return n
}

// with, post and old are requests with these field lines more; start, target and host are requests with this part.
func with(lines ...string) string {
	return "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func post(lines ...string) string {
	return "POST / HTTP/1.1\r\nHost: h\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func old(lines ...string) string {
	return "POST / HTTP/1.0\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func start(line string) string   { return line + "\r\nHost: h\r\n\r\n" }
func target(t string) string     { return start("GET " + t + " HTTP/1.1") }
func host(h string) string       { return "GET / HTTP/1.1\r\nHost: " + h + "\r\n\r\n" }
func chunked(body string) string { return post("Transfer-Encoding: chunked") + body }

const lastChunk = "0\r\n\r\n"

func repeat(line string, n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = line
	}
	return lines
}
