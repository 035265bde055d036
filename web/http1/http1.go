// Package http1 is the HTTP/1.1 wire codec: it reads request and answer heads, chunked bodies and trailers from bytes that
// somebody else received, and says exactly how each message is framed. It does no I/O, keeps no state between messages and
// allocates nothing once its slices have grown.
//
// Start at [Request.Parse] and [Response.Parse] for heads, and [Chunks] for chunked bodies.
//
// It is strict (RFC 9112 with every MAY that an attacker likes taken away): whatever two parsers could read differently is
// an [*Error], never a guess. It does not route, does not strip hop-by-hop fields and does not write messages.
package http1

// Field is one header field line. Name and Value are slices of the buffer that was parsed, name as it was received,
// value without the white space around it.
type Field struct {
	Name, Value []byte
	ID          ID   // the name, if it is one that a proxy must know; Other if not
	Underscore  bool // the name contains "_", which CGI (and so PHP) cannot tell from "-"
}

// ID names the fields that a proxy treats in a special way, so that nobody compares strings twice.
type ID uint8

// The known fields. Names are compared without case.
const (
	Other ID = iota
	Host
	Connection
	ContentLength
	TransferEncoding
	TE
	Trailer
	Upgrade
	KeepAlive
	ProxyConnection
	ProxyAuthenticate
	ProxyAuthorization
	Expect
	XForwardedFor
	XForwardedProto
	XForwardedHost
	XForwardedPort
	XForwardedPrefix
	XForwardedServer
	XRealIP
	Forwarded
	Cookie
	SetCookie
	Date
	Server
	Via
	UserAgent
	Referer
	Authorization
	ContentType
	ContentEncoding
	AcceptEncoding
	Location
	Vary
	ETag
	RetryAfter
	AltSvc
	HTTP2Settings
)

// Form is the form of a request target (RFC 9112 section 3.2).
type Form uint8

// The four forms.
const (
	OriginForm    Form = iota // /path?query
	AbsoluteForm              // http://host/path
	AuthorityForm             // host:port, CONNECT only
	AsteriskForm              // *, OPTIONS only; also OPTIONS with an absolute form that has neither path nor query
)

// Limits bound a head. Zero means no bound beyond the buffer's own size.
type Limits struct {
	Target int // bytes of the request target; more is 414
	Fields int // number of field lines; more is 431
}

// Request is one request head. Its slices point into the buffer given to Parse.
type Request struct {
	Method    []byte
	Form      Form
	Scheme    []byte // absolute form only, as received
	Authority []byte // from the absolute form if there is one, else from Host; validated; empty only in HTTP/1.0 without Host
	Path      []byte // as received, without the query; "*" in asterisk form; "/" for an absolute form without a path; nil in authority form
	Query     []byte // after "?", without it; nil if there is no "?", empty but not nil if nothing follows it
	Minor     uint8  // HTTP/1.x: 0 or 1
	Fields    []Field

	Length   int64  // Content-Length; -1 without one
	Chunked  bool   // Transfer-Encoding: chunked
	Close    bool   // the client does not want the connection kept (or, being HTTP/1.0, did not ask for it)
	Expect   bool   // Expect: 100-continue, HTTP/1.1 only
	Upgrade  []byte // the one protocol in Upgrade, if Connection names it and this is an HTTP/1.1 GET without a body; nil for h2c
	Trailers bool   // TE: trailers was offered

	cur cursor
}

// Response is one answer head. Its slices point into the buffer given to Parse.
type Response struct {
	Minor  uint8
	Status int
	Reason []byte
	Fields []Field

	Length  int64  // Content-Length; -1 without one. Says what the field said, even where no body follows (HEAD, 304, 204)
	Chunked bool   // Transfer-Encoding: chunked
	Close   bool   // the origin will close after this answer
	Upgrade []byte // value of Upgrade on a 101

	cur cursor
}

// Error is a message that must not be forwarded. The connection it came by must be closed.
type Error struct {
	Status int    // what to answer: 400, 414, 417, 431, 501 or 505; for answers of an origin it is 502
	Reason string // for the log and the answer's body: what is wrong, in a few words
	Rule   string // where the rule stands, as "RFC 9112 section 6.1"
}

func (e *Error) Error() string { return e.Reason + " (" + e.Rule + ")" }
