package web

import (
	"net/netip"
	"time"

	"skein/pool"
	"skein/web/http1"
)

// exchange is one request and its answer, in no particular HTTP version: the client half that received the request fills it,
// the router, the limits and the member half see nothing else, and what goes back goes through its answerer.
//
// Its slices point into the client half's buffer, which lives until the answer's head has been handed over.
type exchange struct {
	method    string
	scheme    string // http or https, as the client speaks to us
	authority []byte
	path      []byte // normal form; "*" for OPTIONS *
	query     []byte // nil without "?"
	fields    []Field
	proto     string // for the log: HTTP/1.1
	expect    bool   // the client waits for 100 Continue before it sends the body
	upgrade   []byte // protocol asked for, nil if none or not allowed
	connect   bool   // upgrade was asked for by an extended CONNECT: a 2xx would mean that the tunnel stands
	trailers  bool   // trailers are welcome

	length int64  // of the body; 0 without one, -1 if only its end will tell
	small  []byte // the whole body, if it came with the head
	body   body   // else how to read it; nil without one

	to     answerer
	client *client
	guard  *guard
	work   *work        // buffers
	up     *upload      // of the try that runs; nil without a body to stream
	held   *pool.Member // whose work in progress counts this exchange

	table  *table
	site   *site
	route  *route
	hops   *hops  // of the request
	script script // for a FastCGI member
	code   uint32 // with which the member reset its stream, for clients whose protocol has such codes (RFC 9113 section 7)
	line   record
	answer answer
}

// body reads a request's body. Only the goroutine that uploads calls it.
type body interface {
	// next returns the next piece, which is valid until the next call; io.EOF after the last one.
	next() ([]byte, error)
	// last reports whether there is nothing left to receive behind what next has returned.
	last() bool
	// trailers are known after io.EOF.
	trailers() []Field
	// stop ends a next that waits, with an error. Any goroutine may call it.
	stop()
	// limit makes next fail with errTooLarge behind max bytes; 0 is any number. It is called before the first next.
	limit(max int64)
}

// answerer is the client half of an exchange.
type answerer interface {
	// interim sends a 1xx answer.
	interim(status int, fields []Field) error
	// begin takes the answer's head. Nothing need be sent before flush or end.
	begin(a *answer) error
	// write takes a part of the body.
	write(p []byte) error
	// flush sends what was taken so far.
	flush() error
	// end completes the answer.
	end(trailers []Field) error
	// abort makes it plain to the client that the answer is not complete.
	abort()
}

// answer is the head of an answer.
type answer struct {
	status int
	reason []byte
	fields []Field
	length int64  // of the body, -1 if unknown
	none   bool   // no body follows, whatever length says (HEAD, 204, 304)
	extra  []byte // complete lines of our own: a sticky cookie
	edits  *edits
	hops   *hops // nil for answers of our own
}

// record is what the access log says of an exchange.
type record struct {
	start     time.Time // the head was complete
	queued    time.Duration
	connected time.Duration // opening connections
	first     time.Duration // from the request sent until the answer's head
	status    int
	sent      int64 // body bytes to the client
	received  int64 // body bytes from the client
	member    *pool.Member
	retries   int
	cause     cause
	visitor   netip.Addr // behind trusted proxies
	allow     string     // methods, with a 405
}

// cause says why an exchange ended.
type cause uint8

// The causes, in the words of the access log.
const (
	causeDone cause = iota
	causeLocal
	causeBadRequest
	causeClientGone
	causeClientTimeout
	causeClientSlow
	causeTooLarge
	causeNoMember
	causeQueueFull
	causeQueueTimeout
	causeConnect
	causeOriginTimeout
	causeOriginBroken
	causeOriginCut
	causeCeiling
	causeShutdown
	causePanic
	causes
)

var causeNames = [causes]string{
	"done", "local", "bad_request", "client_gone", "client_timeout", "client_slow", "too_large", "no_member", "queue_full",
	"queue_timeout", "connect_failed", "origin_timeout", "origin_broken", "origin_cut", "ceiling", "shutdown", "panic",
}

func (c cause) String() string { return causeNames[c] }

// idempotent methods may be sent twice (RFC 9110 section 9.2.2).
func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// known methods are not copied.
func methodName(b []byte) string {
	switch string(b) {
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "DELETE":
		return "DELETE"
	case "OPTIONS":
		return "OPTIONS"
	case "PATCH":
		return "PATCH"
	}
	return string(b)
}

// field returns the first field of that name.
func (x *exchange) field(id http1.ID) []byte {
	for i := range x.fields {
		if x.fields[i].ID == id {
			return x.fields[i].Value
		}
	}
	return nil
}
