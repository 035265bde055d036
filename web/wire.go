package web

import "time"

// wire is the protocol of one connection to a member: how a request is written to it, and how its answer is read. What all
// connections have in common (the wait, retries, time-outs, uploads beside the reading) is [upstream]'s; so a new protocol is
// one type that turns bytes into an answer.
//
// The answer's head is always in u.resp, whichever protocol brought it.
type wire interface {
	// request appends the head that the member gets, and the body if it came with the head.
	request(b []byte, x *exchange) []byte
	// piece frames a part of a streamed body. What it returns is data itself or lies in scratch, and is valid until the next
	// call.
	piece(scratch *[]byte, data []byte, x *exchange) []byte
	// last frames the end of a streamed body; nil if the end needs no word.
	last(scratch *[]byte, x *exchange) []byte
	// head reads heads from u.buf[u.r:u.w] until one is final.
	head(u *upstream) (done bool, err error)
	// framing says how long the answer's body is, -1 if only its end will tell, and whether none follows; asked is the
	// request's method.
	framing(u *upstream, asked string) (length int64, none bool)
	// relay passes the body of the answer on and ends the answer. It returns what cut or clientFailed return.
	relay(w *Web, x *exchange, u *upstream, idle time.Duration) error
	// clean reports whether the connection can be used again after a relay without an error.
	clean(u *upstream, asked string) bool
}

// newWire makes the wire of a new connection.
func newWire(protocol string) wire {
	if protocol == "fastcgi" {
		return &wireFCGI{}
	}
	return wire1{}
}
