// Package fastcgi is the wire codec of FastCGI 1.0, as a web server needs it: it writes the records of one request and reads
// those of its answer, and reads the head of a CGI answer (RFC 3875 section 6). It does no I/O, imports nothing of ours, and
// allocates nothing once its slices have grown.
//
// Start at [AppendBegin] and [Params] to write a request, at [Parser] to take an answer apart, and at [Head] for what the
// script says before its body.
//
// It speaks one request at a time on a connection, always with the same id: no application server in use multiplexes, and
// php-fpm refuses it. It is strict: what cannot be an answer to that request is an [*Error], never a guess.
//
// A record, from the specification's section 3.3:
//
//	 0        1        2        3        4        5        6        7
//	+--------+--------+--------+--------+--------+--------+--------+--------+
//	|version | type   | request id      | content length  |padding |reserved|
//	+--------+--------+--------+--------+--------+--------+--------+--------+
//	| content: content length bytes          | padding: padding length bytes |
//	+----------------------------------------+-------------------------------+
//
// A request is BEGIN_REQUEST, then the streams PARAMS and STDIN; each stream ends with an empty record. The answer is the
// streams STDOUT and STDERR, mixed as they come, and END_REQUEST.
package fastcgi

const (
	version    = 1
	headerSize = 8

	// requestID is the id of every request: any but 0, which is the connection's own.
	requestID = 1

	// MaxContent is the largest content of a record in bytes: its length has 16 bits.
	MaxContent = 0xffff
)

// The record types (section 8).
const (
	typeBegin   = 1
	typeAbort   = 2
	typeEnd     = 3
	typeParams  = 4
	typeStdin   = 5
	typeStdout  = 6
	typeStderr  = 7
	typeValues  = 10 // GET_VALUES_RESULT
	typeUnknown = 11
)

const (
	roleResponder = 1
	keepConn      = 1 // a flag of BEGIN_REQUEST: the application does not close the connection after the answer
)

// Status is what END_REQUEST says of the protocol (section 5.5), apart from what the script said.
type Status uint8

// The protocol statuses.
const (
	RequestComplete Status = iota
	CannotMultiplex        // we never multiplex: the application is confused
	Overloaded             // it has no room now; nothing was done
	UnknownRole            // it runs no scripts
)

func (s Status) String() string {
	switch s {
	case RequestComplete:
		return "complete"
	case CannotMultiplex:
		return "cannot multiplex"
	case Overloaded:
		return "overloaded"
	}
	return "unknown role"
}

// Error is an answer that breaks a rule. The connection that it came by must be closed.
type Error struct {
	Reason string // what is wrong, in a few words
	Rule   string // where the rule stands, as "FastCGI 1.0 section 3.3"
}

func (e *Error) Error() string { return e.Reason + " (" + e.Rule + ")" }
