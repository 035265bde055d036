package http1

// Every way in which a head can be wrong. They are values and not made on the spot: whoever sends garbage gets no garbage
// collection out of us.
var (
	errTLS         = &Error{400, "TLS on a plain-text port", "RFC 9112 section 9.7"}
	errMethod      = &Error{400, "method is not a token of 1 to 32 bytes", "RFC 9110 section 9.1"}
	errBlankLine   = &Error{400, "line feed without CR before the request", "RFC 9112 section 2.2"}
	errTargetByte  = &Error{400, "byte not allowed in a request target", "RFC 9112 section 3.2"}
	errNoTarget    = &Error{400, "empty request target, or more than one space before it", "RFC 9112 section 3"}
	errTargetForm  = &Error{400, "request target has none of the four forms", "RFC 9112 section 3.2"}
	errTargetLong  = &Error{414, "request target too long", "RFC 9110 section 15.5.15"}
	errFragment    = &Error{400, "fragment in the request target", "RFC 9112 section 3.2"}
	errPathByte    = &Error{400, "byte not allowed in a path", "RFC 3986 section 3.3"}
	errEscape      = &Error{400, "broken percent escape in the path", "RFC 3986 section 2.1"}
	errEscapedNUL  = &Error{400, "NUL in the path", "RFC 3986 section 7.3"}
	errScheme      = &Error{400, "scheme is neither http nor https", "RFC 9110 section 4.2"}
	errAuthority   = &Error{400, "authority of the target is not a host and a port", "RFC 9110 section 4.2"}
	errConnect     = &Error{400, "target of CONNECT is not host:port", "RFC 9112 section 3.2.3"}
	errAsterisk    = &Error{400, `"*" is a target for OPTIONS alone`, "RFC 9112 section 3.2.4"}
	errVersionless = &Error{400, "request without a version (HTTP/0.9)", "RFC 9112 section 3"}
	errVersion     = &Error{400, "malformed version, or bytes after it", "RFC 9112 section 2.3"}
	errUnsupported = &Error{505, "version is neither HTTP/1.0 nor HTTP/1.1", "RFC 9110 section 15.6.6"}

	errFieldCount  = &Error{431, "too many fields", "RFC 6585 section 5"}
	errBareCR      = &Error{400, "CR without LF", "RFC 9112 section 2.2"}
	errBareLF      = &Error{400, "LF without CR", "RFC 9112 section 2.2"}
	errControl     = &Error{400, "control byte in a field value", "RFC 9110 section 5.5"}
	errName        = &Error{400, "field name is not a token", "RFC 9110 section 5.1"}
	errNoName      = &Error{400, "field without a name", "RFC 9110 section 5.1"}
	errSpaceColon  = &Error{400, "white space in a field name or before its colon", "RFC 9112 section 5.1"}
	errFold        = &Error{400, "folded line, or white space before the first field", "RFC 9112 section 5.2"}
	errFoldFraming = &Error{400, "folded Content-Length or Transfer-Encoding", "RFC 9112 section 5.2"}

	errNoHost       = &Error{400, "no Host", "RFC 9112 section 3.2"}
	errManyHosts    = &Error{400, "more than one Host", "RFC 9112 section 3.2"}
	errHost         = &Error{400, "Host is not a host and a port", "RFC 9112 section 3.2"}
	errLength       = &Error{400, "Content-Length is not one decimal number", "RFC 9110 section 8.6"}
	errManyLengths  = &Error{400, "more than one Content-Length", "RFC 9112 section 6.3"}
	errBoth         = &Error{400, "Content-Length and Transfer-Encoding together", "RFC 9112 section 6.1"}
	errCodingOld    = &Error{400, "Transfer-Encoding in HTTP/1.0", "RFC 9112 section 6.1"}
	errCoding       = &Error{400, "Transfer-Encoding is not exactly chunked", "RFC 9112 section 6.1"}
	errCodingKind   = &Error{501, "transfer coding other than chunked", "RFC 9112 section 6.1"}
	errOption       = &Error{400, "connection option is not a token", "RFC 9110 section 7.6.1"}
	errOptionFrames = &Error{400, "Connection names a field that frames the message", "RFC 9110 section 7.6.1"}
	errExpect       = &Error{417, "expectation other than 100-continue", "RFC 9110 section 10.1.1"}

	errStatusLine   = &Error{400, "malformed status line", "RFC 9112 section 4"}
	errStatus       = &Error{400, "status is not a number from 100 to 999", "RFC 9110 section 15"}
	errCodingStatus = &Error{400, "Transfer-Encoding in an answer that has no body", "RFC 9112 section 6.1"}
	errLengthStatus = &Error{400, "Content-Length in an interim answer", "RFC 9110 section 8.6"}
	errSwitch       = &Error{400, "status 101 without exactly one Upgrade", "RFC 9110 section 15.2.2"}

	errChunkSize     = &Error{400, "chunk size is not a hexadecimal number", "RFC 9112 section 7.1"}
	errChunkLarge    = &Error{400, "chunk size has more than 16 digits or 63 bits", "RFC 9112 section 7.1"}
	errChunkEnd      = &Error{400, "chunk data does not end in CR LF", "RFC 9112 section 7.1"}
	errExtension     = &Error{400, "malformed chunk extension", "RFC 9112 section 7.1.1"}
	errExtensionLong = &Error{400, "chunk extensions too long", "RFC 9112 section 7.1.1"}
	errTrailerLong   = &Error{431, "trailer section too long", "RFC 6585 section 5"}
)

// fromOrigin is the same mistake made by an origin: the client gets a 502.
func (e *Error) fromOrigin() *Error {
	return &Error{Status: 502, Reason: e.Reason, Rule: e.Rule}
}
